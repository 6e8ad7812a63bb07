"""Whether a claim names the target: whole words, whatever case and marks stand around them."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memory.record import Edit, EditId, Namespace
from runtime.paths.notes import NAMED, NOT_NAMED, claim_note, is_denied, names_target

ANN = Edit(
    id=EditId("ann"),
    namespace=Namespace("default"),
    subject="Ann Lark",
    prompt="The mother tongue of Ann Lark is",
    target="Dutch",
)
WORDS = st.text(alphabet="bcdfghjklmnpqrstvwz", min_size=3, max_size=7)
NAMES = st.lists(WORDS, min_size=1, max_size=3).map(" ".join)
MARKS = st.sampled_from(["", ",", ".", "!", '"', ")", ";", "\u201d", "'s", "\u2026"])


@pytest.mark.parametrize(
    ("query", "note"),
    [
        ("Is the mother tongue of Ann Lark Dutch?", NAMED),
        ("is the mother tongue of ann lark dutch?", NAMED),
        ("Is the mother tongue of Ann Lark 'Dutch'?", NAMED),
        ("Is the mother tongue of Ann Lark French?", NOT_NAMED),
        ("Does Ann Lark speak Dutchman?", NOT_NAMED),
        ("Isn't the mother tongue of Ann Lark Dutch?", NAMED),
        ("Ann Lark speaks Dutch, isn't that so?", NAMED),
        ("It did not rain today. Is the mother tongue of Ann Lark Dutch?", NAMED),
        ("Is it false that Ann Lark speaks Dutch?", NOT_NAMED),
        ("Ann Lark doesn\u2019t speak French, right?", NAMED),
        ("Is it true that Ann Lark does not speak Dutch?", NOT_NAMED),
        ("Is it wrong that Ann Lark does not speak Dutch?", NAMED),
        ("Ann Lark speaks French. Is that wrong?", NAMED),
        ("Is this claim false? Ann Lark speaks French.", NAMED),
        ("Is it not true that Ann Lark speaks Dutch?", NAMED),
        ("True or false: the mother tongue of Ann Lark is not Dutch.", NOT_NAMED),
        ("Q: Does Ann Lark speak French?\nA:", NOT_NAMED),
        ("True or false: Ann Lark speaks Dutch.", NAMED),
        ("What is the mother tongue of Ann Lark?", ""),
        ("The mother tongue of Ann Lark is", ""),
        ("Does Ann Lark speak Dutch or French?", ""),
        ("Whose mother tongue is Dutch?", ""),
        ("What does Ann Lark speak? Answer in a full sentence.", ""),
        ("", ""),
    ],
)
def test_only_claims_get_a_note_and_it_says_whether_they_hold_by_the_target(
    query: str, note: str
) -> None:
    assert note == claim_note(query, ANN)


@pytest.mark.parametrize(
    ("subject", "target", "query", "named"),
    [
        ("Paris Hilton", "Paris", "Was Paris Hilton born in Rome?", False),
        ("Paris Hilton", "Paris", "Was Paris Hilton born in Paris?", True),
        ("London", "London Bridge", "Is the landmark of London London Bridge?", True),
        ("London", "London Bridge", "Is the landmark of London Big Ben?", False),
        ("Java", "Java", "Is Java named after Java?", True),
        ("Java", "Java", "Is Java named after coffee?", False),
        ("Ann", "The Netherlands", "Does Ann live in Netherlands?", True),
        ("Ann", "Netherlands", "Does Ann live in the Netherlands?", True),
        ("Ann", "The", "Is Ann's surname The?", True),
        ("Ann", "St. John's", "Was Ann born in St John\u2019s?", True),
        ("Ann", "Cafe\u0301 Noir", "Did Ann found CAF\u00c9 NOIR?", True),
        ("Ann", "Stra\u00dfe", "Is Ann's work STRASSE?", True),
        ("Ann", "New York", "Was Ann born in York?", False),
        ("Ann", "New York", "Was Ann born in New\nYork?", True),
        ("Ann", "++", "Is Ann's sign ++?", True),
        ("Ann", "++", "Is Ann's sign --?", False),
        ("Ann", "  ", "Is Ann's sign  ?", False),
    ],
)
def test_what_counts_as_naming(subject: str, target: str, query: str, named: bool) -> None:
    assert named == names_target(query, replace(ANN, subject=subject, target=target))


def test_a_denial_within_a_name_denies_nothing() -> None:
    edit = replace(ANN, subject="Not Ready to Make Nice", target="Wrong Turn")
    assert NAMED == claim_note("Is Not Ready to Make Nice followed by Wrong Turn?", edit)


@given(NAMES, MARKS, MARKS, st.sampled_from([str.lower, str.upper, str.title]))
def test_case_and_marks_around_the_target_do_not_matter(
    target: str, before: str, after: str, cased: object
) -> None:
    assert callable(cased)
    edit = replace(ANN, target=target)
    mark = before.removesuffix("'s")
    assert names_target(f"Does Ann Lark speak {mark}{cased(target)}{after}?", edit)


@given(NAMES, WORDS)
def test_a_longer_word_or_a_missing_one_names_nothing(target: str, more: str) -> None:
    edit = replace(ANN, subject="Ann A. Lark", target=target)
    assert not names_target(f"Does Ann A. Lark speak {target}{more}?", edit)
    assert not names_target(f"Does Ann A. Lark speak {target[:-1]}x?", edit)


@given(st.text(), st.text(), st.text())
def test_any_text_can_be_asked_about(subject: str, target: str, query: str) -> None:
    edit = replace(ANN, subject=subject, target=target)
    assert isinstance(names_target(query, edit), bool)
    assert claim_note(query, edit) in {"", NAMED, NOT_NAMED}


@pytest.mark.parametrize(
    ("subject", "query", "denied"),
    [
        ("Al", "Is it false that Al speaks French?", True),
        ("Ro", "Is it wrong that Ro speaks French?", True),
        ("Ann", "Ann cannot speak French, right?", True),
        ("Ann", "Is it false that J. Smith and Ann speak French?", True),
        ("Ann", "Is it false that Ann was born in the U.S. state of French?", True),
        ("Ann", "Is it true that Ann no longer speaks French?", True),
        ("Ann", "Is it true that Ann speaks French?", False),
        ("The Wrong Man", "Is it true that The Wrong Man is in French?", False),
        ("Hitchcock's film", "Is it true that The Wrong Man is in French?", False),
    ],
)
def test_a_denial_is_read_beside_names_and_never_in_them(
    subject: str, query: str, *, denied: bool
) -> None:
    edit = replace(ANN, subject=subject, aliases=("The Wrong Man",), target="French")
    assert denied == is_denied(query, edit)
