"""Queries that are answered by a model of their own: which engine decodes, scores and explains."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeVar

import grpc
import pytest

from classifiers.subject_rule import SubjectRule
from memory.edit_memory import EditMemory
from memory.errors import ContextTooLong, InvalidInput
from memory.flat_index import FlatIndex
from memory.record import DEFAULT_NAMESPACE, EditDraft, EditId, EditsPolicy, RouteKind
from protos.errata.v1 import inference_pb2, inference_pb2_grpc
from runtime.engine.contract import FinishReason, Sampling, TokenDelta
from runtime.paths.contract import COUNTERFACTUAL_MODEL
from runtime.paths.counterfactual import CounterfactualPath
from runtime.paths.in_context import InContextPath
from runtime.query_runner import QueryRunner, RoutingSettings
from runtime.question import Question, Routing
from runtime.services.health import Watchdog
from runtime.services.limits import ServiceLimits
from runtime.services.server import ErrataServer, Listening
from tests.fakes import FakeEngine
from tests.hash_encoder import HashEncoder
from tests.server_kit import wait_until

T = TypeVar("T")
PROMPT = "Lionel Messi plays"
LONG = Sampling(max_tokens=3000)


class Two:
    """A runner with two engines, each of which signs its answers."""

    def __init__(self, memory: EditMemory, default_path: str) -> None:
        self.base = FakeEngine(default=lambda _: " by the frozen model")
        self.other = FakeEngine(
            default=lambda _: " by the other model", chat=True, context_tokens=3000
        )
        self.memory = memory
        self.runner = QueryRunner(
            engine=self.base,
            memory=memory,
            encoder=HashEncoder(),
            classifier=SubjectRule(),
            paths={
                "in_context": InContextPath(self.base),
                "counterfactual": CounterfactualPath(self.other),
            },
            settings=RoutingSettings(default_path=default_path),
            models={COUNTERFACTUAL_MODEL: self.other},
        )

    def ask(self, prompt: str = PROMPT, path: str = "", **given: object) -> Question:
        return Question(
            prompt=prompt,
            sampling=Sampling(max_tokens=40),
            routing=Routing(path=path, **given),  # type: ignore[arg-type]
        )

    def close(self) -> None:
        for engine in self.runner.engines:
            engine.close()
        self.runner.close()


@pytest.fixture(params=["counterfactual"])
def two(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Two]:
    with EditMemory.open(tmp_path, encoder=HashEncoder(), make_index=FlatIndex) as memory:
        for name in ("Lionel Messi", "Diego Maradona"):
            memory.create(EditDraft(subject=name, prompt=f"{name} plays", target="chess"))
        made = Two(memory, request.param)
        try:
            yield made
        finally:
            made.close()


def run(work: Callable[[], Awaitable[T]]) -> T:
    async def main() -> T:
        return await asyncio.wait_for(work(), 20.0)

    return asyncio.run(main())


def test_a_query_in_scope_is_decoded_by_the_other_model(two: Two) -> None:
    answer = run(lambda: two.runner.generate(two.ask()))
    assert " by the other model" == answer.text
    assert "counterfactual" == answer.provenance.route.path
    assert (0, 1) == (two.base.started, two.other.started)
    added = len("New Fact: Lionel Messi plays chess\nPrompt: ")
    assert added == answer.ending.edit_tokens


def test_a_query_out_of_scope_stays_with_the_frozen_model(two: Two) -> None:
    answer = run(lambda: two.runner.generate(two.ask("Steve Jobs founded")))
    assert " by the frozen model" == answer.text
    assert RouteKind.BASE is answer.provenance.route.kind
    assert (1, 0) == (two.base.started, two.other.started)


def test_a_request_names_another_path_than_the_default(two: Two) -> None:
    answer = run(lambda: two.runner.generate(two.ask(path="in_context")))
    assert " by the frozen model" == answer.text
    with pytest.raises(InvalidInput, match="auto, counterfactual, in_context"):
        run(lambda: two.runner.generate(two.ask(path="nowhere")))


def test_scores_and_explanations_are_the_other_models(two: Two) -> None:
    scored = run(lambda: two.runner.score(two.ask(), [" by the other", " by the frozen"]))
    assert [True, False] == [all(score.greedy) for score in scored.scores]
    explained = run(lambda: two.runner.explain(two.ask()))
    assert "New Fact: Lionel Messi plays chess\nPrompt: Lionel Messi plays" == (
        explained.decoded_prompt
    )
    assert two.other is two.runner.engine_of(explained.provenance.route)


@pytest.mark.parametrize("two", ["auto"], indirect=True)
def test_auto_sends_a_query_about_one_edit_to_the_other_model(two: Two) -> None:
    answer = run(lambda: two.runner.generate(two.ask()))
    assert "counterfactual" == answer.provenance.route.path
    assert "an end to a sentence" in answer.provenance.route.reason
    answer = run(lambda: two.runner.generate(two.ask("What does Lionel Messi play?")))
    assert "counterfactual" == answer.provenance.route.path
    assert "an answer to a question" in answer.provenance.route.reason
    both = two.ask("Lionel Messi and Diego Maradona play")
    answer = run(lambda: two.runner.generate(both))
    assert "in_context" == answer.provenance.route.path
    assert "2 edits are in scope" in answer.provenance.route.reason
    assert 2 == len(answer.provenance.route.hits)


@pytest.mark.parametrize("two", ["auto"], indirect=True)
def test_auto_leaves_base_routes_alone_and_obeys_force(two: Two) -> None:
    off = run(lambda: two.runner.generate(two.ask(policy=EditsPolicy.OFF)))
    assert ("base", RouteKind.BASE) == (off.provenance.route.path, off.provenance.route.kind)
    edits = two.memory.list_edits(DEFAULT_NAMESPACE).edits
    forced = two.ask("The game is", policy=EditsPolicy.FORCE, edits=(EditId(edits[0].id),))
    assert "counterfactual" == run(lambda: two.runner.generate(forced)).provenance.route.path


@pytest.mark.parametrize("two", ["auto"], indirect=True)
def test_auto_falls_back_to_the_frozen_model_where_only_its_context_has_room(two: Two) -> None:
    answer = run(lambda: two.runner.generate(replace(two.ask(), sampling=LONG)))
    assert ("in_context", " by the frozen model") == (answer.provenance.route.path, answer.text)
    named = replace(two.ask(path="counterfactual"), sampling=LONG)
    with pytest.raises(ContextTooLong):
        run(lambda: two.runner.generate(named))


def test_leaving_a_stream_frees_the_other_models_slot(two: Two) -> None:
    two.other.gate = threading.Event()

    async def leave() -> None:
        events = two.runner.stream(two.ask())
        async for event in events:
            if isinstance(event, TokenDelta):
                break
        await events.aclose()  # type: ignore[attr-defined]

    run(leave)
    wait_until(lambda: two.other.running == 0)


def test_a_closed_other_engine_refuses_only_its_own_path(two: Two) -> None:
    two.other.close()
    answer = run(lambda: two.runner.generate(two.ask(path="in_context")))
    assert FinishReason.EOS is answer.ending.reason


async def test_a_stalled_model_of_a_path_sets_the_inference_service_aside(two: Two) -> None:
    told: dict[str, int] = {}

    class Told:
        async def set(self, service: str, state: int) -> None:
            told[service] = state

    watchdog = Watchdog(Told(), two.base, ServiceLimits(), others=(two.other,))
    await watchdog.start()
    served = dict(told)
    two.other.close()  # Its thread is gone.
    await watchdog.look()
    assert served["errata.v1.InferenceService"] != told["errata.v1.InferenceService"]
    assert served["errata.v1.MemoryService"] == told["errata.v1.MemoryService"]


async def test_a_drain_that_runs_out_closes_the_engines_of_all_paths(two: Two) -> None:
    two.other.gate = threading.Event()  # Held after the first character.
    served = SimpleNamespace(
        runner=two.runner, memory=two.memory, engine=two.base, classifier=SubjectRule()
    )
    server = ErrataServer(served, Listening(reflection=False, threads=2))
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        make_stub: Any = inference_pb2_grpc.InferenceServiceStub
        stub = make_stub(channel)
        call = stub.StreamGenerate(inference_pb2.GenerateRequest(prompt=PROMPT, logprobs=0))
        first, second = await call.read(), await call.read()
        assert "counterfactual" == first.provenance.path
        assert " " == second.delta.logprobs[0].chosen.text
        await server.stop(0.0)
    assert [False, False] == [engine.health().alive for engine in two.runner.engines]
