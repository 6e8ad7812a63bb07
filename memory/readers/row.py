"""What every reader yields: an edit to be, or a refused row with its reason.

Readers only shape rows; whether a shaped draft is acceptable is `memory/validate.py`'s to say.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from memory.record import EditDraft

EXCERPT_CHARS_MAX = 120


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadEdit:
    """One edit of a file.

    `line` is the line in the file (the first one of a record that spans several), or the record's
    number from 1 in a JSON list or a Parquet table. `row_key` depends on format, position and
    content alone, so an import that sends it as request_id can be run again without duplicates.
    """

    line: int
    draft: EditDraft
    row_key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusedRow:
    """A row that is no edit: where, why, and how it begins."""

    line: int
    error: str
    excerpt: str


Row = ReadEdit | RefusedRow


class RowError(Exception):
    """Why one row cannot be read; readers turn it into a RefusedRow and go on."""


def row_key(format_name: str, line: int, content: str | bytes, part: int = 0) -> str:
    """Returns 32 hex digits that name one edit of one file, the same at every reading.

    `part` tells apart the edits of a record that holds several.
    """
    raw = content.encode("utf-8", "surrogatepass") if isinstance(content, str) else content
    head = f"{format_name}\n{line}\n{part}\n".encode()
    return hashlib.sha256(head + raw).hexdigest()[:32]


def excerpt(raw: str | bytes) -> str:
    """Returns the beginning of a row, printable on one line."""
    if isinstance(raw, bytes):
        raw = raw[: 4 * EXCERPT_CHARS_MAX].decode("utf-8", "replace")
    shown = " ".join(raw[: 2 * EXCERPT_CHARS_MAX].split())
    shown = "".join(char if char.isprintable() else "\ufffd" for char in shown)
    return shown if len(shown) <= EXCERPT_CHARS_MAX else shown[: EXCERPT_CHARS_MAX - 1] + "…"


def canonical_json(record: object) -> str:
    """Returns the same text for equal records, whatever the order of their keys."""
    return json.dumps(record, sort_keys=True, ensure_ascii=True, default=str)


def need_text(record: Mapping[str, object], key: str) -> str:
    """Returns a required text field. Raises RowError when it is missing or not text."""
    value = record.get(key)
    if isinstance(value, str):
        return value
    if value is None:
        raise RowError(f'the field "{key}" is missing')
    raise RowError(f'the field "{key}" must be text, got {type(value).__name__}')


def first_text(value: object) -> str | None:
    """Returns a text, or the first text of a (nested) list of them; None when there is none."""
    while isinstance(value, list) and value:
        value = value[0]
    return value if isinstance(value, str) and value.strip() else None
