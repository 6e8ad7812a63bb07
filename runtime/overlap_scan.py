"""A walk through a namespace that lists the pairs of edits that overlap, a slice at a time.

Memory stays small: a slice takes the newest snapshot, so nothing old is held, and all that is
remembered is a place in the order of creation. Edits written after the beginning are left to the
answers of their own writes.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from memory.conflicts import normalise
from memory.record import Edit, Namespace
from memory.snapshot import MemorySnapshot
from memory.space import is_live
from runtime.overlaps import OverlapFinder, OverlapPair

PAIRS_MAX = 100  # Found in one slice, after which it ends before its time.


class OverlapScan:
    """One walk; for one thread at a time.

    First come the edits whose prompt mentions the subject of another edit, which is where overlaps
    are; then, with `everywhere`, the others. A pair is told at the edit that was created later.
    """

    def __init__(
        self,
        finder: OverlapFinder,
        snapshot: Callable[[], MemorySnapshot],
        namespace: Namespace,
        *,
        subject: str = "",
        everywhere: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Takes the parts; `snapshot` returns the memory as of now. Raises NotFound."""
        self._finder = finder
        self._snapshot = snapshot
        self._namespace = namespace
        self._subject = normalise(subject)
        self._everywhere = everywhere
        self._clock = clock
        first = snapshot()
        self._end = first.space(namespace).created
        self._place = 0
        self._round = 0
        self.total = first.count(namespace)  # Edits in force at the beginning.
        self.examined = 0
        self.sequence = first.sequence  # Of the snapshot of the last slice.
        self.done = False

    def step(self, seconds: float) -> list[OverlapPair]:
        """Goes on for about `seconds`, one edit at least, and returns what was found."""
        until = self._clock() + seconds
        snapshot = self._snapshot()
        self.sequence = snapshot.sequence
        pairs: list[OverlapPair] = []
        for place, edit in snapshot.edits_from(self._namespace, self._place):
            if place >= self._end:
                break
            self._place = place + 1
            pairs += self._look(edit, place, snapshot)
            if len(pairs) >= PAIRS_MAX or self._clock() >= until:
                return pairs
        self._place, self._round = 0, self._round + 1
        self.done = self._round > int(self._everywhere)
        return pairs

    def _look(self, edit: Edit, place: int, snapshot: MemorySnapshot) -> list[OverlapPair]:
        """Returns the pairs that are told at an edit."""
        if not is_live(edit):
            return []
        first = self._round == 0
        if self._subject and normalise(edit.subject) != self._subject:
            self.examined += first
            return []
        if snapshot.mentions_others(edit) is not first:
            self.examined += first and not self._everywhere
            return []
        self.examined += 1
        cells = snapshot.space(self._namespace).cells

        def told_here(other: Edit) -> bool:
            apart = self._subject and normalise(other.subject) != self._subject
            return bool(apart) or cells[other.id].place < place

        found = self._finder.find(edit, snapshot, among=told_here)
        return [OverlapPair(edit=edit, overlap=overlap) for overlap in found]
