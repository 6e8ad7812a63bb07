"""Warpers, penalties, seeds and logprobs; transformers' own processors are the reference."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import (
    LogitsProcessorList,
    MinPLogitsWarper,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from runtime.engine.contract import EngineEvent, EngineRequest, Sampling
from runtime.engine.sampling import Sampler, choose, invert, logprobs, penalise, warp
from runtime.engine.stream import collect
from runtime.engine.transformers_engine import TransformersEngine
from tests.tiny_models import random_prompt

WIDTH = 50

samplings = st.builds(
    Sampling,
    temperature=st.floats(0.1, 3.0),
    top_p=st.one_of(st.just(1.0), st.floats(0.05, 0.99)),
    top_k=st.integers(0, WIDTH + 5),
    min_p=st.one_of(st.just(0.0), st.floats(0.01, 0.9)),
)


def their_warpers(sampling: Sampling) -> Any:
    """The processors that `generate` would build, in its order."""
    chain = LogitsProcessorList()
    if sampling.temperature != 1.0:
        chain.append(TemperatureLogitsWarper(sampling.temperature))
    if sampling.top_k > 0:
        chain.append(TopKLogitsWarper(sampling.top_k))
    if sampling.top_p < 1.0:
        chain.append(TopPLogitsWarper(sampling.top_p))
    if sampling.min_p > 0.0:
        chain.append(MinPLogitsWarper(sampling.min_p))
    return chain


@given(rows=st.lists(samplings, min_size=1, max_size=4), seed=st.integers(0, 10_000))
@settings(max_examples=60, deadline=None)
def test_rows_are_warped_as_transformers_warps_each_alone(rows: list[Sampling], seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(len(rows), WIDTH, generator=generator) * 4
    ours = warp(logits, rows)
    for row, sampling in enumerate(rows):
        theirs = their_warpers(sampling)(torch.zeros(1, 1), logits[row : row + 1].clone())[0]
        assert torch.equal(torch.isinf(theirs), torch.isinf(ours[row]))
        assert torch.allclose(theirs, ours[row])


@given(
    seen=st.lists(st.integers(0, WIDTH - 1), min_size=1, max_size=20),
    penalty=st.floats(0.2, 5.0),
)
@settings(max_examples=40, deadline=None)
def test_the_penalty_is_that_of_transformers_and_leaves_other_rows_alone(
    seen: list[int], penalty: float
) -> None:
    logits = torch.randn(2, WIDTH, generator=torch.Generator().manual_seed(1)) * 3
    samplers = [Sampler(Sampling(repetition_penalty=penalty), seen), Sampler(Sampling(), seen)]
    ours = penalise(logits, samplers)
    theirs = RepetitionPenaltyLogitsProcessor(penalty)(torch.tensor([seen]), logits[:1].clone())
    assert torch.allclose(theirs[0], ours[0])
    assert torch.equal(logits[1], ours[1])


def test_draws_fall_as_the_distribution_says() -> None:
    chances = torch.tensor([[0.5, 0.0, 0.3, 0.2]])
    sampler = Sampler(Sampling(temperature=1.0, seed=3), ())
    counts = Counter(invert(chances, [sampler.draw()])[0] for _ in range(4000))
    assert 0 == counts[1]
    for token, chance in ((0, 0.5), (2, 0.3), (3, 0.2)):
        assert abs(counts[token] / 4000 - chance) < 4 * math.sqrt(chance * (1 - chance) / 4000)


@pytest.mark.parametrize(("draw", "token"), [(0.0, 1), (0.4999, 1), (0.5, 3), (0.9999999, 3)])
def test_the_borders_of_a_draw_never_pick_an_impossible_token(draw: float, token: int) -> None:
    assert [token] == invert(torch.tensor([[0.0, 0.5, 0.0, 0.5, 0.0]]), [draw])


def test_a_row_that_is_no_distribution_is_reported_and_the_others_are_chosen() -> None:
    logits = torch.zeros(4, 8)
    logits[0, 5] = 1.0
    logits[1, 2] = float("nan")
    logits[2, 2] = float("inf")
    logits[3] = float("-inf")
    hot = Sampling(temperature=1.0, seed=1)
    samplers = [Sampler(s, ()) for s in (Sampling(), hot, Sampling(), hot)]
    assert [5, None, None, None] == choose(logits, samplers)


def test_equal_seeds_choose_alike_and_an_unset_seed_is_drawn() -> None:
    logits = torch.randn(1, WIDTH, generator=torch.Generator().manual_seed(2))
    hot = Sampling(temperature=2.0, seed=11)
    first, second = Sampler(hot, ()), Sampler(hot, ())
    left = [choose(logits, [first])[0] for _ in range(30)]
    assert left == [choose(logits, [second])[0] for _ in range(30)]
    assert len(set(left)) > 5
    drawn = {Sampler(Sampling(temperature=1.0), ()).seed for _ in range(5)}
    assert 5 == len(drawn)
    assert Sampler(Sampling(seed=4), ()).seed is None, "greedy uses no seed"


def test_logprobs_are_of_the_raw_distribution() -> None:
    logits = torch.tensor([[2.0, 1.0, 0.0, -1.0]])
    ((own, best),) = logprobs(logits, [2], top=2)
    expected = torch.log_softmax(logits, -1)[0].tolist()
    assert own == pytest.approx(expected[2])
    assert [0, 1] == [token for token, _ in best]
    assert [value for _, value in best] == pytest.approx(expected[:2])
    assert [] == logprobs(logits, [0], top=0)[0][1]


def test_a_seeded_answer_does_not_depend_on_who_shares_the_batch(
    tiny_engine: TransformersEngine,
) -> None:
    request = EngineRequest(
        request_id="seeded",
        prompt_tokens=random_prompt(3, 9),
        sampling=Sampling(max_tokens=25, temperature=0.9, top_p=0.95, seed=5, ignore_eos=True),
    )
    _, alone, end = collect(tiny_engine, request)
    assert 5 == end.seed

    def ignore(_: EngineEvent) -> None:
        return

    neighbours = [
        tiny_engine.start(
            EngineRequest(
                request_id=f"n{i}",
                prompt_tokens=random_prompt(20 + i, 3 + 5 * i),
                sampling=Sampling(max_tokens=60, temperature=1.5, seed=i, ignore_eos=True),
            ),
            ignore,
        )
        for i in range(5)
    ]
    _, together, _ = collect(tiny_engine, request)
    for neighbour in neighbours:
        neighbour.cancel()
    assert [t.token_id for t in alone] == [t.token_id for t in together]


def test_streamed_logprobs_match_a_forward_pass_of_the_reference(
    tiny_engine: TransformersEngine, tiny_reference: Any
) -> None:
    prompt = random_prompt(4, 6)
    request = EngineRequest(
        request_id="logprobs",
        prompt_tokens=prompt,
        sampling=Sampling(max_tokens=8, temperature=1.3, seed=2, ignore_eos=True),
        logprobs_top=3,
    )
    _, tokens, _ = collect(tiny_engine, request)
    ids = [token.token_id for token in tokens]
    with torch.no_grad():
        logits = tiny_reference(torch.tensor([[*prompt, *ids]])).logits[0].log_softmax(-1)
    for place, token in enumerate(tokens):
        row = logits[len(prompt) - 1 + place]
        assert token.logprob == pytest.approx(row[token.token_id].item(), abs=1e-4)
        best = row.topk(3)
        assert best.indices.tolist() == [other.token_id for other in token.top]
        assert [o.logprob for o in token.top] == pytest.approx(best.values.tolist(), abs=1e-4)
        assert [tiny_engine.detokenize([o.token_id]) for o in token.top] == [
            o.text for o in token.top
        ]
