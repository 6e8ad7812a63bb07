"""An import as the client sees it: what to send, what came back, what to send again.

Records that are not yet known to be durable are kept, so that a broken connection is resumed; the
import's id and the record's row make a second sending harmless.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from errata import convert, requests
from errata.requests import ConflictPolicy, ImportSource
from errata.results import ImportProgress, NewEdit, RefusedRecord
from protos.errata.v1 import memory_pb2

UNCONFIRMED_MAX = 4096  # Records in flight; beyond, sending waits for the server.
WAIT_S = 0.5  # How often a waiting sender looks whether its stream has ended.


class ImportSession:
    """The state of one import over as many streams as it takes."""

    def __init__(
        self,
        records: Iterable[NewEdit | str],
        *,
        parent: str,
        import_id: str,
        on_conflict: ConflictPolicy,
        validate_only: bool,
        progress: Callable[[ImportProgress], None] | None,
    ) -> None:
        self._options = memory_pb2.ImportOptions(
            parent=requests.namespace_name(parent),
            on_conflict=requests.conflict_policy(on_conflict),
            import_id=import_id,
            validate_only=validate_only,
        )
        self._source = ImportSource(records=iter(records))
        self._progress = progress
        self._changed = threading.Condition()
        self._stream = 0
        self._source_error: BaseException | None = None
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
        total = _add(self._before, self._now)
        errors = tuple(self._errors[row] for row in sorted(self._errors))
        return replace(total, errors=errors, refused=len(errors))

    def messages(self) -> Iterator[memory_pb2.ImportEditsRequest]:
        """Yields what to send on a new stream: options, what is not confirmed, then new records.

        gRPC draws from it in a thread of its own; the generator of an older stream ends by itself.
        """
        with self._changed:
            self._stream += 1
            stream = self._stream
            self._before = replace(_add(self._before, self._now), errors=())
            self._now = ImportProgress()
            again = list(self._source.unconfirmed.values())
        return self._draw(stream, again)

    def _draw(
        self, stream: int, again: list[memory_pb2.ImportRecord]
    ) -> Iterator[memory_pb2.ImportEditsRequest]:
        yield memory_pb2.ImportEditsRequest(options=self._options)
        for record in again:
            yield memory_pb2.ImportEditsRequest(record=record)
        while (new := self._next_new(stream)) is not None:
            yield memory_pb2.ImportEditsRequest(record=new)

    def _next_new(self, stream: int) -> memory_pb2.ImportRecord | None:
        """Takes the next record; None at the end, on a failing source, or when it was replaced."""
        with self._changed:
            while stream == self._stream and len(self._source.unconfirmed) >= UNCONFIRMED_MAX:
                self._changed.wait(WAIT_S)
            if stream != self._stream or self._source_error is not None:
                return None
            try:
                return self._source.next_record()
            except BaseException as error:  # noqa: BLE001  # Raised again in the caller's thread.
                self._source_error = error
                return None

    def take(self, message: memory_pb2.ImportEditsResponse) -> None:
        """Takes one report of progress."""
        now = convert.import_progress(message)
        with self._changed:
            self._errors.update((refused.row, refused) for refused in now.errors)
            self._now = replace(now, errors=())
            self._source.confirm(now.durable_row)
            self._changed.notify_all()
        if self._progress is not None:
            self._progress(replace(_add(self._before, self._now), errors=now.errors))

    def raise_from_source(self) -> None:
        """Raises what the caller's own iterable raised, once what came before it is durable."""
        if self._source_error is not None:
            raise self._source_error


def _add(before: ImportProgress, now: ImportProgress) -> ImportProgress:
    return replace(
        now,
        received=before.received + now.received,
        created=before.created + now.created,
        superseded=before.superseded + now.superseded,
        skipped=before.skipped + now.skipped,
        already_imported=before.already_imported + now.already_imported,
        refused=before.refused + now.refused,
        durable_row=max(before.durable_row, now.durable_row),
        sequence=max(before.sequence, now.sequence),
    )
