"""Text to tokens: continuations split where the joined text says, chats by template."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import PreTrainedTokenizerFast

from memory.errors import InvalidInput
from runtime.engine.tokens import TextCodec, open_ids
from tests.tiny_models import byte_level_tokenizer

TEMPLATE = (
    "{% for m in messages %}"
    "{% if m.role == 'robot' %}{{ raise_exception('no robots') }}{% endif %}"
    "<{{ m.role }}>{{ m.content }}\n{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)


def codec(template: str | None = None) -> TextCodec:
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=byte_level_tokenizer(), eos_token="<|end|>"
    )
    tokenizer.chat_template = template
    return TextCodec(tokenizer)


CODEC = codec()


@given(prompt=st.text(max_size=20), continuation=st.text(max_size=20))
@settings(max_examples=150, deadline=None)
def test_prompt_and_continuation_join_to_the_tokens_of_the_joined_text(
    prompt: str, continuation: str
) -> None:
    head, tail = CODEC.encode_continuation(prompt, continuation)
    assert CODEC.encode(prompt + continuation) == head + tail
    assert CODEC.decode(head) in {prompt, prompt[: len(CODEC.decode(head))]}
    assert len(CODEC.decode(head)) <= len(prompt)


def test_a_token_across_the_border_counts_as_continuation() -> None:
    text = "The mother tongue"
    ids = CODEC.encode(text)
    place = next(i for i, token in enumerate(ids) if len(CODEC.decode([token])) == 2)
    border = len(CODEC.decode(ids[:place])) + 1
    head, tail = CODEC.encode_continuation(text[:border], text[border:])
    assert (ids[:place], ids[place:]) == (head, tail)


def test_turns_go_through_the_models_template() -> None:
    ids = codec(TEMPLATE).encode_chat([("system", "Be brief."), ("user", "Who?")])
    assert "<system>Be brief.\n<user>Who?\n<assistant>" == CODEC.decode(ids)


def test_a_model_without_a_template_gets_lines() -> None:
    assert "user: Who?\nassistant:" == CODEC.decode(CODEC.encode_chat([("user", "Who?")]))
    assert not CODEC.has_template


def test_turns_that_the_template_refuses_are_bad_input() -> None:
    with pytest.raises(InvalidInput, match="no robots") as refusal:
        codec(TEMPLATE).encode_chat([("robot", "beep")])
    assert "messages" == refusal.value.field
    with pytest.raises(InvalidInput):
        CODEC.encode_chat([])


def test_special_tokens_are_left_out_of_text() -> None:
    assert "ab" == CODEC.decode([*CODEC.encode("a"), 0, *CODEC.encode("b")])


def test_only_tokenizers_with_byte_pieces_have_open_ids() -> None:
    assert frozenset() == CODEC.open_ids
    assert {1, 5} == open_ids({"a": 0, "<0x0A>": 1, "<0xZZ>": 2}, [5])
