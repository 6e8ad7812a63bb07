"""One generation on its way: its tokens, its text, its events, and what ends it.

Lives on the engine's thread, but for `cancel`, which any thread may call.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING

from memory.errors import EngineFailure
from runtime.engine.contract import (
    EmittedToken,
    EngineEvent,
    EngineRequest,
    Failed,
    Finished,
    FinishReason,
    TokenDelta,
)
from runtime.engine.sampling import Sampler
from runtime.engine.text import StopFinder, TextStream

if TYPE_CHECKING:
    from runtime.engine.model import FrozenModel

logger = logging.getLogger(__name__)


class RunningGeneration:
    """The state of one generation from start() to its last event."""

    def __init__(
        self,
        request: EngineRequest,
        deliver: Callable[[EngineEvent], None],
        *,
        text: TextStream,
        eos_ids: Collection[int],
        wake: Callable[[], None],
        weights: FrozenModel | None = None,
    ) -> None:
        self.request = request
        self.weights = weights  # Of the edition it began with: its own hold on them.
        self.sampler = Sampler(request.sampling, request.prompt_tokens, request.answer_tokens)
        self.tokens: list[int] = []
        self.cached_tokens = 0
        self.ended = False
        self.cancelled = False
        self._deliver = deliver
        self._wake = wake
        self._text = text
        self._stops = StopFinder(request.sampling.stop)
        self._eos_ids = frozenset() if request.sampling.ignore_eos else eos_ids
        self._unsent: list[EmittedToken] = []
        self._queued_at = time.monotonic()
        self._prefill_at: float | None = None
        self._first_at: float | None = None

    def cancel(self) -> None:
        """Ends it before the next decode step. Idempotent; safe from any thread."""
        self.cancelled = True
        self._wake()

    def note_prefill(self) -> None:
        """Marks the first forward pass."""
        if self._prefill_at is None:
            self._prefill_at = time.monotonic()

    def overdue(self, now: float) -> FinishReason | None:
        """Why it must end before another step, if it must."""
        if self.cancelled:
            return FinishReason.CANCELLED
        deadline_s = self.request.deadline_s
        return FinishReason.DEADLINE if deadline_s is not None and now >= deadline_s else None

    def age_s(self) -> float:
        """Returns the seconds since it was started."""
        return time.monotonic() - self._queued_at

    def accept(self, emitted: EmittedToken) -> None:
        """Takes the next token: delivers the text that became certain, or the end."""
        if self._first_at is None:
            self._first_at = time.monotonic()
        token = emitted.token_id
        self.tokens.append(token)
        self.sampler.note(token)
        self._unsent.append(emitted)
        if token in self._eos_ids:
            self.finish(FinishReason.EOS)
            return
        text, stop = self._stops.push(self._text.push(token))
        if stop:
            self._send(text)
            self._end(FinishReason.STOP, stop)
        elif self._all_given():
            self._finish_with(text, FinishReason.EOS)
        elif len(self.tokens) >= self.request.sampling.max_tokens:
            self._finish_with(text, FinishReason.LENGTH)
        elif text:
            self._send(text)

    def _all_given(self) -> bool:
        """Whether the answer that the request came with has been said; it ends there."""
        given = len(self.request.answer_tokens)
        return len(self.tokens) == given > 0 and not self.request.sampling.ignore_eos

    def finish(self, reason: FinishReason) -> None:
        """Delivers what was held back and the last event."""
        self._finish_with("", reason)

    def fail(self, cause: BaseException) -> None:
        """Delivers Failed. Does nothing when it has ended already."""
        if self.ended:
            return
        self.ended = True
        error = cause
        if not isinstance(cause, EngineFailure):
            error = EngineFailure(
                f"the model failed on request {self.request.request_id!r}:"
                f" {type(cause).__name__}: {cause}"
            )
            error.__cause__ = cause
        assert isinstance(error, EngineFailure)
        self._tell(Failed(error=error))

    def _finish_with(self, text: str, reason: FinishReason) -> None:
        """Ends with `text` before what was held back; a stop string may show up in the rest."""
        if self.ended:
            return
        rest, stop = self._stops.push(self._text.flush())
        if stop:
            self._send(text + rest)
            self._end(FinishReason.STOP, stop)
            return
        self._send(text + rest + self._stops.flush())
        self._end(reason, "")

    def _send(self, text: str) -> None:
        """Delivers text and the tokens since the last delta; nothing when there is neither."""
        if text or self._unsent:
            tokens, self._unsent = tuple(self._unsent), []
            self._tell(TokenDelta(text=text, tokens=tokens))

    def _end(self, reason: FinishReason, stop: str) -> None:
        """Delivers Finished with the timings."""
        self.ended = True
        now = time.monotonic()
        prefill_at = now if self._prefill_at is None else self._prefill_at
        first_at = now if self._first_at is None else self._first_at
        self._tell(
            Finished(
                reason=reason,
                stop_match=stop,
                prompt_tokens=len(self.request.prompt_tokens),
                completion_tokens=len(self.tokens),
                cached_tokens=self.cached_tokens,
                seed=self.sampler.seed,
                queue_ms=(prefill_at - self._queued_at) * 1e3,
                prefill_ms=(first_at - prefill_at) * 1e3,
                decode_ms=(now - first_at) * 1e3,
            )
        )

    def _tell(self, event: EngineEvent) -> None:
        """Hands an event over; a receiver that raises loses its generation, nothing else."""
        try:
            self._deliver(event)
        except Exception:
            logger.exception("the receiver of request %r raised", self.request.request_id)
            self.cancelled = True
