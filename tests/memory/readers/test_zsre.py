"""zsRE: `alt` is the new answer, the first of `answers` the old one; `pred` is nobody's."""

from __future__ import annotations

import json
from pathlib import Path

from memory.readers.read import read_edits
from memory.readers.row import ReadEdit, RefusedRow

RECORD = {
    "subject": "Watts Humphrey",
    "src": "What university did Watts Humphrey attend?",
    "pred": "Trinity College",
    "rephrase": "What university did Watts Humphrey take part in?",
    "alt": "University of Michigan",
    "answers": ["Illinois Institute of Technology"],
}


def test_a_record_becomes_a_question_edit(tmp_path: Path) -> None:
    path = tmp_path / "zsre.json"
    path.write_text(json.dumps([RECORD]), encoding="utf-8")
    (row,) = read_edits(path)
    assert isinstance(row, ReadEdit)
    assert row.draft.prompt == RECORD["src"]
    assert row.draft.target == "University of Michigan"
    assert row.draft.former == "Illinois Institute of Technology"


def test_a_record_without_the_new_answer_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "zsre.json"
    path.write_text(json.dumps([RECORD, RECORD | {"alt": None}]), encoding="utf-8")
    good, bad = read_edits(path)
    assert isinstance(good, ReadEdit)
    assert isinstance(bad, RefusedRow)
    assert '"alt"' in bad.error
