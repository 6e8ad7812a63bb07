"""The journal: answers come back as they went in, and only those that are the run's own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from evaluation.journal import Journal, key_of
from evaluation.method import Asked, Routed, Said, Scored, Want
from memory.errors import InvalidInput

WHOLE, ROUTE = Want(say=True, score=True), Want(say=False, score=False)
ASKED = Asked(
    routed=Routed(edited=True, path="in_context", hits=(("e-1", 0.9),), best="e-1", best_score=0.9),
    said=Said(text=" naïve 東京", token_ids=(1, 2), finish="eos"),
    scored=Scored(target_nll=0.5, target_share=1.0, former_nll=None),
)


def test_an_answer_comes_back_as_it_went_in(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    with Journal(path, "v1") as journal:
        journal.add("k", ASKED, 0.25, WHOLE, {"kind": "edit"})
    with Journal(path, "v1") as journal:
        assert (ASKED, 0.25) == journal.find("k", WHOLE)
        assert journal.find("other", ROUTE) is None
    (line,) = path.read_text("utf-8").splitlines()
    assert "edit" == json.loads(line)["kind"]


def test_a_route_alone_does_not_stand_for_an_answer(tmp_path: Path) -> None:
    with Journal(tmp_path / "answers.jsonl", "v1") as journal:
        journal.add("k", Asked(routed=ASKED.routed), 0.1, ROUTE, {})
        assert journal.find("k", ROUTE) is not None
        assert journal.find("k", WHOLE) is None
        journal.add("k", ASKED, 0.2, WHOLE, {})
        assert (ASKED, 0.2) == journal.find("k", WHOLE)
        assert (Asked(routed=ASKED.routed), 0.2) == journal.find("k", ROUTE)


def test_answers_of_other_code_are_left_unless_they_are_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    with Journal(path, "v1") as journal:
        journal.add("k", ASKED, 0.25, WHOLE, {})
    with Journal(path, "v2") as journal:
        assert (0, 1) == (len(journal), journal.other_code)
    with Journal(path, "v2", any_code=True) as journal:
        assert 1 == len(journal)


@pytest.mark.parametrize("cut", [1, 10, 60])
def test_a_line_cut_off_by_a_kill_is_dropped_and_the_rest_kept(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "answers.jsonl"
    with Journal(path, "v1") as journal:
        journal.add("a", ASKED, 0.25, WHOLE, {})
        journal.add("b", ASKED, 0.25, WHOLE, {})
    path.write_bytes(path.read_bytes()[:-cut])
    with Journal(path, "v1") as journal:
        assert journal.find("a", WHOLE) is not None
        assert journal.find("b", WHOLE) is None
        journal.add("b", ASKED, 0.5, WHOLE, {})
    with Journal(path, "v1") as journal:
        assert (ASKED, 0.5) == journal.find("b", WHOLE)


@pytest.mark.parametrize("line", ["{}", "not json", '{"key": "k", "code": "v1"}'])
def test_a_file_that_is_no_journal_is_refused(tmp_path: Path, line: str) -> None:
    path = tmp_path / "answers.jsonl"
    path.write_text(line + "\n", encoding="utf-8")
    with pytest.raises(InvalidInput, match="no answer of a run"), Journal(path, "v1"):
        pass


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    path = tmp_path / "file" / "answers.jsonl"
    with pytest.raises(InvalidInput, match="cannot be written"), Journal(path, "v1"):
        pass


def test_a_key_tells_every_part_apart_and_no_order() -> None:
    assert key_of({"a": 1, "b": 2}) == key_of({"b": 2, "a": 1})
    assert 3 == len({key_of({"a": 1}), key_of({"a": 2}), key_of({"b": 1})})


def test_of_a_known_answer_only_what_is_wanted_comes_back(tmp_path: Path) -> None:
    with Journal(tmp_path / "answers.jsonl", "v1") as journal:
        journal.add("k", ASKED, 0.2, WHOLE, {})
        found = journal.find("k", Want(say=True, score=False))
        assert found is not None
        assert (ASKED.said, None) == (found[0].said, found[0].scored)
