"""The parts of a file import: its id, its rows, its refusals, its meter."""

from __future__ import annotations

import io
import json
from pathlib import Path

from rich.console import Console

from errata import progress as progress_module
from errata.file_import import FileSource, Refused, grouped, import_id_of
from errata.progress import ImportMeter
from errata.results import ImportProgress, RefusedRecord
from errata.show import Screen


def record(number: int) -> str:
    return json.dumps({"subject": f"P{number}", "prompt": f"P{number} speaks", "target": "Greek"})


def test_the_id_depends_on_content_namespace_and_policy_not_on_the_name(tmp_path: Path) -> None:
    first, copy, other = (tmp_path / name for name in ("a.jsonl", "b.jsonl", "c.jsonl"))
    first.write_text(record(1), encoding="utf-8")
    copy.write_text(record(1), encoding="utf-8")
    other.write_text(record(2), encoding="utf-8")

    def id_of(path: Path, namespace: str = "x", on_conflict: str = "skip") -> str:
        return import_id_of(path, namespace=namespace, on_conflict=on_conflict, format_name="auto")

    assert id_of(first) == id_of(copy)
    different = {id_of(first), id_of(other), id_of(first, "y"), id_of(first, "x", "fail")}
    assert 4 == len(different)
    assert all(len(name) <= 96 for name in different)


def test_refusals_carry_the_line_of_the_file(tmp_path: Path) -> None:
    file = tmp_path / "edits.jsonl"
    file.write_text("\n".join([record(1), "", "broken", record(2)]), encoding="utf-8")
    source = FileSource(path=file, format_name="auto")
    assert 2 == source.count()
    assert ["P1", "P2"] == [edit.subject for edit in source.open()]
    told = source.refused([RefusedRecord(row=2, reason="FIELD_INVALID", message="no")])
    assert [(3, "ROW_UNREADABLE"), (4, "FIELD_INVALID")] == [(r.line, r.reason) for r in told]


def test_reasons_that_differ_in_names_and_numbers_are_one_group() -> None:
    rows = [
        Refused(line=line, reason="R", message=f'"name {line}" has {line} letters')
        for line in range(1, 6)
    ]
    rows.append(Refused(line=9, reason="R", message="another thing"))
    first, second = grouped(rows)
    assert (5, [1, 2, 3]) == (first.count, first.lines)
    assert (1, "another thing") == (second.count, second.message)


def screen(*, terminal: bool) -> tuple[Screen, io.StringIO]:
    file = io.StringIO()
    console = Console(file=file, force_terminal=terminal, width=120)
    return Screen(out=console, err=console), file


def test_a_terminal_gets_a_bar() -> None:
    shown, file = screen(terminal=True)
    with ImportMeter(shown, total=10) as meter:
        meter.take(ImportProgress(received=5, created=4, refused=1, durable_row=5))
        assert 5 == meter.durable_row
    assert "4 created, 1 refused" in file.getvalue()
    assert "5/10" in file.getvalue()


def test_elsewhere_there_is_a_line_now_and_then() -> None:
    shown, file = screen(terminal=False)
    with ImportMeter(shown, total=None) as meter:
        meter.take(ImportProgress(received=5, created=5, durable_row=5))
        assert "" == file.getvalue()
        meter._said_s -= progress_module.LINE_EVERY_S
        meter.take(ImportProgress(received=9, created=9, durable_row=9))
    assert file.getvalue().startswith("9 rows: 9 created")
