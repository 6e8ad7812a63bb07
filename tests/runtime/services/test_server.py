"""The server as a whole: hostile bytes, sizes, health, reflection, draining, TLS."""

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
import structlog
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from errata import errors
from errata.answers import RouteKind
from errata.requests import RoutingOptions
from errata.results import NewEdit
from memory.errors import StartupError
from protos.errata.v1 import inference_pb2, memory_pb2
from runtime.engine.contract import EngineHealth
from runtime.services.call import CallInterceptor
from runtime.services.health import Watchdog, is_stalled
from runtime.services.limits import ServiceLimits
from runtime.services.server import ErrataServer, Listening
from tests.fakes import FakeEngine
from tests.server_kit import Kit, run_server, wait_until

UNARY: dict[str, Any] = {
    "/errata.v1.InferenceService/Generate": inference_pb2.GenerateRequest,
    "/errata.v1.InferenceService/Score": inference_pb2.ScoreRequest,
    "/errata.v1.InferenceService/ExplainRoute": inference_pb2.ExplainRouteRequest,
    "/errata.v1.MemoryService/CreateEdit": memory_pb2.CreateEditRequest,
    "/errata.v1.MemoryService/BatchCreateEdits": memory_pb2.BatchCreateEditsRequest,
    "/errata.v1.MemoryService/GetEdit": memory_pb2.GetEditRequest,
    "/errata.v1.MemoryService/ListEdits": memory_pb2.ListEditsRequest,
    "/errata.v1.MemoryService/UpdateEdit": memory_pb2.UpdateEditRequest,
    "/errata.v1.MemoryService/RetireEdit": memory_pb2.RetireEditRequest,
    "/errata.v1.MemoryService/RestoreEdit": memory_pb2.RestoreEditRequest,
    "/errata.v1.MemoryService/SearchEdits": memory_pb2.SearchEditsRequest,
    "/errata.v1.MemoryService/GetMemoryStatus": memory_pb2.GetMemoryStatusRequest,
}
STREAMS = ("InferenceService/StreamGenerate", "MemoryService/ExportEdits")
MINE_TO_BLAME = {grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN, grpc.StatusCode.UNIMPLEMENTED}
few = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.fixture(scope="module")
def kit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kit]:
    with run_server(tmp_path_factory.mktemp("data")) as running:
        with running.client() as client:
            client.create_edit(
                subject="Messi", prompt="Messi plays", target="chess", edit_id="messi"
            )
        yield running


@pytest.fixture(scope="module")
def channel(kit: Kit) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(kit.target) as opened:
        yield opened


def outcome(channel: Any, method: str, data: bytes) -> grpc.StatusCode:
    """Sends raw bytes; checks that every error says why in a machine-readable way."""
    failed = failure(channel, method, data)
    if failed is None:
        return grpc.StatusCode.OK
    details = dict(failed.trailing_metadata()).get("grpc-status-details-bin", b"")
    info = error_details_pb2.ErrorInfo()
    status = status_pb2.Status.FromString(details)
    assert status.details, (method, failed.code(), failed.details())
    assert status.details[0].Unpack(info)
    assert info.reason
    code: grpc.StatusCode = failed.code()
    return code


def failure(channel: Any, method: str, data: bytes) -> Any:
    try:
        if method.endswith(STREAMS):
            list(channel.unary_stream(method)(data, timeout=20))
        else:
            channel.unary_unary(method)(data, timeout=20)
    except grpc.RpcError as error:
        return error
    return None


@few
@given(
    method=st.sampled_from((*UNARY, *(f"/errata.v1.{name}" for name in STREAMS))),
    data=st.binary(max_size=200),
)
def test_random_bytes_never_look_like_our_fault(
    channel: grpc.Channel, method: str, data: bytes
) -> None:
    assert outcome(channel, method, data) not in MINE_TO_BLAME


texts: st.SearchStrategy[str] = st.sampled_from(
    ("", "x", "Messi", "Messi plays", "namespaces/default", "namespaces/-", "-", "messi", "é" * 300)
) | st.text(max_size=30)
names: st.SearchStrategy[str] = st.sampled_from(
    ("namespaces/default/edits/messi", "namespaces/default/edits/none-x")
)
wholes = st.sampled_from((0, 1, -1, 2, 20, 1000, 2**31 - 1, -(2**31)))
longs = st.sampled_from((0, 1, -1, 2**63 - 1, -(2**63)))
doubles = st.sampled_from((0.0, 1.0, -1.0, 0.5, 1e308, float("nan"), float("inf"), float("-inf")))
stamps = st.fixed_dictionaries({}, optional={"seconds": longs, "nanos": wholes})


def fields_of(descriptor: Any, depth: int) -> st.SearchStrategy[dict[str, Any]]:
    """Any subset of a message's fields with extreme and ordinary values."""
    optional: dict[str, Any] = {}
    chosen_of: dict[str, list[str]] = {}
    for field in descriptor.fields:
        oneof = field.containing_oneof
        if oneof is not None and len(oneof.fields) > 1:
            chosen_of.setdefault(oneof.name, []).append(field.name)
        value = value_of(field, depth)
        if value is not None:
            optional[field.name] = value
    drawn = st.fixed_dictionaries({}, optional=optional)

    def one_each(values: dict[str, Any]) -> dict[str, Any]:
        for members in chosen_of.values():
            for extra in [name for name in members if name in values][1:]:
                del values[extra]
        return values

    return drawn.map(one_each)


def value_of(field: Any, depth: int) -> st.SearchStrategy[Any] | None:
    one: st.SearchStrategy[Any]
    if field.message_type is not None:
        if field.message_type.full_name == "google.protobuf.Timestamp":
            return stamps
        if field.message_type.GetOptions().map_entry:
            return st.dictionaries(texts, texts, max_size=3)
        if depth == 0:
            return None
        one = fields_of(field.message_type, depth - 1)
    elif field.name in ("name", "edits") and field.cpp_type == field.CPPTYPE_STRING:
        one = names | texts
    else:
        one = {
            field.CPPTYPE_STRING: texts,
            field.CPPTYPE_BOOL: st.booleans(),
            field.CPPTYPE_DOUBLE: doubles,
            field.CPPTYPE_INT64: longs,
            field.CPPTYPE_UINT64: st.sampled_from((0, 1, 2**64 - 1)),
            field.CPPTYPE_INT32: wholes,
            field.CPPTYPE_ENUM: st.sampled_from((0, 1, 2, 3, 99)),
        }[field.cpp_type]
    return st.lists(one, max_size=3) if field.is_repeated else one


@few
@given(data=st.data(), method=st.sampled_from(tuple(UNARY)))
def test_well_formed_extremes_never_look_like_our_fault(
    channel: grpc.Channel, data: st.DataObject, method: str
) -> None:
    cls = UNARY[method]
    message = cls(**data.draw(fields_of(cls.DESCRIPTOR, 3)))
    assert outcome(channel, method, message.SerializeToString()) not in MINE_TO_BLAME


def test_the_server_answers_well_after_all_that(kit: Kit) -> None:
    with kit.client() as client:
        fact: Any = {"subject": "Bo", "prompt": "Bo plays", "target": "go"}
        client.create_edit(**fact, namespace="afterwards")
        routing = RoutingOptions(namespace="afterwards")
        assert client.generate("Bo plays", routing=routing).route is RouteKind.EDITED
    wait_until(lambda: kit.engine.running == 0)  # An answer is sent before its row is given back.


def test_a_message_beyond_the_limit_is_refused_and_nobody_else_notices(kit: Kit) -> None:
    with kit.client() as client:
        with pytest.raises(errors.InvalidRequest, match="too large"):
            client.generate("x" * 5_000_000)
        with pytest.raises(errors.InvalidRequest, match="too large"):
            client.create_edits([NewEdit(subject="s" * 5_000_000, prompt="", target="")])
        assert client.generate("Messi plays").text


def test_health_answers_for_the_server_and_for_each_service(kit: Kit) -> None:
    with kit.client() as client:
        for service in ("", "errata.v1.InferenceService", "errata.v1.MemoryService"):
            assert client.health(service) == "SERVING"
        with pytest.raises(errors.NotFound):
            client.health("no.such.Service")


def test_reflection_lists_our_services(kit: Kit, channel: grpc.Channel) -> None:
    stub = reflection_pb2_grpc.ServerReflectionStub(channel)
    request = reflection_pb2.ServerReflectionRequest(list_services="")
    answer = next(iter(stub.ServerReflectionInfo(iter([request]))))
    names = {service.name for service in answer.list_services_response.service}
    assert {
        "errata.v1.InferenceService",
        "errata.v1.MemoryService",
        "grpc.health.v1.Health",
    } <= names


@pytest.mark.parametrize(
    ("health", "stalled"),
    [
        (EngineHealth(alive=True, running=0, waiting=0, last_step_age_s=99), False),
        (EngineHealth(alive=True, running=1, waiting=0, last_step_age_s=14.9), False),
        (EngineHealth(alive=True, running=1, waiting=0, last_step_age_s=15.1), True),
        (EngineHealth(alive=True, running=0, waiting=3, last_step_age_s=15.1), True),
        (EngineHealth(alive=False, running=0, waiting=0, last_step_age_s=0), True),
    ],
)
def test_an_engine_is_stalled_when_it_has_work_and_does_not_move(
    health: EngineHealth, stalled: bool
) -> None:
    assert is_stalled(health, 15.0) is stalled


class StubHealth:
    """Remembers what a health servicer was told."""

    def __init__(self) -> None:
        self.states: dict[str, int] = {}

    async def set(self, service: str, state: int) -> None:
        self.states[service] = state


async def test_the_watchdog_sets_inference_aside_while_the_engine_stalls() -> None:
    class Engine:
        age_s = 0.0

        def health(self) -> EngineHealth:
            return EngineHealth(alive=True, running=1, waiting=0, last_step_age_s=self.age_s)

    engine, told = Engine(), StubHealth()
    watchdog = Watchdog(told, engine, ServiceLimits())  # type: ignore[arg-type]
    await watchdog.start()
    engine.age_s = 60.0
    await watchdog.look()
    states = health_pb2.HealthCheckResponse
    assert told.states == {
        "": states.NOT_SERVING,
        "errata.v1.InferenceService": states.NOT_SERVING,
        "errata.v1.MemoryService": states.SERVING,
    }
    engine.age_s = 0.0
    await watchdog.look()
    assert set(told.states.values()) == {states.SERVING}


def gated(directory: Path) -> tuple[threading.Event, FakeEngine, Any]:
    gate = threading.Event()
    engine = FakeEngine(answers={"slow": " many words"}, gate=gate)
    return gate, engine, run_server(directory, engine=engine)


def test_a_drain_lets_running_streams_finish_and_refuses_new_calls(tmp_path: Path) -> None:
    gate, _, server = gated(tmp_path)
    with server as kit, kit.client() as client:
        streams = [client.stream("slow") for _ in range(20)]
        assert all(next(iter(stream)) == " " for stream in streams)
        with grpc.insecure_channel(kit.target) as channel:
            health = health_pb2_grpc.HealthStub(channel)
            watch = health.Watch(health_pb2.HealthCheckRequest())
            assert next(watch).status == health_pb2.HealthCheckResponse.SERVING
            stopping = asyncio.run_coroutine_threadsafe(kit.server.stop(30.0), kit.loop)
            assert next(watch).status == health_pb2.HealthCheckResponse.NOT_SERVING
            watch.cancel()
        with pytest.raises(errors.ServerUnavailable) as caught:
            client.generate("new")
        assert caught.value.reason == "DRAINING"
        gate.set()
        assert {stream.answer.text for stream in streams} == {" many words"}
        stopping.result(10)


def test_what_is_not_done_when_the_drain_ends_is_told_so(tmp_path: Path) -> None:
    _, engine, server = gated(tmp_path)
    with server as kit, kit.client() as client:
        streams = [client.stream("slow") for _ in range(5)]
        assert all(next(iter(stream)) == " " for stream in streams)
        kit.stop(drain_s=0.1)
        for stream in streams:
            with pytest.raises(errors.ServerUnavailable) as caught:
                stream.answer  # noqa: B018
            assert caught.value.reason == "DRAINING"
        assert engine.running == 0


def test_a_drain_can_be_hurried(tmp_path: Path) -> None:
    _, engine, server = gated(tmp_path)
    with server as kit, kit.client() as client:
        stream = client.stream("slow")
        next(iter(stream))
        stopping = asyncio.run_coroutine_threadsafe(kit.server.stop(600.0), kit.loop)
        kit.loop.call_soon_threadsafe(kit.server.hurry)
        stopping.result(10)
        assert engine.running == 0


def test_a_fault_of_ours_is_logged_with_its_trace_and_told_without(kit: Kit) -> None:
    real = kit.memory.get
    kit.memory.get = lambda *_, **__: 1 / 0  # type: ignore[method-assign,assignment]
    try:
        with (
            structlog.testing.capture_logs() as lines,
            kit.client() as client,
            pytest.raises(errors.ServerFailure) as caught,
        ):
            client.get_edit("messi")
    finally:
        kit.memory.get = real  # type: ignore[method-assign]
    assert caught.value.reason == "INTERNAL"
    assert "division" not in str(caught.value)
    logged = [line for line in lines if line["log_level"] == "error"]
    assert isinstance(logged[0]["exc_info"], ZeroDivisionError)
    assert logged[0]["error_id"] == caught.value.error_id


class NeverTakes:
    """A call context whose reader takes nothing."""

    def __init__(self) -> None:
        self.aborted: list[Any] = []

    def time_remaining(self) -> None:
        return None

    async def write(self, _: Any) -> None:
        await asyncio.Event().wait()

    async def abort(self, *given: Any) -> None:
        self.aborted.append(given)


async def test_a_reader_that_takes_nothing_is_let_go_and_the_answer_closed() -> None:
    closed = asyncio.Event()

    async def answers(_: Any, __: Any) -> Any:
        try:
            yield "one"
        finally:
            closed.set()

    interceptor = CallInterceptor(calls_max=1, write_stalled_s=0.05)
    context = NeverTakes()
    await interceptor._stream("Export", answers)(memory_pb2.ExportEditsRequest(), context)
    assert context.aborted[0][0] is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert closed.is_set()
    assert interceptor.running == 0


def test_a_port_in_use_is_a_startup_error_that_says_what_to_do(kit: Kit) -> None:
    async def start_second() -> None:
        await ErrataServer(kit, Listening(port=kit.server.port)).start()

    with pytest.raises(StartupError, match="choose another port"):
        kit.in_loop(start_second())


def test_a_missing_tls_file_is_a_startup_error_that_names_it(kit: Kit, tmp_path: Path) -> None:
    async def start_second() -> None:
        missing = tmp_path / "none.pem"
        await ErrataServer(kit, Listening(certificate=missing, key=missing)).start()

    with pytest.raises(StartupError, match=r"none\.pem"):
        kit.in_loop(start_second())


def test_nothing_is_left_running_when_the_callers_are_gone(kit: Kit) -> None:
    wait_until(lambda: kit.server.running_calls == 0)
