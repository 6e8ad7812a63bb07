"""Forms derived from phrasings: the verb that moves, the gap that turns, what has no form."""

from __future__ import annotations

import pytest

from classifiers.yes_no import lower_first, whether
from pocket.counterfactual_forms import (
    denied,
    doubted,
    is_statement,
    reversals,
    with_pronoun,
    wrapped,
)
from pocket.templates import load_relations


@pytest.mark.parametrize(
    ("cloze", "opposite"),
    [
        ("The mother tongue of {} is", "The mother tongue of {} is not {v}"),
        ("{}'s birthplace was", "{}'s birthplace was not {v}"),
        ("{} was born in", "{} was not born in {v}"),
        ("{} died in", "{} did not die in {v}"),
        ("{} plays the sport of", "{} does not play the sport of {v}"),
        ("What is the capital of {}?", None),
        ("{}, who was born in", None),
    ],
)
def test_a_cloze_can_be_denied(cloze: str, opposite: str | None) -> None:
    assert opposite == denied(cloze)


def test_a_question_can_doubt() -> None:
    assert "Isn't the mother tongue of {} {v}?" == doubted("Is the mother tongue of {} {v}?")
    assert "Doesn't {} speak {v}?" == doubted("Does {} speak {v}?")
    assert doubted("Can {} be found in {v}?") is None


def test_a_reversed_form_gives_the_value_and_asks_for_the_subject() -> None:
    assert "Whose mother tongue is {v}?" in reversals("The mother tongue of {} is")
    assert "{v} is the capital of" in reversals("{}'s capital is")
    assert "Who was born in {v}?" in reversals("{} was born in")
    assert () == reversals("What is the capital of {}?")
    assert () == reversals("The city in which {} was born is")


def test_every_derived_form_has_its_gaps() -> None:
    derived = 0
    for relation in load_relations().values():
        for phrasing in relation.phrasings:
            question = whether(phrasing)
            if question is not None:
                assert (1, 1) == (question.count("{}"), question.count("{v}"))
                derived += 1
            for form in reversals(phrasing):
                assert (0, 1) == (form.count("{}"), form.count("{v}"))
                derived += 1
    assert derived > 500


@pytest.mark.parametrize(
    ("phrasing", "asked"),
    [
        ("What is {}'s capital?", "What is its capital?"),
        ("Where was {} born?", "Where was it born?"),
        ("The owner of {} is", "The owner of it is"),
        ("{} was born in", "It was born in"),
    ],
)
def test_a_pronoun_takes_the_form_of_its_place(phrasing: str, asked: str) -> None:
    assert asked == with_pronoun(phrasing, "it")


def test_he_and_she_have_their_own_forms() -> None:
    assert "Her capital is" == with_pronoun("{}'s capital is", "she")
    assert "The mother tongue of him is" == with_pronoun("The mother tongue of {} is", "he")
    assert with_pronoun("{}, who was born in", "he") is None


def test_claims_keep_the_capitals_of_names() -> None:
    claim = "The mother tongue of Ann is Dutch"
    assert "Is it true that the mother tongue of Ann is Dutch?" == wrapped(
        "Is it true that {claim}?", claim
    )
    assert "The mother tongue of Ann is Dutch. Correct?" == wrapped("{Claim}. Correct?", claim)
    assert "Ann speaks" == lower_first("Ann speaks")
    assert is_statement("{} speaks")
    assert not is_statement("What does {} speak?")
