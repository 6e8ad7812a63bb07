"""An import of a file as the command sees it: rows read, rows refused and why, how to resume.

The import's id follows from the file's content, so the same command again goes on where an
interrupted one stopped, and a changed file is another import.
"""

from __future__ import annotations

import hashlib
import re
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from errata.results import NewEdit, RefusedRecord
from memory.readers.read import read_edits
from memory.readers.row import ReadEdit, Row
from memory.record import EditDraft

EXAMPLES_MAX = 3
CHUNK_BYTES = 1 << 20
QUOTED = re.compile(r'"[^"]*"|\'[^\']*\'')
NUMBER = re.compile(r"\d+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """A row that was refused: by the reader (the file is wrong) or by the server."""

    line: int  # In the file, from 1; in a JSON list or a table, the record's number.
    reason: str
    message: str
    excerpt: str = ""


@dataclass(slots=True)
class RefusedGroup:
    """Rows refused for the same reason, but for names and numbers in its message."""

    message: str
    count: int = 0
    lines: list[int] = field(default_factory=list)


def import_id_of(path: Path, *, namespace: str, on_conflict: str, format_name: str) -> str:
    """Returns an id that stands for this content going into this namespace in this way."""
    digest = hashlib.sha256(f"{namespace}\n{on_conflict}\n{format_name}\n".encode())
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
    return f"file-{digest.hexdigest()[:24]}"


@dataclass(slots=True, kw_only=True)
class FileSource:
    """The records of a file, in order; remembers where each stands and which were no edits.

    `records` is drawn by the client's sending thread, the rest is read by the caller's.
    """

    path: Path
    format_name: str
    lines: array[int] = field(default_factory=lambda: array("q"))
    unreadable: list[Refused] = field(default_factory=list)

    def count(self) -> int:
        """Reads the file once to tell how many edits it holds. Raises InvalidInput."""
        return sum(isinstance(row, ReadEdit) for row in read_edits(self.path, self.format_name))

    def open(self) -> Iterator[NewEdit]:
        """Opens the file. Raises InvalidInput at once when it cannot be read or understood."""
        return self._records(read_edits(self.path, self.format_name))

    def _records(self, rows: Iterator[Row]) -> Iterator[NewEdit]:
        for row in rows:
            if isinstance(row, ReadEdit):
                self.lines.append(row.line)
                yield new_edit(row.draft)
            else:
                self.unreadable.append(
                    Refused(
                        line=row.line,
                        reason="ROW_UNREADABLE",
                        message=row.error,
                        excerpt=row.excerpt,
                    )
                )

    def line_of(self, row: int) -> int:
        """Returns the line of the record with number `row` (from 1)."""
        return self.lines[row - 1] if row <= len(self.lines) else 0

    def refused(self, errors: Iterable[RefusedRecord]) -> list[Refused]:
        """Returns all rows refused here and by the server, in the file's order."""
        by_server = [
            Refused(line=self.line_of(error.row), reason=error.reason, message=error.message)
            for error in errors
        ]
        return sorted([*self.unreadable, *by_server], key=lambda row: row.line)


def new_edit(draft: EditDraft) -> NewEdit:
    """Converts what a reader shaped to what the client sends."""
    expires = draft.expires_at_s
    return NewEdit(
        subject=draft.subject,
        prompt=draft.prompt,
        target=draft.target,
        former=draft.former,
        aliases=draft.aliases,
        author=draft.author,
        source=draft.source,
        labels=dict(draft.labels),
        expires_at=datetime.fromtimestamp(expires, UTC) if expires is not None else None,
        edit_id=draft.edit_id or "",
    )


def grouped(rows: Iterable[Refused]) -> list[RefusedGroup]:
    """Groups refused rows by what is wrong with them, the most frequent first."""
    groups: dict[str, RefusedGroup] = {}
    for row in rows:
        kind = NUMBER.sub("#", QUOTED.sub("…", row.message))
        group = groups.setdefault(kind, RefusedGroup(row.message))
        group.count += 1
        if len(group.lines) < EXAMPLES_MAX:
            group.lines.append(row.line)
    return sorted(groups.values(), key=lambda group: -group.count)
