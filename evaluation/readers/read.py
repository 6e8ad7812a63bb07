"""Reads a data file into records with probes; every row that is left out is reported with why.

This is the dispatcher: it knows names and what holds for all data sets (duplicates, contradictions,
edits that the memory would refuse), no data set's fields.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from evaluation.probes import Dataset, Problem, Record, edit_key, with_id
from evaluation.readers import counterfact, knowedit, mquake, zsre
from evaluation.readers.fields import Row
from memory.conflicts import normalise
from memory.errors import InvalidInput
from memory.readers.jsonl import begins_as_list, load_list, raw_lines
from memory.readers.row import RowError
from memory.validate import validate_draft

READERS: dict[str, Callable[[Row, int], Record]] = {
    "counterfact": counterfact.read_record,
    "zsre": zsre.read_record,
    "knowedit": knowedit.read_record,
    "mquake": mquake.read_record,
}


def read_dataset(name: str, path: Path) -> Dataset:
    """Reads a file of a known data set.

    Raises InvalidInput when the file cannot be read, holds no list of records, or not one usable
    record; rows that are wrong are reported in `problems` and never stop the others.
    """
    reader = READERS.get(name)
    if reader is None:
        raise InvalidInput(
            f"unknown data set {name!r}; known are {', '.join(READERS)}", field="dataset"
        )
    raw = _raw(path)
    problems: list[Problem] = []
    records: list[Record] = []
    seen = _Seen()
    for number, row in _rows(path, problems):
        try:
            record = _checked(reader(row, number))
        except (RowError, InvalidInput) as error:
            problems.append(_problem(number, row, error))
            continue
        problem = seen.look(record, number)
        if problem is None:
            records.append(record)
        else:
            problems.append(problem)
    if not records:
        raise InvalidInput(_nothing(path, name, problems), field="file")
    return Dataset(
        name=name,
        file=path.name,
        sha256=hashlib.sha256(raw).hexdigest(),
        records=tuple(records),
        problems=tuple(problems),
    )


class _Seen:
    """Tells duplicates and contradictions; the first record of a fact is the one that counts."""

    def __init__(self) -> None:
        self._targets: dict[tuple[str, str], tuple[str, int]] = {}
        self._records: dict[str, int] = {}

    def look(self, record: Record, number: int) -> Problem | None:
        content = " ".join(sorted(probe.key for probe in record.probes))
        known = self._records.setdefault(content, number)
        if known != number:
            return Problem(
                row=number,
                case=record.case,
                kind="duplicate",
                reason=f"the same edit and probes as row {known}",
            )
        own: dict[tuple[str, str], tuple[str, int]] = {}
        for edit in record.edits:
            key, target = edit_key(edit), normalise(edit.target)
            said, row = self._targets.get(key) or own.get(key) or (target, number)
            if said != target:
                return Problem(
                    row=number,
                    case=record.case,
                    kind="contradiction",
                    reason=f'"{edit.prompt}" is "{edit.target}" here, but row {row} says another '
                    "answer, which stands",
                )
            own[key] = (target, number)
        self._targets |= {key: value for key, value in own.items() if key not in self._targets}
        return None


def _checked(record: Record) -> Record:
    """Validates the edits as the memory would, and names them. Raises InvalidInput."""
    return replace(record, edits=tuple(with_id(validate_draft(edit)) for edit in record.edits))


def _raw(path: Path) -> bytes:
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise InvalidInput(f"{path} cannot be read: {error.strerror}", field="file") from error
    if not raw.strip():
        raise InvalidInput(f"{path} is empty; expected a JSON list of records", field="file")
    return raw


def _rows(path: Path, problems: list[Problem]) -> Iterator[tuple[int, Row]]:
    """Yields (number from 1, object); what is no object becomes a problem. Raises InvalidInput."""
    if begins_as_list(path):
        listed: list[object] = load_list(path)
    else:
        with path.open("rb") as file:
            listed = [_line(record.raw) for record in raw_lines(file)]
    for number, row in enumerate(listed, start=1):
        if isinstance(row, dict):
            yield number, row
        else:
            reason = f"expected a JSON object, got {_shown(row)}"
            problems.append(Problem(row=number, case="", kind="wrong type", reason=reason))


def _line(raw: bytes) -> object:
    try:
        parsed: object = json.loads(raw)
    except (ValueError, RecursionError):
        return raw.decode("utf-8", "replace")
    return parsed


def _problem(number: int, row: Row, error: Exception) -> Problem:
    said = str(error)
    kind = "unusable"
    if "missing" in said or "empty" in said:
        kind = "missing field"
    elif "must be" in said or "expected" in said:
        kind = "wrong type"
    case = row.get("case_id")
    return Problem(row=number, case="" if case is None else str(case), kind=kind, reason=said)


def _nothing(path: Path, name: str, problems: list[Problem]) -> str:
    if not problems:
        return f"{path} holds no record; expected {name} records"
    first = problems[0]
    return (
        f"{path} has no usable {name} record: {len(problems)} rows were refused, the first "
        f"(row {first.row}) because: {first.reason}"
    )


def _shown(value: object) -> str:
    shown = repr(value)
    return shown if len(shown) <= 60 else shown[:57] + "..."
