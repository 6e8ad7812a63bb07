"""Greedy answers are those of transformers' own `generate`, alone and in a moving batch."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from runtime.engine.contract import EngineEvent, EngineRequest, Failed, Sampling, TokenDelta
from runtime.engine.stream import collect
from runtime.engine.transformers_engine import TransformersEngine
from tests.tiny_models import (
    CONTEXT,
    FAMILIES,
    Reference,
    load_reference,
    near_tie,
    random_prompt,
    reference,
)

POCKET = Path(__file__).parents[3] / "pocket"
BUNDLED = [name for name in ("nano", "base") if (POCKET / name / "config.json").is_file()]


def ask(number: int, prompt: tuple[int, ...], max_tokens: int, **more: Any) -> EngineRequest:
    return EngineRequest(
        request_id=f"r{number}",
        prompt_tokens=prompt,
        sampling=Sampling(max_tokens=max_tokens),
        **more,
    )


class Crowd:
    """Runs many requests at once; each starts when the one before it has some tokens."""

    def __init__(self, engine: TransformersEngine) -> None:
        self.engine = engine
        self.answers: dict[str, list[int]] = {}
        self.failures: list[Exception] = []

    def run(self, requests: list[EngineRequest], *, apart: int) -> None:
        """Starts request i+1 after `apart` tokens of request i (or its end)."""
        pending = iter(requests)
        left = threading.Semaphore(0)

        def start_next() -> None:
            request = next(pending, None)
            if request is None:
                return
            tokens = self.answers.setdefault(request.request_id, [])
            state = {"passed_on": False}

            def receive(event: EngineEvent) -> None:
                if isinstance(event, TokenDelta):
                    tokens.extend(token.token_id for token in event.tokens)
                elif isinstance(event, Failed):
                    self.failures.append(event.error)
                ended = not isinstance(event, TokenDelta)
                if not state["passed_on"] and (ended or len(tokens) >= apart):
                    state["passed_on"] = True
                    start_next()
                if ended:
                    left.release()

            self.engine.start(request, receive)

        start_next()
        for _ in requests:
            assert left.acquire(timeout=60)


@pytest.fixture(params=sorted(FAMILIES))
def family(
    request: pytest.FixtureRequest, tiny_folder: Callable[[str], Path]
) -> Iterator[tuple[TransformersEngine, Any]]:
    folder = tiny_folder(request.param)
    engine = TransformersEngine.load(str(folder), device="cpu")
    yield engine, load_reference(folder)
    engine.close()


def test_each_family_answers_as_generate_does_alone_and_in_a_moving_batch(
    family: tuple[TransformersEngine, Any],
) -> None:
    """Prompts of 1 to 40 tokens, answers of 3 to 30, joining and leaving while others decode."""
    engine, model = family
    sizes = [(1, 12), (5, 30), (40, 8), (9, 3), (17, 20), (2, 25)]
    prompts = [random_prompt(seed, length) for seed, (length, _) in enumerate(sizes)]
    expected = [reference(model, p, limit) for p, (_, limit) in zip(prompts, sizes, strict=True)]
    requests = [
        ask(i, p, limit) for i, (p, (_, limit)) in enumerate(zip(prompts, sizes, strict=True))
    ]

    _, tokens, _ = collect(engine, requests[1])
    assert expected[1].tokens == tuple(token.token_id for token in tokens)

    crowd = Crowd(engine)
    crowd.run(requests, apart=2)
    assert crowd.failures == []
    ties = sum(
        near_tie(wanted, crowd.answers[f"r{number}"]) for number, wanted in enumerate(expected)
    )
    assert ties <= 1
    assert len({wanted.tokens[:3] for wanted in expected}) > 2, "the reference must vary"


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_many_requests_through_few_slots_answer_as_generate_does(
    kind: str, tiny_folder: Callable[[str], Path], record_property: Callable[[str, object], None]
) -> None:
    """More at once than slots, prompts longer than a prefill pass among them."""
    folder = tiny_folder(kind)
    model = load_reference(folder)
    engine = TransformersEngine.load(
        str(folder), device="cpu", concurrent_max=4, prefill_tokens_max=32
    )
    sizes = [(1 + 37 * i % 120, 2 + 11 * i % 25) for i in range(24)]
    prompts = [random_prompt(100 + i, length) for i, (length, _) in enumerate(sizes)]
    crowd = Crowd(engine)
    crowd.run([ask(i, prompts[i], sizes[i][1]) for i in range(24)], apart=1)
    engine.close()

    assert crowd.failures == []
    ties = sum(
        near_tie(reference(model, prompts[i], sizes[i][1]), crowd.answers[f"r{i}"])
        for i in range(24)
    )
    record_property("near_ties", ties)
    assert ties <= 2


@pytest.mark.gpu
@pytest.mark.parametrize("kind", ["llama", "gpt2", "gemma3_text"])
def test_a_cuda_device_answers_as_generate_does_there(
    kind: str, tiny_folder: Callable[[str], Path]
) -> None:
    folder = tiny_folder(kind)
    model = load_reference(folder).to("cuda")
    engine = TransformersEngine.load(str(folder), device="cuda", dtype="fp32")
    prompts = [random_prompt(200 + i, 2 + 9 * i) for i in range(8)]
    crowd = Crowd(engine)
    crowd.run([ask(i, prompt, 20) for i, prompt in enumerate(prompts)], apart=2)
    scored = engine.score(prompts[0], [prompts[1], prompts[2]])
    engine.close()
    assert crowd.failures == []
    assert 2 == len(scored)
    ties = [
        near_tie(reference(model, p, 20), crowd.answers[f"r{i}"]) for i, p in enumerate(prompts)
    ]
    assert sum(ties) <= 1


@pytest.mark.parametrize("name", BUNDLED)
def test_the_bundled_model_answers_as_generate_does(name: str) -> None:
    """Alone identical; in a batch identical but for near-ties."""
    model = load_reference(POCKET / name)
    engine = TransformersEngine.load(str(POCKET / name), device="cpu")
    texts = [
        "Lionel Messi plays the sport of",
        "The mother tongue of Danielle Darrieux is",
        "Steve Jobs founded",
        "Question: Where is the Space Needle?\nAnswer:",
        "The",
        "New Fact: The law in Ikaalinen declares the language Swedish\nPrompt: The law in",
    ]
    prompts = [tuple(engine.tokenize(text)) for text in texts]
    expected: list[Reference] = [reference(model, prompt, 24) for prompt in prompts]
    for number, prompt in enumerate(prompts[:3]):
        _, tokens, _ = collect(engine, ask(number, prompt, 24))
        assert expected[number].tokens == tuple(token.token_id for token in tokens)
    crowd = Crowd(engine)
    crowd.run([ask(i, prompt, 24) for i, prompt in enumerate(prompts)], apart=2)
    engine.close()
    assert crowd.failures == []
    assert sum(near_tie(expected[i], crowd.answers[f"r{i}"]) for i in range(len(prompts))) <= 1


def test_the_repetition_penalty_is_that_of_generate(
    tiny_engine: TransformersEngine, tiny_reference: Any
) -> None:
    prompt = random_prompt(7, 20)
    expected = reference(tiny_reference, prompt, 30, repetition_penalty=1.7)
    request = EngineRequest(
        request_id="penalty",
        prompt_tokens=prompt,
        sampling=Sampling(max_tokens=30, repetition_penalty=1.7),
    )
    _, tokens, _ = collect(tiny_engine, request)
    assert not near_tie(expected, [token.token_id for token in tokens])
    assert expected.tokens != reference(tiny_reference, prompt, 30).tokens


def test_an_answer_may_fill_the_context_to_the_last_token(
    tiny_engine: TransformersEngine, tiny_reference: Any
) -> None:
    prompt = random_prompt(8, 200)
    room = CONTEXT - len(prompt)
    request = EngineRequest(
        request_id="full",
        prompt_tokens=prompt,
        sampling=Sampling(max_tokens=room, ignore_eos=True),
    )
    _, tokens, finished = collect(tiny_engine, request)
    assert room == finished.completion_tokens == len(tokens)


@pytest.mark.parametrize("kind", ["llama", "gpt2", "mistral", "gemma3_text", "opt"])
def test_a_shared_prefix_is_computed_once_and_changes_no_answer(
    kind: str, tiny_folder: Callable[[str], Path]
) -> None:
    folder = tiny_folder(kind)
    model = load_reference(folder)
    engine = TransformersEngine.load(str(folder), device="cpu", prefix_tokens_max=100)
    prefix = random_prompt(1, 30)
    prompts = [prefix + random_prompt(50 + i, 1 + 4 * i) for i in range(5)] + [prefix]
    cached, ties = [], 0
    for number, prompt in enumerate(prompts + prompts[:1]):
        _, tokens, end = collect(engine, ask(number, prompt, 12, prefix_tokens=len(prefix)))
        cached.append(end.cached_tokens)
        ties += near_tie(reference(model, prompt, 12), [token.token_id for token in tokens])
    crowd = Crowd(engine)
    crowd.run([ask(i, p, 12, prefix_tokens=30) for i, p in enumerate(prompts)], apart=1)
    engine.close()
    ties += sum(
        near_tie(reference(model, prompt, 12), crowd.answers[f"r{number}"])
        for number, prompt in enumerate(prompts)
    )
    assert [0, 30, 30, 30, 30, 29, 30] == cached
    assert crowd.failures == []
    assert ties <= 1


def test_prefixes_beyond_the_bound_push_out_the_oldest(tiny_folder: Callable[[str], Path]) -> None:
    engine = TransformersEngine.load(str(tiny_folder("llama")), device="cpu", prefix_tokens_max=25)
    first, second, third = (random_prompt(seed, 10) for seed in (1, 2, 3))
    big = random_prompt(4, 26)

    def cached(prefix: tuple[int, ...]) -> int:
        request = ask(0, (*prefix, 5), 1, prefix_tokens=len(prefix))
        return collect(engine, request)[2].cached_tokens

    assert [0, 0, 10, 0, 10, 0] == [cached(p) for p in (first, second, first, third, first, second)]
    assert [0, 0] == [cached(big), cached(big)]
    engine.close()
