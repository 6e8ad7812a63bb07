"""The dispatcher: formats are found by content and suffix; unreadable files are refused at once."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from memory.errors import InvalidInput
from memory.readers.read import FORMATS, detect_format, read_edits
from memory.readers.row import ReadEdit, RefusedRow
from memory.record import EditDraft

OURS = {"subject": "Messi", "prompt": "Messi plays", "target": "basketball"}
FLAT = {"case_id": 1, "subject": "Messi", "prompt": "Messi plays", "target_new": "chess"}
NESTED = {
    "case_id": 2,
    "requested_rewrite": {"prompt": "{} plays", "subject": "Messi", "target_new": {"str": "chess"}},
}
ZSRE = {"subject": "Messi", "src": "What does Messi play?", "alt": "chess", "answers": ["football"]}


def drafts(path: Path, name: str = "auto") -> list[EditDraft]:
    return [edit.draft for edit in edits(path, name)]


def edits(path: Path, name: str = "auto") -> list[ReadEdit]:
    rows = list(read_edits(path, name))
    found = [row for row in rows if isinstance(row, ReadEdit)]
    assert found == rows
    return found


@pytest.mark.parametrize(
    ("record", "expected"),
    [(OURS, "jsonl"), (FLAT, "counterfact"), (NESTED, "counterfact"), (ZSRE, "zsre")],
)
@pytest.mark.parametrize("as_list", [True, False])
def test_json_records_are_told_apart_by_their_keys(
    tmp_path: Path, record: dict[str, object], expected: str, as_list: bool
) -> None:
    path = tmp_path / "edits.json"
    text = json.dumps([record], indent=2) if as_list else json.dumps(record) + "\n"
    path.write_text(text, encoding="utf-8")
    assert detect_format(path) == expected
    assert drafts(path)[0].subject == "Messi"


def test_a_damaged_first_line_does_not_hide_the_format(tmp_path: Path) -> None:
    path = tmp_path / "edits.jsonl"
    path.write_text('{"subject": "Mes\n' + json.dumps(FLAT) + "\n", encoding="utf-8")
    first, second = read_edits(path)
    assert isinstance(first, RefusedRow)
    assert isinstance(second, ReadEdit)
    assert (first.line, second.line) == (1, 2)


def test_unknown_format_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    path = tmp_path / "edits.jsonl"
    path.write_text(json.dumps(OURS), encoding="utf-8")
    with pytest.raises(InvalidInput) as caught:
        read_edits(path, "xml")
    assert all(name in str(caught.value) for name in FORMATS)


def test_records_of_no_known_format_are_refused_with_their_keys(tmp_path: Path) -> None:
    path = tmp_path / "questions.jsonl"
    path.write_text(json.dumps({"question": "why", "answer": ["so"]}), encoding="utf-8")
    with pytest.raises(InvalidInput, match="answer, question"):
        read_edits(path)


@pytest.mark.parametrize("make", ["missing", "folder", "prose", "broken_list"])
def test_unreadable_files_are_refused_when_opened_not_when_iterated(
    tmp_path: Path, make: str
) -> None:
    path = tmp_path / "edits.txt"
    if make == "folder":
        path.mkdir()
    elif make == "prose":
        path.write_text("Dear reader,", encoding="utf-8")
    elif make == "broken_list":
        path.write_text("[{}, ", encoding="utf-8")
    with pytest.raises(InvalidInput) as caught:
        read_edits(path)
    assert caught.value.field in {"path", "format"}


def test_an_empty_jsonl_file_holds_no_edits(tmp_path: Path) -> None:
    path = tmp_path / "edits.jsonl"
    path.write_bytes(b"")
    assert list(read_edits(path)) == []


def test_row_keys_are_stable_and_differ_between_equal_rows(tmp_path: Path) -> None:
    path = tmp_path / "edits.jsonl"
    path.write_text((json.dumps(OURS) + "\n") * 3, encoding="utf-8")
    once = [row.row_key for row in edits(path)]
    again = [row.row_key for row in edits(path)]
    assert once == again
    assert len(set(once)) == 3
