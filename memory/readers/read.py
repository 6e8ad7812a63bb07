"""Reads a file of edits in any known format, row by row; a bad row is reported, never fatal.

This is the dispatcher: it finds the format and hands over. It knows no format's fields.
"""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from memory.errors import InvalidInput
from memory.readers.counterfact import is_counterfact, shape_counterfact
from memory.readers.jsonl import (
    UTF8_BOM,
    Record,
    Shape,
    begins_as_list,
    load_list,
    raw_lines,
    read_records,
    shape_errata,
)
from memory.readers.table import read_csv, read_parquet
from memory.readers.zsre import is_zsre, shape_zsre

if TYPE_CHECKING:
    from collections.abc import Iterator

    from memory.readers.row import Row

AUTO = "auto"
SHAPES: dict[str, Shape] = {
    "jsonl": shape_errata,
    "counterfact": shape_counterfact,
    "zsre": shape_zsre,
}
FORMATS = (*SHAPES, "csv", "parquet")
TABLE_SUFFIXES = {".csv": "csv", ".tsv": "csv", ".parquet": "parquet", ".pq": "parquet"}
PARQUET_MAGIC = b"PAR1"
SNIFFED_RECORDS = 20


def read_edits(path: Path | str, format: str = AUTO) -> Iterator[Row]:  # noqa: A002  # The flag's.
    """Returns an iterator over the rows of a file: edits, and refused rows with their reasons.

    Raises InvalidInput at once when the file cannot be read, the format is unknown or the file is
    not of it. Lines and CSV rows stream; a JSON list is loaded whole.
    """
    path = Path(path)
    _check_readable(path)
    name = detect_format(path) if format == AUTO else format
    if name in SHAPES:
        return read_records(path, name, SHAPES[name])
    if name == "csv":
        return read_csv(path)
    if name == "parquet":
        return read_parquet(path)
    raise InvalidInput(
        f'unknown format "{format}"; known are {", ".join((AUTO, *FORMATS))}', field="format"
    )


def detect_format(path: Path) -> str:
    """Returns the format of a file by its suffix and content. Raises InvalidInput if none fits."""
    with path.open("rb") as file:
        head = file.read(4096)
    if head.startswith(PARQUET_MAGIC):
        return "parquet"
    if path.suffix.lower() in TABLE_SUFFIXES:
        return TABLE_SUFFIXES[path.suffix.lower()]
    text = head.removeprefix(UTF8_BOM).lstrip()
    if text[:1] in (b"[", b"{"):
        return _detect_shape(path)
    if path.suffix.lower() in {".jsonl", ".ndjson", ".json"}:
        return "jsonl"
    raise InvalidInput(
        f"cannot tell the format of {path.name}; name it: {', '.join(FORMATS)}", field="format"
    )


def _check_readable(path: Path) -> None:
    if not path.exists():
        raise InvalidInput(f"no such file: {path}", field="path")
    if not path.is_file():
        raise InvalidInput(f"{path} is not a file", field="path")
    try:
        with path.open("rb"):
            pass
    except OSError as error:
        raise InvalidInput(f"cannot read {path}: {error.strerror}", field="path") from error


def _detect_shape(path: Path) -> str:
    records = _first_records(path)
    for record in records:
        if is_counterfact(record):
            return "counterfact"
        if is_zsre(record):
            return "zsre"
        if {"prompt", "target"} <= record.keys():
            return "jsonl"
    if not records:
        return "jsonl"
    keys = ", ".join(sorted(records[0])[:10])
    raise InvalidInput(
        f"the records of {path.name} have keys of no known format ({keys}); known formats are "
        f"{', '.join(FORMATS)}",
        field="format",
    )


def _first_records(path: Path) -> list[Record]:
    """Returns the objects among a file's first records; lines that do not parse are left out."""
    if begins_as_list(path):
        parsed = load_list(path)[:SNIFFED_RECORDS]
    else:
        with path.open("rb") as file:
            parsed = [
                _parsed_or_none(line.raw) for line in islice(raw_lines(file), SNIFFED_RECORDS)
            ]
    return [record for record in parsed if isinstance(record, dict)]


def _parsed_or_none(raw: bytes) -> object:
    try:
        parsed: object = json.loads(raw)
    except (ValueError, RecursionError):
        return None
    return parsed
