"""The words that all folders share: edits, queries, candidates, hits and routes.

Everything here is immutable: a change is `dataclasses.replace`. Times are seconds since the epoch
(UTC, float); scores say what they are where they are born. Nothing here knows storage or protobuf.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from enum import Enum
from typing import NewType

import numpy as np
import numpy.typing as npt

EditId = NewType("EditId", str)
Namespace = NewType("Namespace", str)

Vector = npt.NDArray[np.float32]

DEFAULT_NAMESPACE = Namespace("default")
EDITION_BASE = 0  # The model as published.


class EditState(Enum):
    """What an edit is now; moved only by new log entries."""

    ACTIVE = "active"
    SUPERSEDED = "superseded"
    RETIRED = "retired"
    EXPIRED = "expired"
    CONSOLIDATED = "consolidated"


class ConflictPolicy(Enum):
    """What a write does when an active edit has the same normalised subject and prompt."""

    FAIL = "fail"
    SKIP = "skip"
    SUPERSEDE = "supersede"


@dataclass(frozen=True, slots=True, kw_only=True)
class EditDraft:
    """An edit as a caller gives it, before it has an id, a state or a sequence."""

    subject: str
    prompt: str
    target: str
    former: str | None = None
    aliases: tuple[str, ...] = ()
    author: str = ""
    source: str = ""
    labels: tuple[tuple[str, str], ...] = ()
    expires_at_s: float | None = None
    edit_id: EditId | None = None  # Chosen by the caller, else by the memory.


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit:
    """One fact that should now hold, at one revision."""

    id: EditId
    namespace: Namespace
    subject: str
    prompt: str  # A cloze that the target completes, or a question that it answers.
    target: str
    former: str | None = None
    aliases: tuple[str, ...] = ()
    author: str = ""
    source: str = ""
    labels: tuple[tuple[str, str], ...] = ()
    state: EditState = EditState.ACTIVE
    revision: int = 1  # Counts every change of content or state, from 1.
    sequence: int = 0  # Log position of this revision.
    created_at_s: float = 0.0
    updated_at_s: float = 0.0
    expires_at_s: float | None = None
    supersedes: EditId | None = None
    superseded_by: EditId | None = None
    edition: int | None = None  # The edition whose weights hold it, when CONSOLIDATED.

    @property
    def etag(self) -> str:
        """Names this revision; a write that gives another etag is refused."""
        named = f"{self.namespace}/{self.id}@{self.revision}"
        return hashlib.sha256(named.encode()).hexdigest()[:16]

    @property
    def statement(self) -> str:
        """The new fact as one line: prompt and target."""
        return f"{self.prompt.rstrip()} {self.target.strip()}"

    @property
    def is_question(self) -> bool:
        """Whether the prompt asks (ends in a question mark) rather than states."""
        return self.prompt.rstrip().endswith("?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Activation:
    """One log entry that gives a namespace other weights.

    `took` and `left` together are what the edition was computed from, as (edit, revision): the
    weights hold the first, and were not moved enough (or too much) by the second.
    """

    namespace: Namespace
    edition: int  # 0 is the model as published.
    took: tuple[tuple[EditId, int], ...] = ()
    left: tuple[tuple[EditId, int], ...] = ()
    automatic: bool = False  # Because an edit of the former edition went out of force.
    sequence: int = 0
    at_s: float = 0.0

    @property
    def contents(self) -> tuple[tuple[EditId, int], ...]:
        """Every edit that the edition was computed from."""
        return (*self.took, *self.left)


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """The text that is routed.

    `text` is the prompt, or the last user turn; `context` is what was said before it (empty for a
    bare prompt); `vector` is the sentence encoder's unit vector of `text`, shape (d,).
    """

    text: str
    vector: Vector
    context: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """An edit that retrieval proposed for a query."""

    edit: Edit
    cosine: float  # Between the encodings of query and edit prompt, in [-1, 1].
    rank: int  # By cosine among the candidates, from 0.
    by_vector: bool  # Proposed by the vector index.
    by_subject: bool  # Its subject or an alias is mentioned in the query.
    mention: str = ""  # The surface that was matched, as it stands in the query.


class RejectReason(Enum):
    """Why a candidate did not become a hit, or a hit was not used."""

    BELOW_THRESHOLD = "below_threshold"
    NOT_FORCED = "not_forced"
    OUTRANKED = "outranked"  # A better hit of the same subject, or more hits than the path takes.
    POLICY_OFF = "policy_off"
    CONSOLIDATED = "consolidated"  # In scope, and held by the weights that answer.
    CORRECTED = "corrected"  # In scope, but a later edit answers the same question.


@dataclass(frozen=True, slots=True, kw_only=True)
class ScopeDecision:
    """A scored candidate: in scope when `score >= threshold` (the one home of that comparison)."""

    candidate: Candidate
    score: float  # The classifier's; a probability in [0, 1] when it says it is calibrated.
    threshold: float

    @property
    def accepted(self) -> bool:
        """Whether the classifier counts the query in the edit's scope."""
        return self.score >= self.threshold


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejection:
    """A candidate that was turned down, and why."""

    decision: ScopeDecision
    reason: RejectReason


class RouteKind(Enum):
    """Which answer a request gets."""

    BASE = "base"
    EDITED = "edited"


class EditsPolicy(Enum):
    """What the caller wants of the memory: routed, never used, or named edits used."""

    AUTO = "auto"
    OFF = "off"
    FORCE = "force"


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """The decision for one request."""

    kind: RouteKind
    path: str  # "base", or the name of a path.
    hits: tuple[ScopeDecision, ...] = ()  # Best first; those the path will use.
    rejections: tuple[Rejection, ...] = ()
    reason: str = ""  # One sentence for people.


@dataclass(frozen=True, slots=True, kw_only=True)
class StageTimings:
    """Milliseconds spent in each stage of one request; 0 for a stage that did not run."""

    queue_ms: float = 0.0
    encode_ms: float = 0.0
    retrieve_ms: float = 0.0
    scope_ms: float = 0.0
    prepare_ms: float = 0.0
    prefill_ms: float = 0.0  # From hand-over to the engine to the first token.
    decode_ms: float = 0.0
    total_ms: float = 0.0


class BudgetSource(Enum):
    """Who set the error budget of a decision; the first that did counts."""

    REQUEST = "request"
    NAMESPACE = "namespace"
    SERVER = "server"
    CLASSIFIER = "classifier"  # Nobody: the classifier's own default.


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorBudget:
    """The share of out-of-scope queries that may be routed to an edit, and who set it."""

    share: float | None  # In (0, 1); None where a classifier promises none.
    source: BudgetSource


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """Where an answer came from; the first message of every answer."""

    request_id: str
    namespace: Namespace
    route: Route
    sequence: int  # The memory sequence that the request saw.
    edition: int
    classifier: str = ""
    calibrated: bool = False
    timings: StageTimings = field(default_factory=StageTimings)
    read_as: str | None = None  # The last user turn as it was read, when not as it stands.
    budget: ErrorBudget | None = None  # None when the classifier was not asked.
