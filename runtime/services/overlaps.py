"""Overlaps over the wire: looked for after a write, in its caller's thread, and listed as a stream.

A write is durable and visible before it is looked at, so looking can neither fail nor delay it for
anybody but its caller.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass

import structlog

from memory.edit_memory import EditMemory
from memory.errors import Overloaded, Unavailable
from memory.record import Edit, EditId
from memory.snapshot import MemorySnapshot
from memory.space import is_live
from memory.writes import WriteResult
from protos.errata.v1 import memory_pb2
from runtime.overlap_scan import OverlapScan
from runtime.overlaps import OverlapFinder, OverlapPair
from runtime.services.call import note
from runtime.services.limits import ServiceLimits
from runtime.services.parts import ServiceParts
from runtime.services.wire_overlaps import PAIRS_AT_ONCE, pair_to_pb


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """What was found beside a write."""

    pairs: tuple[OverlapPair, ...] = ()
    complete: bool = False  # Whether every edit that was written was looked at.


class WriteCheck:
    """Looks at what a write was about. Thread-safe."""

    def __init__(self, finder: OverlapFinder, memory: EditMemory, limits: ServiceLimits) -> None:
        self._finder = finder
        self._memory = memory
        self._limits = limits
        self._log = structlog.get_logger("errata.overlaps")

    def look(
        self,
        result: WriteResult,
        *,
        validate_only: bool,
        deadline_s: float | None,
        stopped: Callable[[], bool] = lambda: False,
    ) -> Looked:
        """Returns what overlaps the written edits, or would; raises nothing.

        `deadline_s` is the caller's, of time.monotonic(); what it leaves no time for is left out,
        and so is what is left when it is `stopped`.
        """
        until_s = None if deadline_s is None else deadline_s - self._limits.overlap_margin_s
        pairs: list[OverlapPair] = []
        told: set[frozenset[EditId]] = set()
        looked = 0
        try:
            snapshot = self._memory.snapshot()
            for edit in _in_force(result, snapshot, validate_only=validate_only):
                if stopped() or (until_s is not None and time.monotonic() >= until_s):
                    return Looked(pairs=tuple(pairs))
                looked += 1
                found = self._finder.find(edit, snapshot)
                for overlap in found[: self._limits.overlaps_shown_max]:
                    both = frozenset({edit.id, overlap.edit.id})
                    if both not in told:
                        told.add(both)
                        pairs.append(OverlapPair(edit=edit, overlap=overlap))
        except Exception as error:  # noqa: BLE001  # The write stands whatever happens here.
            self._log.exception("overlaps not found", error=str(error))
            return Looked(pairs=tuple(pairs))
        return Looked(pairs=tuple(pairs), complete=looked > 0)


def _in_force(
    result: WriteResult, snapshot: MemorySnapshot, *, validate_only: bool
) -> Iterator[Edit]:
    """Yields the edits in force that a write was about and that nobody has changed since.

    Also those that it left as they were: saying a thing again makes it no later, and a later edit
    may speak for it.
    """
    for edit in result.edits:
        if not is_live(edit):
            continue
        held = edit if validate_only else snapshot.get(edit.namespace, edit.id)
        if held is not None and is_live(held) and held.revision == edit.revision:
            yield edit


async def find_overlaps(
    parts: ServiceParts, scan: OverlapScan
) -> AsyncIterator[memory_pb2.FindOverlapsResponse]:
    """Yields pairs as they are found, and how far the search is.

    Works in slices, one at a time, in a thread; while answers are being generated it rests as long
    as it has worked. Raises Overloaded when too many searches run, Unavailable when the server
    drains.
    """
    limits = parts.limits
    parts.scans.take()
    try:
        found, told_s = 0, time.monotonic()
        while not scan.done:
            if parts.draining.is_set():
                raise Unavailable("the server is stopping; search again", reason="DRAINING")
            began_s = time.monotonic()
            try:
                pairs = await parts.workers.run(scan.step, limits.overlap_slice_s)
            except Overloaded:  # Others read and write too; a search has time.
                await asyncio.sleep(limits.import_backoff_s)
                continue
            found += len(pairs)
            now_s = time.monotonic()
            if pairs or now_s - told_s >= limits.overlap_report_s:
                told_s = now_s
                for answer in _answers(pairs, scan, found):
                    yield answer
            if parts.engine.health().running:
                await asyncio.sleep(now_s - began_s)
        note(examined=scan.examined, overlaps=found, sequence=scan.sequence)
        (last,) = _answers((), scan, found)
        last.done = True
        yield last
    finally:
        parts.scans.give_back()


def _answers(
    pairs: Sequence[OverlapPair], scan: OverlapScan, found: int
) -> Iterator[memory_pb2.FindOverlapsResponse]:
    """Cuts what one slice found into messages of a bounded size; one at least."""
    for start in range(0, len(pairs) or 1, PAIRS_AT_ONCE):
        yield memory_pb2.FindOverlapsResponse(
            pairs=[pair_to_pb(pair) for pair in pairs[start : start + PAIRS_AT_ONCE]],
            examined=scan.examined,
            total=scan.total,
            found=found,
            sequence=scan.sequence,
        )
