"""What a run may be given beside its data: fillers, search questions, labels, conversations."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from evaluation.probes import Dataset, Probe, Scope, with_id
from evaluation.readers.fields import encodable, text
from memory.errors import InvalidInput
from memory.readers.read import read_edits
from memory.readers.row import ReadEdit, RowError
from memory.record import EditDraft
from memory.validate import validate_draft

SHIPPED = Path(__file__).resolve().parent / "labels"
TURN_KINDS = {True: "turn", False: "turn_elsewhere"}


def read_fillers(path: Path) -> tuple[EditDraft, ...]:
    """Reads edits that only fill the memory, in any format of `errata import`; each once.

    Rows that are no edits are left out. Raises InvalidInput when there is none.
    """
    found: dict[str, EditDraft] = {}
    for row in read_edits(path):
        if not isinstance(row, ReadEdit):
            continue
        try:
            draft = with_id(validate_draft(row.draft), prefix="f")
        except InvalidInput:
            continue
        found[str(draft.edit_id)] = draft
    if not found:
        raise InvalidInput(f"{path} holds no edit to fill the memory with", field="fillers")
    return tuple(found.values())


def read_far(path: Path) -> tuple[Probe, ...]:
    """Reads search questions, one JSON object with "question" a line. Raises InvalidInput."""
    probes = []
    for number, line in enumerate(_text(path).split("\n"), start=1):
        if not line.strip():
            continue
        try:
            question = text(json.loads(line), "question")
        except (ValueError, RowError, AttributeError) as error:
            raise InvalidInput(
                f'{path}, line {number}: expected a JSON object with "question" ({error})',
                field="far",
            ) from error
        probes.append(Probe(kind="far", prompt=question, scope=Scope.OUTSIDE))
    if not probes:
        raise InvalidInput(f"{path} holds no question", field="far")
    return tuple(probes)


def read_labels(path: Path, data: Dataset) -> dict[str, bool]:
    """Reads which paraphrases follow from their edit, by case. Raises InvalidInput.

    The file names the data file that was labelled by its hash; labels of another one are refused.
    """
    held = _json(path)
    try:
        labelled = held["file_sha256"]
        labels = {str(row["case_id"]): row["follows"] for row in held["labels"]}
    except (KeyError, TypeError) as error:
        raise InvalidInput(
            f'{path}: expected "file_sha256" and "labels" with "case_id" and "follows" ({error!r})',
            field="labels",
        ) from error
    if labelled != data.sha256:
        raise InvalidInput(
            f"{path} labels a file with the SHA-256 {labelled[:12]}..., but {data.file} has "
            f"{data.sha256[:12]}...; name the labels of this file, or none",
            field="labels",
        )
    wrong = [case for case, follows in labels.items() if not isinstance(follows, bool)]
    if wrong:
        raise InvalidInput(f'{path}: "follows" of case {wrong[0]} is no boolean', field="labels")
    return labels


def shipped(data: Dataset, content: str) -> Path | None:
    """Returns the project's own file made for this data file that holds `content`, if any."""
    for path in sorted(SHIPPED.glob("*.json")):
        held = _json(path)
        if isinstance(held, dict) and held.get("file_sha256") == data.sha256 and content in held:
            return path
    return None


def with_turns(data: Dataset, path: Path) -> Dataset:
    """Adds conversations to the records whose edit they are about.

    One object {"turns": [{"case_id", "messages": [[role, content], ...], "follows"}]}. Raises
    InvalidInput; turns of cases that the data do not have are left out.
    """
    by_case: dict[str, list[Probe]] = {}
    targets = {record.case: record.edits[0] for record in data.records}
    for row in _rows(_json(path), path):
        case = str(row.get("case_id"))
        if case in targets:
            by_case.setdefault(case, []).append(_turn(row, targets[case], path))
    records = tuple(
        replace(record, probes=(*record.probes, *by_case.get(record.case, ())))
        for record in data.records
    )
    return replace(data, records=records)


def _turn(row: Mapping[str, Any], edit: EditDraft, path: Path) -> Probe:
    try:
        messages = tuple((str(role), encodable(str(said))) for role, said in row["messages"])
        follows, last = row["follows"], messages[-1][1]
    except (KeyError, TypeError, ValueError, IndexError, RowError) as error:
        raise InvalidInput(
            f'{path}, case {row.get("case_id")}: expected "messages" of [role, content] and '
            f'"follows" ({error!r})',
            field="turns",
        ) from error
    if not isinstance(follows, bool):
        raise InvalidInput(f'{path}, case {row["case_id"]}: "follows" is no boolean', field="turns")
    return Probe(
        kind=TURN_KINDS[follows],
        prompt=last,
        messages=messages,
        scope=Scope.INSIDE if follows else Scope.OUTSIDE,
        answers=(edit.target,) if follows else (),
        former=edit.former or "" if follows else "",
    )


def _rows(held: Any, path: Path) -> list[dict[str, Any]]:
    rows = held.get("turns") if isinstance(held, dict) else None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise InvalidInput(f'{path}: expected an object with a list "turns"', field="turns")
    return rows


def _json(path: Path) -> Any:
    try:
        return json.loads(_text(path))
    except ValueError as error:
        raise InvalidInput(f"{path} is not valid JSON: {error}", field="file") from error


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{path} cannot be read: {error}", field="file") from error
