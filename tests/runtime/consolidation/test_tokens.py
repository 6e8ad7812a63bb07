"""Subjects are found by offsets; answers are the tokens that follow the prompt's own."""

from __future__ import annotations

from typing import Any

import pytest

from memory.errors import ConsolidationFailed
from memory.record import EditId
from runtime.consolidation.contract import Fact
from runtime.consolidation.tokens import Codec, FactToken, essence_of, lessons_of
from tests.tiny_models import Tiny

PROMPT = "The mother tongue of Danielle Darrieux is"


def fact(**changes: Any) -> Fact:
    values = {
        "edit_id": EditId("e1"),
        "revision": 1,
        "subject": "Danielle Darrieux",
        "prompt": PROMPT,
        "target": "English",
    }
    return Fact(**{**values, **changes})


@pytest.fixture
def codec(tiny: Tiny) -> Codec:
    return Codec(tiny("llama").tokenizer)


@pytest.mark.parametrize(
    ("text", "subject", "until"),
    [
        (PROMPT, "Danielle Darrieux", "The mother tongue of Danielle Darrieux"),
        ("Paris and Paris is", "Paris", "Paris and Paris"),
        ("In 東京都 they speak", "東京都", "In 東京都"),
        ("danielle DARRIEUX speaks", "Danielle Darrieux", "danielle DARRIEUX"),
        ("naïve café 👍🏽 is", "👍🏽", "naïve café 👍🏽"),
        ("Messi", "Messi", "Messi"),
    ],
)
def test_the_subjects_last_token_is_the_one_that_completes_it(
    codec: Codec, text: str, subject: str, until: str
) -> None:
    place = codec.subject_last(text, subject)
    ids = codec.prompt(text)
    assert codec.tokenizer.decode(ids[: place + 1]).startswith(until)
    assert not codec.tokenizer.decode(ids[:place]).startswith(until)


def test_a_prompt_without_its_subject_fails_and_names_the_edit(codec: Codec) -> None:
    for token in FactToken:
        with pytest.raises(ConsolidationFailed, match=r"e1.*'Messi' is not in the prompt"):
            lessons_of(codec, [fact(subject="Messi")], prefixes=(), token=token, end=None)


def test_prompt_and_answer_together_are_the_joined_text(codec: Codec) -> None:
    (rows,) = lessons_of(codec, [fact()], prefixes=("So. ",), token=FactToken.SUBJECT_LAST, end=0)
    assert [PROMPT, "So. " + PROMPT] == [codec.tokenizer.decode(row.prompt) for row in rows]
    for row in rows:
        assert 0 == row.answer[-1]
        assert " English" == codec.tokenizer.decode(row.answer[:-1])
        assert codec.tokenizer.decode(row.to_site).endswith("Darrieux")


def test_no_second_space_is_put_before_an_answer(codec: Codec) -> None:
    assert "x" == codec.tokenizer.decode(codec.answer("a ", "x"))
    assert " x" == codec.tokenizer.decode(codec.answer("a", " x"))


def test_weights_are_half_for_bare_prompts_and_sum_to_one(codec: Codec) -> None:
    taught = fact(paraphrases=("Danielle Darrieux speaks",))
    (rows,) = lessons_of(
        codec, [taught], prefixes=("A. ", "B. "), token=FactToken.PROMPT_LAST, end=None
    )
    assert [0.25] * 2 + [0.125] * 4 == [row.weight for row in rows]
    assert all(row.site == len(row.prompt) - 1 for row in rows)
    (alone,) = lessons_of(codec, [fact()], prefixes=(), token=FactToken.PROMPT_LAST, end=None)
    assert [1.0] == [row.weight for row in alone]


def test_the_essence_is_asked_without_an_answer(codec: Codec) -> None:
    (row,) = essence_of(codec, [fact()], FactToken.SUBJECT_LAST)
    assert "Danielle Darrieux is a" == codec.tokenizer.decode(row.prompt)
    assert () == row.answer
    assert codec.tokenizer.decode(row.to_site).endswith("Darrieux")


def test_a_tokenizer_without_offsets_is_refused() -> None:
    class Slow:
        is_fast = False

    with pytest.raises(ConsolidationFailed, match=r"Slow gives no offsets.*fast tokenizer"):
        Codec(Slow())
