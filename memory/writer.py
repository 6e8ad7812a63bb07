"""The one thread that writes: callers queue, it takes what is there and commits it as a group.

Knows nothing of SQLite or edits. While one group is being synced the next one gathers, so the rate
grows with the callers and a lone caller waits for nobody.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, TypeVar

from memory.errors import Overloaded, Unavailable
from memory.limits import MemoryLimits
from memory.plans import Create, Operation
from memory.record import Vector
from memory.writes import WriteResult

logger = logging.getLogger(__name__)

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestKey:
    """A request id and the content it stands for."""

    namespace: str
    request_id: str
    digest: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A write on its way: answered through its future once it is durable and visible."""

    operation: Operation
    request: RequestKey | None = None
    validate_only: bool = False
    vectors: dict[str, Vector] = field(default_factory=dict)  # By prompt, as far as encoded.
    future: Future[WriteResult] = field(default_factory=Future)

    @property
    def size(self) -> int:
        """How many edits it writes, about."""
        return len(self.operation.drafts) if isinstance(self.operation, Create) else 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """Something else that must not run beside a write."""

    run: Callable[[], object]
    future: Future[Any] = field(default_factory=Future)


class GroupWriter:
    """Runs `commit` on groups of jobs, and `idle` between them, in its own thread.

    `commit` answers every job's future and raises nothing; `idle` returns the seconds after which
    it wants to be called again, or None.
    """

    def __init__(
        self,
        *,
        commit: Callable[[list[Job]], None],
        idle: Callable[[], float | None],
        limits: MemoryLimits,
    ) -> None:
        self._commit = commit
        self._idle = idle
        self._limits = limits
        self._queue: deque[Job | Task] = deque()
        self._changed = threading.Condition()
        self._closing = False
        self._thread = threading.Thread(target=self._loop, name="memory-writer", daemon=True)

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def submit(self, job: Job) -> WriteResult:
        """Queues a job and waits for its answer. Raises Overloaded, Unavailable, its errors."""
        self._put(job)
        return job.future.result()

    def call(self, run: Callable[[], T]) -> T:
        """Runs something in the writer's thread, between groups, and returns its value."""
        task = Task(run=run)
        self._put(task)
        result: T = task.future.result()
        return result

    def close(self) -> None:
        """Finishes what is queued and ends the thread. May be called twice."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        if self._thread.ident is not None:
            self._thread.join()

    def _put(self, item: Job | Task) -> None:
        with self._changed:
            if self._closing:
                raise Unavailable("the memory is closing; try another server", reason="DRAINING")
            if len(self._queue) >= self._limits.writes_queued_max:
                raise Overloaded(
                    f"{len(self._queue)} writes wait for the log; retry in a second",
                    retry_after_s=1.0,
                )
            self._queue.append(item)
            self._changed.notify_all()

    def _loop(self) -> None:
        wake_s: float | None = 0.0
        while True:
            with self._changed:
                if not self._queue and not self._closing:
                    self._changed.wait(wake_s)
                group = self._take()
                if not group and self._closing and not self._queue:
                    return
            self._run(group)
            try:
                wake_s = self._idle()
            except Exception:
                logger.exception("the writer's housekeeping failed")
                wake_s = 1.0

    def _take(self) -> list[Job | Task]:
        """Takes the jobs at the head of the queue, as many as a group may have, or one task."""
        group: list[Job | Task] = []
        edits = 0
        while self._queue and len(group) < self._limits.group_operations_max:
            item = self._queue[0]
            if isinstance(item, Task):
                return group or [self._queue.popleft()]
            if group and edits + item.size > self._limits.group_edits_max:
                break
            edits += item.size
            group.append(self._queue.popleft())
        return group

    def _run(self, group: list[Job | Task]) -> None:
        if group and isinstance(group[0], Task):
            task = group[0]
            try:
                task.future.set_result(task.run())
            except BaseException as error:  # noqa: BLE001  # It is the caller's to see.
                task.future.set_exception(error)
            return
        jobs = [item for item in group if isinstance(item, Job)]
        if not jobs:
            return
        try:
            self._commit(jobs)
        except BaseException as error:
            logger.exception("a group of %d writes failed unexpectedly", len(jobs))
            for job in jobs:
                if not job.future.done():
                    job.future.set_exception(error)
