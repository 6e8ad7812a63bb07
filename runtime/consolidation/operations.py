"""Operations: what was asked of consolidation, how far it is, how it ended. They survive restarts.

One JSON file each, replaced whole at every change of stage; between stages, progress lives in
memory alone, for a restart begins a stage again anyway.
"""

from __future__ import annotations

import json
import logging
import secrets
import threading
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from enum import Enum
from pathlib import Path
from typing import Any

from memory.errors import NotFound
from memory.paging import EditFilter
from memory.record import EditId, Namespace
from runtime.consolidation.edition import Measure
from runtime.consolidation.files import write_json

logger = logging.getLogger(__name__)

KEPT_MAX = 200  # Ended operations that are remembered.


class Stage(Enum):
    """Where a job is."""

    SELECTING = "selecting"
    COVARIANCE = "covariance"
    TARGETS = "targets"
    SOLVING = "solving"
    REFINING = "refining"
    GATING = "gating"
    WRITING = "writing"
    ACTIVATING = "activating"
    DONE = "done"


class State(Enum):
    """How an operation stands."""

    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """What a job will need."""

    edits: int
    memory_bytes: int
    memory_cap_bytes: int
    edition_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRequest:
    """What a caller asks for."""

    namespace: Namespace
    editor: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    edit_filter: EditFilter = field(default_factory=EditFilter)
    edit_ids: tuple[EditId, ...] = ()  # Only these, of a rebuild; empty: what the filter says.
    activate: bool = True
    validate_only: bool = False
    request_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One job as others see it."""

    id: str
    request: JobRequest
    created_at_s: float
    updated_at_s: float
    state: State = State.RUNNING
    stage: Stage = Stage.SELECTING
    done: int = 0
    total: int = 0
    restarts: int = 0
    edits: int = 0
    left_out: int = 0  # Selected by the filter, but no editor can find their subject.
    estimate: Estimate | None = None
    measures: tuple[Measure, ...] = ()  # Of the gate, also when it refused.
    edition: int | None = None
    reused: bool = False  # The edition was there already.
    activated: bool = False
    sequence: int = 0  # Of the activation.
    error_reason: str = ""
    error: str = ""

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen."""
        return self.state is not State.RUNNING


class OperationStore:
    """The operations of one data directory. Thread-safe."""

    def __init__(self, folder: Path, clock: Callable[[], float]) -> None:
        self._folder = folder
        self._clock = clock
        self._changed = threading.Condition()
        self._known: dict[str, Operation] = {}
        self._load()

    def create(self, request: JobRequest) -> Operation:
        """Remembers a new operation; durable when it returns. Raises OSError."""
        now_s = self._clock()
        operation = Operation(
            id=f"consolidate-{int(now_s * 1000):012x}{secrets.token_hex(3)}",
            request=request,
            created_at_s=now_s,
            updated_at_s=now_s,
        )
        self._folder.mkdir(parents=True, exist_ok=True)
        self._write(operation)
        self._put(operation)
        self._forget_old()
        return operation

    def update(self, name: str, *, durable: bool = True, **changes: Any) -> Operation:
        """Changes an operation. Raises NotFound, and OSError for what must be durable."""
        operation = replace(self.get(name), updated_at_s=self._clock(), **changes)
        if durable:
            self._write(operation)
        self._put(operation)
        return operation

    def get(self, name: str) -> Operation:
        """Returns an operation. Raises NotFound."""
        found = self._known.get(name)
        if found is None:
            raise NotFound(
                f"operations/{name} does not exist; list the operations to see what does",
                resource_type="operation",
                resource_name=f"operations/{name}",
            )
        return found

    def all(self) -> list[Operation]:
        """Returns all operations, newest first."""
        return sorted(self._known.copy().values(), key=lambda one: one.id, reverse=True)

    def find_request(self, namespace: Namespace, request_id: str) -> Operation | None:
        """Returns the operation that a request id began."""
        for one in self.all():
            if (one.request.namespace, one.request.request_id) == (namespace, request_id):
                return one
        return None

    def wait(self, name: str, timeout_s: float) -> Operation:
        """Waits until an operation has ended, or `timeout_s`. Raises NotFound."""
        with self._changed:
            self._changed.wait_for(lambda: self.get(name).ended, timeout_s)
        return self.get(name)

    def delete(self, name: str) -> None:
        """Forgets an operation that has ended. Raises NotFound."""
        self.get(name)
        (self._folder / f"{name}.json").unlink(missing_ok=True)
        with self._changed:
            self._known.pop(name, None)
            self._changed.notify_all()

    def _put(self, operation: Operation) -> None:
        with self._changed:
            self._known[operation.id] = operation
            self._changed.notify_all()

    def _write(self, operation: Operation) -> None:
        write_json(self._folder / f"{operation.id}.json", _encode(operation))

    def _forget_old(self) -> None:
        ended = [one for one in self.all() if one.ended]
        for one in ended[KEPT_MAX:]:
            self.delete(one.id)

    def _load(self) -> None:
        for path in sorted(self._folder.glob("*.json")):
            try:
                operation = _decode(json.loads(path.read_bytes()))
            except (OSError, ValueError, KeyError, TypeError) as error:
                logger.warning("%s is no operation of this program, left alone: %s", path, error)
                continue
            self._known[operation.id] = operation


def _encode(operation: Operation) -> dict[str, Any]:
    said = asdict(operation)
    said["state"], said["stage"] = operation.state.value, operation.stage.value
    said["request"]["edit_filter"] = _filter_fields(operation.request.edit_filter)
    return said


def _decode(said: dict[str, Any]) -> Operation:
    request = said["request"]
    fields = {
        "namespace": Namespace(request["namespace"]),
        "edit_filter": _filter_from(request["edit_filter"]),
        "edit_ids": tuple(EditId(name) for name in request["edit_ids"]),
    }
    estimate = said["estimate"]
    changed = {
        "request": JobRequest(**{**request, **fields}),
        "state": State(said["state"]),
        "stage": Stage(said["stage"]),
        "estimate": None if estimate is None else Estimate(**estimate),
        "measures": tuple(Measure(**one) for one in said.get("measures", ())),
    }
    return Operation(**{**said, **changed})


def _filter_fields(edit_filter: EditFilter) -> dict[str, Any]:
    return {
        name: value
        for name in EditFilter.__dataclass_fields__
        if name != "states" and (value := getattr(edit_filter, name))
    }


def _filter_from(said: dict[str, Any]) -> EditFilter:
    labels = tuple((key, value) for key, value in said.get("labels", ()))
    return EditFilter(**{**said, "labels": labels})
