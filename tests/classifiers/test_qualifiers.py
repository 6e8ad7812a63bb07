"""Edits that one word tells apart, and queries that bear it, another, or none."""

from __future__ import annotations

from itertools import pairwise
from random import Random

import pytest

from classifiers.phrasebook import FIT, TEST, TRAIN
from classifiers.qualifiers import Qualified, groups, qualified

NAMES = ("Ada Lovelace", "Lisbon")


@pytest.mark.parametrize("part", [TRAIN, FIT, TEST])
def test_what_is_asked_bears_the_qualifier_and_the_noun(part: str) -> None:
    for seed in range(300):
        random = Random(seed)
        told = qualified(part, NAMES, random)
        text = told.asked(random)
        assert text.count("{}") == 1
        assert any(noun.casefold() in text.casefold() for noun in told.noun)
        if told.value is None:
            assert told.group.bare
        else:
            assert any(word.casefold() in text.casefold() for word in told.value)
        assert told.target


@pytest.mark.parametrize("part", [TRAIN, FIT, TEST])
def test_another_differs_in_the_qualifier_or_the_noun(part: str) -> None:
    seen = set()
    for seed in range(300):
        random = Random(seed)
        told = qualified(part, NAMES, random)
        other = told.other(random)
        assert (other.noun == told.noun) != (other.value == told.value)
        assert other.value is not None or other.group.bare
        seen.add("noun" if other.noun != told.noun else "bare" if other.value is None else "value")
    assert seen == {"noun", "bare", "value"}


def test_one_word_is_what_differs() -> None:
    """Synonyms of a value or a noun are the same thing in other words."""
    group = next(g for g in groups()[TRAIN] if ("annual", "yearly") in g.values)
    told = Qualified(group=group, noun=("price",), value=("annual", "yearly"), target="$9")
    texts = {told.asked(Random(seed)) for seed in range(300)}
    assert {"The annual price of {} is", "The yearly price of {} is"} <= texts


def test_a_noun_alone_asks_for_the_same_where_the_group_says_so() -> None:
    alone = [group for group in groups()[TRAIN] if group.alone]
    assert alone
    assert not any(group.bare for group in alone)
    told = Qualified(group=alone[0], noun=("price",), value=("monthly",), target="$9")
    bare = "What is {}'s price?"
    assert bare in {told.asked_loosely(Random(seed)) for seed in range(300)}
    assert bare not in {told.other(Random(seed)).asked(Random(seed)) for seed in range(300)}


def test_held_out_groups_share_no_values_with_those_of_training() -> None:
    listed = groups()
    assert set(listed) == {TRAIN, FIT, TEST}
    trained = {frozenset(group.values) for group in listed[TRAIN]}
    for part in (FIT, TEST):
        assert not trained & {frozenset(group.values) for group in listed[part]}


@pytest.mark.parametrize("part", [TRAIN, FIT, TEST])
def test_no_two_values_of_a_group_mean_the_same(part: str) -> None:
    for group in groups()[part]:
        said = sorted(word for value in group.values for word in value)
        assert all(one != other for one, other in pairwise(said))
        assert len(group.values) > 1
        assert len(group.nouns) > 1
