"""Cases are labelled as they should be, dev subjects stay out, phrasings follow the book."""

from __future__ import annotations

from random import Random

import pytest

from classifiers.labelled import label_of
from classifiers.lesson_material import label_hash
from classifiers.phrasebook import Phrasebook
from classifiers.train_features import part_of
from classifiers.training_pairs import (
    Case,
    PoolEdit,
    clean_paraphrase,
    confuse,
    counterfact_cases,
    counterfact_edits,
    relation_cases,
    roughen,
)
from classifiers.wording import lengthen
from tests.phrasebooks import small_book

RECORD = {
    "subject": "Danielle Darrieux",
    "prompt": "The mother tongue of Danielle Darrieux is",
    "target_new": "English",
    "ground_truth": "French",
    "rephrase_prompt": "It rained. Danielle Darrieux, a native",
    "locality_prompt": "The native language of Montesquieu is",
}


@pytest.fixture(scope="module")
def book(tmp_path_factory: pytest.TempPathFactory) -> Phrasebook:
    return small_book(tmp_path_factory.mktemp("data"))


def test_edits_know_their_relation_and_leave_out_subjects_not_allowed(book: Phrasebook) -> None:
    kept = counterfact_edits([RECORD], book.phrases, lambda _: True)
    assert [edit.relation for edit, _ in kept] == ["P103"]
    assert counterfact_edits([RECORD], book.phrases, lambda _: False) == []


def test_cases_of_a_record_say_what_is_in_scope() -> None:
    scope = {case.text: case.in_scope for case in counterfact_cases(0, RECORD)}
    assert scope["Danielle Darrieux, a native"]
    assert scope[RECORD["prompt"]]
    assert not scope[RECORD["locality_prompt"]]
    assert not scope[f"{RECORD['prompt']} English. {RECORD['locality_prompt']}"]


def test_relation_cases_ask_the_same_relation_only_where_in_scope(book: Phrasebook) -> None:
    edit = counterfact_edits([RECORD], book.phrases, lambda _: True)[0][0]
    cases = list(relation_cases(0, edit, book, Random(0), "Jean Gabin"))
    assert {"own_phrase", "same_subject", "confusable_subject", "longer_name", "target_asked",
            "distraction"} == {case.kind for case in cases}  # fmt: skip
    for case in cases:
        same = case.subject == edit.subject and case.relation == edit.relation
        assert case.in_scope == same


def test_chatter_and_spelling_fall_on_both_labels_alike() -> None:
    for in_scope in (True, False):
        case = Case(text="Messi plays the sport of", home=0, kind="k", in_scope=in_scope)
        changed = [roughen(case, Random(seed)).text != case.text for seed in range(300)]
        assert 0.2 < sum(changed) / 300 < 0.6


@pytest.mark.parametrize("seed", range(20))
def test_confusable_and_longer_names_are_other_names(seed: int) -> None:
    random = Random(seed)
    assert confuse("Paris Hilton", "Anna Karina", random) not in {"Paris Hilton", "Paris"}
    longer = lengthen("Paris", random)
    assert "Paris" in longer
    assert longer != "Paris"


def test_a_paraphrase_is_cleaned_of_sentences_before_its_subject() -> None:
    assert clean_paraphrase("A. B was. X is in", "X") == "X is in"
    assert clean_paraphrase("no subject here", "X") == "no subject here"


def test_other_edits_of_the_pool_are_labelled_only_where_it_is_known() -> None:
    def edit(subject: str, relation: str | None) -> PoolEdit:
        return PoolEdit(subject=subject, prompt="", target="", former=None, relation=relation)

    pool = [edit("Messi", "P19"), edit("Messi", "P641"), edit("Messi", None), edit("Ada", "P19")]
    case = Case(
        text="messi was born in", home=0, kind="k", in_scope=True, subject="Messi", relation="P19"
    )
    assert [label_of(case, index, pool) for index in range(4)] == [True, False, None, False]


def test_splits_follow_the_hash_of_the_subject() -> None:
    assert label_hash("  Lionel\tMESSI ") == label_hash("lionel messi")
    parts = [part_of(f"subject {number}") for number in range(4000)]
    assert 0.85 < parts.count("train") / 4000 < 0.95
    assert parts.count("calibrate") > 100
    assert parts.count("choose") > 100


def test_another_number_makes_another_name() -> None:
    made = {confuse("Airbus A320neo", "Boeing 747", Random(seed)) for seed in range(60)}
    numbered = {name for name in made if name.startswith("Airbus A") and name.endswith("neo")}
    assert len(numbered) > 5
    assert "Airbus A320neo" not in made
