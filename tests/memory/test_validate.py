"""What a draft may be; every refusal names the field."""

from __future__ import annotations

from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memory.errors import InvalidInput
from memory.record import EditDraft
from memory.validate import validate_draft, validate_edit_id, validate_namespace
from tests.memory_kit import START_S, draft
from tests.strategies import free_drafts


@given(free_drafts())
def test_what_was_validated_is_valid_and_stays_as_it_is(drawn: EditDraft) -> None:
    once = validate_draft(drawn)
    assert once == validate_draft(once)
    assert once.target == once.target.strip()


@given(st.builds(EditDraft, subject=st.text(), prompt=st.text(), target=st.text()))
def test_any_text_is_taken_or_refused_naming_a_field(drawn: EditDraft) -> None:
    try:
        validate_draft(drawn)
    except InvalidInput as error:
        if error.field not in {"subject", "prompt", "target"}:
            raise
        str(error).encode()  # Whatever was given, the message can be sent.


@pytest.mark.parametrize(
    ("field", "wrong", "says"),
    [
        ("subject", "", "empty"),
        ("subject", " \t", "control"),
        ("subject", "...", "only punctuation"),
        ("subject", "x" * 257, "257 characters; at most 256"),
        ("prompt", "Nobody is", "does not mention the subject 'Person 1'"),
        ("prompt", "Person 1 " + "x" * 2048, "at most 2048"),
        ("target", "   ", "empty"),
        ("target", "a\0b", "U\\+0000"),
        ("target", "a\nb", "control character U\\+000A at character 1"),
        ("target", "\ud800", "lone surrogate"),
        ("target", "x" * 1_000_000, "1000000 characters"),
        ("target", 7, "is a int; give text"),
        ("former", "a\x7fb", "U\\+007F"),
        ("author", "x" * 257, "at most 256"),
        ("source", "x" * 2049, "at most 2048"),
        ("expires_at_s", START_S, "has passed"),
        ("expires_at_s", float("nan"), "seconds since the epoch"),
        ("expires_at_s", float("inf"), "seconds since the epoch"),
        ("expires_at_s", 1e12, "seconds since the epoch"),
        ("expires_at_s", "soon", "is a str"),
        ("edit_id", "Ab", "4 to 63 of a-z"),
    ],
)
def test_a_wrong_field_is_refused_by_name(field: str, wrong: object, says: str) -> None:
    given_draft = draft(1, **{field: cast("Any", wrong)})
    with pytest.raises(InvalidInput, match=says) as caught:
        validate_draft(given_draft, now_s=START_S, field="edits[3]")
    assert f"edits[3].{field}" == caught.value.field


@pytest.mark.parametrize(
    ("fields", "where"),
    [
        ({"aliases": ("x",) * 33}, "aliases"),
        ({"aliases": "Bo"}, "aliases"),
        ({"aliases": ("Bo", "")}, "aliases[1]"),
        ({"labels": (("a", "b"), ("a", "c"))}, "labels"),
        ({"labels": (("a", "x" * 257),)}, "labels['a']"),
        ({"labels": tuple((f"k{place}", "") for place in range(65))}, "labels"),
    ],
)
def test_wrong_lists_are_refused_by_place(fields: dict[str, Any], where: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        validate_draft(draft(1, **fields))
    assert where == caught.value.field


def test_the_longest_values_are_taken() -> None:
    subject = "x" * 256
    longest = EditDraft(
        subject=subject, prompt=subject + " " + "y" * 1791, target="z" * 1024, aliases=("b",) * 32
    )
    assert validate_draft(longest).aliases == ("b",)


def test_the_prompt_may_mention_an_alias_and_in_any_case() -> None:
    named = draft(1, prompt="NYC is in", subject="New York", aliases=("nyc",))
    assert validate_draft(named).prompt == "NYC is in"
    # Full-width letters are the same letters.
    wide = draft(1, prompt="\uff2e\uff39\uff23 is in", subject="NYC")
    assert validate_draft(wide).subject == "NYC"


@pytest.mark.parametrize("name", ["", "A", "1a", "a_b", "a" * 64, "ä", "a/b", "a\n"])
def test_bad_names_are_refused(name: str) -> None:
    with pytest.raises(InvalidInput, match="starting with a letter"):
        validate_namespace(name)
    with pytest.raises(InvalidInput, match="starting with a letter"):
        validate_edit_id(name)


def test_a_bad_id_is_answered_by_what_to_do_about_it() -> None:
    with pytest.raises(InvalidInput, match="leave it out"):
        validate_edit_id("x", is_new=True)
    with pytest.raises(InvalidInput, match="listing the edits"):
        validate_edit_id("x")


@pytest.mark.parametrize(
    ("subject", "prompt"),
    [
        ("Ann", "Anna was born in"),
        ("York", "Yorkshire lies in"),
        ("Rus", "The capital of Belarus is"),
    ],
)
def test_a_subject_inside_a_longer_word_is_not_mentioned(subject: str, prompt: str) -> None:
    drawn = EditDraft(subject=subject, prompt=prompt, target="Oslo")
    with pytest.raises(InvalidInput, match="only inside a longer word") as caught:
        validate_draft(drawn)
    assert "prompt" == caught.value.field
    alias = prompt.split()[-2 if subject == "Rus" else 0]
    assert validate_draft(
        EditDraft(subject=subject, prompt=prompt, target="Oslo", aliases=(alias,))
    )


@pytest.mark.parametrize(
    ("subject", "prompt"),
    [
        ("Ann", "Anna and Ann met in"),
        ("Paris", "Paris's mayor is"),
        ("Italie", "l'Italie se trouve en"),
        ("Space Needle", "THE SPACE NEEDLE IS IN"),
        ("\u6771\u4eac", "\u6771\u4eac\u306e\u4eba\u53e3\u306f"),
        ("Yahoo!", "Yahoo! was founded by"),
        ("C++", "C++ was designed by"),
    ],
)
def test_a_subject_is_mentioned_whatever_hangs_on_it(subject: str, prompt: str) -> None:
    assert validate_draft(EditDraft(subject=subject, prompt=prompt, target="x"))
