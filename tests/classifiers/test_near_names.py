"""Near names are other real names that hold a part of a name, and never the whole of it."""

from __future__ import annotations

from random import Random

import pytest

from classifiers.near_names import WORD_TEXTS_MAX, NearTexts, neighbour_names
from classifiers.phrasebook import Phrasebook
from tests.phrasebooks import small_book


@pytest.fixture(scope="module")
def book(tmp_path_factory: pytest.TempPathFactory) -> Phrasebook:
    return small_book(tmp_path_factory.mktemp("data"))


def test_only_texts_with_a_part_of_the_name_are_near() -> None:
    near = NearTexts(
        (
            "Dodge Charger",
            "Dodge Challenger",
            "Ford Focus",
            "who built the dodge challenger",
            "Dart",
        )
    )
    assert near.near("Dodge Challenger", Random(0), 9) == ["Dodge Charger"]
    assert set(near.near("Dodge Viper", Random(0), 9)) == {
        "Dodge Charger", "Dodge Challenger", "who built the dodge challenger",
    }  # fmt: skip
    assert len(near.near("Dodge Viper", Random(0), 2)) == 2
    assert near.near("Riga", Random(0), 9) == []


def test_a_word_of_very_many_texts_makes_no_name_near() -> None:
    near = NearTexts(f"County of {number}" for number in range(WORD_TEXTS_MAX + 1))
    assert near.near("County Clare", Random(0), 9) == []


def test_a_neighbours_name_is_what_the_phrasing_leaves(book: Phrasebook) -> None:
    def record(neighbour: str) -> dict[str, str]:
        return {
            "subject": "Danielle Darrieux",
            "prompt": "Danielle Darrieux grew up speaking",
            "locality_prompt": neighbour,
        }

    records = [record("Montesquieu grew up speaking"), record("Voltaire liked to eat")]
    assert neighbour_names(records, book) == ["Montesquieu"]


def test_one_slip_away_from_a_name_of_one_word_is_another_name() -> None:
    names = NearTexts(["Marvin Gaye", "Martin", "Mervyn", "Slovenia"])
    # Whole in the first, one slip from the second, two from the third.
    assert names.near("Marvin", Random(0), 3) == ["Martin"]
    assert names.near("Slovakia", Random(0), 3) == []
