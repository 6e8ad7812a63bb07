"""Keeps log and memory in step: plans, appends, commits, applies, publishes, and only then answers.

All of it runs in the writer's thread; the snapshot and the read-only reason are read by anyone.
When the storage fails nothing more is acknowledged: the log is closed, writes are refused, reads
go on, and from time to time the log is opened again. What was being committed when it failed may
turn out to be in it or not; either way the memory follows the log, and nobody was told otherwise.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from memory.contracts import Encoder
from memory.database import Connect, is_storage_failure
from memory.directory import DataDirectory
from memory.editions import leave_stale_editions
from memory.errors import DataDirectoryError, ErrataError, RequestIdReused, StorageReadOnly
from memory.limits import MemoryLimits
from memory.log import EditLog, RequestRow
from memory.overlay import Overlay
from memory.parts import close_index
from memory.plans import Expire
from memory.record import Namespace, Vector
from memory.recovery import SpaceMaker, compare, load, space_of
from memory.snapshot import MemorySnapshot
from memory.state import KeyChanges, update_parts, view_of
from memory.status import IntegrityReport
from memory.storage import Storage
from memory.work import Work, decode_answer, encode_answer
from memory.writer import Job, RequestKey
from memory.writes import LogEntry, WriteResult

logger = logging.getLogger(__name__)

IDLE_MAX_S = 60.0  # Between two looks at the clock, which may be set.
FORGET_EVERY_S = 3600.0  # Between two purges of old request ids.


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What a keeper is made of."""

    encoder: Encoder
    limits: MemoryLimits
    clock: Callable[[], float]
    maker: SpaceMaker
    connect: Connect


class Keeper:
    """Owns log and state. Methods belong to the writer's thread; properties to anyone."""

    def __init__(self, directory: DataDirectory, parts: Parts) -> None:
        self.last_check: IntegrityReport | None = None
        self.changed = threading.Condition()  # Notified when snapshot or read-only reason change.
        self._storage = Storage(directory, parts.connect)
        self._parts = parts
        self._limits = parts.limits
        self._clock = parts.clock
        self._read_only = ""
        self._retry_at_s = 0.0  # Of the monotonic clock.
        self._forget_at_s = 0.0  # Of the monotonic clock.
        log = self._storage.open(create=self._storage.is_new)
        try:
            self.state = load(log, parts.encoder, parts.maker)
            self._storage.check_witness(log)
            if self._storage.is_new:
                self._storage.mark_ready()
        except BaseException:
            log.close()
            raise
        self._log: EditLog | None = log
        self._chain = log.chain  # Of the last entry that the memory has taken in.
        self._storage.write_witness(log)
        self._snapshot = self._whole_snapshot()

    @property
    def snapshot(self) -> MemorySnapshot:
        """The memory as of the last commit."""
        return self._snapshot

    @property
    def read_only(self) -> str:
        """Why writes are refused; empty when they are not."""
        return self._read_only

    @property
    def log_bytes(self) -> int:
        """Size of the database and its write-ahead file."""
        return self._storage.bytes

    def refuse_when_read_only(self) -> None:
        """Raises StorageReadOnly while writes are refused."""
        if self._read_only:
            raise self._refusal()

    def commit(self, jobs: list[Job]) -> None:
        """Does the jobs as one transaction and answers each of them."""
        work = Work(self.state, self.state.sequence)
        try:
            log = self._usable_log()
            self._append_all(log, jobs, work)
            self._finish(log, work)
        except Exception as error:
            if self._log is not None and _ends_service(error):
                self._close_failed(error)
            elif self._log is not None:
                self._log.rollback()
            if not isinstance(error, StorageReadOnly) and not _ends_service(error):
                raise
            for job in jobs:
                if not job.future.done():
                    job.future.set_exception(self._refusal())

    def idle(self) -> float | None:
        """Does what is due between groups; returns the seconds until something is due again."""
        if self._log is None:
            remaining_s = self._retry_at_s - time.monotonic()
            if remaining_s > 0:
                return remaining_s
            if not self._reopen():
                return self._limits.storage_retry_s
        self.sweep()
        if self._log is not None and time.monotonic() >= self._forget_at_s:
            self._forget_requests(self._log)
        expiry_s = self.state.next_expiry_s()
        if self._log is None or expiry_s is None:
            return self._limits.storage_retry_s if self._log is None else IDLE_MAX_S
        return min(IDLE_MAX_S, max(0.0, expiry_s - self._clock()))

    def sweep(self) -> int:
        """Writes down expiries that are due, unless read-only; returns how many."""
        written = 0
        while self._log is not None:
            due = self.state.take_due(self._clock(), self._limits.sweep_edits_max)
            if not due:
                break
            job = Job(operation=Expire(due=due))
            try:
                self.commit([job])
                written += len(job.future.result().edits)
            except BaseException as error:
                self.state.put_back(due)
                if not isinstance(error, ErrataError):
                    raise
                break
        return written

    def check(self, *, repair: bool) -> IntegrityReport:
        """Compares everything with the log. Raises StorageReadOnly, DataDirectoryError."""
        log = self._usable_log()
        try:
            problems = compare(log, self._parts.encoder, self.state, self._parts.maker)
        except (DataDirectoryError, sqlite3.Error) as error:
            self._close_failed(error)
            raise
        report = IntegrityReport(
            at_s=self._clock(), sequence=self.state.sequence, problems=problems
        )
        if problems and repair:
            logger.error("the memory disagrees with the log, rebuilding: %s", "; ".join(problems))
            self.rebuild()
            report = replace(report, rebuilt=True)
        self.last_check = report
        return report

    def rebuild(self) -> None:
        """Makes state, index and matcher again from the log. Raises StorageReadOnly."""
        log = self._usable_log()
        former = self.state
        try:
            self.state = load(log, self._parts.encoder, self._parts.maker)
        except (DataDirectoryError, sqlite3.Error) as error:
            self._close_failed(error)
            raise self._refusal() from error
        self._publish(self._whole_snapshot())
        for space in former.spaces.values():
            close_index(space.index)

    def close(self) -> None:
        """Closes log and directory, when the indexes have ended what they do beside us."""
        for space in self.state.spaces.values():
            close_index(space.index)
        if self._log is not None:
            self._log.close()
            self._log = None
        self._storage.close()

    def _append_all(self, log: EditLog, jobs: list[Job], work: Work) -> None:
        """Plans the jobs one after the other and adds their rows to one transaction."""
        log.begin()
        for job in jobs:
            try:
                answer: WriteResult | Exception = self._append(log, job, work)
            except Exception as error:
                if _ends_service(error):
                    raise
                if not isinstance(error, ErrataError):
                    logger.exception("one write of a group failed unexpectedly")
                # Told after the commit, like the rest: it may speak of a neighbour's edit.
                answer = error
            work.answers.append((job, answer))

    def _append(self, log: EditLog, job: Job, work: Work) -> WriteResult:
        """Plans one job and adds its rows; an error leaves the group as it was."""
        if job.request is not None:
            known = log.find_request(job.request.namespace, job.request.request_id)
            if known is not None:
                return self._repeat(known, job.request, work)
        now_s = self._clock()
        plan = Overlay(work.overlay, work.overlay.sequence)
        planned = job.operation.plan(plan, now_s)
        leave_stale_editions(plan, now_s)
        result = WriteResult(edits=planned.edits, outcomes=planned.outcomes, sequence=plan.sequence)
        if job.validate_only:
            return replace(result, sequence=work.overlay.sequence)
        rows = work.prepare(plan, job.vectors, self._parts.encoder.encode_many)
        request = None
        if job.request is not None:
            request = RequestRow(
                namespace=job.request.namespace,
                request_id=job.request.request_id,
                digest=job.request.digest,
                answer=encode_answer(result),
                at_s=now_s,
            )
        if rows.rows or request is not None:
            log.append(rows.rows, request, encoder=self._parts.encoder.name)
            work.writes = True
        work.absorb(plan, rows)
        return result

    def _repeat(self, known: RequestRow, request: RequestKey, work: Work) -> WriteResult:
        """Returns the first answer to a request id again, or raises RequestIdReused."""
        if known.digest != request.digest:
            raise RequestIdReused(
                f"request_id {request.request_id!r} was used before for another request; "
                "draw a new one for every new request, and keep it for retries only"
            )
        return decode_answer(known.answer, work.revision)

    def _finish(self, log: EditLog, work: Work) -> None:
        """Makes a group durable, then visible, then answers it: in this order and no other."""
        self._make_durable(log, work)
        self._take_in(log, work)
        self._answer(work)

    def _make_durable(self, log: EditLog, work: Work) -> None:
        if work.writes:
            log.commit()
        else:
            log.rollback()

    def _take_in(self, log: EditLog, work: Work) -> None:
        """Applies the committed entries and publishes the snapshot that shows them."""
        if not work.overlay.entries:
            return
        self._chain = log.chain
        self._storage.write_witness(log)
        try:
            self._apply(work.overlay.entries, work.vectors)
        except Exception:
            # The entries are durable, so they are answered; what is derived is made again.
            logger.exception("index or matcher failed to follow the log, rebuilding")
            self.rebuild()

    def _answer(self, work: Work) -> None:
        for job, answer in work.answers:
            if isinstance(answer, Exception):
                job.future.set_exception(answer)
            else:
                job.future.set_result(answer)

    def _apply(self, entries: list[LogEntry], vectors: dict[int, Vector]) -> None:
        changes: dict[Namespace, KeyChanges] = {}
        for entry in entries:
            name = entry.namespace
            space = space_of(self.state, name, self._parts.maker)
            self.state.apply(entry, space, changes.setdefault(name, KeyChanges()))
        for name, found in changes.items():
            update_parts(self.state.spaces[name], found, vectors)
        views = {name: view_of(self.state.spaces[name]) for name in changes}
        self._publish(self._snapshot.advance(self.state.sequence, views))

    def _whole_snapshot(self) -> MemorySnapshot:
        return MemorySnapshot(
            sequence=self.state.sequence,
            spaces={name: view_of(space) for name, space in self.state.spaces.items()},
            records=self.state.records,
            clock=self._clock,
            mentions_max=self._limits.mention_candidates_max,
        )

    def _publish(self, snapshot: MemorySnapshot) -> None:
        with self.changed:
            self._snapshot = snapshot
            self.changed.notify_all()

    def _usable_log(self) -> EditLog:
        if self._log is None:
            raise self._refusal()
        return self._log

    def _refusal(self) -> StorageReadOnly:
        return StorageReadOnly(
            f"writes are refused: {self._read_only or 'the log is closed'}. Reads go on; free "
            "space or repair the storage, then retry",
            retry_after_s=max(1.0, self._limits.storage_retry_s),
        )

    def _close_failed(self, error: Exception) -> None:
        """Goes read-only. The connection is given up: a failed sync must never be retried on it."""
        # As text: a record that kept the error would keep its frames, their cursors, and so the
        # connection with its lock.
        logger.error("the log cannot be used, writes are refused: %s", str(error))
        if self._log is not None:
            self._log.close()
            self._log = None
        self._note_read_only(f"the log {self._storage.name} failed ({error})")

    def _note_read_only(self, reason: str) -> None:
        self._retry_at_s = time.monotonic() + self._limits.storage_retry_s
        with self.changed:
            self._read_only = reason
            self.changed.notify_all()

    def _reopen(self) -> bool:
        """Tries to take the log into use again; whether it could."""
        log: EditLog | None = None
        try:
            log = self._storage.reopen(self._clock())
            self._follow(log)
        except (DataDirectoryError, sqlite3.Error, OSError) as error:
            if log is not None:
                log.close()
            self._note_read_only(f"the log {self._storage.name} failed ({error})")
            return False
        self._log = log
        logger.warning("the log is in use again at sequence %d", self.state.sequence)
        self._note_read_only("")
        return True

    def _follow(self, log: EditLog) -> None:
        """Takes in what the failed commit left in the log, if anything."""
        known = self._snapshot.sequence
        if known and log.chain_at(known) != self._chain:
            raise DataDirectoryError(
                f"entry {known}, which was acknowledged, is not in it any more"
            )
        if log.count() != known or self.state.sequence != known:
            self.state = load(log, self._parts.encoder, self._parts.maker)
            self._publish(self._whole_snapshot())
        else:
            log.resume(known, self._chain)
        self._chain = log.chain
        self._storage.write_witness(log)

    def _forget_requests(self, log: EditLog) -> None:
        self._forget_at_s = time.monotonic() + FORGET_EVERY_S
        try:
            log.forget_requests(self._clock() - self._limits.request_kept_s)
        except sqlite3.Error as error:
            self._close_failed(error)


def _ends_service(error: Exception) -> bool:
    """Whether the log must not be written any more: the storage failed, or the file is damaged."""
    return is_storage_failure(error) or isinstance(error, DataDirectoryError)
