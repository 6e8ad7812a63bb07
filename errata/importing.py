"""An import as the client sees it: what to send, what came back, what to send again.

Records that are not yet known to be durable are kept, so that a broken connection is resumed; the
import's id and the record's row make a second sending harmless.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator
from dataclasses import replace

from errata import convert, requests
from errata.requests import ConflictPolicy, ImportSource
from errata.results import ImportProgress, NewEdit, RefusedRecord
from protos.errata.v1 import memory_pb2

UNCONFIRMED_MAX = 4096  # Records in flight; beyond, sending waits for the server.
WAIT_S = 0.5  # How often a waiting sender looks whether its stream has ended.


class ImportTally:
    """The figures of one import over as many streams as it takes, and what is not yet durable."""

    def __init__(
        self,
        *,
        parent: str,
        import_id: str,
        on_conflict: ConflictPolicy,
        validate_only: bool,
        progress: Callable[[ImportProgress], None] | None,
    ) -> None:
        self.options = memory_pb2.ImportEditsRequest(
            options=memory_pb2.ImportOptions(
                parent=requests.namespace_name(parent),
                on_conflict=requests.conflict_policy(on_conflict),
                import_id=import_id or requests.draw_request_id(),
                validate_only=validate_only,
            )
        )
        self.source = ImportSource()
        self.source_error: BaseException | None = None
        self.stream = 0  # Counts the streams; a sender of an older one ends by itself.
        self._progress = progress
        self._before = ImportProgress()  # Figures of the streams that broke.
        self._now = ImportProgress()  # Figures of the running stream.
        self._errors: dict[int, RefusedRecord] = {}

    @property
    def done(self) -> bool:
        """Whether the server confirmed the end."""
        return self._now.done

    @property
    def durable_row(self) -> int:
        """Every record up to this row is durable or refused."""
        return max(self._before.durable_row, self._now.durable_row)

    @property
    def report(self) -> ImportProgress:
        """The figures over all streams, with all refused records."""
        errors = tuple(self._errors[row] for row in sorted(self._errors))
        return replace(_add(self._before, self._now), errors=errors, refused=len(errors))

    def begin_stream(self) -> list[memory_pb2.ImportEditsRequest]:
        """Starts another stream; returns what must be sent on it first."""
        self.stream += 1
        self._before = replace(_add(self._before, self._now), errors=())
        self._now = ImportProgress()
        again = self.source.unconfirmed.values()
        return [self.options, *(memory_pb2.ImportEditsRequest(record=one) for one in again)]

    def may_draw(self, stream: int) -> bool:
        """Whether the sender of a stream may go on at all."""
        return stream == self.stream and self.source_error is None

    @property
    def full(self) -> bool:
        """Whether so many records are in flight that sending must wait."""
        return len(self.source.unconfirmed) >= UNCONFIRMED_MAX

    def take(self, message: memory_pb2.ImportEditsResponse) -> ImportProgress:
        """Takes one report of progress; returns it over all streams."""
        now = convert.import_progress(message)
        self._errors.update((refused.row, refused) for refused in now.errors)
        self._now = replace(now, errors=())
        self.source.confirm(now.durable_row)
        return replace(_add(self._before, self._now), errors=now.errors)

    def tell(self, progress: ImportProgress) -> None:
        """Tells the caller."""
        if self._progress is not None:
            self._progress(progress)

    def raise_from_source(self) -> None:
        """Raises what the caller's own iterable raised, once what came before it is durable."""
        if self.source_error is not None:
            raise self.source_error


class ImportSession:
    """An import of the synchronous client: gRPC draws from it in a thread of its own."""

    def __init__(self, records: Iterable[NewEdit | str], tally: ImportTally) -> None:
        self.tally = tally
        self._records = iter(records)
        self._changed = threading.Condition()

    def messages(self) -> Iterator[memory_pb2.ImportEditsRequest]:
        """Returns what to send on a new stream: options, what is not confirmed, new records."""
        with self._changed:
            first = self.tally.begin_stream()
            return self._draw(self.tally.stream, first)

    def take(self, message: memory_pb2.ImportEditsResponse) -> None:
        """Takes one report of progress."""
        with self._changed:
            progress = self.tally.take(message)
            self._changed.notify_all()
        self.tally.tell(progress)

    def _draw(
        self, stream: int, first: list[memory_pb2.ImportEditsRequest]
    ) -> Iterator[memory_pb2.ImportEditsRequest]:
        yield from first
        while (record := self._next(stream)) is not None:
            yield memory_pb2.ImportEditsRequest(record=record)

    def _next(self, stream: int) -> memory_pb2.ImportRecord | None:
        """Takes the next record; None at the end, on a failing source, or when replaced."""
        tally = self.tally
        with self._changed:
            while tally.may_draw(stream) and tally.full:
                self._changed.wait(WAIT_S)
            if not tally.may_draw(stream):
                return None
            try:
                item = next(self._records, None)
                return None if item is None else tally.source.number(item)
            except BaseException as error:  # noqa: BLE001  # Raised again in the caller's thread.
                tally.source_error = error
                return None


class AsyncImportSession:
    """An import of the asyncio client; all of it runs in one loop."""

    def __init__(
        self, records: Iterable[NewEdit | str] | AsyncIterable[NewEdit | str], tally: ImportTally
    ) -> None:
        self.tally = tally
        self._records = _as_async(records)
        self._changed = asyncio.Event()

    def messages(self) -> AsyncIterator[memory_pb2.ImportEditsRequest]:
        """Returns what to send on a new stream: options, what is not confirmed, new records."""
        first = self.tally.begin_stream()
        return self._draw(self.tally.stream, first)

    def take(self, message: memory_pb2.ImportEditsResponse) -> None:
        """Takes one report of progress."""
        progress = self.tally.take(message)
        self._changed.set()
        self.tally.tell(progress)

    async def _draw(
        self, stream: int, first: list[memory_pb2.ImportEditsRequest]
    ) -> AsyncIterator[memory_pb2.ImportEditsRequest]:
        tally = self.tally
        for message in first:
            yield message
        while tally.may_draw(stream):
            while tally.full and tally.may_draw(stream):
                self._changed.clear()
                await self._changed.wait()
            try:
                item = await anext(self._records, None)
                record = None if item is None else tally.source.number(item)
            except Exception as error:  # noqa: BLE001  # Raised again in the caller's task.
                tally.source_error = error
                return
            if record is None or not tally.may_draw(stream):
                return  # What was drawn for a stream that broke is sent again on the next one.
            yield memory_pb2.ImportEditsRequest(record=record)


async def _as_async(
    records: Iterable[NewEdit | str] | AsyncIterable[NewEdit | str],
) -> AsyncIterator[NewEdit | str]:
    if isinstance(records, AsyncIterable):
        async for record in records:
            yield record
    else:
        for record in records:
            yield record


def _add(before: ImportProgress, now: ImportProgress) -> ImportProgress:
    """Adds up two streams' figures: the later one starts behind what the former made durable."""
    return replace(
        now,
        received=before.durable_row + now.received,
        created=before.created + now.created,
        superseded=before.superseded + now.superseded,
        skipped=before.skipped + now.skipped,
        already_imported=before.already_imported + now.already_imported,
        refused=before.refused + now.refused,
        durable_row=max(before.durable_row, now.durable_row),
        sequence=max(before.sequence, now.sequence),
    )
