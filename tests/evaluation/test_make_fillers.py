"""Fillers: each fact once, nothing about a subject that is probed, the same by the same seed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from evaluation.make_fillers import make_fillers, read_triples, relations
from evaluation.probes import edit_key
from memory.errors import InvalidInput
from memory.record import EditDraft
from memory.validate import validate_draft

TRIPLES = [
    ("P103", "Ann Lee", "Danish"),
    ("P103", "Bob Roe", "Greek"),
    ("P103", "Cid Fay", "Latin"),
    ("P19", "Ann Lee", "Oslo"),
    ("P19", "Bob Roe", "Rome"),
]


def draft(subject: str) -> EditDraft:
    return EditDraft(subject=subject, prompt=f"{subject} is", target="x")


def test_given_edits_come_first_then_facts_of_their_subjects_then_nobody_s() -> None:
    made = make_fillers([draft("Ann Lee")], TRIPLES, apart_from=[], count=6)
    assert draft("Ann Lee") == made[0]
    assert ["Ann Lee", "Ann Lee"] == [edit.subject for edit in made[1:3]]
    assert 3 == len({edit.subject for edit in made[3:]} - {"Ann Lee", "Bob Roe", "Cid Fay"})


def test_an_answer_is_another_subject_s_and_never_the_true_one() -> None:
    made = make_fillers([draft("Ann Lee")], TRIPLES, apart_from=[], count=3)
    assert {("Danish", True), ("Oslo", True)} == {
        (edit.former, edit.target in {"Greek", "Latin", "Rome"}) for edit in made[1:]
    }


def test_subjects_that_are_probed_are_left_out() -> None:
    given = [draft("Ann Lee"), draft("Bob Roe")]
    made = make_fillers(given, TRIPLES, apart_from=[draft("ANN LEE")], count=50)
    assert "Bob Roe" in {edit.subject for edit in made}
    assert "Ann Lee" not in {edit.subject for edit in made}


def test_every_filler_is_a_fact_of_its_own_that_the_memory_takes() -> None:
    made = make_fillers([draft("Ann Lee")] * 3, TRIPLES, apart_from=[], count=200)
    assert 200 == len(made) == len({edit_key(edit) for edit in made})
    for edit in made:
        validate_draft(edit)


def test_the_same_seed_gives_the_same_fillers() -> None:
    first, second, other = (
        make_fillers([draft("Ann Lee")], TRIPLES, apart_from=[], count=40, seed=seed)
        for seed in (1, 1, 2)
    )
    assert first == second
    assert first != other


def test_without_triples_there_are_only_the_given_edits() -> None:
    assert [draft("Ann Lee")] == make_fillers([draft("Ann Lee")], [], apart_from=[], count=9)


def test_every_phrasing_has_one_place_for_the_subject() -> None:
    for name, relation in relations().items():
        assert all(t.count("{}") == 1 for t in relation.templates), name


def test_a_file_that_holds_no_triples_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "P1.jsonl"
    file.write_text(json.dumps({"subject": "x"}) + "\n", encoding="utf-8")
    with pytest.raises(InvalidInput, match="line 1"):
        list(read_triples([file]))


def test_triples_are_read_by_line_and_blank_lines_are_none(tmp_path: Path) -> None:
    rows = [{"predicate_id": p, "sub_label": s, "obj_label": o} for p, s, o in TRIPLES]
    file = tmp_path / "P103.jsonl"
    file.write_text("\n\n".join(map(json.dumps, rows)) + "\n \n", encoding="utf-8")
    assert TRIPLES == list(read_triples([file]))
