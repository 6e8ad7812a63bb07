"""Consuming generations: blocking, and in asyncio with cancelling, closing and slow readers."""

from __future__ import annotations

import asyncio
import threading
from contextlib import aclosing

import pytest

from memory.errors import EngineFailure, InvalidInput, Overloaded
from runtime.engine.contract import EngineRequest, Finished, FinishReason, Sampling, TokenDelta
from runtime.engine.stream import collect, stream
from tests.fakes import FakeEngine

ANSWER = " a naïve café, 東京都 🙂"


def ask(engine: FakeEngine, prompt: str = "Where?", max_tokens: int = 200) -> EngineRequest:
    return EngineRequest(
        request_id="r",
        prompt_tokens=tuple(engine.tokenize(prompt)),
        sampling=Sampling(max_tokens=max_tokens),
    )


def test_collect_returns_text_tokens_and_the_end() -> None:
    engine = FakeEngine({"Where?": ANSWER})
    text, tokens, end = collect(engine, ask(engine))
    assert ANSWER == text == engine.detokenize([token.token_id for token in tokens])
    assert FinishReason.EOS == end.reason


def test_collect_raises_the_error_of_a_failed_generation() -> None:
    engine = FakeEngine(failing=frozenset({"Where?"}))
    with pytest.raises(EngineFailure, match="scripted"):
        collect(engine, ask(engine))


async def test_a_stream_yields_all_text_and_then_the_end() -> None:
    engine = FakeEngine({"Where?": ANSWER})
    events = [event async for event in stream(engine, ask(engine))]
    assert ANSWER == "".join(e.text for e in events if isinstance(e, TokenDelta))
    assert [False] * (len(events) - 1) + [True] == [isinstance(e, Finished) for e in events]


async def test_a_stream_raises_refusals_and_failures() -> None:
    engine = FakeEngine(failing=frozenset({"Where?"}), queue_max=0)
    with pytest.raises(InvalidInput):
        await anext(stream(engine, ask(engine, max_tokens=0)))
    with pytest.raises(Overloaded):
        await anext(stream(engine, ask(engine)))
    engine.queue_max = 1
    with pytest.raises(EngineFailure):
        await anext(stream(engine, ask(engine)))


async def until_free(engine: FakeEngine) -> None:
    """Waits until no generation runs; the test's time limit is the bound."""
    while engine.running:
        await asyncio.to_thread(threading.Event().wait, 0.001)


async def test_closing_a_stream_cancels_its_generation() -> None:
    engine = FakeEngine({"Where?": ANSWER}, gate=threading.Event())
    async with aclosing(stream(engine, ask(engine))) as events:
        assert isinstance(await anext(events), TokenDelta)
        assert 1 == engine.running
    await until_free(engine)


async def test_cancelling_the_reader_cancels_the_generation_and_is_raised_again() -> None:
    engine = FakeEngine({"Where?": ANSWER}, gate=threading.Event())
    first = asyncio.Event()

    async def read() -> None:
        async for _ in stream(engine, ask(engine)):
            first.set()

    reader = asyncio.create_task(read())
    await first.wait()
    reader.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reader
    await until_free(engine)


async def test_a_slow_reader_gets_everything_in_few_merged_deltas() -> None:
    gate = threading.Event()
    engine = FakeEngine({"Where?": "x" * 150}, gate=gate)
    events = stream(engine, ask(engine))
    first = await anext(events)
    gate.set()
    while engine.running:  # The loop is held: nothing is read until the engine has finished.
        pass
    rest = [event async for event in events]
    assert isinstance(first, TokenDelta)
    assert "x" * 150 == first.text + "".join(e.text for e in rest if isinstance(e, TokenDelta))
    assert 2 == len(rest)
    assert 149 == len(rest[0].tokens) if isinstance(rest[0], TokenDelta) else False


def test_a_generation_outlives_its_event_loop_without_harm() -> None:
    """The loop closes while the engine still delivers: the events are dropped."""
    gate = threading.Event()
    engine = FakeEngine({"Where?": ANSWER}, gate=gate)

    async def read_one() -> None:
        await anext(stream(engine, ask(engine)))

    asyncio.run(read_one())
    gate.set()
    engine.close(grace_s=10)
    assert 0 == engine.running
