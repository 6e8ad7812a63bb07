"""An answer that a request comes with is said as it stands, and changes nobody else's."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from runtime.engine.contract import EngineRequest, Finished, FinishReason, Sampling, TokenDelta
from runtime.engine.seq2seq import Seq2SeqEngine
from runtime.engine.stream import collect
from runtime.engine.transformers_engine import TransformersEngine
from tests.runtime.engine.test_loop import Receiver
from tests.tiny_models import random_prompt, save_tiny_t5

GIVEN = (17, 5, 99, 17)
PLAIN = EngineRequest(
    request_id="r", prompt_tokens=random_prompt(1, 6), sampling=Sampling(max_tokens=12)
)
ASKED = replace(PLAIN, answer_tokens=GIVEN)


def said(engine: TransformersEngine | Seq2SeqEngine, request: EngineRequest) -> Receiver:
    receiver = Receiver()
    engine.start(request, receiver)
    assert isinstance(receiver.last, Finished), receiver.last
    return receiver


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_it_is_said_whole_and_the_answer_ends_there(
    tiny_engine: TransformersEngine, temperature: float
) -> None:
    sampling = Sampling(max_tokens=12, temperature=temperature)
    receiver = said(tiny_engine, replace(ASKED, sampling=sampling))
    assert tuple(receiver.tokens) == GIVEN
    last = receiver.last
    assert isinstance(last, Finished)
    assert (last.reason, last.completion_tokens) == (FinishReason.EOS, len(GIVEN))
    assert collect(tiny_engine, ASKED)[0] == tiny_engine.detokenize(GIVEN)


def test_its_log_probabilities_are_the_models(tiny_engine: TransformersEngine) -> None:
    receiver = said(tiny_engine, replace(ASKED, logprobs_top=0))
    deltas = [event for event in receiver.events if isinstance(event, TokenDelta)]
    given = [token.logprob for delta in deltas for token in delta.tokens]
    (scored,) = tiny_engine.score(ASKED.prompt_tokens, [GIVEN])
    assert given == pytest.approx(scored.logprobs, abs=1e-4)


def test_a_limit_of_tokens_and_a_neighbour_in_the_batch_are_respected(
    tiny_engine: TransformersEngine,
) -> None:
    short = said(tiny_engine, replace(ASKED, sampling=Sampling(max_tokens=2)))
    assert tuple(short.tokens) == GIVEN[:2]
    assert isinstance(short.last, Finished)
    assert short.last.reason is FinishReason.LENGTH
    alone = said(tiny_engine, PLAIN).tokens
    beside, given = Receiver(), Receiver()
    for request, receiver in ((PLAIN, beside), (ASKED, given)):
        tiny_engine.start(request, receiver)
    assert isinstance(beside.last, Finished)
    assert isinstance(given.last, Finished)
    assert (beside.tokens, tuple(given.tokens)) == (alone, GIVEN)


def test_who_ignores_the_end_hears_the_model_after_it(tiny_engine: TransformersEngine) -> None:
    sampling = Sampling(max_tokens=9, ignore_eos=True)
    receiver = said(tiny_engine, replace(ASKED, sampling=sampling))
    after = replace(
        PLAIN,
        prompt_tokens=(*PLAIN.prompt_tokens, *GIVEN),
        sampling=replace(sampling, max_tokens=9 - len(GIVEN)),
    )
    assert receiver.tokens == [*GIVEN, *said(tiny_engine, after).tokens]


def test_a_sequence_to_sequence_model_says_it_too(tmp_path: Path) -> None:
    engine = Seq2SeqEngine.load(str(save_tiny_t5(tmp_path)), device="cpu")
    try:
        receiver = said(engine, replace(ASKED, prompt_tokens=tuple(engine.tokenize("Ann is"))))
    finally:
        engine.close()
    assert tuple(receiver.tokens) == GIVEN
