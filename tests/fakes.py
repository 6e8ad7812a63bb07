"""Stand-ins shared by the tests: each keeps its contract, deterministically and without weights."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Mapping, Sequence

from memory.errors import EngineFailure, NotFound, Overloaded, Unavailable
from runtime.engine.admission import check_request, check_room, check_tokens
from runtime.engine.contract import (
    EmittedToken,
    EngineEvent,
    EngineHealth,
    EngineInfo,
    EngineRequest,
    Failed,
    Finished,
    FinishReason,
    Generation,
    ScoredContinuation,
    TokenDelta,
    TokenLogprob,
)


class FakeGeneration:
    """A generation of FakeEngine: a flag that its thread reads between tokens."""

    def __init__(self) -> None:
        self.cancelled = threading.Event()

    def cancel(self) -> None:
        self.cancelled.set()


class FakeEngine:
    """An Engine whose tokens are bytes of UTF-8 and whose answers are scripted, or an echo.

    The answer to a prompt is `answers[prompt]`, else that of the longest key that the prompt ends
    with, else `default(prompt)`: by default a space and the prompt's last word. One delta per
    character. `gate`, when given, is waited for before every character but the first, so that a
    test can hold generations in flight (set it to let them run). Prompts in `failing` end in
    Failed. `started` counts accepted requests; `requests` keeps them in order.
    """

    def __init__(
        self,
        answers: Mapping[str, str] | None = None,
        *,
        default: Callable[[str], str] | None = None,
        context_tokens: int = 4096,
        chat: bool = False,
        gate: threading.Event | None = None,
        failing: frozenset[str] = frozenset(),
        queue_max: int = 64,
        prompt_form: str = "",
    ) -> None:
        self.answers = dict(answers or {})
        self.default = default or (lambda prompt: " " + (prompt.split() or ["nothing"])[-1])
        self.gate = gate
        self.failing = failing
        self.queue_max = queue_max
        self.requests: list[EngineRequest] = []
        self._info = EngineInfo(
            model="fake",
            model_type="fake",
            fingerprint="fake-0",
            context_tokens=context_tokens,
            vocab_size=257,  # 256 bytes and the end of text.
            parameters=0,
            dtype="float32",
            device="cpu",
            chat=chat,
            concurrent_max=queue_max,
            prompt_form=prompt_form,
        )
        self._lock = threading.Lock()
        self._running: dict[int, tuple[FakeGeneration, threading.Thread]] = {}
        self._numbers = itertools.count()
        self._closing = False

    @property
    def info(self) -> EngineInfo:
        return self._info

    @property
    def started(self) -> int:
        return len(self.requests)

    @property
    def running(self) -> int:
        with self._lock:
            return len(self._running)

    def tokenize(self, text: str) -> list[int]:
        return list(text.encode())

    def tokenize_continuation(self, prompt: str, continuation: str) -> tuple[list[int], list[int]]:
        return self.tokenize(prompt), self.tokenize(continuation)

    def tokenize_chat(self, messages: Sequence[tuple[str, str]]) -> list[int]:
        turns = "".join(f"{role}: {content}\n" for role, content in messages)
        return self.tokenize(turns + "assistant:")

    def detokenize(self, token_ids: Sequence[int]) -> str:
        return bytes(token for token in token_ids if token < 256).decode(errors="replace")

    def start(self, request: EngineRequest, deliver: Callable[[EngineEvent], None]) -> Generation:
        check_request(request, self._info)
        _check_edition(request.edition)
        generation = FakeGeneration()
        number = next(self._numbers)
        thread = threading.Thread(
            target=self._run, args=(number, request, generation, deliver), daemon=True
        )
        with self._lock:
            if self._closing:
                raise Unavailable("the engine is closing", reason="DRAINING")
            if len(self._running) >= self.queue_max:
                raise Overloaded(f"{self.queue_max} generations are running; retry later")
            self._running[number] = (generation, thread)
            self.requests.append(request)
        thread.start()
        return generation

    def score(
        self, prompt_tokens: Sequence[int], continuations: Sequence[Sequence[int]], edition: int = 0
    ) -> list[ScoredContinuation]:
        """Gives tokens of the scripted answer ln 0.9 and all others ln 0.001."""
        if self._closing:
            raise Unavailable("the engine is closing", reason="DRAINING")
        _check_edition(edition)
        check_tokens(prompt_tokens, self._info.vocab_size, field="prompt")
        expected = self.tokenize(self.answer(self.detokenize(prompt_tokens)))
        scored = []
        for tokens in continuations:
            check_room(len(prompt_tokens), len(tokens), self._info.context_tokens)
            hits = tuple(tokens[: i + 1] == expected[: i + 1] for i in range(len(tokens)))
            scored.append(
                ScoredContinuation(
                    token_ids=tuple(tokens),
                    logprobs=tuple(-0.1053605 if hit else -6.9077553 for hit in hits),
                    greedy=hits,
                )
            )
        return scored

    def close(self, grace_s: float = 0.0) -> None:
        with self._lock:
            self._closing = True
            running = list(self._running.values())
        until = time.monotonic() + grace_s
        for _, thread in running:
            thread.join(max(0.0, until - time.monotonic()))
        for generation, thread in running:
            generation.cancel()
            thread.join(10.0)

    def health(self) -> EngineHealth:
        return EngineHealth(
            alive=not self._closing, running=self.running, waiting=0, last_step_age_s=0.0
        )

    def answer(self, prompt: str) -> str:
        """Returns the scripted answer to `prompt`."""
        if prompt in self.answers:
            return self.answers[prompt]
        endings = [key for key in self.answers if prompt.endswith(key)]
        return self.answers[max(endings, key=len)] if endings else self.default(prompt)

    def _run(
        self,
        number: int,
        request: EngineRequest,
        generation: FakeGeneration,
        deliver: Callable[[EngineEvent], None],
    ) -> None:
        try:
            deliver(self._generate(request, generation, deliver))
        finally:
            with self._lock:
                del self._running[number]

    def _generate(
        self,
        request: EngineRequest,
        generation: FakeGeneration,
        deliver: Callable[[EngineEvent], None],
    ) -> EngineEvent:
        """Delivers the deltas and returns the last event."""
        prompt = self.detokenize(request.prompt_tokens)
        if prompt in self.failing:
            return Failed(error=EngineFailure(f"scripted failure of {prompt!r}"))
        text, reason, stop = _shorten(self.answer(prompt), request)
        spent = 0
        for place, character in enumerate(text):
            if not self._may_go_on(place, request, generation):
                cancelled = generation.cancelled.is_set()
                reason = FinishReason.CANCELLED if cancelled else FinishReason.DEADLINE
                break
            deliver(TokenDelta(text=character, tokens=_emit(character, request.logprobs_top)))
            spent += len(character.encode())
        return Finished(
            reason=reason,
            stop_match=stop if reason is FinishReason.STOP else "",
            prompt_tokens=len(request.prompt_tokens),
            completion_tokens=spent,
            cached_tokens=0,
            seed=(request.sampling.seed or 0) if request.sampling.temperature > 0 else None,
        )

    def _may_go_on(self, place: int, request: EngineRequest, generation: FakeGeneration) -> bool:
        """Waits for the gate; whether the generation was neither cancelled nor ran out of time."""
        while True:
            if generation.cancelled.is_set():
                return False
            if request.deadline_s is not None and time.monotonic() >= request.deadline_s:
                return False
            if self.gate is None or place == 0 or self.gate.wait(0.005):
                return True


def _check_edition(edition: int) -> None:
    if edition != 0:
        raise NotFound(
            f"edition {edition} does not exist; known: 0",
            resource_type="edition",
            resource_name=str(edition),
        )


def _shorten(text: str, request: EngineRequest) -> tuple[str, FinishReason, str]:
    """Cuts a scripted answer at its first stop string and at max_tokens bytes."""
    reason, match = FinishReason.EOS, ""
    places = [(text.find(stop), stop) for stop in request.sampling.stop if stop in text]
    if places:
        place, match = min(places)
        text, reason = text[:place], FinishReason.STOP
    encoded = text.encode()
    if len(encoded) > request.sampling.max_tokens:
        text = encoded[: request.sampling.max_tokens].decode(errors="ignore")
        reason = FinishReason.LENGTH
    return text, reason, match


def _emit(character: str, logprobs_top: int | None) -> tuple[EmittedToken, ...]:
    """Returns the tokens (bytes) of a character, each with probability 0.9 when asked for."""
    if logprobs_top is None:
        return tuple(EmittedToken(token_id=byte) for byte in character.encode())
    return tuple(
        EmittedToken(
            token_id=byte,
            logprob=-0.1053605,
            top=(TokenLogprob(token_id=byte, text=character, logprob=-0.1053605),)[:logprobs_top],
        )
        for byte in character.encode()
    )
