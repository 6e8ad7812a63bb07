"""The one thread that runs the model: admits, prefills, decodes, scores, in fair turns.

A turn is: end what was cancelled or is overdue, one prefill pass, one decode step for each edition,
one scoring pass. Whatever one request raises ends that request alone.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from memory.errors import EngineFailure, Overloaded, Unavailable
from runtime.engine.batch import RunningBatch
from runtime.engine.contract import EmittedToken, EngineHealth, FinishReason, TokenLogprob
from runtime.engine.prefill import PrefillQueue
from runtime.engine.prefixes import PrefixCache
from runtime.engine.sampling import choose, logprobs
from runtime.engine.scoring import ScoreJob
from runtime.engine.sequence import RunningGeneration

logger = logging.getLogger(__name__)

QUIET_PREFILL_FACTOR = 8  # Chunks are this much longer while no stream waits for its next token.
JOIN_S = 30.0  # How long close() waits for the step in progress.


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopLimits:
    """The bounds of the engine's work."""

    concurrent_max: int = 16  # Sequences that hold a slot.
    queue_max: int = 128  # Requests that wait for a slot, and scoring calls.
    prefill_tokens_max: int = 256  # Prompt tokens computed between two decode steps.
    kv_tokens_max: int = 65_536  # Rows times longest row; more wait (one always runs).
    prefix_tokens_max: int = 16_384  # Kept keys and values of shared prefixes.


class EngineLoop:
    """The engine's thread and its queue. Public methods are safe from any thread."""

    def __init__(
        self,
        *,
        limits: LoopLimits,
        fingerprint: str,
        token_text: Callable[[int], str],
    ) -> None:
        self._limits = limits
        self._token_text = token_text
        self._prefills = PrefillQueue(PrefixCache(limits.prefix_tokens_max), fingerprint)
        self._batches: dict[int, RunningBatch] = {}
        self._waiting: deque[RunningGeneration] = deque()
        self._scores: deque[ScoreJob] = deque()
        self._scoring: tuple[ScoreJob, Iterator[None]] | None = None
        self._changed = threading.Condition()
        self._closing = False
        self._aborting = False
        self._idle = True
        self._last_turn_s = time.monotonic()
        self._seconds_per_request = 1.0  # A running mean, for retry_after_s.
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)
        self._thread.start()

    def submit(self, generation: RunningGeneration) -> None:
        """Queues a generation. Raises Overloaded or Unavailable."""
        with self._changed:
            self._check_open(len(self._waiting))
            self._waiting.append(generation)
            self._begin()

    def submit_score(self, job: ScoreJob) -> None:
        """Queues a scoring call. Raises Overloaded or Unavailable."""
        with self._changed:
            self._check_open(len(self._scores))
            self._scores.append(job)
            self._begin()

    def wake(self) -> None:
        """Lets the thread look at its requests again."""
        with self._changed:
            self._changed.notify_all()

    def health(self) -> EngineHealth:
        """Returns counts and the age of the last turn. Never waits for the model."""
        idle = self._idle
        return EngineHealth(
            alive=self._thread.is_alive(),
            running=sum(len(b.generations) for b in list(self._batches.values()))
            + len(self._prefills),
            waiting=len(self._waiting) + len(self._scores),
            last_step_age_s=0.0 if idle else time.monotonic() - self._last_turn_s,
        )

    def close(self, grace_s: float) -> None:
        """Refuses new work, waits `grace_s` for the rest, cancels what remains, ends the thread."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._idle, timeout=grace_s)
            self._aborting = True
            self._changed.notify_all()
        if threading.current_thread() is not self._thread:
            self._thread.join(JOIN_S)

    def _begin(self) -> None:
        """Wakes the thread for new work; the caller holds the lock."""
        if self._idle:
            self._idle = False
            self._last_turn_s = time.monotonic()
        self._changed.notify_all()

    def _check_open(self, queued: int) -> None:
        if self._closing:
            raise Unavailable("the engine is closing; ask another server", reason="DRAINING")
        if queued >= self._limits.queue_max:
            rounds = queued / self._limits.concurrent_max
            raise Overloaded(
                f"{queued} requests wait for the model already, the most it queues; retry later",
                retry_after_s=round(min(30.0, max(0.1, rounds * self._seconds_per_request)), 2),
            )

    def _run(self) -> None:
        """Runs turns until closed. The thread's body."""
        with torch.inference_mode():
            while self._wait_for_work():
                try:
                    self._turn()
                except Exception as error:
                    logger.exception("a turn of the engine failed; its requests fail, it goes on")
                    self._fail_everything(error)
                self._last_turn_s = time.monotonic()
        self._end_everything()

    def _wait_for_work(self) -> bool:
        """Sleeps while there is nothing to do; False when the thread must end."""
        with self._changed:
            while not self._aborting:
                if self._has_work():
                    return True
                self._idle = True
                self._changed.notify_all()
                if self._closing:
                    break
                self._changed.wait()
                self._last_turn_s = time.monotonic()
            return False

    def _has_work(self) -> bool:
        return bool(
            self._waiting
            or self._scores
            or self._scoring
            or len(self._prefills)
            or any(batch.generations for batch in self._batches.values())
        )

    def _turn(self) -> None:
        """Gives every kind of work one forward pass."""
        self._end_overdue()
        self._admit()
        self._prefill()
        for edition, batch in list(self._batches.items()):
            self._decode(batch)
            if not batch.generations:
                del self._batches[edition]
        self._score()

    def _running(self) -> list[RunningGeneration]:
        """Returns who holds a slot."""
        rows = [generation for batch in self._batches.values() for generation in batch.generations]
        return rows + self._prefills.generations()

    def _end_overdue(self) -> None:
        """Ends what was cancelled or is past its deadline, in the queue and in the batch."""
        now = time.monotonic()
        with self._changed:
            waiting = list(self._waiting)
        ended = False
        for generation in waiting + self._running():
            reason = generation.overdue(now)
            if reason is not None and not generation.ended:
                generation.finish(reason)
            ended = ended or generation.ended
        if ended:
            with self._changed:
                self._waiting = deque(g for g in self._waiting if not g.ended)
            self._drop_ended()

    def _drop_ended(self) -> None:
        self._prefills.drop_ended()
        for batch in self._batches.values():
            batch.drop_ended()

    def _admit(self) -> None:
        """Moves requests from the queue into free slots, in order."""
        if not self._waiting:
            return
        running = self._running()
        longest = max((_reserved(generation) for generation in running), default=0)
        rows = len(running)
        with self._changed:
            while self._waiting and rows < self._limits.concurrent_max:
                longest = max(longest, _reserved(self._waiting[0]))
                if rows and (rows + 1) * longest > self._limits.kv_tokens_max:
                    return
                self._prefills.add(self._waiting.popleft())
                rows += 1

    def _prefill(self) -> None:
        """Runs one prefill pass and lets finished prompts join their batch."""
        tokens_max = self._limits.prefill_tokens_max
        if not self._batches:
            tokens_max *= QUIET_PREFILL_FACTOR
        done = self._prefills.turn(tokens_max)
        if done is None:
            return
        self._emit(done.generations, done.logits)
        for row, generation in enumerate(done.generations):
            if generation.ended:
                self._note_end(generation)
                continue
            edition = generation.request.edition
            if edition not in self._batches:
                assert generation.weights is not None, "the engine gives every one its weights"
                self._batches[edition] = RunningBatch(
                    generation.weights, self._limits.concurrent_max, _reserved(generation)
                )
            self._batches[edition].join(generation, done.cache, row)

    def _decode(self, batch: RunningBatch) -> None:
        """Runs one decode step of a batch and frees the rows that ended."""
        if not batch.generations:
            return
        logits = batch.step()
        if logits is None:
            return
        self._emit(batch.generations, logits)
        if any(generation.ended for generation in batch.generations):
            for generation in batch.generations:
                if generation.ended:
                    self._note_end(generation)
            batch.drop_ended()

    def _emit(self, generations: list[RunningGeneration], logits: Tensor) -> None:
        """Chooses a token for each row of `logits` (n, V) and hands it to its generation."""
        tokens = choose(logits, [generation.sampler for generation in generations])
        for row, (generation, token) in enumerate(zip(generations, tokens, strict=True)):
            try:
                if token is None:
                    raise EngineFailure(  # noqa: TRY301  # Handled like what accept() raises.
                        f"the model gave request {generation.request.request_id!r} logits that are"
                        " not finite numbers; check the weights and the dtype"
                    )
                generation.accept(self._emitted(generation, logits[row : row + 1], token))
            except Exception as error:  # noqa: BLE001  # Whatever it is, it is this request's.
                generation.fail(error)

    def _emitted(self, generation: RunningGeneration, logits: Tensor, token: int) -> EmittedToken:
        """Returns the token with the logprobs that were asked for; `logits` is (1, V)."""
        top = generation.request.logprobs_top
        if top is None:
            return EmittedToken(token_id=token)
        own, best = logprobs(logits, [token], top)[0]
        return EmittedToken(
            token_id=token,
            logprob=own,
            top=tuple(
                TokenLogprob(token_id=other, text=self._token_text(other), logprob=value)
                for other, value in best
            ),
        )

    def _score(self) -> None:
        """Runs one pass of the scoring call in progress, or begins the next one."""
        if self._scoring is None:
            if not self._scores:
                return
            with self._changed:
                job = self._scores.popleft()
            steps = job.steps(self._limits.prefill_tokens_max)
            self._scoring = (job, steps)
        job, steps = self._scoring
        try:
            next(steps)
        except StopIteration:
            self._scoring = None
        except Exception as error:  # noqa: BLE001  # Whatever it is, it is this call's.
            self._scoring = None
            failure = EngineFailure(f"scoring failed: {type(error).__name__}: {error}")
            failure.__cause__ = error
            job.result.set_exception(failure)

    def _note_end(self, generation: RunningGeneration) -> None:
        """Takes a finished request into the running mean."""
        self._seconds_per_request += 0.1 * (generation.age_s() - self._seconds_per_request)

    def _fail_everything(self, error: Exception) -> None:
        """Fails what holds a slot; the queue goes on."""
        for generation in self._running():
            generation.fail(error)
        self._batches.clear()
        self._prefills.drop_ended()

    def _end_everything(self) -> None:
        """Cancels what is left when the engine closes."""
        with self._changed:
            waiting, self._waiting = list(self._waiting), deque()
            scores, self._scores = list(self._scores), deque()
        for generation in waiting + self._running():
            if not generation.ended:
                generation.finish(FinishReason.CANCELLED)
        self._batches.clear()
        self._prefills.drop_ended()
        if self._scoring is not None:
            scores.append(self._scoring[0])
        for job in scores:
            job.result.set_exception(Unavailable("the engine was closed", reason="DRAINING"))
        with self._changed:
            self._idle = True
            self._changed.notify_all()


def _reserved(generation: RunningGeneration) -> int:
    """Returns the tokens that a generation may come to hold."""
    request = generation.request
    return len(request.prompt_tokens) + request.sampling.max_tokens
