"""Noun phrases for what a relation asks for, and what is asked with them."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from classifiers import two_hops

MAYOR = ("The mayor of {} is", "{}'s mayor is", "Who runs {}?")
BIRTH = ("{} was born in", "Where was {} born?")


def drawn(phrases: tuple[str, ...]) -> set[str | None]:
    return {two_hops.asked_for(phrases, Random(seed)) for seed in range(200)}


def test_a_noun_of_a_relation_becomes_its_noun_phrase() -> None:
    assert drawn(MAYOR) == {"the mayor of {}", "{}'s mayor"}


def test_a_cloze_that_ends_in_a_preposition_becomes_a_relative_clause() -> None:
    found = drawn(BIRTH)
    assert {"the city {} was born in", "the city where {} was born"} <= found
    assert all(one and one.startswith("the ") and "{}" in one for one in found)


def test_phrasings_that_name_nothing_give_no_noun_phrase() -> None:
    assert drawn(("Who runs {}?", "{} speaks")) == {None}


def test_the_name_of_a_thing_is_the_thing() -> None:
    assert "the mayor of {}" in drawn(("The name of the mayor of {} is",))
    assert not any("name of" in str(one) for one in drawn(("The name of the mayor of {} is",)))


@pytest.mark.parametrize("noun_phrase", ["the mayor of {}", "{}'s mayor", "the city {} died in"])
def test_whoever_is_asked_for_stands_in_every_query(noun_phrase: str) -> None:
    for seed in range(200):
        random = Random(seed)
        for text in (
            two_hops.identity(noun_phrase, random),
            two_hops.beyond(noun_phrase, None, random),
            two_hops.beyond(noun_phrase, "{} was born in", random),
        ):
            assert text.count("{}") == 1
            assert "{n}" not in text
            assert "{N}" not in text


def test_another_relation_is_asked_of_the_one_who_is_named() -> None:
    text = two_hops.beyond("the mayor of {}", "{} was born in", Random(0))
    assert text == "The mayor of {} was born in"
    text = two_hops.beyond("the mayor of {}", "Where was {} born?", Random(0))
    assert text == "Where was the mayor of {} born?"


def test_why_it_is_so_is_asked_of_a_claim() -> None:
    texts = {two_hops.circumstance("{} works for", "Siemens", Random(seed)) for seed in range(50)}
    assert "Why does {} work for Siemens?" in texts
    assert two_hops.circumstance("Who runs {}?", "Ann", Random(0)) is None


@given(st.integers(), st.lists(st.text(max_size=30), max_size=6))
def test_any_phrasings_will_do(seed: int, phrases: list[str]) -> None:
    found = two_hops.asked_for(phrases, Random(seed))
    assert found is None or found
