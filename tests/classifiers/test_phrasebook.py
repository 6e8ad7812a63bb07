"""Phrasings from all sources under one key, split by relation, alike ones never opposed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from classifiers.phrasebook import FIT, TEST, TRAIN, Phrasebook, load_phrasebook
from tests.phrasebooks import small_book, write_sources


@pytest.fixture(scope="module")
def book(tmp_path_factory: pytest.TempPathFactory) -> Phrasebook:
    return small_book(tmp_path_factory.mktemp("data"))


def test_the_book_keeps_patterns_that_end_in_the_answer_and_adds_the_other_sources(
    book: Phrasebook,
) -> None:
    assert book.phrases["P103"][:3] == (
        "The mother tongue of {} is", "{} grew up speaking", "What is {}'s?",
    )  # fmt: skip
    assert "who directed the film {}" in book.phrases["P57"]
    assert "Who directed {}?" in book.phrases["P57"]


def test_a_noun_with_a_wikidata_number_is_known_by_the_number_alone(book: Phrasebook) -> None:
    assert "The gender of {} is" in book.phrases["P21"]
    assert "x:gender" not in book.phrases
    assert "x:eye color" in book.phrases


def test_relations_that_ask_alike_are_never_opposed(book: Phrasebook) -> None:
    assert "P21" in book.others("P103")
    assert "P103" not in book.others("P103")
    assert "P1412" not in book.others("P103")
    assert not book.differ("P1412", "P103")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("P155", "P156"),  # Prequel and sequel.
        ("P22", "P25"),  # Father and mother.
        ("P749", "P355"),  # Parent company and subsidiary.
        ("P112", "R112"),  # Founded by, and founded.
        ("P36", "P1376"),  # Has the capital, and is the capital of.
        ("P361", "P527"),  # Part of, and has part.
        ("P19", "P569"),  # Place and date of birth.
        ("P1066", "P802"),  # Teacher and student.
        ("x:predecessor", "x:successor"),
    ],
)
def test_counterparts_differ_and_are_opposed_both_ways(
    book: Phrasebook, one: str, other: str
) -> None:
    assert book.differ(one, other)
    assert other in book.opposed[one]
    assert one in book.opposed[other]


def test_a_split_keeps_of_a_group_of_counterparts_what_it_knows(book: Phrasebook) -> None:
    assert ("P156", "P155") in book.only(TRAIN).inverse
    for part in (TRAIN, FIT, TEST):
        kept = book.only(part)
        assert all(relation in kept.phrases for group in kept.inverse for relation in group)
        assert all(len(group) > 1 for group in kept.inverse)


def test_no_relation_is_opposed_to_one_that_the_same_answer_serves(book: Phrasebook) -> None:
    assert not [
        (one, other)
        for one, others in book.opposed.items()
        for other in others
        if not book.differ(one, other)
    ]


def test_a_relation_of_the_bundle_that_runs_the_other_way_has_a_key_of_its_own(
    tmp_path: Path,
) -> None:
    bundle = write_sources(tmp_path)
    entry = {"wikidata": "P112", "cloze": ["{} launched"], "question": []}
    bundle.write_text(json.dumps({"founder of": entry}), encoding="utf-8")
    read = load_phrasebook(tmp_path, bundle)
    assert "{} launched" in read.phrases["R112"]
    assert "{} launched" not in read.phrases["P112"]


def test_every_relation_is_in_one_split_and_relations_of_edits_are_trained(
    book: Phrasebook,
) -> None:
    parts = {relation: book.part_of(relation) for relation in book.phrases}
    assert set(parts.values()) == {TRAIN, FIT, TEST}
    assert parts["P103"] == TRAIN
    kept = [set(book.only(part).phrases) for part in (TRAIN, FIT, TEST)]
    assert sum(map(len, kept)) == len(parts)
    assert set().union(*kept) == set(parts)
    assert set(book.only(TRAIN, FIT).phrases) == kept[0] | kept[1]


def test_our_own_relations_are_complete(tmp_path: Path) -> None:
    bundle = write_sources(tmp_path)
    own = load_phrasebook(tmp_path, bundle)
    assert set(own.relations_of) == {"person", "work", "place", "organisation", "thing"}
    for phrases in own.phrases.values():
        assert len(set(phrases)) == len(phrases)
        assert all(phrase.count("{}") == 1 and "{r}" not in phrase for phrase in phrases)


def test_files_of_more_relations_join_those_that_are_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = write_sources(tmp_path)
    folder = tmp_path / "wordings"
    folder.mkdir()
    monkeypatch.setattr("classifiers.phrasebook.WORDINGS_FOLDER", folder)
    before = load_phrasebook(tmp_path, bundle)
    file = {
        "types": {"person": ["shoe size"]},
        "phrasings": {"shoe size": ["{} wears shoes of size"], "price": ["{} sets you back"]},
        "answers": {"shoe size": ["43"]},
        "alike": [["shoe size", "height"]],
        "opposed": [["shoe size", "weight"]],
        "inverse": [],
    }
    (folder / "feet.json").write_text(json.dumps(file), encoding="utf-8")
    read = load_phrasebook(tmp_path, bundle)
    added = "x:shoe size"
    assert {"{} wears shoes of size", "The shoe size of {} is"} <= set(read.phrases[added])
    assert read.answers[added] == ("43",)
    assert added in read.relations_of["person"]
    assert "{} sets you back" in read.phrases["x:price"]
    assert set(before.phrases["x:price"]) < set(read.phrases["x:price"])
    assert added not in before.phrases
    assert not read.differ(added, "P2048")
    assert read.opposed[added] == ("x:weight",)
