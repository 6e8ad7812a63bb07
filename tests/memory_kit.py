"""What the memory's tests share: a clock to set, memories of light parts, drafts, faults."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from memory.contracts import Encoder
from memory.edit_memory import EditMemory
from memory.flat_index import FlatIndex
from memory.limits import MemoryLimits
from memory.record import EditDraft
from tests.hash_encoder import HashEncoder

START_S = 1_800_000_000.0


class SettableClock:
    """A clock that stands still until it is moved."""

    def __init__(self, now_s: float = START_S) -> None:
        self.now_s = now_s

    def __call__(self) -> float:
        return self.now_s


def open_memory(
    directory: Path,
    *,
    clock: Callable[[], float] | None = None,
    limits: MemoryLimits | None = None,
    encoder: Encoder | None = None,
    connect: Callable[[Path], sqlite3.Connection] | None = None,
) -> EditMemory:
    """Opens a memory without FAISS and torch."""
    more: dict[str, Any] = {} if connect is None else {"connect": connect}
    return EditMemory.open(
        directory,
        encoder=encoder or HashEncoder(dimension=16),
        limits=limits or MemoryLimits(storage_retry_s=0.01),
        clock=clock or SettableClock(),
        make_index=FlatIndex,
        **more,
    )


def draft(number: int | str = 1, target: str = "French", **fields: Any) -> EditDraft:
    """Makes a valid draft about a numbered person."""
    subject = f"Person {number}"
    given = {"subject": subject, "prompt": f"The mother tongue of {subject} is", "target": target}
    return EditDraft(**{**given, **fields})


class Faults:
    """Fails the n-th statement that matches, before or after it took effect.

    `connect` is what a memory is opened with. Nothing fails until `arm`; a fault fires once, or
    every time until `disarm` when `lasting`.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.seen = 0
        self.fired = threading.Event()
        self._at: int | None = None
        self._lasting = False
        self._after = False
        self._message = ""

    def arm(
        self,
        at: int,
        *,
        after: bool = False,
        lasting: bool = False,
        message: str = "disk I/O error",
    ) -> None:
        with self.lock:
            self.seen = 0
            self.fired.clear()
            self._at, self._after, self._lasting = at, after, lasting
            self._message = message

    def disarm(self) -> None:
        with self.lock:
            self._at = None

    def connect(self, path: Path) -> sqlite3.Connection:
        faults = self

        class Connection(sqlite3.Connection):
            def execute(self, statement: str, *more: Any) -> sqlite3.Cursor:
                fails = faults.next()
                if fails and not faults._after:
                    raise sqlite3.OperationalError(faults._message)
                cursor = super().execute(statement, *more)
                if fails:
                    raise sqlite3.OperationalError(faults._message)
                return cursor

        return sqlite3.connect(
            path, isolation_level=None, check_same_thread=False, timeout=0.0, factory=Connection
        )

    def next(self) -> bool:
        """Counts a statement; whether it is to fail."""
        with self.lock:
            self.seen += 1
            fails = self._at is not None and (
                self.seen == self._at or (self._lasting and self.seen > self._at)
            )
            if fails:
                self.fired.set()
            return fails
