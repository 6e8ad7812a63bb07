"""Following the log as it grows: entries, watchers, and waiting for a sequence."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

from memory.errors import InvalidInput, StorageReadOnly, Unavailable
from memory.keeper import Keeper
from memory.limits import MemoryLimits
from memory.record import Namespace
from memory.writes import LogEntry

STOP_POLL_S = 0.25  # How often a follower with nothing to do looks at its stop event.


class Follower:
    """Reads what the keeper publishes; never keeps it waiting."""

    def __init__(self, keeper: Keeper, limits: MemoryLimits, closed: threading.Event) -> None:
        self._keeper = keeper
        self._limits = limits
        self._closed = closed

    def wait_for(self, sequence: int, timeout_s: float) -> None:
        """Waits until reads see `sequence`. Raises Unavailable, InvalidInput."""
        seen = self._keeper.snapshot.sequence
        if sequence <= seen:
            return
        if sequence - seen > self._limits.sequences_ahead_max:
            raise InvalidInput(
                f"sequence {sequence} is far beyond this memory's ({seen}); give one that a write "
                "to it has answered",
                field="min_sequence",
            )
        with self._keeper.changed:
            self._keeper.changed.wait_for(
                self._news_after(sequence - 1), timeout=max(0.0, timeout_s)
            )
        seen = self._keeper.snapshot.sequence
        if seen < sequence:
            raise Unavailable(
                f"this memory is at sequence {seen}, not yet at {sequence}; retry, or ask the "
                "server that answered the write",
                reason="REPLICA_BEHIND",
            )

    def wait_writable(self, timeout_s: float) -> None:
        """Waits until writes are taken. Raises StorageReadOnly when they are not in time."""
        with self._keeper.changed:
            if not self._keeper.changed.wait_for(
                lambda: not self._keeper.read_only, timeout=timeout_s
            ):
                raise StorageReadOnly(f"writes are still refused: {self._keeper.read_only}")

    def entries(
        self, from_sequence: int, limit: int, namespace: Namespace | None
    ) -> list[LogEntry]:
        """Returns up to `limit` entries from `from_sequence` on. Raises InvalidInput."""
        if limit < 1:
            raise InvalidInput(f"limit is {limit}; give 1 or more", field="limit")
        found: list[LogEntry] = []
        for entry in self._published(from_sequence):
            if namespace is None or entry.namespace == namespace:
                found.append(entry)
                if len(found) == limit:
                    break
        return found

    def watch(
        self, from_sequence: int, namespace: Namespace | None, *, stop: threading.Event
    ) -> Iterator[LogEntry]:
        """Yields entries from `from_sequence` on and follows until `stop` or close."""
        position = max(1, from_sequence)
        while not stop.is_set() and not self._closed.is_set():
            for entry in self._published(position):
                if stop.is_set():
                    return
                if namespace is None or entry.namespace == namespace:
                    yield entry
                position = entry.sequence + 1
            with self._keeper.changed:
                self._keeper.changed.wait_for(
                    self._news_after(position - 1, stop), timeout=STOP_POLL_S
                )

    def end(self, stop: threading.Event) -> None:
        """Sets the stop event of a watch and wakes it, so that it does not sleep out its poll."""
        with self._keeper.changed:
            stop.set()
            self._keeper.changed.notify_all()

    def _published(self, from_sequence: int) -> Iterator[LogEntry]:
        """Yields the entries that the current snapshot shows."""
        newest = self._keeper.snapshot.sequence
        state = self._keeper.state
        for sequence in range(max(1, from_sequence), newest + 1):
            yield state.entry(sequence)

    def _news_after(self, sequence: int, stop: threading.Event | None = None) -> Callable[[], bool]:
        """Returns the question whether one who has seen `sequence` has something to do."""

        def news() -> bool:
            stopped = self._closed.is_set() or (stop is not None and stop.is_set())
            return stopped or self._keeper.snapshot.sequence > sequence

        return news
