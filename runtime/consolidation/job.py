"""Consolidation jobs: one at a time, in the background, each leaving the state before or after.

    selecting → covariance → targets → solving → gating → writing → activating

Every stage ends with a file (spec.py) or a log entry, so a job that was cut off, by whatever, goes
on at the next start where the files end. The computing stages run in a child process; this thread
only waits for it, writes the edition and activates it. It also follows the log: a namespace that
left an edition because an edit in it went out of force gets a new one.
"""

from __future__ import annotations

import logging
import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from memory.edit_memory import EditMemory
from memory.errors import (
    Cancelled,
    ConsolidationFailed,
    ConsolidationRunning,
    ErrataError,
    InvalidInput,
    RequestIdReused,
    WrongState,
)
from memory.record import EDITION_BASE
from runtime.consolidation.edition import EditionRecord
from runtime.consolidation.editions import Editions
from runtime.consolidation.hyperparameters import rule, with_changes
from runtime.consolidation.operations import (
    Estimate,
    JobRequest,
    Operation,
    OperationStore,
    Stage,
    State,
)
from runtime.consolidation.phrasebook import PhraseBook
from runtime.consolidation.rebuild import rebuild_request
from runtime.consolidation.results import edition_record, facts_of
from runtime.consolidation.selection import Selection, changed_since, select
from runtime.consolidation.settings import JobSettings, job_spec
from runtime.consolidation.spec import JobSpec, read_delta, read_spec, read_verdict, write_spec
from runtime.consolidation.worker import Worker

logger = logging.getLogger(__name__)

BLOCKS_ANY = 32  # Settings are checked before the model is asked how many it has.
SELECTIONS_MAX = 3  # How often a job begins anew because its edits changed while it ran.
COMPUTING = {stage.value: stage for stage in (Stage.COVARIANCE, Stage.TARGETS, Stage.SOLVING)}
COMPUTING[Stage.GATING.value] = Stage.GATING


EstimateJob = Callable[[int], Estimate]  # From the number of edits.


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
        self._worker = worker
        self._settings = settings
        self._estimate = estimate
        self._clock = clock
        self._book = PhraseBook.load(settings.facts_file, settings.relations_file)
        self._changed = threading.Condition()
        self._queue: list[str] = []  # Ids of operations that are to run; at most one is asked for.
        self._stop = threading.Event()  # Of the running job.
        self._running: str | None = None
        self._cancelled: set[str] = set()
        self._closing = threading.Event()
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

        Raises InvalidInput, NotFound (namespace), WrongState (no edits to write),
        ConsolidationRunning, and ConsolidationFailed when it needs more memory than it may take.
        """
        known = self._replayed(request)
        if known is not None:
            return known
        request = self._checked(request)
        selection = select(self._memory.snapshot(), request, self._book)
        estimate = self._check_size(request, selection)
        with self._changed:
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
        self._closing.set()
        with self._changed:
            self._stop.set()
            self._changed.notify_all()
        for thread in (self._thread, self._follower):
            if thread.ident is not None:
                thread.join()

    def _replayed(self, request: JobRequest) -> Operation | None:
        """Returns what the request id began before. Raises RequestIdReused for another content."""
        if not request.request_id:
            return None
        known = self.operations.find_request(request.namespace, request.request_id)
        if known is None:
            return None
        if replace(known.request, editor="") != replace(request, editor=""):
            raise RequestIdReused(
                f"request_id {request.request_id!r} was used before for another request; "
                "draw a new one for every new request, and keep it for retries only"
            )
        return known

    def _checked(self, request: JobRequest) -> JobRequest:
        editor = request.editor or self._settings.editor
        if editor not in self._settings.editors:
            raise InvalidInput(
                f"editor is {editor!r}; known are {', '.join(self._settings.editors)}",
                field="editor",
            )
        if request.edit_filter.states:
            raise InvalidInput(
                "filter.states is set; a job takes edits in force, so leave it unset",
                field="filter.states",
            )
        with_changes(rule(BLOCKS_ANY), request.settings)  # Layers are checked by the model's depth.
        return replace(request, editor=editor)

    def _check_size(self, request: JobRequest, selection: Selection) -> Estimate:
        if not selection.facts:
            why = f" ({len(selection.left_out)} name no subject)" if selection.left_out else ""
            raise WrongState(
                f"namespace {request.namespace!r} has no edits in force that the filter "
                f"selects{why}; there is nothing to write"
            )
        estimate = self._estimate(len(selection.facts))
        cap = estimate.memory_cap_bytes
        if cap and estimate.memory_bytes > cap and not request.validate_only:
            raise WrongState(
                f"the job needs about {estimate.memory_bytes / 2**20:.0f} MiB and may take "
                f"{cap / 2**20:.0f}; raise consolidation.memory_mb, or select fewer edits"
            )
        return estimate

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
            self._stages(name)
        except Cancelled:
            if self._closing.is_set() and name not in self._cancelled:
                return
            self._end(name, State.CANCELLED, "CANCELLED", "the job was cancelled")
        except ErrataError as error:
            self._end(name, State.FAILED, error.reason, str(error))
        except Exception as error:
            logger.exception("%s failed", name)
            reason = "STORAGE_FULL" if isinstance(error, OSError) else "INTERNAL"
            self._end(name, State.FAILED, reason, f"{type(error).__name__}: {error}")

    def _stages(self, name: str) -> None:
        for attempt in range(SELECTIONS_MAX):
            record = self.editions.store.find_job(name)
            if record is None:
                record = self._compute(name)
            if record is not None and self._activate(name, record):
                return
            logger.info("%s: its edits changed while it ran (%d)", name, attempt + 1)
            shutil.rmtree(self._folder / name, ignore_errors=True)
        raise ConsolidationFailed(
            f"edits were retired or changed during each of {SELECTIONS_MAX} attempts; consolidate "
            "again when the memory is quieter, or select fewer edits"
        )

    def _compute(self, name: str) -> EditionRecord | None:
        """Computes, gates and writes; None when the edits changed meanwhile."""
        folder, request = self._folder / name, self.operations.get(name).request
        self._enter(name, Stage.SELECTING)
        spec = read_spec(folder)
        if spec is None:
            spec = self._select(name, request)
            write_spec(folder, spec)
        restarts = self._worker.run(folder, self._progress(name), self._stop)
        if restarts:
            known = self.operations.get(name).restarts
            self.operations.update(name, restarts=known + restarts)
        verdict, delta = read_verdict(folder), read_delta(folder)
        if verdict is None or delta is None:
            raise ConsolidationFailed("the consolidation process ended without a result")
        self.operations.update(name, measures=verdict.measures)
        if not verdict.passed:
            raise ConsolidationFailed(f"the gate refuses the edition: {verdict.reason}")
        if changed_since(self._memory.snapshot(), request, spec.facts):
            return None
        self._enter(name, Stage.WRITING)
        known_max = max(
            (
                one.edition
                for space in self._memory.snapshot().namespaces
                for one in self._memory.activations(space)
            ),
            default=EDITION_BASE,
        )
        record = edition_record(spec, verdict, delta.settings, created_at_s=self._clock())
        return self.editions.store.write(record, delta.matrices, above=known_max)

    def _select(self, name: str, request: JobRequest) -> JobSpec:
        settings = self._settings
        selection = select(self._memory.snapshot(), request, self._book)
        self._check_size(request, selection)
        self.operations.update(name, edits=len(selection.facts), left_out=len(selection.left_out))
        return job_spec(name, request, selection, settings, cache=self._folder / "cache")

    def _activate(self, name: str, record: EditionRecord) -> bool:
        """Activates what was written, when asked to; whether the job is done."""
        request = self.operations.get(name).request
        self._enter(name, Stage.ACTIVATING)
        sequence, activated = 0, False
        if request.activate:
            try:
                written = self.editions.activate(
                    record.namespace, record.number, reason=f"operations/{name}"
                )
            except WrongState:
                if changed_since(self._memory.snapshot(), request, facts_of(record)):
                    raise ConsolidationFailed(
                        f"edition {record.number} was written, but edits that it was computed "
                        "from are no longer in force or say something else; consolidate again"
                    ) from None
                raise
            sequence, activated = written.sequence, True
        shutil.rmtree(self._folder / name, ignore_errors=True)
        self._settle(
            name,
            state=State.SUCCEEDED,
            stage=Stage.DONE,
            edition=record.number,
            activated=activated,
            sequence=sequence,
        )
        return True

    def _enter(self, name: str, stage: Stage) -> None:
        """Notes the stage, durably. Raises Cancelled between stages."""
        if self._stop.is_set():
            raise Cancelled("the job was stopped")
        self.operations.update(name, stage=stage, done=0, total=0)

    def _progress(self, name: str) -> Callable[[str, int, int], None]:
        def progress(stage: str, done: int, total: int) -> None:
            known = COMPUTING.get(stage, Stage.SOLVING)
            changed = self.operations.get(name).stage is not known
            self.operations.update(name, durable=changed, stage=known, done=done, total=total)

        return progress

    def _end(self, name: str, state: State, reason: str, message: str) -> None:
        logger.warning("operations/%s: %s", name, message)
        self._settle(name, state=state, error_reason=reason, error=message)
        shutil.rmtree(self._folder / name, ignore_errors=True)

    def _settle(self, name: str, **changes: Any) -> None:
        """Notes how a job ended, also on a full disk: nobody is to wait for an end that came.

        What is not durable is found out again by the next start, which resumes the job.
        """
        try:
            self.operations.update(name, **changes)
        except OSError as error:
            logger.warning("the end of operations/%s is not durable: %s", name, error)
            self.operations.update(name, durable=False, **changes)

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
