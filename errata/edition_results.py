"""What the client returns of editions and operations: plain immutable values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Any

from errata.errors import ClientError


class OperationState(Enum):
    """How an operation stands."""

    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


class EditionState(Enum):
    """Whether an edition can be used."""

    SOUND = "sound"
    DAMAGED = "damaged"  # A file of it is missing or is not what was written.
    OTHER_WEIGHTS = "other_weights"  # Computed for a model that the server does not run.
    REFUSED = "refused"  # The engine could not load it the last time.


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """What a job will need."""

    edits: int = 0
    memory_bytes: int = 0
    memory_cap_bytes: int = 0
    edition_bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldEdit:
    """One edit that an edition was computed from."""

    edit: str  # Resource name.
    revision: int
    statement: str
    took: bool  # The weights hold it; else the memory goes on serving it.
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One figure of the gate; None where it has no meaning."""

    name: str
    before: float | None
    after: float | None
    limit: str
    passed: bool
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Matrix:
    """One changed matrix; rank 0 when stored in full."""

    module: str
    rows: int
    columns: int
    rank: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Edition:
    """A numbered version of the weights; 0 is the model as published."""

    name: str  # namespaces/{namespace}/editions/{number}
    number: int
    active: bool
    created_at: datetime | None = None
    editor: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    edits: tuple[HeldEdit, ...] = ()  # Empty in listings.
    edits_taken: int = 0
    edits_left: int = 0
    metrics: tuple[Metric, ...] = ()
    matrices: tuple[Matrix, ...] = ()
    bytes: int = 0
    sha256: str = ""
    base_fingerprint: str = ""
    unusable_reason: str = ""
    state: EditionState = EditionState.SOUND
    answers: bool = False  # Requests get its weights now.


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """A consolidation job."""

    id: str
    state: OperationState
    namespace: str  # Short name.
    stage: str
    done: int  # Within the stage; `total` is 0 where it is not known.
    total: int
    edits: int
    editor: str
    restarts: int = 0
    created_at: datetime | None = None
    updated_at: datetime | None = None
    validate_only: bool = False
    metrics: tuple[Metric, ...] = ()  # Of the gate, also when it refused.
    edits_left_out: int = 0  # Their prompt names the subject in no words that are known.
    estimate: Estimate | None = None
    edition: Edition | None = None
    reused: bool = False  # The edition was there already, made from the same edits.
    activated: bool = False
    sequence: int = 0
    error: ClientError | None = None

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen."""
        return self.state is not OperationState.RUNNING


@dataclass(frozen=True, slots=True, kw_only=True)
class Activated:
    """A durable activation."""

    edition: Edition
    sequence: int
    edits_changed: int
