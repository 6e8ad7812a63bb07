"""New facts in the phrasebook's relations: what is taught, and what is kept for measuring."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from classifiers.phrasebook import FIT, TEST, load_phrasebook
from pocket.counterfactual_book import (
    BookRelation,
    asks_for_a_value,
    book_fact,
    is_held_out,
    load_book,
    with_mark,
)
from pocket.counterfactual_train import load_maker
from pocket.data import HERE
from tests.pocket.conftest import DEV_SUBJECTS


@pytest.fixture(scope="module")
def book(data: Path) -> tuple[BookRelation, ...]:
    return load_book(data)


def test_relations_and_wordings_that_are_held_out_are_not_taught(
    book: tuple[BookRelation, ...], data: Path
) -> None:
    others = load_book(data, trained=False)
    assert len(book) > 100
    assert len(others) > 20
    assert set() == {r.name for r in book} & {r.name for r in others}
    whole = load_phrasebook(data, HERE / "relations.json").only(FIT, TEST)
    known = {phrase for listed in whole.phrases.values() for phrase in listed}
    assert all(p in known or p[:-1] in known for r in others for p in r.phrasings)
    for relation in book:
        assert not any(map(is_held_out, relation.phrasings))
        assert all(map(is_held_out, relation.held_out))
    kept, held = (sum(len(getattr(r, f)) for r in book) for f in ("phrasings", "held_out"))
    assert 0.15 < held / (kept + held) < 0.25


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("what is the genre of {}", "what is the genre of {}?"),
        ("Where is {}", "Where is {}?"),
        ("name a book by {}", "name a book by {}?"),
        ("What is the genre of {}?", "What is the genre of {}?"),
        ("What does {} play? They play", "What does {} play? They play"),
        ("{} plays", "{} plays"),
        ("The genre of {} is", "The genre of {} is"),
    ],
)
def test_what_is_typed_into_a_search_box_is_read_as_a_question(given: str, expected: str) -> None:
    assert expected == with_mark(given)


def test_wordings_that_want_a_yes_or_no_teach_no_value() -> None:
    assert asks_for_a_value("what is the sex of {}?")
    assert not asks_for_a_value("is {} male or female")
    assert not asks_for_a_value("{} and {} met in")


def test_a_new_fact_states_one_wording_of_its_relation(
    book: tuple[BookRelation, ...], data: Path
) -> None:
    context, random = load_maker(data).context, Random(1)
    by_name = {relation.name: relation for relation in book}
    for _ in range(300):
        fact = book_fact(book, context, random)
        assert fact.used in by_name[fact.relation].phrasings
        assert fact.used.endswith("?") or fact.used in by_name[fact.relation].stated
        assert fact.subject not in DEV_SUBJECTS
        assert fact.target


def test_documents_draw_from_the_book_for_training_alone(data: Path) -> None:
    assert load_maker(data).book
    assert () == load_maker(data, "fit").book
