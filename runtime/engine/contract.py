"""The contract of engines: start a generation and stream it, score given tokens, cancel.

An engine holds frozen weights and knows tokens, sampling and batching. It knows nothing of edits,
routes or namespaces; `edition` names the weights to use and is part of every cache key.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from torch import Tensor

PROMPT_FORM = "errata_prompt_form"  # The key of EngineInfo.prompt_form in a model's config.


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How the next token is chosen; `temperature` 0 is greedy."""

    max_tokens: int = 64  # New tokens at most, >= 1.
    temperature: float = 0.0  # >= 0
    top_p: float = 1.0  # (0, 1]
    top_k: int = 0  # 0 = off
    min_p: float = 0.0  # [0, 1)
    repetition_penalty: float = 1.0  # (0, 10]; as transformers: over prompt and output
    seed: int | None = None  # None: the engine draws one and reports it.
    stop: tuple[str, ...] = ()  # The answer ends before the first of these.
    ignore_eos: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineRequest:
    """One generation: tokens in, tokens out."""

    request_id: str
    prompt_tokens: tuple[int, ...]
    sampling: Sampling
    edition: int = 0
    logprobs_top: int | None = None  # None: no logprobs; 0..20: the chosen one and this many more.
    prefix_tokens: int = 0  # How many leading prompt tokens are shared by many requests (KV reuse).
    deadline_s: float | None = None  # time.monotonic() after which the engine ends it.
    answer_tokens: tuple[int, ...] = ()  # What is answered whatever the model prefers; (): it says.


class FinishReason(Enum):
    """Why a generation ended."""

    EOS = "eos"
    STOP = "stop"
    LENGTH = "length"
    CANCELLED = "cancelled"
    DEADLINE = "deadline"


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenLogprob:
    """One token and its natural-log probability under the untempered model distribution."""

    token_id: int
    text: str
    logprob: float


@dataclass(frozen=True, slots=True, kw_only=True)
class EmittedToken:
    """A chosen token with, when asked for, its logprob and the most probable others."""

    token_id: int
    logprob: float | None = None
    top: tuple[TokenLogprob, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenDelta:
    """New text since the last delta (never cumulative, never half a character)."""

    text: str
    tokens: tuple[EmittedToken, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """The last event of a generation that did not fail."""

    reason: FinishReason
    stop_match: str = ""  # The stop string that ended it.
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0  # Prompt tokens whose keys and values were reused.
    seed: int | None = None  # The seed in force, when sampled.
    queue_ms: float = 0.0  # From start() to the first forward pass.
    prefill_ms: float = 0.0  # From the first forward pass to the first token.
    decode_ms: float = 0.0  # From the first token to the end.


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """The last event of a generation that failed; other generations go on."""

    error: Exception  # An EngineFailure, with its cause chained.


EngineEvent = TokenDelta | Finished | Failed


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineInfo:
    """What the engine serves."""

    model: str  # The name or path it was asked for, in short.
    model_type: str  # config.model_type
    fingerprint: str  # Hash of config and weights; part of every cache key.
    context_tokens: int
    vocab_size: int
    parameters: int
    dtype: str
    device: str
    chat: bool  # Whether the tokenizer has a chat template.
    concurrent_max: int  # Sequences that share a decode step.
    width: int = 0  # Of the residual stream; 0 where it is not known.
    prompt_form: str = ""  # What its config says of the prompts it was trained with, if anything.


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredContinuation:
    """Log-probabilities of given tokens after a prompt, teacher-forced."""

    token_ids: tuple[int, ...]
    logprobs: tuple[float, ...]  # Natural log, one per token.
    greedy: tuple[bool, ...]  # Whether the token is the model's own first choice at its place.


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineHealth:
    """What a health probe reads, without waiting for the model."""

    alive: bool  # The engine can take work.
    running: int  # Sequences that hold a slot.
    waiting: int  # Requests and scoring calls in the queue.
    last_step_age_s: float  # Since the last step ended; 0 when there is nothing to do.


class Generation(Protocol):
    """A running generation."""

    def cancel(self) -> None:
        """Ends it before the next decode step, with Finished(CANCELLED). Idempotent."""
        ...


class EditionHost(Protocol):
    """Weights beside the published ones, by edition number. Safe to call from any thread."""

    def parameter(self, name: str) -> Tensor:
        """Returns a parameter of edition 0, never to be written to. Raises InvalidInput."""
        ...

    def add_edition(self, edition: int, parameters: Mapping[str, Tensor]) -> object:
        """Makes an edition known: edition 0 with these parameters in place of its own.

        Returns what keeps it known: requests may name the edition as long as somebody holds it;
        those that were started keep it themselves. Takes effect between two steps and holds none
        up. Raises InvalidInput for parameters that the model does not have.
        """
        ...

    def editions(self) -> tuple[int, ...]:
        """Returns the editions that requests may name now, 0 among them."""
        ...


class Engine(Protocol):
    """Frozen weights that answer. All methods are safe to call from any thread."""

    @property
    def info(self) -> EngineInfo:
        """Returns what is served. Changes nothing."""
        ...

    def health(self) -> EngineHealth:
        """Returns what a health probe needs. Never waits for the model. Changes nothing."""
        ...

    def tokenize(self, text: str) -> list[int]:
        """Returns the ids of a bare prompt, special tokens as the model's tokenizer adds them."""
        ...

    def tokenize_continuation(self, prompt: str, continuation: str) -> tuple[list[int], list[int]]:
        """Returns ids of the prompt and of what follows it.

        Their concatenation is the tokenization of the joined text; a token that straddles the
        border counts as continuation.
        """
        ...

    def tokenize_chat(self, messages: Sequence[tuple[str, str]]) -> list[int]:
        """Returns the ids of (role, content) turns, with the opening of the assistant's turn.

        By the model's chat template; without one, turns are "role: content" lines. Raises
        InvalidInput for a role the template refuses.
        """
        ...

    def detokenize(self, token_ids: Sequence[int]) -> str:
        """Returns the text of ids, special tokens left out."""
        ...

    def start(self, request: EngineRequest, deliver: Callable[[EngineEvent], None]) -> Generation:
        """Queues a generation.

        `deliver` gets its events from the engine's thread, in order, and must not block. Exactly
        one Finished or Failed comes, last.

        Raises ContextTooLong, InvalidInput (sampling, unknown token id), Overloaded (queue full),
        Unavailable (closing), NotFound (edition).
        """
        ...

    def score(
        self, prompt_tokens: Sequence[int], continuations: Sequence[Sequence[int]], edition: int = 0
    ) -> list[ScoredContinuation]:
        """Scores each continuation after the prompt. Blocks; shares the model with generations.

        Raises ContextTooLong, InvalidInput, Overloaded, Unavailable.
        """
        ...

    def close(self, grace_s: float = 0.0) -> None:
        """Refuses new work, lets running work finish for `grace_s` seconds, cancels the rest."""
        ...
