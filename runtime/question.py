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
from runtime.conversation import read_last_turn
from runtime.engine.contract import EmittedToken, FinishReason, Sampling, ScoredContinuation
from runtime.names import FindKnown


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The text that is routed, what was said, and what was said before it."""

    text: str  # The prompt, or the last user turn as it is read in its conversation.
    said: str  # The prompt, or the last user turn as it stands.
    context: str = ""  # The earlier turns, one "role: content" a line.

    @property
    def read_as(self) -> str | None:
        """The text that is routed where it is not what was said."""
        return self.text if self.text != self.said else None


def query_text(question: Question, find_known: FindKnown) -> Asked:
    """Returns what is routed; `find_known` finds the subjects of edits in the turns."""
    if not question.messages:
        prompt = question.prompt or ""
        return Asked(text=prompt, said=prompt)
    return Asked(
        text=read_last_turn(question.messages, find_known),
        said=question.messages[-1][1],
        context="\n".join(f"{role}: {content}" for role, content in question.messages[:-1]),
    )
