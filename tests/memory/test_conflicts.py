"""When two texts count as the same."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from memory.conflicts import conflict_key, normalise, same_text


@given(st.text())
def test_normalising_twice_changes_nothing_more(text: str) -> None:
    assert normalise(text) == normalise(normalise(text))


@given(st.text(st.characters(codec="ascii")))
def test_the_short_way_for_ascii_agrees_with_the_long_one(text: str) -> None:
    assert normalise("é " + text) == ("é " + normalise("x " + text)[2:]).strip()


def test_case_blanks_width_and_final_marks_do_not_matter() -> None:
    assert same_text("Straße", "STRASSE")
    assert same_text("  Where is\u3000it ?!", "where IS it")
    assert same_text("ﬁne", "fine")
    assert not same_text("C", "C++")
    assert not same_text("Who, me?", "Who me?")


def test_keys_keep_subject_and_prompt_apart() -> None:
    assert conflict_key("a b", "c") != conflict_key("a", "b c")
    assert conflict_key("A", "c?") == conflict_key("a", "C")
    assert len(conflict_key("a", "b")) == 16
