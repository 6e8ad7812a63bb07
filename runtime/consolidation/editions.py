"""Editions in use: loaded from the store into the engine when they are asked for, and let go.

A request takes a lease before it is routed and keeps it to its end. Editions that no namespace has
active and no request leases are dropped. One that cannot be loaded costs no request anything: the
model as published answers, and the edits that the edition held are routed like others.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

from memory.edit_memory import EditMemory
from memory.errors import ErrataError, NotFound
from memory.record import EDITION_BASE, Namespace
from memory.writes import WriteResult
from runtime.consolidation.apply import edited_parameters
from runtime.consolidation.edition import EditionRecord
from runtime.consolidation.store import EditionStore, check_base
from runtime.engine.contract import EditionHost, EngineInfo

logger = logging.getLogger(__name__)

RETRY_S = 30.0  # Before an edition that could not be loaded is tried again by a request.


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """The edition that a request may name; it stays loaded as long as this object lives."""

    edition: int = EDITION_BASE
    problem: str = ""  # Why it is not the one that was asked for.
    hold: object = None  # Keeps the weights.


class EditionSource(Protocol):
    """Where requests get their edition."""

    def lease(self, edition: int) -> Lease:
        """Returns a lease of the edition, or of 0 with the reason. Raises nothing."""
        ...


class OnlyBase:
    """The source where nothing is ever consolidated."""

    def lease(self, edition: int) -> Lease:
        """Returns the model as published."""
        problem = "" if edition == EDITION_BASE else "this engine has no editions"
        return Lease(problem=problem)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Refusal:
    problem: str
    until_s: float


class Editions:
    """Loads, leases and activates the editions of one model. Thread-safe."""

    def __init__(
        self,
        *,
        store: EditionStore,
        host: EditionHost,
        info: EngineInfo,
        memory: EditMemory,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.store = store
        self._host = host
        self._info = info
        self._memory = memory
        self._clock = clock
        self._loading = threading.Lock()  # One at a time; requests of loaded ones never wait.
        self._held: dict[int, object] = {}
        self._refused: dict[int, _Refusal] = {}

    def lease(self, edition: int) -> Lease:
        """Returns a lease of the edition, or of 0 with the reason."""
        hold = self._held.get(edition)
        if hold is not None or edition == EDITION_BASE:
            return Lease(edition=edition, hold=hold)
        refused = self._refused.get(edition)
        if refused is not None and self._clock() < refused.until_s:
            return Lease(problem=refused.problem)
        try:
            return self.load(edition)
        except (ErrataError, OSError, RuntimeError) as error:
            logger.error("edition %d cannot be used, edition 0 answers: %s", edition, error)  # noqa: TRY400  # The message says it all.
            self._refused[edition] = _Refusal(problem=str(error), until_s=self._clock() + RETRY_S)
            return Lease(problem=str(error))

    def load(self, edition: int) -> Lease:
        """Loads an edition unless it is; returns a lease.

        Blocks as long as reading and adding take, never a request of another edition. Raises
        NotFound, EditionUnusable, ConsolidationFailed.
        """
        if edition == EDITION_BASE:
            return Lease()
        with self._loading:
            hold = self._held.get(edition)
            if hold is None:
                hold = self._add(self.store.record(edition))
                self._held[edition] = hold
            self._refused.pop(edition, None)
        return Lease(edition=edition, hold=hold)

    def active(self, namespace: Namespace) -> int:
        """Returns the namespace's edition as its requests get it now. Raises NotFound."""
        return self._memory.snapshot().edition(namespace)

    @property
    def fingerprint(self) -> str:
        """Of the weights that editions are added to."""
        return self._info.fingerprint

    def refusal(self, edition: int) -> str:
        """Returns why an edition could not be loaded when a request last asked for it."""
        refused = self._refused.get(edition)
        return refused.problem if refused is not None else ""

    def holds(self, edition: int) -> bool:
        """Whether an edition's weights are loaded and kept."""
        return edition == EDITION_BASE or edition in self._held

    def owners(self, edition: int) -> set[Namespace]:
        """Returns the namespaces that ever had an edition active, by the log."""
        return {
            name
            for name in self._memory.snapshot().namespaces
            if any(one.edition == edition for one in self._memory.activations(name))
        }

    def record(self, namespace: Namespace, edition: int) -> EditionRecord:
        """Returns what is known of a namespace's edition.

        Raises NotFound, also for one that is another namespace's, and EditionUnusable.
        """
        if edition == EDITION_BASE:
            self._memory.snapshot().space(namespace)
            return self._bare(namespace, EDITION_BASE)
        record = self.store.record(edition)
        if record.namespace != namespace:
            raise NotFound(
                f"namespace {namespace!r} has no edition {edition}; list its editions",
                resource_type="edition",
                resource_name=f"namespaces/{namespace}/editions/{edition}",
            )
        return record

    def activate(
        self, namespace: Namespace, edition: int, *, reason: str = "", request_id: str = ""
    ) -> WriteResult:
        """Gives a namespace an edition: loads it first, then writes the log.

        Raises NotFound, EditionUnusable, WrongState (it holds what is no longer in force), and
        what every write may.
        """
        record = self.record(namespace, edition)
        lease = self.load(edition)  # Held until the log says so, so that no request waits for it.
        try:
            return self._memory.activate_edition(
                record.activation(), reason=reason, request_id=request_id
            )
        finally:
            del lease
            self.trim()

    def trim(self) -> None:
        """Lets go of the editions that no namespace has active; leases keep theirs."""
        snapshot = self._memory.snapshot()
        active = {snapshot.edition(name) for name in snapshot.namespaces}
        with self._loading:
            for edition in [number for number in self._held if number not in active]:
                del self._held[edition]

    def loaded(self) -> tuple[int, ...]:
        """Returns the editions that requests may name now."""
        return self._host.editions()

    def _add(self, record: EditionRecord) -> object:
        check_base(record, self._info.fingerprint)
        started_s = time.monotonic()
        matrices = self.store.matrices(record)
        parameters = edited_parameters(self._host.parameter, matrices, self._info.model_type)
        hold = self._host.add_edition(record.number, parameters)
        logger.info(
            "edition %d loaded in %.0f ms: %d matrices",
            record.number,
            1000 * (time.monotonic() - started_s),
            len(parameters),
        )
        return hold

    def unreadable(self, namespace: Namespace, edition: int) -> EditionRecord:
        """Returns a record that says no more than whose and which edition it is."""
        return replace(self._bare(namespace, edition), base_fingerprint="", model="")

    def _bare(self, namespace: Namespace, edition: int) -> EditionRecord:
        return EditionRecord(
            number=edition,
            namespace=namespace,
            base_fingerprint=self._info.fingerprint,
            model=self._info.model,
            editor="",
            settings={},
            edits=(),
            measures=(),
            matrices=(),
            created_at_s=0.0,
        )
