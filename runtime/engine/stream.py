"""Ways to consume a generation: block until it ends, or iterate over its events in asyncio."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import AsyncGenerator

from runtime.engine.contract import (
    EmittedToken,
    Engine,
    EngineEvent,
    EngineRequest,
    Failed,
    Finished,
    TokenDelta,
)


def collect(engine: Engine, request: EngineRequest) -> tuple[str, list[EmittedToken], Finished]:
    """Runs a generation to its end; returns its text, its tokens and its last event.

    Blocks. Raises what start() raises, and the error of Failed.
    """
    deltas: list[TokenDelta] = []
    last: list[Finished | Failed] = []
    ended = threading.Event()

    def receive(event: EngineEvent) -> None:
        if isinstance(event, TokenDelta):
            deltas.append(event)
        else:
            last.append(event)
            ended.set()

    generation = engine.start(request, receive)
    try:
        ended.wait()
    finally:
        generation.cancel()  # Only an interrupted wait leaves something to cancel.
    end = last[0]
    if isinstance(end, Failed):
        raise end.error
    tokens = [token for delta in deltas for token in delta.tokens]
    return "".join(delta.text for delta in deltas), tokens, end


async def stream(
    engine: Engine, request: EngineRequest
) -> AsyncGenerator[TokenDelta | Finished, None]:
    """Yields the events of a generation; Finished comes last.

    Deltas that wait for a slow consumer are merged into one, so what is buffered is bounded by the
    answer's own length, which max_tokens bounds. Closing the iterator, or cancelling the task that
    reads it, cancels the generation. Raises what start() raises, and the error of Failed.
    """
    inbox = _Inbox(asyncio.get_running_loop())
    generation = engine.start(request, inbox.deliver)
    try:
        while True:
            for event in await inbox.take():
                if isinstance(event, Failed):
                    raise event.error
                yield event
                if isinstance(event, Finished):
                    return
    finally:
        generation.cancel()


class _Inbox:
    """Hands events from the engine's thread to one task of an event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._lock = threading.Lock()
        self._events: deque[EngineEvent] = deque()
        self._arrived = asyncio.Event()

    def deliver(self, event: EngineEvent) -> None:
        """Takes an event; called by the engine's thread, never blocks."""
        with self._lock:
            waiting = bool(self._events)
            self._events.append(event)
        if waiting:
            return  # The loop has been told and has not come yet.
        try:
            self._loop.call_soon_threadsafe(self._arrived.set)
        except RuntimeError:
            # The loop is closed: nobody will read the rest.
            return

    async def take(self) -> list[EngineEvent]:
        """Waits for events and returns them, deltas in a row merged."""
        await self._arrived.wait()
        with self._lock:
            events = list(self._events)
            self._events.clear()
            self._arrived.clear()
        return _merge(events)


def _merge(events: list[EngineEvent]) -> list[EngineEvent]:
    """Returns the events with all deltas joined into one, before the last event if it is there."""
    deltas = [event for event in events if isinstance(event, TokenDelta)]
    ends: list[EngineEvent] = [event for event in events if not isinstance(event, TokenDelta)]
    if len(deltas) <= 1:
        return events
    joined = TokenDelta(
        text="".join(delta.text for delta in deltas),
        tokens=tuple(token for delta in deltas for token in delta.tokens),
    )
    return [joined, *ends]
