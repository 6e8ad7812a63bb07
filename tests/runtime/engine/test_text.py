"""Streamed text adds up to the text of all tokens, and never shows half of anything."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, normalizers

from runtime.engine.text import HALF, StopFinder, TextStream
from runtime.engine.tokens import open_ids
from tests.tiny_models import VOCABULARY, byte_level_tokenizer

Decode = Callable[[Sequence[int]], str]


@cache
def byte_level() -> Tokenizer:
    return byte_level_tokenizer()


@cache
def sentence_piece() -> Tokenizer:
    """A tokenizer as Llama 2 has it: `▁` for spaces, byte tokens for what it does not know."""
    words = ["▁", "▁the", "▁law", "▁of", "is", "é", "▁▁", "s", "."]
    pieces = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), *words]
    vocabulary = {piece: place for place, piece in enumerate(pieces)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[], unk_token="<unk>"))
    tokenizer.add_special_tokens(["<s>", "</s>"])
    tokenizer.normalizer = normalizers.Prepend("▁")
    tokenizer.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(content=" ", left=1, right=0),
        ]
    )
    return tokenizer


def decoder(tokenizer: Tokenizer) -> Decode:
    return lambda ids: tokenizer.decode(list(ids), skip_special_tokens=True)


def pieces_of(stream: TextStream, tokens: Sequence[int]) -> list[str]:
    return [stream.push(token) for token in tokens] + [stream.flush()]


@given(st.lists(st.integers(0, VOCABULARY - 1), max_size=40))
@settings(max_examples=150, deadline=None)
def test_any_byte_level_tokens_add_up(tokens: list[int]) -> None:
    decode = decoder(byte_level())
    assert decode(tokens) == "".join(pieces_of(TextStream(decode), tokens))


@given(st.text(max_size=30))
@settings(max_examples=150, deadline=None)
def test_real_text_is_streamed_without_half_characters(text: str) -> None:
    decode = decoder(byte_level())
    pieces = pieces_of(TextStream(decode), byte_level().encode(text).ids)
    assert text == "".join(pieces)
    if HALF not in text:
        assert all(HALF not in piece for piece in pieces)


def test_an_emoji_of_four_bytes_comes_with_its_last_byte() -> None:
    tokenizer = Tokenizer(models.BPE(vocab={c: i for i, c in enumerate("ðŁĻĤa")}, merges=[]))
    tokenizer.decoder = decoders.ByteLevel()
    pieces = pieces_of(TextStream(decoder(tokenizer)), [4, 0, 1, 2, 3, 4])
    assert ["a", "", "", "", "🙂", "a", ""] == pieces


@given(st.lists(st.integers(0, 267), max_size=30))
@settings(max_examples=200, deadline=None)
def test_any_sentence_piece_tokens_add_up(tokens: list[int]) -> None:
    """Spaces at the start, special tokens between, bytes that are characters or are none."""
    tokenizer = sentence_piece()
    decode = decoder(tokenizer)
    held = open_ids(tokenizer.get_vocab(), [0, 1, 2])
    assert decode(tokens) == "".join(pieces_of(TextStream(decode, held), tokens))


def test_spaces_between_sentence_piece_words_are_kept() -> None:
    tokenizer = sentence_piece()
    vocabulary = tokenizer.get_vocab()
    ids = [vocabulary[piece] for piece in ("▁the", "▁law", "▁", "▁of")]
    assert ["the", " law", " ", " of", ""] == pieces_of(TextStream(decoder(tokenizer)), ids)


def cut_at_first(text: str, stops: Sequence[str]) -> tuple[str, str]:
    """The slow reference: the earliest stop, of those that start there the longest."""
    for place in range(len(text)):
        for stop in sorted(stops, key=len, reverse=True):
            if text.startswith(stop, place):
                return text[:place], stop
    return text, ""


@given(
    pieces=st.lists(st.text("ab.", max_size=4), max_size=12),
    stops=st.lists(st.text("ab.", min_size=1, max_size=4), min_size=1, max_size=3),
)
@settings(max_examples=300, deadline=None)
def test_stop_strings_cut_across_pieces_and_nothing_of_them_is_shown(
    pieces: list[str], stops: list[str]
) -> None:
    """What is shown never runs past the cut; a shorter stop that completes first wins."""
    finder = StopFinder(stops)
    shown, match = "", ""
    seen = ""
    for piece in pieces:
        seen += piece
        text, match = finder.push(piece)
        shown += text
        if match:
            break
    if not match:
        shown += finder.flush()
    expected, stop = cut_at_first(seen, stops)
    assert expected == shown
    assert (stop == "") == (match == "")
    assert seen[len(shown) :].startswith(match)


@pytest.mark.parametrize(
    ("pieces", "shown"),
    [
        (["The En", "d."], ["The ", ""]),
        (["no E", "nemy"], ["no ", "Enemy"]),
        (["E", "En", "d"], ["", "E", ""]),
    ],
)
def test_only_what_may_begin_a_stop_string_is_held_back(
    pieces: list[str], shown: list[str]
) -> None:
    finder = StopFinder(["End"])
    assert shown == [finder.push(piece)[0] for piece in pieces]
