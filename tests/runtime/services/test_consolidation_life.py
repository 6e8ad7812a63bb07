"""What becomes of editions as edits change, namespaces differ and servers restart."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.longrunning import operations_pb2, operations_pb2_grpc

from errata.answers import RouteKind
from errata.client import Client
from errata.edition_results import OperationState
from errata.errors import InvalidRequest, NotFound, WrongState
from errata.requests import RoutingOptions
from errata.results import EditState
from memory.record import DEFAULT_NAMESPACE, Namespace
from protos.errata.v1 import consolidation_pb2, consolidation_pb2_grpc
from runtime.engine.load import LoadedModel
from tests.consolidation_kit import QUICK, load_tiny
from tests.consolidation_service_kit import Served, served
from tests.server_kit import wait_until
from tests.tiny_models import save_tiny_model

OTHER = Namespace("other")
PROMPT = "The language of Person 0 is"
OFF = RoutingOptions(policy="off")


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    return load_tiny(save_tiny_model(tmp_path_factory.mktemp("llama"), "llama"))


@pytest.fixture
def serve(tmp_path: Path, loaded: LoadedModel) -> Iterator[Callable[..., Served]]:
    with ExitStack() as stack:
        yield lambda **more: stack.enter_context(served(tmp_path, loaded, **more))


def consolidated(client: Client) -> int:
    """Runs a job to its end; returns the edition that it activated."""
    done = client.wait_operation(client.consolidate(settings=QUICK).id)
    assert done.state is OperationState.SUCCEEDED, done.error
    assert done.edition is not None
    assert done.activated
    return done.edition.number


def said(client: Client, prompt: str = PROMPT, **more: Any) -> tuple[str, RouteKind, int]:
    answer = client.generate(prompt, max_tokens=6, **more)
    return answer.text, answer.route, answer.edition


def test_two_namespaces_have_their_own_weights_at_the_same_time(
    serve: Callable[..., Served],
) -> None:
    kit = serve()
    kit.bench.add(1)  # Person 0 speaks French here,
    kit.bench.add(2, OTHER)
    (theirs, _) = kit.bench.memory.list_edits(OTHER).edits
    with kit.client() as client, kit.client("other") as neighbour:
        neighbour.update_edit(theirs.id, target="Finnish")  # and Finnish there.
        frozen = client.score(PROMPT, [" French", " Finnish"], routing=OFF).scores
        ours, other = consolidated(client), consolidated(neighbour)
        assert (1, 2) == (ours, other)
        for _ in range(2):  # Each again after the other: nothing is left behind.
            text, route, edition = said(client)
            assert (RouteKind.BASE, 1, True) == (route, edition, text.strip().startswith("French"))
            text, route, edition = said(neighbour)
            assert (RouteKind.BASE, 2, True) == (route, edition, text.strip().startswith("Finnish"))
        with pytest.raises(NotFound, match="'default' has no edition 2"):
            client.activate_edition(2)
        assert [2, 0] == [one.number for one in neighbour.list_editions()]
        client.activate_edition(0)
        assert frozen == client.score(PROMPT, [" French", " Finnish"], routing=OFF).scores
        assert 2 == said(neighbour)[2]


def test_a_superseded_edit_leaves_the_weights_and_the_new_one_answers(
    serve: Callable[..., Served],
) -> None:
    kit = serve(rebuild=True)
    first, second = kit.bench.add(2)
    with kit.client() as client:
        assert 1 == consolidated(client)
        assert EditState.CONSOLIDATED is client.get_edit(first.id).state
        client.create_edit(
            subject=first.subject, prompt=first.prompt, target="Finnish", on_conflict="supersede"
        )
        text, route, edition = said(client)
        # Served from memory until the rebuild has written it; never the old answer in between.
        assert edition in {0, 2}
        assert (RouteKind.EDITED if edition == 0 else RouteKind.BASE) is route
        assert text.strip().startswith("Finnish") or edition == 0
        wait_until(lambda: len(client.list_operations()) == 2, 60)
        done = client.wait_operation(client.list_operations()[0].id)
        assert (OperationState.SUCCEEDED, 2) == (done.state, done.edition and done.edition.number)
        assert EditState.SUPERSEDED is client.get_edit(first.id).state
        assert EditState.CONSOLIDATED is client.get_edit(second.id).state
        held = {one.edit.rpartition("/")[2] for one in client.edition(2).edits}
        assert first.id not in held
        with pytest.raises(WrongState, match="no longer in force"):
            client.activate_edition(1)


def test_a_retired_edit_goes_back_to_the_newest_edition_without_it(
    serve: Callable[..., Served],
) -> None:
    kit = serve()
    kit.bench.add(1)
    with kit.client() as client:
        assert 1 == consolidated(client)
        (late,) = kit.bench.add(1)
        assert 2 == consolidated(client)
        client.retire_edit(late.id)
        assert 1 == said(client)[2]
        assert [1] == [one.number for one in client.list_editions() if one.active]
        client.restore_edit(late.id)
        assert EditState.ACTIVE is client.get_edit(late.id).state
        assert RouteKind.EDITED is said(client, late.prompt)[1]


def test_the_active_edition_answers_the_same_after_a_restart(
    tmp_path: Path, loaded: LoadedModel
) -> None:
    prompts = [PROMPT, "The mother tongue of Messi", "Person 7 is"]
    with served(tmp_path, loaded) as kit, kit.client() as client:
        kit.bench.add(2)
        consolidated(client)
        before = [said(client, prompt) for prompt in prompts]
        scores = client.score(PROMPT, [" French"], routing=OFF).scores
    with served(tmp_path, loaded) as kit, kit.client() as client:
        assert before == [said(client, prompt) for prompt in prompts]
        assert scores == client.score(PROMPT, [" French"], routing=OFF).scores
        assert {1} == {edition for _, _, edition in before}


def test_validate_only_counts_and_leaves_nothing(serve: Callable[..., Served]) -> None:
    kit = serve(memory_cap_bytes=1)
    kit.bench.add(3)
    with kit.client() as client:
        told = client.consolidate(validate_only=True)
        assert told.ended
        assert told.validate_only
        assert told.estimate is not None
        assert (3, 3000) == (told.estimate.edits, told.estimate.memory_bytes)
        assert [0] == [one.number for one in client.list_editions()]
        with pytest.raises(WrongState, match="raise consolidation"):
            client.consolidate()
        with pytest.raises(NotFound) as missing:
            client.consolidate(namespace="nowhere")
        assert "NAMESPACE_NOT_FOUND" == missing.value.reason


def test_operations_as_any_client_of_the_standard_service_sees_them(
    serve: Callable[..., Served],
) -> None:
    reached, go_on = threading.Event(), threading.Event()

    def hold(stage: str) -> None:
        if stage == "targets":
            reached.set()
            assert go_on.wait(60)

    kit = serve(on_stage=hold)
    kit.bench.add(1)
    with grpc.insecure_channel(kit.target) as channel, kit.client() as client:
        operations = operations_pb2_grpc.OperationsStub(channel)
        for _ in range(3):
            client.consolidate(validate_only=True)
        running = client.consolidate(settings=QUICK, request_id="once")
        assert running.id == client.consolidate(settings=QUICK, request_id="once").id
        assert reached.wait(60)
        name = f"operations/{running.id}"
        waiting = operations_pb2.WaitOperationRequest(name=name)
        waiting.timeout.FromMilliseconds(50)
        seen = operations.WaitOperation(waiting, timeout=30)
        assert not seen.done
        metadata = consolidation_pb2.ConsolidationMetadata()
        assert seen.metadata.Unpack(metadata)
        assert ("targets", 1, "readout") == (metadata.stage, metadata.edits, metadata.editor)
        delete = operations_pb2.DeleteOperationRequest(name=name)
        refused(operations.DeleteOperation, delete, grpc.StatusCode.FAILED_PRECONDITION)
        listed = operations_pb2.ListOperationsRequest(page_size=3)
        page = operations.ListOperations(listed, timeout=30)
        listed.page_token = page.next_page_token
        rest = operations.ListOperations(listed, timeout=30)
        assert (3, 1, "") == (len(page.operations), len(rest.operations), rest.next_page_token)
        assert name == page.operations[0].name
        operations.CancelOperation(operations_pb2.CancelOperationRequest(name=name), timeout=30)
        go_on.set()
        waiting.timeout.FromSeconds(30)
        ended = operations.WaitOperation(waiting, timeout=60)
        assert ended.done
        assert grpc.StatusCode.CANCELLED.value[0] == ended.error.code
        operations.CancelOperation(operations_pb2.CancelOperationRequest(name=name), timeout=30)


def refused(call: Any, request: Any, code: grpc.StatusCode) -> None:
    with pytest.raises(grpc.RpcError) as error:
        call(request, timeout=30)
    assert code is error.value.code()


@pytest.mark.parametrize(
    ("method", "request_", "code"),
    [
        ("Get", operations_pb2.GetOperationRequest(name="operations/none"), "NOT_FOUND"),
        ("Get", operations_pb2.GetOperationRequest(name="none"), "INVALID_ARGUMENT"),
        ("Wait", operations_pb2.WaitOperationRequest(name="operations/none"), "NOT_FOUND"),
        ("Cancel", operations_pb2.CancelOperationRequest(name="operations/none"), "NOT_FOUND"),
        (
            "Delete",
            operations_pb2.DeleteOperationRequest(name="operations/x/y"),
            "INVALID_ARGUMENT",
        ),
        ("List", operations_pb2.ListOperationsRequest(page_size=-1), "INVALID_ARGUMENT"),
        ("List", operations_pb2.ListOperationsRequest(filter="done"), "INVALID_ARGUMENT"),
    ],
)
def test_wrong_operations_are_refused(
    serve: Callable[..., Served], method: str, request_: Any, code: str
) -> None:
    with grpc.insecure_channel(serve().target) as channel:
        stub = operations_pb2_grpc.OperationsStub(channel)
        name = f"{method}Operation{'s' if method == 'List' else ''}"
        refused(getattr(stub, name), request_, grpc.StatusCode[code])


@pytest.mark.parametrize(
    ("method", "request_"),
    [
        ("Consolidate", consolidation_pb2.ConsolidateRequest(parent="default")),
        ("Consolidate", consolidation_pb2.ConsolidateRequest(settings={"steps": "{"})),
        ("Consolidate", consolidation_pb2.ConsolidateRequest(settings={"steps": '"many"'})),
        ("Consolidate", consolidation_pb2.ConsolidateRequest(settings={"stops": "3"})),
        ("Consolidate", consolidation_pb2.ConsolidateRequest(request_id="x" * 200)),
        ("GetEdition", consolidation_pb2.GetEditionRequest(name="namespaces/default/editions/x")),
        ("ActivateEdition", consolidation_pb2.ActivateEditionRequest(name="editions/1")),
        ("ListEditions", consolidation_pb2.ListEditionsRequest(page_token="-1")),
    ],
)
def test_wrong_requests_are_refused(
    serve: Callable[..., Served], method: str, request_: Any
) -> None:
    kit = serve()
    kit.bench.add(1)
    with grpc.insecure_channel(kit.target) as channel:
        stub: Any = consolidation_pb2_grpc.ConsolidationServiceStub(channel)  # type: ignore[no-untyped-call]
        refused(getattr(stub, method), request_, grpc.StatusCode.INVALID_ARGUMENT)
    assert kit.bench.operations.all() == []
    with kit.client() as client, pytest.raises(InvalidRequest, match="known are readout"):
        client.consolidate(editor="rone")
    assert kit.bench.memory.snapshot().edition(DEFAULT_NAMESPACE) == 0
