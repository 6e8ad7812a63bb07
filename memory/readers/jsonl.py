"""JSON containers (one object a line, or one list), and the shape of Errata's own records.

A container yields raw records; a shape turns one record into drafts. CounterFact and zsRE come in
either container, so shapes never see files.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, cast

from memory.errors import InvalidInput
from memory.readers.row import (
    ReadEdit,
    RefusedRow,
    Row,
    RowError,
    canonical_json,
    excerpt,
    row_key,
)
from memory.record import EditDraft
from memory.transfer import record_to_draft

if TYPE_CHECKING:
    from pathlib import Path

LINE_BYTES_MAX = 4 * 1024 * 1024
UTF8_BOM = b"\xef\xbb\xbf"

Record = Mapping[str, object]
Shape = Callable[[Record], list[EditDraft]]
"""Turns one record into its edits. Raises RowError or InvalidInput when it has none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RawRecord:
    """A record's position and text, not yet parsed."""

    line: int
    raw: bytes
    too_long: bool = False


def shape_errata(record: Record) -> list[EditDraft]:
    """Shapes a record of our own schema (`memory/transfer.py`)."""
    return [record_to_draft(record)]


def read_records(path: Path, format_name: str, shape: Shape) -> Iterator[Row]:
    """Yields the rows of a JSON file, one object a line or one list, in the given shape.

    Raises InvalidInput when a file that begins as a list is not valid JSON.
    """
    if begins_as_list(path):
        return _read_list(load_list(path), format_name, shape)
    return _read_lines(path, format_name, shape)


def begins_as_list(path: Path) -> bool:
    """Says whether the first character that is not white space opens a JSON list."""
    with path.open("rb") as file:
        return file.read(4096).removeprefix(UTF8_BOM).lstrip()[:1] == b"["


def load_list(path: Path) -> list[object]:
    """Loads a JSON list whole. Raises InvalidInput when it is not valid JSON."""
    try:
        return cast("list[object]", json.loads(path.read_text(encoding="utf-8-sig")))
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"{path.name} is not valid JSON: {error}", field="path") from error


def raw_lines(file: IO[bytes]) -> Iterator[RawRecord]:
    """Yields the lines that are not blank; of one beyond LINE_BYTES_MAX only the beginning."""
    line = 0
    while raw := file.readline(LINE_BYTES_MAX):
        line += 1
        too_long = len(raw) == LINE_BYTES_MAX and not raw.endswith(b"\n")
        rest = raw
        while too_long and rest and not rest.endswith(b"\n"):
            rest = file.readline(LINE_BYTES_MAX)
        if line == 1:
            raw = raw.removeprefix(UTF8_BOM)
        if raw.strip():
            yield RawRecord(line=line, raw=raw.strip(), too_long=too_long)


def _read_lines(path: Path, format_name: str, shape: Shape) -> Iterator[Row]:
    with path.open("rb") as file:
        for record in raw_lines(file):
            try:
                parsed = _parse(record)
            except RowError as error:
                yield _refused(record.line, error, record.raw)
                continue
            yield from _shaped(format_name, record.line, parsed, record.raw, shape)


def _read_list(records: list[object], format_name: str, shape: Shape) -> Iterator[Row]:
    for number, record in enumerate(records, start=1):
        raw = canonical_json(record).encode()
        yield from _shaped(format_name, number, record, raw, shape)


def _parse(record: RawRecord) -> object:
    if record.too_long:
        raise RowError(f"the line is longer than {LINE_BYTES_MAX} bytes")
    try:
        return json.loads(record.raw.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise RowError(f"not UTF-8: {error.reason} at byte {error.start}") from error
    except (ValueError, RecursionError) as error:
        raise RowError(f"not valid JSON: {error}") from error


def _shaped(format_name: str, line: int, parsed: object, raw: bytes, shape: Shape) -> Iterator[Row]:
    if not isinstance(parsed, dict):
        expected = RowError(f"expected a JSON object, got {type(parsed).__name__}")
        yield _refused(line, expected, raw)
        return
    try:
        drafts = shape(parsed)
    except (RowError, InvalidInput) as error:
        yield _refused(line, error, raw)
        return
    for part, draft in enumerate(drafts):
        yield ReadEdit(line=line, draft=draft, row_key=row_key(format_name, line, raw, part))


def _refused(line: int, error: Exception, raw: bytes) -> RefusedRow:
    return RefusedRow(line=line, error=str(error), excerpt=excerpt(raw))
