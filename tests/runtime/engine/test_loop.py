"""Cancelling, deadlines, overload, poisoned requests, closing: each costs nobody else anything.

Receivers run on the engine's thread, so a receiver that waits holds the engine still: that is how
these tests put it into a known state without sleeping.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from memory.errors import (
    ContextTooLong,
    EngineFailure,
    InvalidInput,
    NotFound,
    Overloaded,
    Unavailable,
)
from runtime.engine.contract import (
    EngineEvent,
    EngineRequest,
    Failed,
    Finished,
    FinishReason,
    Generation,
    Sampling,
    TokenDelta,
)
from runtime.engine.load import LoadedModel, load_model
from runtime.engine.loop import LoopLimits
from runtime.engine.stream import collect
from runtime.engine.transformers_engine import TransformersEngine
from tests.tiny_models import near_tie, random_prompt, reference

POISON = 77  # A token whose embedding is NaN in the poisoned engine.
BOMB = 78  # A token that makes every forward pass it is in raise.


class Receiver:
    """Keeps the events of one generation; `on_delta` runs on the engine's thread."""

    def __init__(self, on_delta: Callable[[Receiver], None] | None = None) -> None:
        self.events: list[EngineEvent] = []
        self.ended = threading.Event()
        self.generation: Generation | None = None
        self._on_delta = on_delta

    def __call__(self, event: EngineEvent) -> None:
        self.events.append(event)
        if isinstance(event, TokenDelta) and self._on_delta is not None:
            self._on_delta(self)
        if not isinstance(event, TokenDelta):
            self.ended.set()

    @property
    def last(self) -> EngineEvent:
        assert self.ended.wait(30)
        return self.events[-1]

    @property
    def tokens(self) -> list[int]:
        deltas = [event for event in self.events if isinstance(event, TokenDelta)]
        return [token.token_id for delta in deltas for token in delta.tokens]


class Holder:
    """A receiver that holds the engine still from its first delta until `release`."""

    def __init__(self) -> None:
        self.held = threading.Event()
        self._go = threading.Event()
        self.receiver = Receiver(self._wait)

    def _wait(self, _: Receiver) -> None:
        self.held.set()
        assert self._go.wait(30)

    def release(self) -> None:
        self._go.set()


def ask(name: str = "r", prompt: tuple[int, ...] | None = None, **more: Any) -> EngineRequest:
    sampling = more.pop("sampling", Sampling(max_tokens=40, ignore_eos=True))
    return EngineRequest(
        request_id=name, prompt_tokens=prompt or random_prompt(1, 6), sampling=sampling, **more
    )


@pytest.fixture
def engine(tiny_folder: Callable[[str], Path]) -> Iterator[TransformersEngine]:
    engine = TransformersEngine.load(
        str(tiny_folder("llama")), device="cpu", concurrent_max=2, queue_max=3
    )
    yield engine
    engine.close()


def test_a_cancelled_generation_ends_before_the_next_step(engine: TransformersEngine) -> None:
    started = threading.Event()

    def cancel_at_third(receiver: Receiver) -> None:
        assert started.wait(30)
        if len(receiver.tokens) >= 3:
            assert receiver.generation is not None
            receiver.generation.cancel()
            receiver.generation.cancel()

    receiver = Receiver(cancel_at_third)
    receiver.generation = engine.start(ask(), receiver)
    started.set()
    last = receiver.last
    assert isinstance(last, Finished)
    assert FinishReason.CANCELLED == last.reason
    assert last.completion_tokens == len(receiver.tokens) <= 5
    receiver.generation.cancel()
    assert 1 == sum(not isinstance(event, TokenDelta) for event in receiver.events)
    assert 0 == engine.health().running


def test_a_cancelled_request_in_the_queue_never_runs(engine: TransformersEngine) -> None:
    holder = Holder()
    engine.start(ask("a"), holder.receiver)
    assert holder.held.wait(30)
    engine.start(ask("b"), Receiver())
    waiting = Receiver()
    generation = engine.start(ask("c"), waiting)
    generation.cancel()
    holder.release()
    last = waiting.last
    assert isinstance(last, Finished)
    assert (FinishReason.CANCELLED, 0) == (last.reason, last.completion_tokens)
    assert [] == waiting.tokens


def test_a_deadline_ends_what_runs_and_what_waits(engine: TransformersEngine) -> None:
    past = Receiver()
    engine.start(ask("past", deadline_s=time.monotonic() - 1), past)
    last = past.last
    assert isinstance(last, Finished)
    assert (FinishReason.DEADLINE, 0) == (last.reason, last.completion_tokens)

    deadline_s = time.monotonic() + 0.05

    def outlast(_: Receiver) -> None:
        threading.Event().wait(max(0.0, deadline_s - time.monotonic()))

    late = Receiver(outlast)
    engine.start(ask("late", deadline_s=deadline_s), late)
    last = late.last
    assert isinstance(last, Finished)
    assert FinishReason.DEADLINE == last.reason
    assert last.completion_tokens < 40


def test_a_full_queue_refuses_and_says_when_to_retry(engine: TransformersEngine) -> None:
    holder = Holder()
    engine.start(ask("held"), holder.receiver)
    assert holder.held.wait(30)
    queued = [Receiver() for _ in range(3)]
    for number, receiver in enumerate(queued):
        engine.start(ask(f"q{number}"), receiver)
    with pytest.raises(Overloaded) as refusal:
        engine.start(ask("too many"), Receiver())
    assert 0 < refusal.value.retry_after_s <= 30
    health = engine.health()
    assert (True, 3) == (health.alive, health.waiting)
    holder.release()
    assert all(isinstance(receiver.last, Finished) for receiver in queued)
    assert 40 == len(collect(engine, ask("again"))[1])


def test_health_ages_while_a_step_hangs_and_not_while_idle(engine: TransformersEngine) -> None:
    assert 0.0 == engine.health().last_step_age_s
    holder = Holder()
    engine.start(ask(), holder.receiver)
    assert holder.held.wait(30)
    first = engine.health().last_step_age_s
    while engine.health().last_step_age_s <= first:
        pass
    holder.release()
    assert isinstance(holder.receiver.last, Finished)


def test_a_receiver_that_raises_loses_its_generation_and_nothing_else(
    engine: TransformersEngine, tiny_reference: Any
) -> None:
    def raise_it(_: Receiver) -> None:
        raise RuntimeError("the receiver is broken")

    broken, sound = Receiver(raise_it), Receiver()
    engine.start(ask("broken"), broken)
    prompt = random_prompt(2, 9)
    engine.start(ask("sound", prompt, sampling=Sampling(max_tokens=20)), sound)
    assert isinstance(sound.last, Finished)
    near_tie(reference(tiny_reference, prompt, 20), sound.tokens)
    last = broken.last
    assert isinstance(last, Finished)
    assert FinishReason.CANCELLED == last.reason


@pytest.fixture
def poisoned(tiny_folder: Callable[[str], Path]) -> Iterator[TransformersEngine]:
    """An engine whose model gives NaN for one token and raises at another."""
    loaded: LoadedModel = load_model(str(tiny_folder("llama")), device="cpu")
    embedding = loaded.model.get_input_embeddings()
    embedding.weight.data[POISON] = float("nan")

    def explode(_: object, args: tuple[torch.Tensor, ...]) -> None:
        if (args[0] == BOMB).any():
            raise RuntimeError("the bomb went off")

    embedding.register_forward_pre_hook(explode)
    engine = TransformersEngine(loaded, LoopLimits(concurrent_max=8))
    yield engine
    engine.close()


def clean(prompt: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(5 if token in (POISON, BOMB) else token for token in prompt)


@pytest.mark.parametrize("bad", [POISON, BOMB])
def test_a_poisoned_prompt_fails_alone(
    bad: int, poisoned: TransformersEngine, tiny_reference: Any
) -> None:
    """It shares prefill passes with sound ones, and later requests take over its place."""
    holder = Holder()
    poisoned.start(ask("hold", (3, 4)), holder.receiver)
    assert holder.held.wait(30)
    prompts = [clean(random_prompt(30 + i, 4 + i)) for i in range(6)]
    receivers = [Receiver() for _ in range(6)]
    for number, prompt in enumerate(prompts):
        given = (*prompt, bad, 9) if number % 2 else prompt
        poisoned.start(ask(f"p{number}", given, sampling=Sampling(max_tokens=9)), receivers[number])
    holder.release()
    for number, receiver in enumerate(receivers):
        if number % 2:
            last = receiver.last
            assert isinstance(last, Failed)
            assert isinstance(last.error, EngineFailure)
            assert f"p{number}" in str(last.error)
        else:
            assert isinstance(receiver.last, Finished)
            expected = reference(tiny_reference, prompts[number], 9)
            if not {POISON, BOMB} & set(expected.tokens):
                near_tie(expected, receiver.tokens)
    assert isinstance(holder.receiver.last, Finished)


def test_a_row_that_breaks_a_shared_step_fails_alone(
    poisoned: TransformersEngine, tiny_reference: Any
) -> None:
    """A generation is made to continue with the bomb: the pass raises, the others go on."""
    prompts = [clean(random_prompt(60 + i, 3 + 2 * i)) for i in range(4)]
    holder = Holder()
    poisoned.start(ask("hold", (3, 4)), holder.receiver)
    assert holder.held.wait(30)
    receivers = [Receiver() for _ in prompts]
    generations: list[Any] = [
        poisoned.start(ask(f"s{i}", prompt, sampling=Sampling(max_tokens=12)), receivers[i])
        for i, prompt in enumerate(prompts)
    ]
    accept = generations[1].accept

    def swap(emitted: Any) -> None:
        accept(emitted)
        if len(generations[1].tokens) == 4:
            generations[1].tokens[-1] = BOMB

    generations[1].accept = swap
    holder.release()
    assert isinstance(receivers[1].last, Failed)
    for number in (0, 2, 3):
        assert isinstance(receivers[number].last, Finished)
        expected = reference(tiny_reference, prompts[number], 12)
        if not {POISON, BOMB} & set(expected.tokens):
            near_tie(expected, receivers[number].tokens)
    assert isinstance(holder.receiver.last, Finished)


def test_scoring_poison_fails_that_call_alone(poisoned: TransformersEngine) -> None:
    with pytest.raises(EngineFailure, match="bomb"):
        poisoned.score([4, BOMB], [[5]])
    assert 1 == len(poisoned.score([4, 5], [[5]]))


def test_scores_are_those_of_one_forward_pass(
    tiny_engine: TransformersEngine, tiny_reference: Any
) -> None:
    prompt = random_prompt(5, 12)
    rows = [random_prompt(70 + i, length) for i, length in enumerate((1, 7, 3, 20, 1))]
    with torch.no_grad():
        best = tiny_reference(torch.tensor([prompt])).logits[0, -1].argmax().item()
    rows.append((best,))
    scored = tiny_engine.score(prompt, [*rows, ()])
    assert () == scored[-1].token_ids == scored[-1].logprobs == scored[-1].greedy
    assert (True,) == scored[-2].greedy
    for row, result in zip(rows, scored, strict=False):
        with torch.no_grad():
            logits = tiny_reference(torch.tensor([prompt + row])).logits[0].log_softmax(-1)
        wanted = logits[len(prompt) - 1 : -1]
        assert row == result.token_ids
        assert result.logprobs == pytest.approx(
            [wanted[i, token].item() for i, token in enumerate(row)], abs=1e-4
        )
        assert result.greedy == tuple(
            wanted[i].argmax().item() == token for i, token in enumerate(row)
        )
    assert [] == tiny_engine.score(prompt, [])


def test_scoring_and_generating_share_the_model(engine: TransformersEngine) -> None:
    """A score finishes while a long generation runs; the generation goes on meanwhile."""
    receiver = Receiver()
    engine.start(ask("long", sampling=Sampling(max_tokens=240, ignore_eos=True)), receiver)
    scored = engine.score(random_prompt(1, 100), [random_prompt(i, 10) for i in range(50)])
    assert 50 == len(scored)
    last = receiver.last
    assert isinstance(last, Finished)
    assert 240 == last.completion_tokens


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda e: e.start(ask(edition=3), Receiver()), NotFound),
        (lambda e: e.start(ask(prompt=(320,)), Receiver()), InvalidInput),
        (lambda e: e.start(ask(prompt=random_prompt(1, 256)), Receiver()), ContextTooLong),
        (lambda e: e.score([1], [[5]], 7), NotFound),
        (lambda e: e.score([], [[5]]), InvalidInput),
        (lambda e: e.score([1], [[5, 999]]), InvalidInput),
        (lambda e: e.score([1] * 250, [[5] * 10]), ContextTooLong),
        (lambda e: e.detokenize([5, 320]), InvalidInput),
    ],
)
def test_bad_calls_are_refused_with_their_type(
    call: Callable[[TransformersEngine], Any], error: type[Exception], engine: TransformersEngine
) -> None:
    with pytest.raises(error):
        call(engine)


def test_closing_lets_running_work_finish_within_its_grace(engine: TransformersEngine) -> None:
    receiver = Receiver()
    engine.start(ask("running"), receiver)
    engine.close(grace_s=30)
    last = receiver.last
    assert isinstance(last, Finished)
    assert (FinishReason.LENGTH, 40) == (last.reason, last.completion_tokens)
    with pytest.raises(Unavailable):
        engine.start(ask(), Receiver())
    with pytest.raises(Unavailable):
        engine.score([1], [[2]])
    assert not engine.health().alive
    engine.close()


def test_closing_without_grace_cancels_running_and_waiting(engine: TransformersEngine) -> None:
    holder = Holder()
    engine.start(ask("held"), holder.receiver)
    assert holder.held.wait(30)
    waiting = [Receiver() for _ in range(3)]
    for number, receiver in enumerate(waiting):
        engine.start(ask(f"w{number}"), receiver)
    closer = threading.Thread(target=engine.close)
    closer.start()
    while engine.health().alive and not engine._loop._aborting:
        pass
    holder.release()
    closer.join(30)
    for receiver in [holder.receiver, *waiting]:
        last = receiver.last
        assert isinstance(last, Finished)
        assert FinishReason.CANCELLED == last.reason


def test_the_thread_sleeps_while_there_is_nothing_to_do(
    engine: TransformersEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    collect(engine, ask())
    waits = 0
    wait = engine._loop._changed.wait

    def counted(*args: Any) -> bool:
        nonlocal waits
        waits += 1
        return wait(*args)

    monkeypatch.setattr(engine._loop._changed, "wait", counted)
    engine._loop.wake()
    assert not threading.Event().wait(0.2)
    assert waits <= 2


def test_stop_strings_and_the_end_of_text_end_an_answer(
    tiny_engine: TransformersEngine,
) -> None:
    whole, tokens, end = collect(tiny_engine, ask())
    assert FinishReason.LENGTH == end.reason
    stop = next(whole[i : i + 2] for i in range(4, len(whole) - 2) if whole[i : i + 2].isascii())
    text, shorter, end = collect(
        tiny_engine, ask(sampling=Sampling(max_tokens=40, ignore_eos=True, stop=(stop, "\0\0")))
    )
    assert whole[: whole.index(stop)] == text
    assert (FinishReason.STOP, stop) == (end.reason, end.stop_match)
    assert len(shorter) == end.completion_tokens < len(tokens)

    seeds = (86, *range(200))  # The one that ends its answer with this torch, first.
    prompts = (random_prompt(seed, 5) for seed in seeds)
    prompt, answer = next((p, a) for p in prompts if 0 in (a := _greedy(tiny_engine, p)))
    request = ask("eos", prompt, sampling=Sampling(max_tokens=20))
    text, tokens, end = collect(tiny_engine, request)
    assert FinishReason.EOS == end.reason
    assert answer[: answer.index(0) + 1] == [token.token_id for token in tokens]
    assert tiny_engine.detokenize(answer[: answer.index(0)]) == text


def _greedy(engine: TransformersEngine, prompt: tuple[int, ...]) -> list[int]:
    request = ask("greedy", prompt, sampling=Sampling(max_tokens=20, ignore_eos=True))
    return [token.token_id for token in collect(engine, request)[1]]


def test_rows_wait_for_room_when_the_cache_is_bounded(
    tiny_folder: Callable[[str], Path], tiny_reference: Any
) -> None:
    """Room for two rows of 50 tokens; a request larger than all of it still runs, alone."""
    engine = TransformersEngine(
        load_model(str(tiny_folder("llama")), device="cpu"),
        LoopLimits(concurrent_max=8, kv_tokens_max=100),
    )
    prompts = [random_prompt(80 + i, 30) for i in range(5)] + [random_prompt(90, 110)]
    receivers = [Receiver() for _ in prompts]
    for number, prompt in enumerate(prompts):
        request = ask(f"k{number}", prompt, sampling=Sampling(max_tokens=20))
        engine.start(request, receivers[number])
    for prompt, receiver in zip(prompts, receivers, strict=True):
        assert isinstance(receiver.last, Finished)
        near_tie(reference(tiny_reference, prompt, 20), receiver.tokens)
    engine.close()
