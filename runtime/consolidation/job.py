"""Consolidation jobs: one at a time, in the background, each leaving the state before or after.

What a job does is in stages.py; here is when. A job that was cut off, by whatever, goes on at the
next start. The log is followed, too: a namespace that left an edition because an edit in it went
out of force gets a new one.
"""

from __future__ import annotations

import logging
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path

from memory.edit_memory import EditMemory
from memory.errors import Cancelled, ConsolidationRunning, ErrataError
from runtime.consolidation.admission import Admission, EstimateJob
from runtime.consolidation.editions import Editions
from runtime.consolidation.operations import JobRequest, Operation, OperationStore, Stage, State
from runtime.consolidation.rebuild import rebuild_request
from runtime.consolidation.settings import JobSettings
from runtime.consolidation.stages import Stages
from runtime.consolidation.worker import Worker

logger = logging.getLogger(__name__)


class Consolidator:
    """Starts, resumes, cancels and remembers jobs. Thread-safe."""

    def __init__(
        self,
        *,
        folder: Path,
        memory: EditMemory,
        editions: Editions,
        operations: OperationStore,
        worker: Worker,
        settings: JobSettings,
        estimate: EstimateJob,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Takes the parts; `folder` holds the files of jobs. `start` begins the work."""
        self.operations = operations
        self.editions = editions
        self._folder = folder
        self._memory = memory
        self._settings = settings
        self._admission = Admission(operations=operations, settings=settings, estimate=estimate)
        self._changed = threading.Condition()
        self._queue: list[str] = []  # Ids of operations that are to run; at most one is asked for.
        self._stop = threading.Event()  # Of the running job.
        self._running: str | None = None
        self._cancelled: set[str] = set()
        self._closing = threading.Event()
        self._stages = Stages(
            folder=folder,
            memory=memory,
            editions=editions,
            operations=operations,
            worker=worker,
            settings=settings,
            admission=self._admission,
            clock=clock,
            stop=self._stop,
        )
        self._thread = threading.Thread(target=self._work, name="consolidation", daemon=True)
        self._follower = threading.Thread(target=self._follow, name="edition-log", daemon=True)

    def start(self) -> None:
        """Sweeps what a crash left, resumes what it cut off, and begins to work."""
        self.editions.store.sweep()
        unfinished = [one for one in reversed(self.operations.all()) if not one.ended]
        for operation in unfinished:
            logger.info("resuming %s at stage %s", operation.id, operation.stage.value)
            self.operations.update(operation.id, restarts=operation.restarts + 1)
        self._queue = [one.id for one in unfinished]
        self._sweep_folders({one.id for one in unfinished})
        if not unfinished:
            self._rebuild_left()
        self._thread.start()
        self._follower.start()

    def submit(self, request: JobRequest) -> Operation:
        """Begins a job; durable when it returns.

        Raises InvalidInput, NotFound (namespace), RequestIdReused, ConsolidationRunning, and
        WrongState when there are no edits to write or it needs more memory than it may take.
        """
        known = self._admission.replayed(request)
        if known is not None:
            return known
        request = self._admission.checked(request)
        selection, estimate = self._admission.select(self._memory.snapshot(), request)
        with self._changed:
            known = self._admission.replayed(request)  # By a twin that was checked beside this one.
            if known is not None:
                return known
            busy = self._busy()
            if busy is not None and not request.validate_only:
                raise ConsolidationRunning(
                    f"operations/{busy} runs already; wait for it or cancel it: one consolidation "
                    "at a time",
                    operation=f"operations/{busy}",
                )
            operation = self.operations.create(request)
            operation = self.operations.update(
                operation.id,
                edits=len(selection.facts),
                left_out=len(selection.left_out),
                estimate=estimate,
            )
            if request.validate_only:
                return self.operations.update(operation.id, state=State.SUCCEEDED, stage=Stage.DONE)
            self._queue.append(operation.id)
            self._changed.notify_all()
        return operation

    def cancel(self, name: str) -> None:
        """Asks a job to stop; it ends as cancelled unless it is over first. Raises NotFound."""
        operation = self.operations.get(name)
        if operation.ended:
            return
        with self._changed:
            self._cancelled.add(name)
            if self._running == name:
                self._stop.set()
            self._changed.notify_all()

    def close(self) -> None:
        """Stops the running job, which the next start resumes, and ends the threads."""
        self._memory.end_watch(self._closing)
        with self._changed:
            self._stop.set()
            self._changed.notify_all()
        for thread in (self._thread, self._follower):
            if thread.ident is not None:
                thread.join()

    def _busy(self) -> str | None:
        """Returns the operation that runs or waits to; the caller holds the lock."""
        if self._running is not None and not self.operations.get(self._running).ended:
            return self._running
        return self._queue[0] if self._queue else None

    def _work(self) -> None:
        """Runs jobs until closed. The thread's body."""
        while (name := self._next()) is not None:
            try:
                self._run(name)
            except Exception:
                logger.exception("the consolidation thread failed on %s", name)
            with self._changed:
                self._running = None
                self._cancelled.discard(name)
            if not self._closing.is_set():
                self._rebuild_left()

    def _next(self) -> str | None:
        with self._changed:
            self._changed.wait_for(lambda: self._queue or self._closing.is_set())
            if self._closing.is_set():
                return None
            name = self._queue.pop(0)
            self._running = name
            self._stop.clear()
            if name in self._cancelled:
                self._stop.set()
            return name

    def _run(self, name: str) -> None:
        """Runs one job to its end, whatever that is; a closing server leaves it unfinished."""
        try:
            self._stages.run(name)
        except Cancelled:
            if self._closing.is_set() and name not in self._cancelled:
                return
            self._stages.end(name, State.CANCELLED, "CANCELLED", "the job was cancelled")
        except ErrataError as error:
            self._stages.end(name, State.FAILED, error.reason, str(error))
        except Exception as error:
            logger.exception("%s failed", name)
            reason = "STORAGE_FULL" if isinstance(error, OSError) else "INTERNAL"
            self._stages.end(name, State.FAILED, reason, f"{type(error).__name__}: {error}")

    def _sweep_folders(self, wanted: set[str]) -> None:
        for path in self._folder.glob("consolidate-*"):
            if path.name not in wanted:
                shutil.rmtree(path, ignore_errors=True)

    def _follow(self) -> None:
        """Lets go of editions that were left, and sees to new ones. A thread's body."""
        sequence = self._memory.snapshot().sequence
        for entry in self._memory.watch(sequence + 1, stop=self._closing):
            if entry.activation is None:
                continue
            self.editions.trim()
            if entry.activation.automatic:
                self._rebuild_left()

    def _rebuild_left(self) -> None:
        """Queues a job for a namespace whose edition had to be left, when none runs."""
        if not self._settings.rebuild:
            return
        snapshot = self._memory.snapshot()
        for namespace in snapshot.namespaces:
            request = rebuild_request(
                namespace, self._memory, self.editions.store, self.operations, self._settings
            )
            if request is None:
                continue
            try:
                self.submit(request)
            except ConsolidationRunning:
                return  # Looked at again when that one has ended.
            except ErrataError as error:
                logger.info("no new edition for namespace %s: %s", namespace, error)
