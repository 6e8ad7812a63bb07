"""Lessons are labelled as they should be and speak of MARK alone, never of an entity."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest

from classifiers.cross_pairs import MARK
from classifiers.frame_lessons import (
    IN_SCOPE,
    OUT_OF_SCOPE,
    FrameLesson,
    Material,
    Told,
    lesson,
    out_of_scope,
    put,
)
from classifiers.phrasebook import TRAIN, Phrasebook
from tests.lesson_kit import small_material
from tests.phrasebooks import small_book

TOLD = Told(relation="P103", phrase="{} grew up speaking", target="English")


@pytest.fixture(scope="module")
def book(tmp_path_factory: pytest.TempPathFactory) -> Phrasebook:
    return small_book(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def material(book: Phrasebook) -> Material:
    return small_material(book)


@pytest.fixture(scope="module")
def lessons(material: Material) -> list[FrameLesson]:
    random = Random(0)
    return [lesson(material, random) for _ in range(4000)]


def test_every_kind_comes_up_and_only_one_is_in_scope(lessons: list[FrameLesson]) -> None:
    kinds = Counter(one.kind for one in lessons)
    assert set(kinds) == {IN_SCOPE, "other_qualifier", *OUT_OF_SCOPE}
    assert all(one.in_scope == (one.kind == IN_SCOPE) for one in lessons)
    assert 0.4 < kinds[IN_SCOPE] / len(lessons) < 0.5


def test_both_sides_speak_of_the_mark_and_no_gap_is_left(lessons: list[FrameLesson]) -> None:
    for one in lessons:
        assert MARK in one.edit.split(" = ")[0].replace("'s", " ").replace(",", " ").split() or (
            MARK in one.edit
        )
        assert MARK in one.query
        assert "{" not in one.edit + one.query


def test_relations_held_out_are_never_taught(book: Phrasebook, lessons: list[FrameLesson]) -> None:
    parts = {book.part_of(one.relation) for one in lessons if one.relation}
    assert parts == {TRAIN}


def test_a_phrasing_that_serves_two_relations_is_never_a_counterexample(
    material: Material,
) -> None:
    own = set(material.taught.phrases["P103"])
    for seed in range(300):
        text = out_of_scope("other_relation", TOLD, material, Random(seed))
        assert text not in own


def test_manners_of_speaking_fall_on_both_labels_alike(material: Material) -> None:
    def changed(in_scope: bool) -> float:
        count = 0
        for seed in range(1500):
            random = Random(seed)
            if in_scope:
                text = put("{} grew up speaking", "P103", "English", material, random)
                count += text != "{} grew up speaking"
            else:
                text = out_of_scope("generic", TOLD, material, random)
                count += text.count("{}") == 1
        return count / 1500

    assert 0.3 < changed(in_scope=True) < 0.5
    assert changed(in_scope=False) == 1.0


def test_the_same_seed_draws_the_same_lessons(material: Material) -> None:
    first = [lesson(material, Random(seed)) for seed in range(20)]
    assert first == [lesson(material, Random(seed)) for seed in range(20)]


def test_lessons_dwell_on_relations_that_only_the_order_of_words_tells_apart(
    book: Phrasebook, lessons: list[FrameLesson]
) -> None:
    edit = {f"{phrase.replace('{}', MARK)} = " for phrase in book.phrases["P1066"]}
    of_teachers = [one for one in lessons if one.relation == "P1066"]
    paired = {relation for group in book.inverse for relation in group}
    dwelt_on = sum(one.relation in paired for one in lessons) / len(lessons)
    assert dwelt_on > 1.5 * len(paired) / len(book.phrases)
    asked_of_students = {p.replace("{}", MARK) for p in book.phrases["P802"]}
    opposed = [one for one in of_teachers if one.query in asked_of_students]
    assert opposed
    assert not any(one.in_scope for one in opposed)
    assert all(any(one.edit.startswith(told) for told in edit) for one in opposed)
