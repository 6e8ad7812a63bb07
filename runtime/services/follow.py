"""WatchEdits: follows the log from a thread of its own and says how far it is when idle."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from memory.errors import InvalidInput, Unavailable
from memory.record import Namespace
from memory.writes import LogEntry
from protos.errata.v1 import memory_pb2
from runtime.services.parts import ServiceParts
from runtime.services.wire_memory import change_to_pb


async def follow_log(
    parts: ServiceParts, namespace: Namespace | None, after_sequence: int
) -> AsyncIterator[memory_pb2.WatchEditsResponse]:
    """Yields the changes after a sequence for ever, with a checkpoint while nothing happens.

    Raises InvalidInput for a sequence that the log has not reached, Overloaded when too many
    watch, Unavailable when the server drains.
    """
    newest = parts.memory.snapshot().sequence
    if after_sequence > newest:
        raise InvalidInput(
            f"after_sequence is {after_sequence}, but the log ends at {newest}; give a sequence "
            "that an answer of this server named",
            field="after_sequence",
        )
    if namespace is not None:
        parts.memory.snapshot().count(namespace)  # Raises NotFound for an unknown one.
    parts.watches.take()
    stop = threading.Event()
    thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="errata-watch")
    try:
        entries = parts.memory.watch(after_sequence + 1, namespace, stop=stop)
        async for message in _messages(parts, namespace, after_sequence, entries, thread):
            yield message
    finally:
        stop.set()
        thread.shutdown(wait=False, cancel_futures=True)
        parts.watches.give_back()


async def _messages(
    parts: ServiceParts,
    namespace: Namespace | None,
    sent: int,
    entries: Iterator[LogEntry],
    thread: ThreadPoolExecutor,
) -> AsyncIterator[memory_pb2.WatchEditsResponse]:
    loop = asyncio.get_running_loop()
    draining = asyncio.ensure_future(parts.draining.wait())
    coming = loop.run_in_executor(thread, next, entries, None)
    try:
        while True:
            waited: set[asyncio.Future[Any]] = {coming, draining}
            done, _ = await asyncio.wait(
                waited,
                timeout=parts.limits.watch_checkpoint_s,
                return_when=asyncio.FIRST_COMPLETED,
            )
            if coming in done:
                entry = coming.result()
                if entry is None:
                    raise _stopping()
                sent = entry.sequence
                yield change_to_pb(entry)
                coming = loop.run_in_executor(thread, next, entries, None)
            elif draining in done:
                raise _stopping()
            else:
                reached = _reached(parts, namespace, sent)
                if reached is not None:
                    yield memory_pb2.WatchEditsResponse(sequence=reached, checkpoint=True)
    finally:
        draining.cancel()
        coming.cancel()


def _reached(parts: ServiceParts, namespace: Namespace | None, sent: int) -> int | None:
    """Returns the sequence up to which everything was sent; None while something is on its way."""
    newest = parts.memory.snapshot().sequence  # Read before looking, so that it can only be old.
    return None if parts.memory.entries(sent + 1, 1, namespace) else max(newest, sent)


def _stopping() -> Unavailable:
    return Unavailable(
        "the server is stopping; watch again from the last sequence", reason="DRAINING"
    )
