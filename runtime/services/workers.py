"""Threads for blocking calls: bounded, so that a flood is refused instead of remembered."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar

from memory.errors import Overloaded

T = TypeVar("T")


class Workers:
    """A thread pool with a bounded queue, awaited from the event loop."""

    def __init__(self, *, threads: int, queue_max: int, name: str) -> None:
        self._pool = ThreadPoolExecutor(max_workers=threads, thread_name_prefix=f"errata-{name}")
        self._limit = threads + queue_max
        self._lock = threading.Lock()
        self._held = 0

    @property
    def held(self) -> int:
        """Calls that run or wait."""
        return self._held

    async def run(self, call: Callable[..., T], *arguments: Any, **named: Any) -> T:
        """Runs a blocking call in a thread and returns what it returns.

        Raises Overloaded when too many wait. A cancelled caller leaves a call that already runs
        to end by itself; one that still waits is dropped.
        """
        with self._lock:
            if self._held >= self._limit:
                raise Overloaded(f"{self._limit} memory calls are in hand; retry later")
            self._held += 1
        try:
            future = self._pool.submit(partial(call, *arguments, **named))
        except BaseException:
            self._let_go()
            raise
        future.add_done_callback(self._let_go)
        return await asyncio.wrap_future(future)

    def close(self) -> None:
        """Ends the threads once the running calls are done; what waits is dropped."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _let_go(self, _: Future[Any] | None = None) -> None:
        with self._lock:
            self._held -= 1


class Slots:
    """Counts what runs for long and holds a thread. Used from the event loop alone."""

    def __init__(self, limit: int, what: str) -> None:
        """Takes the most that may run and what they are called, in the plural."""
        self._limit = limit
        self._what = what
        self.held = 0

    def take(self) -> None:
        """Takes a place. Raises Overloaded when there is none."""
        if self.held >= self._limit:
            raise Overloaded(
                f"{self._limit} {self._what} are running; end one, or retry later",
                retry_after_s=5.0,
            )
        self.held += 1

    def give_back(self) -> None:
        """Gives a place back."""
        self.held -= 1
