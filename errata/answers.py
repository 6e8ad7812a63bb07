"""What the client gives back about questions: answers, routes, scores. Frozen, no protobuf."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


class RouteKind(StrEnum):
    """Which answer a request got: the frozen model's own, or an edited one."""

    BASE = "base"
    EDITED = "edited"


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredEdit:
    """An edit that retrieval proposed, with what the scope classifier made of it."""

    name: str
    statement: str  # The new fact in one line.
    score: float
    threshold: float  # In scope from this score on.
    cosine: float
    revision: int = 1
    rank: int = 0
    mention: str = ""
    reject_reason: str = ""  # Empty for one that was used.

    @property
    def id(self) -> str:
        """The last part of the name."""
        return self.name.rpartition("/")[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Timings:
    """Milliseconds by stage; a stage that did not run is 0."""

    queue_ms: float = 0.0
    encode_ms: float = 0.0
    retrieve_ms: float = 0.0
    scope_ms: float = 0.0
    prepare_ms: float = 0.0
    prefill_ms: float = 0.0
    decode_ms: float = 0.0
    total_ms: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """Where an answer came from."""

    request_id: str
    namespace: str
    route: RouteKind
    path: str  # "base", or the name of the edited path.
    reason: str  # The decision in one sentence.
    edits: tuple[ScoredEdit, ...] = ()  # Used, best first.
    rejected: tuple[ScoredEdit, ...] = ()
    sequence: int = 0
    edition: int = 0
    classifier: str = ""
    calibrated: bool = False
    timings: Timings = field(default_factory=Timings)
    query_read_as: str = ""  # The last user turn as it was read in its conversation; "": as it is.
    error_budget: float | None = None  # None: it promises none, or was not asked.
    budget_source: str = ""  # "request", "namespace", "server", "classifier"; "": not asked.


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What an answer cost, in tokens."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    edit_tokens: int = 0  # Prompt tokens that the edited path added.
    seed: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenLogprob:
    """A token and its natural-log probability."""

    token_id: int
    text: str
    logprob: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ChosenToken:
    """A chosen token, with the most probable ones at its place."""

    chosen: TokenLogprob
    top: tuple[TokenLogprob, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A whole answer; `str(answer)` is its text."""

    text: str
    provenance: Provenance
    finish_reason: str = ""  # "eos", "stop" or "length"
    stop_match: str = ""
    usage: Usage = field(default_factory=Usage)
    timings: Timings = field(default_factory=Timings)
    logprobs: tuple[ChosenToken, ...] = ()
    token_ids: tuple[int, ...] = ()
    prompt_token_ids: tuple[int, ...] = ()

    def __str__(self) -> str:
        """The text alone."""
        return self.text

    @property
    def route(self) -> RouteKind:
        """Whether the frozen model or an edited path answered."""
        return self.provenance.route

    @property
    def path(self) -> str:
        """The path that answered: "base", or an edited path's name."""
        return self.provenance.path

    @property
    def edits(self) -> tuple[ScoredEdit, ...]:
        """The edits used, best first."""
        return self.provenance.edits

    @property
    def sequence(self) -> int:
        """The memory sequence that the request saw."""
        return self.provenance.sequence

    @property
    def edition(self) -> int:
        """The edition of the weights that answered."""
        return self.provenance.edition

    @property
    def request_id(self) -> str:
        """Names the request in the server's log."""
        return self.provenance.request_id


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """A route without a generation."""

    provenance: Provenance
    decoded_prompt: str
    prompt_tokens: int

    @property
    def route(self) -> RouteKind:
        """Whether the frozen model or an edited path would answer."""
        return self.provenance.route


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredText:
    """One continuation's log-probabilities (natural log)."""

    text: str
    logprob: float
    tokens: tuple[TokenLogprob, ...] = ()
    greedy: bool = False  # Whether every token is the model's own first choice.


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """Log-probabilities of given continuations, in the order given."""

    scores: tuple[ScoredText, ...]
    provenance: Provenance
