"""One job from its first stage to its last: select, have it computed, write, activate.

    selecting → covariance → targets → solving → refining → gating → writing → activating

Every stage ends with a file (spec.py) or a log entry, so a job that was cut off, by whatever, goes
on where the files end. It knows nothing of other jobs; job.py says when one runs.
"""

from __future__ import annotations

import logging
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from memory.edit_memory import EditMemory
from memory.errors import Cancelled, ConsolidationFailed, WrongState
from memory.record import EDITION_BASE
from runtime.consolidation.admission import Admission
from runtime.consolidation.edition import EditionRecord
from runtime.consolidation.editions import Editions
from runtime.consolidation.operations import JobRequest, OperationStore, Stage, State
from runtime.consolidation.results import edition_record, facts_of
from runtime.consolidation.reuse import same_edition
from runtime.consolidation.selection import changed_since
from runtime.consolidation.settings import JobSettings, job_spec
from runtime.consolidation.spec import JobSpec, read_delta, read_spec, read_verdict, write_spec
from runtime.consolidation.worker import Worker

logger = logging.getLogger(__name__)

SELECTIONS_MAX = 3  # How often a job begins anew because its edits changed while it ran.
COMPUTING = {
    stage.value: stage
    for stage in (Stage.COVARIANCE, Stage.TARGETS, Stage.SOLVING, Stage.REFINING, Stage.GATING)
}


class Stages:
    """Runs one job at a time, in the caller's thread."""

    def __init__(
        self,
        *,
        folder: Path,
        memory: EditMemory,
        editions: Editions,
        operations: OperationStore,
        worker: Worker,
        settings: JobSettings,
        admission: Admission,
        clock: Callable[[], float],
        stop: threading.Event,
    ) -> None:
        """Takes the parts; `stop` ends the running job, `folder` holds the files of jobs."""
        self._operations = operations
        self._folder = folder
        self._memory = memory
        self._editions = editions
        self._worker = worker
        self._settings = settings
        self._admission = admission
        self._clock = clock
        self._stop = stop

    def run(self, name: str) -> None:
        """Runs a job from where its files end until its edition is there, and activated if asked.

        Raises Cancelled soon after `stop` is set, ConsolidationFailed, what reading and writing
        editions may, and OSError. `end` notes what it raised.
        """
        for attempt in range(SELECTIONS_MAX):
            record = self._editions.store.find_job(name)
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
        """Computes, gates and writes, or finds it there; None when the edits changed meanwhile."""
        folder, request = self._folder / name, self._operations.get(name).request
        self._enter(name, Stage.SELECTING)
        spec = read_spec(folder)
        if spec is None:
            spec = self._select(name, request)
            write_spec(folder, spec)
        known = same_edition(self._editions.store, spec)
        if known is not None:
            if changed_since(self._memory.snapshot(), request, spec.facts):
                return None
            logger.info("%s: edition %d holds the same already", name, known.number)
            self._operations.update(name, measures=known.measures)
            return known
        restarts = self._worker.run(folder, self._progress(name), self._stop)
        if restarts:
            before = self._operations.get(name).restarts
            self._operations.update(name, restarts=before + restarts)
        verdict, delta = read_verdict(folder), read_delta(folder)
        if verdict is None or delta is None:
            raise ConsolidationFailed("the consolidation process ended without a result")
        self._operations.update(name, measures=verdict.measures)
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
        return self._editions.store.write(record, delta.matrices, above=known_max)

    def _select(self, name: str, request: JobRequest) -> JobSpec:
        selection, _ = self._admission.select(self._memory.snapshot(), request)
        self._operations.update(name, edits=len(selection.facts), left_out=len(selection.left_out))
        return job_spec(name, request, selection, self._settings, cache=self._folder / "cache")

    def _activate(self, name: str, record: EditionRecord) -> bool:
        """Activates what was written, when asked to; whether the job is done."""
        request = self._operations.get(name).request
        self._enter(name, Stage.ACTIVATING)
        sequence, activated = 0, False
        if request.activate:
            try:
                written = self._editions.activate(
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
            reused=record.job != name,
            activated=activated,
            sequence=sequence,
        )
        return True

    def _enter(self, name: str, stage: Stage) -> None:
        """Notes the stage, durably. Raises Cancelled between stages."""
        if self._stop.is_set():
            raise Cancelled("the job was stopped")
        self._operations.update(name, stage=stage, done=0, total=0)

    def _progress(self, name: str) -> Callable[[str, int, int], None]:
        def progress(stage: str, done: int, total: int) -> None:
            known = COMPUTING.get(stage, Stage.SOLVING)
            changed = self._operations.get(name).stage is not known
            self._operations.update(name, durable=changed, stage=known, done=done, total=total)

        return progress

    def end(self, name: str, state: State, reason: str, message: str) -> None:
        """Notes that a job did not succeed, and takes its files away."""
        logger.warning("operations/%s: %s", name, message)
        self._settle(name, state=state, error_reason=reason, error=message)
        shutil.rmtree(self._folder / name, ignore_errors=True)

    def _settle(self, name: str, **changes: Any) -> None:
        """Notes how a job ended, also on a full disk: nobody is to wait for an end that came.

        What is not durable is found out again by the next start, which resumes the job.
        """
        try:
            self._operations.update(name, **changes)
        except OSError as error:
            logger.warning("the end of operations/%s is not durable: %s", name, error)
            self._operations.update(name, durable=False, **changes)
