"""What is asked of the runtime and what it answers: the words between services and query runner."""

from __future__ import annotations

from dataclasses import dataclass, field

from memory.record import (
    DEFAULT_NAMESPACE,
    EditId,
    EditsPolicy,
    Namespace,
    Provenance,
    StageTimings,
)
from runtime.engine.contract import EmittedToken, FinishReason, Sampling, ScoredContinuation


@dataclass(frozen=True, slots=True, kw_only=True)
class Routing:
    """How a request is to be routed."""

    namespace: Namespace = DEFAULT_NAMESPACE
    policy: EditsPolicy = EditsPolicy.AUTO
    edits: tuple[EditId, ...] = ()  # With FORCE: 1 to 8.
    path: str = ""  # "" is the server's default path.
    min_sequence: int = 0
    error_budget: float | None = None  # (0, 1); None is the server's.


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A bare prompt or the turns of a chat; exactly one of the two is set."""

    prompt: str | None = None
    messages: tuple[tuple[str, str], ...] = ()  # (role, content); the last one is the user's.
    sampling: Sampling = field(default_factory=Sampling)
    routing: Routing = field(default_factory=Routing)
    request_id: str = ""  # "" draws one.
    logprobs_top: int | None = None
    deadline_s: float | None = None  # time.monotonic() after which nobody waits for the answer.


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How an answer ended and what it cost."""

    reason: FinishReason
    stop_match: str
    prompt_tokens: int  # Decoded before the answer, demonstrations and new facts included.
    completion_tokens: int
    cached_tokens: int
    edit_tokens: int  # What the edited path added to the caller's own prompt.
    seed: int | None
    timings: StageTimings


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A whole answer."""

    text: str
    tokens: tuple[EmittedToken, ...]
    prompt_token_ids: tuple[int, ...]
    provenance: Provenance
    ending: Ending


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """A route without a generation."""

    provenance: Provenance
    decoded_prompt: str
    prompt_tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredAnswer:
    """Log-probabilities of given continuations, in their order."""

    scores: tuple[ScoredContinuation, ...]
    provenance: Provenance


def query_text(question: Question) -> tuple[str, str]:
    """The text that is routed and what was said before it.

    The prompt, or the last user turn with the earlier turns as context, one "role: content" a line.
    """
    if not question.messages:
        return question.prompt or "", ""
    earlier = "\n".join(f"{role}: {content}" for role, content in question.messages[:-1])
    return question.messages[-1][1], earlier
