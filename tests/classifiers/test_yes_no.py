"""A cloze turned into a yes-or-no question: the verb that moves, and what has no such question."""

from __future__ import annotations

import pytest

from classifiers.yes_no import whether


@pytest.mark.parametrize(
    ("cloze", "question"),
    [
        ("The mother tongue of {} is", "Is the mother tongue of {} {v}?"),
        ("{}'s birthplace is", "Is {}'s birthplace {v}?"),
        ("The city in which {} was born is", "Is the city in which {} was born {v}?"),
        ("{} was born in", "Was {} born in {v}?"),
        ("{} died in", "Did {} die in {v}?"),
        ("{} plays the sport of", "Does {} play the sport of {v}?"),
        ("{} has the passport of", "Does {} have the passport of {v}?"),
        ("{} can be found in", "Can {} be found in {v}?"),
    ],
)
def test_a_cloze_becomes_a_yes_or_no_question(cloze: str, question: str) -> None:
    assert question == whether(cloze)


@pytest.mark.parametrize(
    "phrasing", ["What is the capital of {}?", "{}, who was born in", "Name the owner of {}:", ""]
)
def test_what_no_rule_fits_has_no_yes_or_no_question(phrasing: str) -> None:
    assert whether(phrasing) is None
