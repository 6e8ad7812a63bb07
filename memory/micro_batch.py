"""Micro-batching: many callers, one worker thread, batches of whatever waits.

Nothing waits on purpose: an idle worker takes a lone question at once, and while it computes, the
next batch gathers by itself. Single questions go before bulk work, which advances one slice after
each batch of them, so that neither starves. Knows nothing of what is computed.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

Compute = Callable[[Sequence[Item]], Sequence[Result]]


@dataclass(slots=True, kw_only=True)
class _Bulk(Generic[Item, Result]):
    """A long list on its way through the worker, slice by slice."""

    items: Sequence[Item]
    future: Future[list[Result]]
    done: list[Result] = field(default_factory=list)


class MicroBatcher(Generic[Item, Result]):
    """Runs `compute` on one thread for many callers.

    `compute` gets 1..batch_max items and returns as many results in their order; what it raises is
    raised in every caller of that batch and the worker goes on. `start` runs first on the worker's
    thread (to load and to pin); what it raises is raised in every caller, then and later.
    """

    def __init__(
        self,
        compute: Compute[Item, Result],
        *,
        batch_max: int,
        slice_max: int,
        start: Callable[[], None] = lambda: None,
        name: str = "micro-batch",
    ) -> None:
        if batch_max < 1 or slice_max < 1:
            raise ValueError(f"batch_max {batch_max}, slice_max {slice_max}; expected 1 or more")
        self._compute = compute
        self._start = start
        self._name = name
        self._batch_max = batch_max
        self._slice_max = slice_max
        self._wake = threading.Condition()
        self._singles: deque[tuple[Item, Future[Result]]] = deque()
        self._bulks: deque[_Bulk[Item, Result]] = deque()
        self._thread: threading.Thread | None = None
        self._closed = False

    def begin(self, item: Item) -> Future[Result]:
        """Hands in one item and waits for nothing. Raises RuntimeError if closed."""
        future: Future[Result] = Future()
        with self._wake:
            self._ensure_running()
            self._singles.append((item, future))
            self._wake.notify()
        return future

    def one(self, item: Item) -> Result:
        """Waits for the result of one item. Raises what `compute` does, RuntimeError if closed."""
        return self.begin(item).result()

    def many(self, items: Sequence[Item]) -> list[Result]:
        """Waits for the results of many items, in their order; single ones overtake them."""
        if not items:
            return []
        bulk: _Bulk[Item, Result] = _Bulk(items=items, future=Future())
        with self._wake:
            self._ensure_running()
            self._bulks.append(bulk)
            self._wake.notify()
        return bulk.future.result()

    def close(self) -> None:
        """Finishes what waits and ends the worker, for good: later calls raise RuntimeError."""
        with self._wake:
            self._closed = True
            self._wake.notify()
            thread = self._thread
        if thread is not None:
            thread.join()

    def _ensure_running(self) -> None:
        if self._closed:
            raise RuntimeError(f"{self._name} is closed; build a new one")
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
            self._thread.start()

    def _run(self) -> None:
        try:
            self._start()
        except Exception as error:  # noqa: BLE001  Handed to every caller instead.
            self._fail_all(error)
            return
        while True:
            with self._wake:
                while not (self._singles or self._bulks or self._closed):
                    self._wake.wait()
                if not (self._singles or self._bulks):
                    return  # Closed, and nothing waits.
                count = min(len(self._singles), self._batch_max)
                batch = [self._singles.popleft() for _ in range(count)]
                bulk = self._bulks[0] if self._bulks else None
            if batch:
                self._run_singles(batch)
            if bulk is not None:
                self._advance(bulk)

    def _run_singles(self, batch: Sequence[tuple[Item, Future[Result]]]) -> None:
        try:
            results = self._compute([item for item, _ in batch])
        except Exception as error:  # noqa: BLE001  Belongs to the callers.
            for _, future in batch:
                future.set_exception(error)
            return
        for (_, future), result in zip(batch, results, strict=True):
            future.set_result(result)

    def _advance(self, bulk: _Bulk[Item, Result]) -> None:
        begin = len(bulk.done)
        try:
            bulk.done.extend(self._compute(bulk.items[begin : begin + self._slice_max]))
        except Exception as error:  # noqa: BLE001  Belongs to the caller.
            self._bulks.popleft()
            bulk.future.set_exception(error)
            return
        if len(bulk.done) == len(bulk.items):
            self._bulks.popleft()
            bulk.future.set_result(bulk.done)

    def _fail_all(self, error: Exception) -> None:
        """Ends the worker because its start failed; the next call starts it anew."""
        with self._wake:
            waiting = [future for _, future in self._singles]
            bulks = list(self._bulks)
            self._singles.clear()
            self._bulks.clear()
            self._thread = None
        for future in waiting:
            future.set_exception(error)
        for bulk in bulks:
            bulk.future.set_exception(error)
