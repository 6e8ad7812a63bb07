"""The engine of encoder-decoder models: a tiny random T5 against transformers' own `generate`."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForSeq2SeqLM

from memory.errors import (
    ContextTooLong,
    EngineFailure,
    InvalidInput,
    ModelLoadError,
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
    Sampling,
    TokenDelta,
)
from runtime.engine.load import is_encoder_decoder
from runtime.engine.seq2seq import Seq2SeqEngine
from runtime.engine.stream import collect
from tests.tiny_models import VOCABULARY, save_tiny_model, save_tiny_t5

PROMPT = "New Fact: The mother tongue of Ann is English\nPrompt: Ann speaks"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_t5(tmp_path_factory.mktemp("t5"))


@pytest.fixture
def engine(folder: Path) -> Iterator[Seq2SeqEngine]:
    made = Seq2SeqEngine.load(str(folder), device="cpu", queue_max=3)
    yield made
    made.close()


def request(engine: Seq2SeqEngine, text: str = PROMPT, **given: Any) -> EngineRequest:
    sampling = {"max_tokens": 24, **given.pop("sampling", {})}
    return EngineRequest(
        request_id="r",
        prompt_tokens=tuple(engine.tokenize(text)),
        sampling=Sampling(**sampling),
        **given,
    )


class Held:
    """A receiver that keeps the engine's thread at the first token until it is let go."""

    def __init__(self) -> None:
        self.events: list[EngineEvent] = []
        self.began, self.go, self.ended = threading.Event(), threading.Event(), threading.Event()

    def receive(self, event: EngineEvent) -> None:
        self.events.append(event)
        if isinstance(event, TokenDelta):
            self.began.set()
            assert self.go.wait(20)
        else:
            self.ended.set()


def test_greedy_answers_are_those_of_generate(engine: Seq2SeqEngine, folder: Path) -> None:
    reference = AutoModelForSeq2SeqLM.from_pretrained(folder, dtype=torch.float32).eval()
    for text in (PROMPT, "naïve café 東京都", "the law"):
        asked = request(engine, text)
        ids = torch.tensor([asked.prompt_tokens])
        theirs = reference.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=24)
        _, tokens, end = collect(engine, asked)
        assert theirs[0, 1:].tolist() == [token.token_id for token in tokens]
        assert len(asked.prompt_tokens) == end.prompt_tokens


def test_scores_are_the_decoders_log_probabilities(engine: Seq2SeqEngine, folder: Path) -> None:
    reference = AutoModelForSeq2SeqLM.from_pretrained(folder, dtype=torch.float32).eval()
    prompt, text = engine.tokenize_continuation(PROMPT, " English")
    assert text == engine.tokenize_continuation("", "English")[1]
    with torch.inference_mode():
        logits = reference(
            input_ids=torch.tensor([prompt]), decoder_input_ids=torch.tensor([[1, *text[:-1]]])
        ).logits[0]
    expected = logits.log_softmax(-1).gather(1, torch.tensor(text)[:, None])[:, 0].tolist()
    scored, empty = engine.score(prompt, [text, []])
    assert pytest.approx(expected, abs=1e-4) == list(scored.logprobs)
    assert () == empty.logprobs


def test_logprobs_of_a_generation_agree_with_its_score(engine: Seq2SeqEngine) -> None:
    asked = request(engine, logprobs_top=2)
    _, tokens, _ = collect(engine, asked)
    scored = engine.score(asked.prompt_tokens, [[t.token_id for t in tokens]])[0]
    assert pytest.approx(scored.logprobs, abs=1e-4) == [token.logprob for token in tokens]
    assert all(scored.greedy)
    assert all(len(token.top) == 2 for token in tokens)


def test_a_seed_repeats_a_sampled_answer(engine: Seq2SeqEngine) -> None:
    warm = {"temperature": 1.0, "seed": 7}
    first, second = (collect(engine, request(engine, sampling=warm)) for _ in range(2))
    assert first[0] == second[0]
    assert 7 == first[2].seed


def test_a_stop_string_ends_the_answer_before_it(engine: Seq2SeqEngine) -> None:
    whole, _, _ = collect(engine, request(engine))
    stop = whole[2:5]
    text, _, end = collect(engine, request(engine, sampling={"stop": (stop,)}))
    assert whole[: whole.index(stop)] == text
    assert (FinishReason.STOP, stop) == (end.reason, end.stop_match)


def test_cancelling_ends_a_running_and_a_waiting_generation(engine: Seq2SeqEngine) -> None:
    running, waiting = Held(), Held()
    first = engine.start(request(engine, sampling={"max_tokens": 60}), running.receive)
    assert running.began.wait(20)
    second = engine.start(request(engine), waiting.receive)
    assert (1, 1) == (engine.health().running, engine.health().waiting)
    second.cancel()
    first.cancel()
    first.cancel()
    running.go.set()
    assert running.ended.wait(20)
    assert waiting.ended.wait(20)
    for held in (running, waiting):
        last = held.events[-1]
        assert isinstance(last, Finished)
        assert FinishReason.CANCELLED is last.reason
    assert 1 == len(waiting.events)


def test_a_deadline_in_the_past_ends_it_at_once(engine: Seq2SeqEngine) -> None:
    text, _, end = collect(engine, request(engine, deadline_s=time.monotonic() - 1.0))
    assert ("", FinishReason.DEADLINE) == (text, end.reason)


def test_a_failing_answer_fails_alone(
    engine: Seq2SeqEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("out of memory")

    with monkeypatch.context() as patched:
        patched.setattr(engine._model, "read", fail)
        held = Held()
        engine.start(request(engine), held.receive)
        assert held.ended.wait(20)
        assert isinstance(held.events[-1], Failed)
        with pytest.raises(EngineFailure, match="out of memory"):
            engine.score([5], [[6]])
    assert collect(engine, request(engine))[2].completion_tokens > 0


def test_a_full_queue_and_a_closing_engine_refuse(folder: Path) -> None:
    engine = Seq2SeqEngine.load(str(folder), device="cpu", queue_max=1)
    held, waiting = Held(), Held()
    engine.start(request(engine), held.receive)
    assert held.began.wait(20)
    engine.start(request(engine), waiting.receive)
    with pytest.raises(Overloaded):
        engine.start(request(engine), waiting.receive)
    closing = threading.Thread(target=engine.close)
    closing.start()
    held.go.set()
    closing.join(20)
    assert not engine.health().alive
    for ended in (held, waiting):
        last = ended.events[-1]
        assert isinstance(last, Finished)
        assert FinishReason.CANCELLED is last.reason
    with pytest.raises(Unavailable):
        engine.start(request(engine), waiting.receive)
    with pytest.raises(Unavailable):
        engine.score([5], [[6]])


def test_bad_requests_are_refused_before_the_queue(engine: Seq2SeqEngine) -> None:
    with pytest.raises(NotFound):
        engine.start(request(engine, edition=1), Held().receive)
    with pytest.raises(ContextTooLong):
        engine.start(request(engine, sampling={"max_tokens": 128}), Held().receive)
    with pytest.raises(InvalidInput):
        engine.score([VOCABULARY], [[1]])
    with pytest.raises(InvalidInput):
        engine.detokenize([VOCABULARY])


def test_the_config_tells_the_two_kinds_of_model_apart(folder: Path, tmp_path: Path) -> None:
    assert is_encoder_decoder(str(folder))
    assert not is_encoder_decoder(str(save_tiny_model(tmp_path / "llama", "llama")))
    with pytest.raises(ModelLoadError):
        is_encoder_decoder(str(tmp_path / "nothing"))
