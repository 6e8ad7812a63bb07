"""Where a command writes: text on stdout, notes and errors on stderr, tables, JSON lines.

On a terminal it is laid out with rich; elsewhere tables are tab-separated lines under a header and
nothing is coloured, cut or wrapped. NO_COLOR is respected (by rich). It knows values, no calls.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from errata.records import to_line

Row = Sequence[str]

WRAPPED = frozenset({"FACT", "MENTION", "REASON", "MOST PROBABLE", "INDEX"})
CELL_CHARS = 100  # Of a wrapped cell, on a terminal.
"""Columns that may take several lines; ids and figures stay whole, so that they can be copied."""

STATE_STYLES = {
    "active": "green",
    "consolidated": "cyan",
    "superseded": "yellow",
    "expired": "yellow",
    "retired": "red",
}


def printable(text: str) -> str:
    """Shows control characters as their codes, so that no text can steer the terminal."""
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() or char in "\n\t" else f"\\x{ord(char):02x}" for char in text
    )


def one_line(text: str, chars_max: int = 0) -> str:
    """Returns a text on one line, cut to `chars_max` characters when that is not 0."""
    joined = " ".join(printable(text).split())
    return joined if not chars_max or len(joined) <= chars_max else joined[: chars_max - 1] + "…"


def when(moment: datetime | None) -> str:
    """Returns a time to the second in UTC; "" for none."""
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%SZ") if moment else ""


def bytes_text(count: int) -> str:
    """Returns a size with a unit of 1000s: "512 B", "1.5 MB"."""
    size, units = float(count), ("B", "kB", "MB", "GB", "TB")
    for unit in units[:-1]:
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} {units[-1]}"


def answered_by(namespace: str, active: int, answering: int) -> str:
    """Says what a namespace's requests get while its active edition is not sound."""
    if answering == active:
        return (
            f"Edition {active} is loaded and answers namespace {namespace} until the server ends; "
            "after that edition 0 would, with the edits from memory."
        )
    return (
        f"Edition 0, the model as published, answers namespace {namespace}, with the edits from "
        "memory. `errata editions activate N` gives it another edition."
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Screen:
    """Where one command writes: JSON lines for programs, or text for people."""

    json: bool = False
    out: Console
    err: Console

    @classmethod
    def open(cls, *, json: bool = False) -> Screen:
        """Makes the screen of one command on the process's stdout and stderr."""
        return cls(
            json=json, out=Console(highlight=False), err=Console(stderr=True, highlight=False)
        )

    @property
    def is_terminal(self) -> bool:
        """Whether somebody reads stdout directly."""
        return self.out.is_terminal

    def record(self, value: object) -> None:
        """Writes a value (or a mapping of values) as one line of JSON."""
        sys.stdout.write(to_line(value) + "\n")
        sys.stdout.flush()

    def text(self, text: str) -> None:
        """Writes a piece of an answer as it is, at once."""
        sys.stdout.write(printable(text) if self.is_terminal else text)
        sys.stdout.flush()

    def line(self, text: str | Text = "", style: str = "") -> None:
        """Writes one line to stdout."""
        self.out.print(_styled(text, style), soft_wrap=True)

    def note(self, text: str | Text, style: str = "dim") -> None:
        """Writes one line to stderr: what is said beside the result."""
        self.err.print(_styled(text, style), soft_wrap=True)

    def table(self, columns: Sequence[str], rows: Sequence[Row]) -> None:
        """Writes a table: laid out and cut on a terminal, whole and tab-separated elsewhere."""
        if not self.is_terminal:
            for row in (columns, *rows):
                sys.stdout.write("\t".join(one_line(cell) for cell in row) + "\n")
            return
        table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
        for column in columns:
            table.add_column(escape(column), overflow="fold", no_wrap=column not in WRAPPED)
        most = [CELL_CHARS if column in WRAPPED else 0 for column in columns]
        for row in rows:
            cells = zip(row, most, strict=True)
            table.add_row(*(_cell(one_line(cell, chars)) for cell, chars in cells))
        self.out.print(table)

    def fields(self, pairs: Sequence[tuple[str, str]]) -> None:
        """Writes names and values, those without a value left out."""
        width = max((len(name) for name, value in pairs if value), default=0)
        for name, value in pairs:
            if value:
                head = Text(f"{name:<{width}}  ", "bold")
                self.out.print(head.append_text(_cell(printable(value))), soft_wrap=True)


def _styled(text: str | Text, style: str) -> Text:
    return Text(printable(text), style) if isinstance(text, str) else text


def _cell(value: str) -> Text:
    return Text(value, STATE_STYLES.get(value) or "")
