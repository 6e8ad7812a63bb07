"""Cases about real names: in scope exactly where the edit's relation of its subject is asked."""

from __future__ import annotations

from random import Random

import pytest

from classifiers.phrasebook import Phrasebook
from classifiers.scope_cases import (
    IN_SCOPE,
    LESSON_KINDS,
    book_cases,
    neighbour_cases,
    own_edit,
    qualified_cases,
    qualified_edit,
    record_cases,
    roughened,
)
from classifiers.training_pairs import Case, PoolEdit
from tests.lesson_kit import small_cases, small_material
from tests.phrasebooks import small_book

EDIT = PoolEdit(
    subject="Danielle Darrieux", prompt="The mother tongue of Danielle Darrieux is",
    target="English", former="French", relation="P103",
)  # fmt: skip
RECORD = {
    "subject": "Danielle Darrieux",
    "prompt": "The mother tongue of Danielle Darrieux is",
    "target_new": "English",
    "rephrase_prompt": "It rained. Danielle Darrieux grew up speaking",
    "locality_prompt": "The native language of Montesquieu is",
}


@pytest.fixture(scope="module")
def book(tmp_path_factory: pytest.TempPathFactory) -> Phrasebook:
    return small_book(tmp_path_factory.mktemp("data"))


def test_cases_of_an_edit_are_of_every_kind(book: Phrasebook) -> None:
    made = [c for s in range(40) for c in book_cases(7, EDIT, small_cases(book), Random(s))]
    kinds = {case.kind for case in made}
    assert kinds == {
        "edit_prompt", "own_phrase", "same_subject", "confusable_subject", "other_edit",
        "target_asked", "general", "near_name", "near_question", "name_variant",
        "same_words", *LESSON_KINDS,
    }  # fmt: skip
    assert {case.subject for case in made if case.kind == "near_name"} == {"Danielle Steel"}
    assert all(case.home == 7 and "{}" not in case.text for case in made)
    for case in made:
        assert case.in_scope == (case.kind in IN_SCOPE)
        if case.in_scope:
            assert case.relation == "P103"
            assert case.subject == EDIT.subject


def test_an_edit_in_a_relation_that_is_not_taught_has_no_cases(book: Phrasebook) -> None:
    unknown = PoolEdit(subject="A", prompt="A b", target="c", former=None, relation=None)
    assert list(book_cases(0, unknown, small_cases(book), Random(0))) == []


@pytest.mark.parametrize(
    ("rephrase", "wanted"),
    [
        ("It rained. Danielle Darrieux grew up speaking", {"paraphrase": True}),
        ("It rained. Danielle Darrieux lives in", {"astray": False}),
        ("Danielle Darrieux was born in", {}),
    ],
)
def test_a_paraphrase_counts_by_whether_its_wording_follows(
    book: Phrasebook, rephrase: str, wanted: dict[str, bool]
) -> None:
    made = list(record_cases(0, {**RECORD, "rephrase_prompt": rephrase}, book))
    always = {"neighbour": False, "distraction": False}
    assert {case.kind: case.in_scope for case in made} == {**wanted, **always}


def test_a_neighbour_is_out_of_scope_after_the_edits_own_sentence_too() -> None:
    alone, after = neighbour_cases(7, RECORD)
    assert (alone.kind, after.kind) == ("neighbour", "distraction")
    assert after.text == f"{RECORD['prompt']} {RECORD['target_new']}. {alone.text}"
    assert not any(case.in_scope or case.subject for case in (alone, after))
    assert alone.home == after.home == 7


def test_an_unsettled_wording_follows_from_edits_in_a_relation_that_it_is_a_phrasing_of(
    book: Phrasebook,
) -> None:
    record = {**RECORD, "rephrase_prompt": "Danielle Darrieux works as a"}
    kinds = {case.kind for case in record_cases(0, record, book, "P39")}
    assert "paraphrase" in kinds
    assert "paraphrase" not in {case.kind for case in record_cases(0, record, book, "P103")}


def test_an_edit_of_ours_asks_in_the_relation_it_was_given(book: Phrasebook) -> None:
    material = small_material(book)
    made = own_edit(EDIT, ["P21"], material, Random(0))
    assert made.relation == "P21"
    assert made.subject in made.prompt
    assert made.target in material.names


def test_an_edit_with_a_qualifier_is_asked_for_and_taken_for_another(book: Phrasebook) -> None:
    for seed in range(50):
        random = Random(seed)
        edit, told = qualified_edit("Ada Lovelace", small_material(book), random)
        assert edit.prompt.count("Ada Lovelace") == 1
        assert edit.target == told.target
        made = list(qualified_cases(4, edit, told, random))
        assert {case.kind: case.in_scope for case in made} == {
            "qualified": True, "other_qualifier": False,
        }  # fmt: skip
        assert all("Ada Lovelace" in case.text and case.home == 4 for case in made)
        assert all(case.relation is None for case in made)


def test_roughening_changes_the_text_alone() -> None:
    case = Case(text="Where was Ada Lovelace born?", home=3, kind="k", in_scope=True, subject="A")
    changed = [roughened(case, Random(seed)) for seed in range(200)]
    assert 0.2 < sum(one.text != case.text for one in changed) / 200 < 0.6
    assert {(one.home, one.kind, one.in_scope, one.subject) for one in changed} == {
        (3, "k", True, "A")
    }
