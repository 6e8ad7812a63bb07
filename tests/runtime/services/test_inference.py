"""InferenceService over a real channel, with an engine that answers from its prompt."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import grpc
import pytest
import structlog

from errata import errors
from errata.answers import RouteKind
from errata.client import Client
from errata.failures import to_client_error
from errata.requests import RoutingOptions
from protos.errata.v1 import inference_pb2, inference_pb2_grpc
from runtime.services.limits import ServiceLimits
from tests.fakes import FakeEngine
from tests.server_kit import Kit, follow_new_fact, run_server, wait_until

PROMPT = "The mother tongue of Danielle Darrieux is"


@pytest.fixture(scope="module")
def kit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kit]:
    engine = FakeEngine(
        default=follow_new_fact,
        context_tokens=600,
        failing=frozenset({"fail now"}),
        answers={"count": " one two three four"},
    )
    with run_server(tmp_path_factory.mktemp("data"), engine=engine) as running:
        with running.client() as client:
            client.create_edit(subject="Danielle Darrieux", prompt=PROMPT, target="English")
        yield running


@pytest.fixture
def client(kit: Kit) -> Iterator[Client]:
    with kit.client() as connected:
        yield connected


@pytest.fixture
def stub(kit: Kit) -> Iterator[Any]:
    with grpc.insecure_channel(kit.target) as channel:
        make: Any = inference_pb2_grpc.InferenceServiceStub
        yield make(channel)


def test_a_query_in_scope_is_answered_by_the_edit_and_says_so(client: Client) -> None:
    answer = client.generate("What did Danielle Darrieux speak?", request_id="my-id")
    assert (answer.text, answer.route, answer.path) == (" English", RouteKind.EDITED, "in_context")
    assert answer.edits[0].statement == f"{PROMPT} English"
    assert answer.edits[0].score >= answer.edits[0].threshold
    assert (answer.request_id, answer.edition) == ("my-id", 0)
    assert answer.usage.edit_tokens > 0
    assert answer.timings.total_ms > 0


def test_a_query_out_of_scope_is_answered_by_the_frozen_model(client: Client) -> None:
    answer = client.generate("The mother tongue of Lionel Messi is")
    assert (answer.text, answer.route, answer.path) == (" base", RouteKind.BASE, "base")
    assert answer.usage.edit_tokens == 0
    assert answer.provenance.rejected[0].reject_reason == "below_threshold"


def test_a_stream_gives_provenance_first_then_new_text_then_usage_last(
    stub: Any,
) -> None:
    request = inference_pb2.GenerateRequest(prompt="count")
    messages = list(stub.StreamGenerate(request))
    kinds = [message.WhichOneof("event") for message in messages]
    assert kinds[0] == "provenance"
    assert kinds[-1] == "finish"
    assert set(kinds[1:-1]) == {"delta"}
    assert "".join(message.delta.text for message in messages[1:-1]) == " one two three four"
    assert messages[-1].finish.usage.completion_tokens == len(" one two three four")


def test_a_stream_and_a_whole_answer_agree(client: Client) -> None:
    whole = client.generate("count", logprobs=1, return_token_ids=True)
    with client.stream("count", logprobs=1, return_token_ids=True) as stream:
        streamed = stream.answer
    assert (streamed.text, streamed.usage) == (whole.text, whole.usage)
    assert (streamed.token_ids, streamed.logprobs) == (whole.token_ids, whole.logprobs)
    assert bytes(whole.token_ids).decode() == whole.text
    assert bytes(whole.prompt_token_ids) == b"count"


def test_policy_off_asks_nobody_and_force_uses_what_is_named(client: Client) -> None:
    edit = next(client.list_edits())
    off = client.generate(PROMPT, routing=RoutingOptions(policy="off"))
    assert (off.text, off.route) == (" base", RouteKind.BASE)
    forced = client.generate("Anything at all", routing=RoutingOptions(force=[edit]))
    assert (forced.text, forced.edits[0].name) == (" English", edit.name)


def test_explain_shows_the_route_and_what_would_be_decoded(client: Client, kit: Kit) -> None:
    started = kit.engine.started
    shown = client.explain(PROMPT)
    assert shown.route is RouteKind.EDITED
    assert shown.decoded_prompt.startswith("New Fact: ")
    assert shown.prompt_tokens == len(shown.decoded_prompt)
    assert kit.engine.started == started


def test_score_prefers_the_new_fact_in_scope(client: Client) -> None:
    scored = client.score(PROMPT, [" English", " French"])
    assert scored.scores[0].logprob > scored.scores[1].logprob
    assert (scored.scores[0].greedy, scored.scores[1].greedy) == (True, False)
    assert scored.provenance.route is RouteKind.EDITED
    assert "".join(token.text for token in scored.scores[1].tokens) == " French"


def test_a_chat_is_routed_by_its_last_user_turn(client: Client) -> None:
    turns = [("user", "Hello"), ("assistant", "Hi"), ("user", "What did Danielle Darrieux speak?")]
    assert client.generate(turns).route is RouteKind.EDITED
    assert client.generate([*turns, ("assistant", "x"), ("user", "And Messi?")]).text == " base"


BAD: list[tuple[str, inference_pb2.GenerateRequest]] = [
    ("prompt", inference_pb2.GenerateRequest()),
    ("prompt", inference_pb2.GenerateRequest(prompt="")),
    ("prompt", inference_pb2.GenerateRequest(prompt=" \n\t ")),
    ("prompt", inference_pb2.GenerateRequest(prompt="x" * 100_000)),
    ("prompt", inference_pb2.GenerateRequest(prompt="x" * 700)),
    ("conversation.messages", inference_pb2.GenerateRequest(conversation={})),
    (
        "conversation.messages[0].role",
        inference_pb2.GenerateRequest(conversation={"messages": [{"role": "robot"}]}),
    ),
    (
        "conversation.messages[0].role",
        inference_pb2.GenerateRequest(
            conversation={"messages": [{"role": "assistant", "content": "x"}]}
        ),
    ),
    (
        "conversation.messages[0].content",
        inference_pb2.GenerateRequest(conversation={"messages": [{"role": "user"}]}),
    ),
    ("request_id", inference_pb2.GenerateRequest(prompt="x", request_id="r" * 129)),
    ("request_id", inference_pb2.GenerateRequest(prompt="x", request_id="a\nb")),
    ("logprobs", inference_pb2.GenerateRequest(prompt="x", logprobs=21)),
    *[
        (f"sampling.{name}", inference_pb2.GenerateRequest(prompt="x", sampling={name: value}))
        for name, value in (
            ("max_tokens", 0),
            ("max_tokens", -1),
            ("temperature", -0.1),
            ("temperature", float("nan")),
            ("temperature", float("inf")),
            ("top_p", 0.5),
            ("top_k", 3),
            ("min_p", 0.5),
            ("repetition_penalty", 0.0),
        )
    ],
    (
        "sampling.top_p",
        inference_pb2.GenerateRequest(prompt="x", sampling={"temperature": 1, "top_p": 0}),
    ),
    ("sampling.stop", inference_pb2.GenerateRequest(prompt="x", sampling={"stop": ["s"] * 10_000})),
    ("sampling.stop[0]", inference_pb2.GenerateRequest(prompt="x", sampling={"stop": [""]})),
    ("routing.namespace", inference_pb2.GenerateRequest(prompt="x", routing={"namespace": "NO"})),
    ("routing.path", inference_pb2.GenerateRequest(prompt="x", routing={"path": "magic"})),
    ("routing.path", inference_pb2.GenerateRequest(prompt="x", routing={"path": "m" * 10_000})),
    ("routing.edits", inference_pb2.GenerateRequest(prompt="x", routing={"policy": 3})),
    (
        "routing.edits",
        inference_pb2.GenerateRequest(
            prompt="x", routing={"edits": ["namespaces/default/edits/abcd"]}
        ),
    ),
    (
        "routing.edits[0]",
        inference_pb2.GenerateRequest(
            prompt="x", routing={"policy": 3, "edits": ["namespaces/other/edits/abcd"]}
        ),
    ),
    (
        "routing.min_sequence",
        inference_pb2.GenerateRequest(prompt="x", routing={"min_sequence": -1}),
    ),
    ("min_sequence", inference_pb2.GenerateRequest(prompt="x", routing={"min_sequence": 2**62})),
    (
        "routing.error_budget",
        inference_pb2.GenerateRequest(prompt="x", routing={"error_budget": 1.0}),
    ),
]


@pytest.mark.parametrize(("field", "request_"), BAD, ids=lambda value: str(value)[:40])
def test_a_bad_request_is_refused_and_its_field_named(
    kit: Kit,
    stub: Any,
    field: str,
    request_: inference_pb2.GenerateRequest,
) -> None:
    started = kit.engine.started
    with pytest.raises(grpc.RpcError) as caught:
        stub.Generate(request_)
    error = to_client_error(caught.value, target="")
    assert isinstance(error, errors.InvalidRequest)
    assert error.violations[0].field == field
    assert kit.engine.started == started


@pytest.mark.parametrize("texts", [[], [""], ["x" * 4097], ["x"] * 65])
def test_bad_continuations_are_refused(client: Client, texts: list[str]) -> None:
    with pytest.raises(errors.InvalidRequest) as caught:
        client.score("x", texts)
    assert caught.value.violations[0].field.startswith("continuations")


def test_an_unknown_namespace_and_an_unknown_forced_edit_are_not_found(client: Client) -> None:
    with pytest.raises(errors.NotFound) as caught:
        client.generate("x", routing=RoutingOptions(namespace="nobody"))
    assert (caught.value.reason, caught.value.resource) == (
        "NAMESPACE_NOT_FOUND",
        "namespaces/nobody",
    )
    with pytest.raises(errors.NotFound) as caught:
        client.generate("x", routing=RoutingOptions(force=["nothing-here"]))
    assert caught.value.reason == "EDIT_NOT_FOUND"


def test_a_failure_of_the_engine_fails_its_request_alone(client: Client) -> None:
    with pytest.raises(errors.ServerFailure) as caught:
        client.generate("fail now", request_id="doomed")
    assert (caught.value.reason, caught.value.error_id) == ("ENGINE_FAILED", "doomed")
    with pytest.raises(errors.ServerFailure):
        client.stream("fail now").answer  # noqa: B018
    assert client.generate("count").text == " one two three four"


def test_a_sequence_that_does_not_come_in_time_says_replica_behind(client: Client) -> None:
    ahead = client.status().sequence + 5
    with pytest.raises(errors.ServerUnavailable) as caught:
        client.generate("x", routing=RoutingOptions(min_sequence=ahead))
    assert caught.value.reason == "REPLICA_BEHIND"
    assert caught.value.retry_after_s is not None


def test_a_request_waits_for_the_sequence_that_it_must_see(client: Client, kit: Kit) -> None:
    ahead = client.status().sequence + 1
    answers: list[int] = []

    def ask() -> None:
        answer = client.generate("x", routing=RoutingOptions(min_sequence=ahead))
        answers.append(answer.sequence)

    asking = threading.Thread(target=ask)
    asking.start()
    with kit.client(namespace="elsewhere") as other:
        other.create_edit(subject="Z", prompt="Z is", target="z")
    asking.join(10)
    assert answers[0] >= ahead


def test_the_canonical_line_names_what_happened_and_never_the_text(
    kit: Kit, client: Client
) -> None:
    with structlog.testing.capture_logs() as lines:
        client.generate("What did Danielle Darrieux secretly speak?", request_id="r1")
    infos = [line for line in lines if line["log_level"] == "info"]
    assert len(infos) == 1
    line = infos[0]
    assert (line["method"], line["status"], line["request_id"]) == ("Generate", "OK", "r1")
    assert (line["namespace"], line["path"], line["edition"]) == ("default", "in_context", 0)
    assert line["score"] >= line["threshold"]
    assert len(line["edits"]) == 1
    assert line["prompt_tokens"] > 0
    assert "total" in line["stages_ms"]
    assert "secretly" not in str(infos)


def slow_server(
    directory: Path, limits: ServiceLimits | None = None
) -> tuple[FakeEngine, threading.Event, AbstractContextManager[Kit]]:
    """A server whose answers stop after their first character until the gate is set."""
    gate = threading.Event()
    engine = FakeEngine(answers={"slow": " many words"}, gate=gate, queue_max=2)
    return engine, gate, run_server(directory, engine=engine, limits=limits)


def test_a_cancelled_stream_frees_its_slot(tmp_path: Path) -> None:
    engine, _, server = slow_server(tmp_path)
    with server as kit, kit.client() as client:
        for _ in range(5):
            with client.stream("slow") as stream:
                assert stream.provenance.path == "base"
                assert next(iter(stream)) == " "
            wait_until(lambda: engine.running == 0)
        wait_until(lambda: kit.server.running_calls == 0)


def test_a_cancelled_call_frees_its_slot(tmp_path: Path) -> None:
    engine, _, server = slow_server(tmp_path)
    with server as kit, grpc.insecure_channel(kit.target) as channel:
        make: Any = inference_pb2_grpc.InferenceServiceStub
        stub = make(channel)
        call = stub.Generate.future(inference_pb2.GenerateRequest(prompt="slow"))
        wait_until(lambda: engine.running == 1)
        call.cancel()
        wait_until(lambda: engine.running == 0)
        wait_until(lambda: kit.server.running_calls == 0)


def test_a_deadline_ends_the_answer_and_frees_its_slot(tmp_path: Path) -> None:
    engine, _, server = slow_server(tmp_path)
    with server as kit, kit.client() as client:
        with pytest.raises(errors.DeadlineExceeded):
            client.generate("slow", timeout_s=0.2)
        wait_until(lambda: engine.running == 0)


def test_a_full_engine_refuses_and_says_when_to_retry(tmp_path: Path) -> None:
    engine, gate, server = slow_server(tmp_path)
    with server as kit, kit.client() as client:
        streams = [client.stream("slow") for _ in range(2)]
        assert [stream.provenance.path for stream in streams] == ["base", "base"]
        wait_until(lambda: engine.running == 2)
        with pytest.raises(errors.Overloaded) as caught:
            client.generate("slow")
        assert (caught.value.reason, caught.value.retry_after_s) == ("OVERLOADED", 1.0)
        gate.set()
        assert [stream.answer.text for stream in streams] == [" many words"] * 2


def test_too_many_calls_are_refused_before_any_work(tmp_path: Path) -> None:
    _, gate, server = slow_server(tmp_path, ServiceLimits(calls_max=1))
    with server as kit, kit.client() as client:
        with client.stream("slow") as stream:
            assert stream.provenance.path == "base"
            with pytest.raises(errors.Overloaded):
                client.explain("x")
            gate.set()
            assert stream.answer.text == " many words"
        wait_until(lambda: kit.server.running_calls == 0)
        assert client.explain("x").route is RouteKind.BASE


def test_many_callers_at_once_each_get_their_own_answer(client: Client, kit: Kit) -> None:
    prompts = [PROMPT if n % 3 else f"question {n}" for n in range(120)]
    with ThreadPoolExecutor(16) as pool:
        texts = list(pool.map(lambda prompt: client.generate(prompt).text, prompts))
    assert texts == [" English" if prompt == PROMPT else " base" for prompt in prompts]
    wait_until(lambda: kit.engine.running == 0)
