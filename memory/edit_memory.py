"""EditMemory: the memory of corrections, as the rest of the program sees it.

Thread-safe. Writes block until they are durable and visible; reads take a snapshot and never
lock. What is checked, planned, logged and published stands in the files beside this one.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from memory.contracts import Encoder, SubjectIndex, VectorIndex
from memory.database import Connect, connect
from memory.directory import DataDirectory
from memory.errors import InvalidInput
from memory.following import Follower
from memory.keeper import Keeper, Parts
from memory.limits import MemoryLimits
from memory.paging import EditFilter, Page, check_page_size, list_page
from memory.parts import describe_index, faiss_maker, make_subject_matcher
from memory.plans import missing_edit
from memory.record import (
    DEFAULT_NAMESPACE,
    Activation,
    Candidate,
    ConflictPolicy,
    Edit,
    EditDraft,
    EditId,
    EditState,
    Namespace,
    Query,
)
from memory.recovery import SpaceMaker
from memory.requests import RequestMaker
from memory.snapshot import MemorySnapshot
from memory.state import Space
from memory.status import IntegrityReport, MemoryStatus, NamespaceStatus
from memory.validate import check_text
from memory.writer import GroupWriter, Job
from memory.writes import UNSET, EditChanges, LogEntry, Unset, WriteResult


class EditMemory:
    """Made by `open`; a context manager that closes itself."""

    def __init__(
        self, keeper: Keeper, requests: RequestMaker, limits: MemoryLimits, encoder: Encoder
    ) -> None:
        self._keeper = keeper
        self._requests = requests
        self._limits = limits
        self._encoder = encoder
        self._closed = threading.Event()
        self._follower = Follower(keeper, limits, self._closed)
        self._writer = GroupWriter(commit=keeper.commit, idle=keeper.idle, limits=limits)
        self._writer.start()

    @classmethod
    def open(
        cls,
        directory: Path,
        *,
        encoder: Encoder,
        limits: MemoryLimits = MemoryLimits(),  # noqa: B008  # Immutable.
        index_device: str = "cpu",
        clock: Callable[[], float] = time.time,
        make_index: Callable[[int], VectorIndex] | None = None,
        make_matcher: Callable[[], SubjectIndex] | None = None,
        connect: Connect = connect,
    ) -> EditMemory:
        """Opens the data directory, created when missing, and loads what the log says.

        Raises DataDirectoryLocked when another server holds it, DataDirectoryError when it is
        foreign, damaged, or of a newer format. `make_index` (from the dimension) and
        `make_matcher` default to FAISS on `index_device` and the subject matcher.
        """
        maker = SpaceMaker(
            encoder.dimension,
            make_index or faiss_maker(index_device),
            make_matcher or make_subject_matcher,
        )
        parts = Parts(encoder=encoder, limits=limits, clock=clock, maker=maker, connect=connect)
        held = DataDirectory.open(Path(directory))
        try:
            keeper = Keeper(held, parts)
        except BaseException:
            held.close()
            raise
        return cls(keeper, RequestMaker(limits, encoder, lambda: keeper.state), limits, encoder)

    def create(
        self,
        draft: EditDraft,
        *,
        namespace: Namespace = DEFAULT_NAMESPACE,
        request_id: str = "",
        on_conflict: ConflictPolicy = ConflictPolicy.FAIL,
        validate_only: bool = False,
    ) -> WriteResult:
        """Creates one edit.

        Raises InvalidInput, EditConflict, AlreadyExists; and, as every write may, RequestIdReused,
        Overloaded, Unavailable, StorageReadOnly.
        """
        return self._write(
            self._requests.create(
                (draft,),
                namespace=namespace,
                request_id=request_id,
                on_conflict=on_conflict,
                validate_only=validate_only,
                batch=False,
            )
        )

    def create_batch(
        self,
        drafts: Sequence[EditDraft],
        *,
        namespace: Namespace = DEFAULT_NAMESPACE,
        request_id: str = "",
        on_conflict: ConflictPolicy = ConflictPolicy.FAIL,
        validate_only: bool = False,
    ) -> WriteResult:
        """Creates all of the edits or none, visible at once.

        Raises as `create`; errors name the place ("edits[3].target"). Later drafts of a batch meet
        the earlier ones as if they had been written before.
        """
        return self._write(
            self._requests.create(
                tuple(drafts),
                namespace=namespace,
                request_id=request_id,
                on_conflict=on_conflict,
                validate_only=validate_only,
                batch=True,
            )
        )

    def update(
        self,
        edit_id: EditId,
        changes: EditChanges,
        *,
        namespace: Namespace = DEFAULT_NAMESPACE,
        etag: str = "",
        request_id: str = "",
        validate_only: bool = False,
    ) -> WriteResult:
        """Makes a new revision of an edit in force.

        Raises InvalidInput, NotFound, WrongState, EtagMismatch, EditConflict.
        """
        return self._write(
            self._requests.update(
                edit_id,
                changes,
                namespace=namespace,
                etag=etag,
                request_id=request_id,
                validate_only=validate_only,
            )
        )

    def retire(
        self,
        edit_id: EditId,
        *,
        namespace: Namespace = DEFAULT_NAMESPACE,
        reason: str = "",
        etag: str = "",
        request_id: str = "",
        validate_only: bool = False,
    ) -> WriteResult:
        """Takes an edit out of service; its history stays.

        Raises InvalidInput, NotFound, WrongState, EtagMismatch.
        """
        return self._write(
            self._requests.retire(
                edit_id,
                namespace=namespace,
                reason=reason,
                etag=etag,
                request_id=request_id,
                validate_only=validate_only,
            )
        )

    def restore(
        self,
        edit_id: EditId,
        *,
        namespace: Namespace = DEFAULT_NAMESPACE,
        reason: str = "",
        etag: str = "",
        request_id: str = "",
        validate_only: bool = False,
        expires_at_s: float | Unset | None = UNSET,
    ) -> WriteResult:
        """Brings a retired, expired or superseded edit back.

        An expiry that has passed is lifted unless a new one is given. Raises InvalidInput,
        NotFound, WrongState, EtagMismatch; EditConflict when another edit says the same fact.
        """
        return self._write(
            self._requests.restore(
                edit_id,
                namespace=namespace,
                reason=reason,
                etag=etag,
                request_id=request_id,
                validate_only=validate_only,
                expires_at_s=expires_at_s,
            )
        )

    def activate_edition(
        self, activation: Activation, *, reason: str = "", request_id: str = ""
    ) -> WriteResult:
        """Gives a namespace an edition, as one log entry with the new states of its edits.

        Edits that the edition holds become CONSOLIDATED, those that only the former one held
        ACTIVE again. Answers with the edits that changed; does nothing when it is active already.
        Raises InvalidInput, NotFound for a namespace that does not exist, and WrongState when an
        edit that the edition was computed from is no longer in force or says something else.
        """
        self.snapshot().space(activation.namespace)
        job = self._requests.activate(activation, reason=reason, request_id=request_id)
        return self._write(job)

    def activations(self, namespace: Namespace) -> tuple[Activation, ...]:
        """Returns what was ever activated in a namespace, oldest first. Raises NotFound."""
        self.snapshot().space(namespace)
        return tuple(self._keeper.state.activations(namespace))

    def get(self, edit_id: EditId, *, namespace: Namespace = DEFAULT_NAMESPACE) -> Edit:
        """Returns an edit in whatever state it is. Raises NotFound."""
        edit = self.snapshot().get(namespace, edit_id)
        if edit is None:
            raise missing_edit(namespace, edit_id)
        return edit

    def history(
        self, edit_id: EditId, *, namespace: Namespace = DEFAULT_NAMESPACE
    ) -> tuple[Edit, ...]:
        """Returns all revisions of an edit, oldest first. Raises NotFound."""
        revisions = self.snapshot().revisions(namespace, edit_id)
        if not revisions:
            raise missing_edit(namespace, edit_id)
        return revisions

    def list_edits(
        self,
        namespace: Namespace = DEFAULT_NAMESPACE,
        *,
        filter: EditFilter = EditFilter(),  # noqa: A002, B008  # The API's word; immutable.
        page_size: int = 50,
        page_token: str = "",
    ) -> Page:
        """Returns edits in order of creation; all pages show the log as it was at the first.

        Raises NotFound, InvalidInput for a page size below 1 or a token of another listing.
        """
        return list_page(
            self.snapshot(),
            namespace,
            filter,
            page_size=check_page_size(page_size, self._limits.page_size_max),
            page_token=page_token,
        )

    def search(self, namespace: Namespace, text: str, *, k: int = 10) -> list[Candidate]:
        """Returns edits in force near the text, by meaning or by mention, the k best.

        Raises NotFound, InvalidInput.
        """
        snapshot = self.snapshot()
        snapshot.space(namespace)
        asked = check_text(
            text, field="text", chars_max=self._limits.search_chars_max, required=True
        )
        if k < 1:
            raise InvalidInput(f"k is {k}; give 1 or more", field="k")
        query = Query(text=asked, vector=self._encoder.encode(asked))
        return snapshot.candidates(namespace, query, k)[:k]

    def snapshot(self) -> MemorySnapshot:
        """Returns the memory as of now, immutable. Costs a pointer read."""
        return self._keeper.snapshot

    def wait_for(self, sequence: int, timeout_s: float) -> None:
        """Waits until reads see `sequence`.

        Raises Unavailable (REPLICA_BEHIND) when they do not in time; InvalidInput at once for a
        sequence that cannot be meant.
        """
        self._follower.wait_for(sequence, timeout_s)

    def wait_writable(self, timeout_s: float) -> None:
        """Waits until writes are taken (again). Raises StorageReadOnly when they are not."""
        self._follower.wait_writable(timeout_s)

    def entries(
        self, from_sequence: int, limit: int, namespace: Namespace | None = None
    ) -> list[LogEntry]:
        """Returns up to `limit` log entries from `from_sequence` on, of one namespace or all."""
        return self._follower.entries(from_sequence, limit, namespace)

    def watch(
        self,
        from_sequence: int = 1,
        namespace: Namespace | None = None,
        *,
        stop: threading.Event,
    ) -> Iterator[LogEntry]:
        """Yields the log entries from `from_sequence` on and follows until `stop` or close."""
        return self._follower.watch(from_sequence, namespace, stop=stop)

    def end_watch(self, stop: threading.Event) -> None:
        """Sets `stop` and wakes the watches that follow until then: they end at once."""
        self._follower.end(stop)

    def status(self) -> MemoryStatus:
        """Tells size and health."""
        state = self._keeper.state
        return MemoryStatus(
            sequence=self._keeper.snapshot.sequence,
            namespaces=tuple(
                _space_status(name, space) for name, space in sorted(state.spaces.copy().items())
            ),
            encoder=self._encoder.name,
            log_bytes=self._keeper.log_bytes,
            read_only=self._keeper.read_only,
            last_check=self._keeper.last_check,
        )

    def check_integrity(self, *, repair: bool = True) -> IntegrityReport:
        """Compares everything derived with the log; rebuilds it when something disagrees.

        Writes wait meanwhile. Raises DataDirectoryError when the log itself is damaged.
        """
        return self._writer.call(lambda: self._keeper.check(repair=repair))

    def rebuild(self) -> None:
        """Makes everything derived again from the log. Writes wait meanwhile."""
        self._writer.call(self._keeper.rebuild)

    def expire_due(self) -> int:
        """Logs the expiries that are due now, as the writer does by itself; returns how many.

        Only the log waits for this: what has expired is not served in any case.
        """
        return self._writer.call(self._keeper.sweep)

    def close(self) -> None:
        """Finishes the writes that wait, then closes the log. May be called twice."""
        if self._closed.is_set():
            return
        self._writer.close()
        self._closed.set()
        with self._keeper.changed:
            self._keeper.changed.notify_all()
        self._keeper.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _write(self, job: Job) -> WriteResult:
        self._keeper.refuse_when_read_only()
        self._requests.encode_ahead(job)
        return self._writer.submit(job)


def _space_status(name: Namespace, space: Space) -> NamespaceStatus:
    kind, size = describe_index(space.index, space.dimension)
    return NamespaceStatus(
        name=name,
        edits={state: space.counts[state] for state in EditState},
        index_kind=kind,
        index_vectors=len(space.index.view()),
        index_bytes=size,
    )
