"""ImportEdits: many single creations at once, so that a bad record never fails its neighbours.

Records in flight share encoder batches and commits. Each carries the request id
`{import_id}/{row}`, so whatever is sent twice is taken once. Records about the same subject are
written in the order in which they came, one by one: of two that overlap the later one counts
(runtime/later.py).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Literal

from memory.conflicts import normalise
from memory.errors import (
    AlreadyExists,
    EditConflict,
    ErrataError,
    InvalidInput,
    Overloaded,
    WrongState,
)
from memory.record import EditDraft
from memory.transfer import json_to_draft
from memory.writes import WriteOutcome, WriteResult
from protos.errata.v1 import memory_pb2
from runtime.services.call import note
from runtime.services.checks import check_request_id
from runtime.services.names import parse_namespace
from runtime.services.parts import ServiceParts
from runtime.services.status import to_status
from runtime.services.wire import draft_from_pb
from runtime.services.wire_memory import conflict_policy

REFUSALS = (InvalidInput, EditConflict, AlreadyExists, WrongState)  # The record's own fault.

Requests = AsyncIterator[memory_pb2.ImportEditsRequest]


@dataclass(frozen=True, slots=True)
class RecordOutcome:
    """What became of one record, by the name of the figure that counts it."""

    figure: Literal["created", "superseded", "skipped", "already_imported", "refused"]
    sequence: int = 0  # Of the log; 0 for what was refused.


RECORD_REFUSED = RecordOutcome("refused")


class ImportRun:
    """One import stream; made by `begin`, consumed by `reports`."""

    def __init__(
        self, requests: Requests, options: memory_pb2.ImportOptions, parts: ServiceParts
    ) -> None:
        self._requests = requests
        self._parts = parts
        self._namespace = parse_namespace(options.parent, field="options.parent")
        self._on_conflict = conflict_policy(options.on_conflict)
        self._import_id = options.import_id
        self._validate_only = options.validate_only
        self._figures = memory_pb2.ImportEditsResponse()
        self._errors: list[memory_pb2.RecordError] = []
        self._last_row = 0
        self._open: deque[tuple[int, asyncio.Task[RecordOutcome]]] = deque()  # As received.
        self._by_subject: dict[str, asyncio.Task[RecordOutcome]] = {}
        self._slots = asyncio.Semaphore(parts.limits.import_records_in_flight)

    @classmethod
    async def begin(cls, requests: Requests, parts: ServiceParts) -> ImportRun:
        """Reads the options. Raises InvalidInput when the first message has none or bad ones."""
        first = await anext(aiter(requests), None)
        if first is None or first.WhichOneof("content") != "options":
            raise InvalidInput("the first message must carry the options", field="options")
        options = first.options
        check_request_id(
            options.import_id, parts.limits.import_id_chars_max, field="options.import_id"
        )
        run = cls(requests, options, parts)
        note(namespace=run._namespace, import_id=options.import_id)
        return run

    async def reports(self) -> AsyncIterator[memory_pb2.ImportEditsResponse]:
        """Yields progress while records are taken, and the final figures.

        Raises what ended the import for all: a malformed message, or a memory that takes no
        writes; what was reported as durable stays.
        """
        reading = asyncio.ensure_future(self._take_all())
        try:
            while not reading.done():
                await asyncio.wait({reading}, timeout=self._parts.limits.import_report_s)
                yield self._report()
            if reading.exception() is not None:
                self._note_figures()
                reading.result()
            yield self._report(done=True)
            self._note_figures()
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)

    async def _take_all(self) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                async for message in self._requests:
                    if message.WhichOneof("content") != "record":
                        raise InvalidInput(
                            "every message after the first must carry a record", field="record"
                        )
                    await self._slots.acquire()
                    self._figures.received += 1
                    self._start(group, message.record)
        except BaseExceptionGroup as failures:
            raise failures.exceptions[0] from failures

    def _start(self, group: asyncio.TaskGroup, record: memory_pb2.ImportRecord) -> None:
        """Starts on one record; refuses it at once when it cannot even be read."""
        try:
            draft = self._read(record)
        except REFUSALS as error:
            outcome = self._refuse(record.row, error)
            self._slots.release()
            task = group.create_task(asyncio.sleep(0, outcome))
        else:
            subject = normalise(draft.subject)
            task = group.create_task(self._take(record.row, draft, self._by_subject.get(subject)))
            self._by_subject[subject] = task
            task.add_done_callback(lambda done: self._forget(subject, done))
        self._open.append((record.row, task))

    def _forget(self, subject: str, task: asyncio.Task[RecordOutcome]) -> None:
        if self._by_subject.get(subject) is task:
            del self._by_subject[subject]

    def _read(self, record: memory_pb2.ImportRecord) -> EditDraft:
        if record.row <= self._last_row:
            raise InvalidInput(
                f"row {record.row} came after row {self._last_row}; rows count up from 1",
                field="record.row",
            )
        self._last_row = record.row
        kind = record.WhichOneof("record")
        if kind == "edit":
            return draft_from_pb(record.edit, field="record.edit.")
        if kind == "json":
            return json_to_draft(record.json)
        raise InvalidInput("the record has neither edit nor json", field="record")

    async def _take(
        self, row: int, draft: EditDraft, before: asyncio.Task[RecordOutcome] | None
    ) -> RecordOutcome:
        """Writes one record, after the one before it that is about the same subject."""
        try:
            if before is not None:
                await asyncio.wait({before})
            return _outcome_of(await self._create(row, draft))
        except REFUSALS as error:
            return self._refuse(row, error)
        finally:
            self._slots.release()

    async def _create(self, row: int, draft: EditDraft) -> WriteResult:
        while True:
            try:
                return await self._parts.import_workers.run(
                    self._parts.memory.create,
                    draft,
                    namespace=self._namespace,
                    request_id=f"{self._import_id}/{row}" if self._import_id else "",
                    on_conflict=self._on_conflict,
                    validate_only=self._validate_only,
                )
            except Overloaded as error:
                # Others write too; an import has time.
                backoff_s = self._parts.limits.import_backoff_s
                await asyncio.sleep(min(error.retry_after_s, backoff_s))

    def _refuse(self, row: int, error: ErrataError) -> RecordOutcome:
        self._errors.append(memory_pb2.RecordError(row=row, status=to_status(error)))
        return RECORD_REFUSED

    def _report(self, *, done: bool = False) -> memory_pb2.ImportEditsResponse:
        """Returns the figures with the errors since the last report.

        A record counts once every record before it is settled, too: what a client sends again
        after a broken stream starts behind `durable_row`, so that nothing is counted twice. One
        that failed or was cancelled, since the memory took no writes, is not settled.
        """
        while self._open and _settled(self._open[0][1]):
            row, task = self._open.popleft()
            outcome, figures = task.result(), self._figures
            setattr(figures, outcome.figure, getattr(figures, outcome.figure) + 1)
            figures.sequence = max(figures.sequence, outcome.sequence)
            figures.durable_row = row
        report = memory_pb2.ImportEditsResponse()
        report.CopyFrom(self._figures)
        report.done = done
        report.errors.extend(self._errors)
        self._errors.clear()
        return report

    def _note_figures(self) -> None:
        figures = self._figures
        note(
            received=figures.received,
            created=figures.created,
            refused=figures.refused,
            already_imported=figures.already_imported,
            sequence=figures.sequence,
        )


def _settled(task: asyncio.Task[RecordOutcome]) -> bool:
    return task.done() and not task.cancelled() and task.exception() is None


def _outcome_of(result: WriteResult) -> RecordOutcome:
    outcome = result.outcomes[0]
    if result.replayed:
        return RecordOutcome("already_imported", result.sequence)
    if outcome is WriteOutcome.CREATED:
        return RecordOutcome("created", result.sequence)
    if outcome is WriteOutcome.SUPERSEDED:
        return RecordOutcome("superseded", result.sequence)
    return RecordOutcome("skipped", result.sequence)
