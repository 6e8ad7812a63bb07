"""ConsolidationService and Operations over the wire, on a real engine of a tiny model."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from errata.client import Client
from errata.edition_results import OperationState
from errata.errors import ConsolidationRunning, InvalidRequest, NotFound, WrongState
from errata.requests import RoutingOptions
from memory.record import DEFAULT_NAMESPACE, Namespace
from runtime.consolidation.spec import GateLimits
from runtime.engine.load import LoadedModel
from tests.consolidation_kit import QUICK, load_tiny
from tests.consolidation_service_kit import Served, served
from tests.tiny_models import save_tiny_model


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    return load_tiny(save_tiny_model(tmp_path_factory.mktemp("llama"), "llama"))


@pytest.fixture
def serve(tmp_path: Path, loaded: LoadedModel) -> Iterator[Callable[..., Served]]:
    """Returns a function that serves a bench until the test ends."""
    with ExitStack() as stack:
        yield lambda **more: stack.enter_context(served(tmp_path, loaded, **more))


PROMPT = "The language of Person 0 is"


def greedy(client: Client, prompt: str = PROMPT) -> tuple[str, str, int]:
    answer = client.generate(prompt, max_tokens=4)
    return answer.text, answer.provenance.path, answer.edition


def test_edit_consolidate_ask_roll_back_ask(serve: Callable[..., Served]) -> None:
    kit = serve()
    edits = kit.bench.add(2)
    off = RoutingOptions(policy="off")
    with kit.client() as client:
        frozen = client.generate(PROMPT, max_tokens=4, routing=off).text
        assert greedy(client)[1:] == ("in_context", 0)
        operation = client.consolidate(settings=QUICK)
        done = client.wait_operation(operation.id)
        assert done.state is OperationState.SUCCEEDED
        assert done.edition is not None
        assert (done.edition.number, done.activated) == (1, True)
        took = {held.edit.rpartition("/")[2] for held in done.edition.edits if held.took}
        assert edits[0].id in took
        text, path, edition = greedy(client)
        assert (path, edition) == ("base", 1)
        assert text.strip().startswith("French")
        why = client.explain(PROMPT)
        assert "the weights of edition 1 hold the best" in why.provenance.reason
        assert why.provenance.rejected[0].reject_reason == "consolidated"
        shown = client.list_editions()
        assert [(one.number, one.active) for one in shown] == [(1, True), (0, False)]
        client.activate_edition(0, reason="just to see")
        assert greedy(client)[1:] == ("in_context", 0)
        assert frozen == client.generate(PROMPT, max_tokens=4, routing=off).text
        client.activate_edition(1)
        assert greedy(client) == (text, "base", 1)


def test_a_watcher_sees_the_activation(serve: Callable[..., Served]) -> None:
    kit = serve()
    kit.bench.add(1)
    with kit.client() as client:
        client.wait_operation(client.consolidate(settings=QUICK).id)
        kinds = []
        with client.watch(after_sequence=0) as changes:
            for change in changes:
                kinds.append(change.kind)
                if change.activation is not None:
                    assert (change.edit, change.activation.edition) == (None, 1)
                    assert len(change.activation.took) + len(change.activation.left) == 1
                    break
        assert kinds == ["created", "activated"]


def test_errors_have_their_status_and_reason(serve: Callable[..., Served]) -> None:
    kit = serve(gate=GateLimits(took_min=1.1))
    with kit.client() as client:
        with pytest.raises(WrongState, match="nothing to write"):
            client.consolidate()
        kit.bench.add(1)
        with pytest.raises(InvalidRequest, match="known are readout"):
            client.consolidate(editor="rone")
        with pytest.raises(NotFound) as missing:
            client.edition(7)
        assert missing.value.reason == "EDITION_NOT_FOUND"
        with pytest.raises(NotFound):
            client.operation("consolidate-none")
        done = client.wait_operation(client.consolidate(settings=QUICK).id)
        assert done.state is OperationState.FAILED
        assert done.error is not None
        assert done.error.reason == "CONSOLIDATION_FAILED"
        assert "the gate refuses" in done.error.message
        assert client.list_operations()[0].id == done.id
        client.delete_operation(done.id)
        assert client.list_operations() == []


def test_a_running_job_blocks_another_and_can_be_cancelled(serve: Callable[..., Served]) -> None:
    reached, go_on = threading.Event(), threading.Event()

    def hold(stage: str) -> None:
        if stage == "targets":
            reached.set()
            assert go_on.wait(60)

    kit = serve(on_stage=hold)
    kit.bench.add(1)
    with kit.client() as client:
        running = client.consolidate(settings=QUICK)
        assert reached.wait(60)
        with pytest.raises(ConsolidationRunning, match=running.id) as busy:
            client.consolidate(settings=QUICK)
        assert (busy.value.code, busy.value.reason) == ("ABORTED", "CONSOLIDATION_RUNNING")
        assert busy.value.resource == f"operations/{running.id}"
        assert client.operation(running.id).stage == "targets"
        text, _, _ = greedy(client)  # Answers go on while it runs.
        assert text
        client.cancel_operation(running.id)
        go_on.set()
        assert client.wait_operation(running.id).state is OperationState.CANCELLED


def test_activation_under_load_fails_no_request_and_mixes_no_editions(
    serve: Callable[..., Served],
) -> None:
    """Two namespaces ask while one of them goes back and forth; every answer is one edition's."""
    kit = serve()
    other = Namespace("other")
    kit.bench.add(1)
    kit.bench.add(1, other)
    with kit.client() as client, kit.client("other") as neighbour:
        client.wait_operation(client.consolidate(settings=QUICK).id)
        off = RoutingOptions(policy="off")
        expected: dict[int, str] = {}
        for edition in (1, 0):
            client.activate_edition(edition)
            expected[edition] = client.generate(PROMPT, max_tokens=24, routing=off).text
        assert expected[0] != expected[1]
        stop = threading.Event()
        seen: list[tuple[str, int, str]] = []
        failures: list[Exception] = []

        def ask(asker: Client, name: str) -> None:
            while not stop.is_set():
                try:
                    answer = asker.generate(PROMPT, max_tokens=24, routing=off)
                    seen.append((name, answer.edition, answer.text))
                except Exception as error:  # noqa: BLE001  # Whatever it is, it is counted.
                    failures.append(error)

        threads = [
            threading.Thread(target=ask, args=(asker, name))
            for asker, name in ((client, "ours"), (client, "ours"), (neighbour, "theirs"))
        ]
        for thread in threads:
            thread.start()
        for turn in range(12):
            client.activate_edition((turn + 1) % 2)
            known = len(seen)
            while len(seen) < known + 4 and not failures:
                stop.wait(0.001)
        stop.set()
        for thread in threads:
            thread.join()
    assert failures == []
    assert {edition for name, edition, _ in seen if name == "ours"} == {0, 1}
    assert {edition for name, edition, _ in seen if name == "theirs"} == {0}
    wrong = [one for one in seen if expected[one[1]] != one[2]]
    assert wrong == []


def test_a_retired_edit_is_no_longer_in_any_answer(serve: Callable[..., Served]) -> None:
    kit = serve()
    edit = kit.bench.add(1)[0]
    with kit.client() as client:
        frozen = client.generate(PROMPT, max_tokens=4, routing=RoutingOptions(policy="off")).text
        client.wait_operation(client.consolidate(settings=QUICK).id)
        assert greedy(client)[2] == 1
        client.retire_edit(edit.id)
        assert greedy(client) == (frozen, "base", 0)
        with pytest.raises(WrongState, match="no longer in force"):
            client.activate_edition(1)
        assert kit.bench.memory.snapshot().edition(DEFAULT_NAMESPACE) == 0
