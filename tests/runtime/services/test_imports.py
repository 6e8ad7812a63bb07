"""ImportEdits: bad records fail alone, order counts, a second time changes nothing."""

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import grpc
import pytest

from errata import errors
from errata.client import Client
from errata.results import EditFilter, ImportProgress, NewEdit
from errata.retry import RetryPolicy
from memory.errors import StorageReadOnly
from memory.limits import MemoryLimits
from memory.record import EditDraft
from memory.writes import WriteResult
from protos.errata.v1 import memory_pb2, memory_pb2_grpc
from runtime.services.limits import ServiceLimits
from tests.server_kit import Kit, run_server


@pytest.fixture
def kit(tmp_path: Path) -> Iterator[Kit]:
    with run_server(tmp_path / "data") as running:
        yield running


@pytest.fixture
def client(kit: Kit) -> Iterator[Client]:
    with kit.client() as connected:
        yield connected


def records(count: int) -> list[NewEdit | str]:
    return [
        NewEdit(subject=f"Person {n}", prompt=f"Person {n} is", target=f"T{n}")
        for n in range(count)
    ]


def test_bad_records_are_refused_alone_with_their_rows_and_reasons(client: Client) -> None:
    rows = records(300)
    rows[4] = "{ not json"
    rows[50] = json.dumps({"subject": "X", "prompt": "no mention", "target": "y"})
    rows[99] = NewEdit(subject="", prompt="", target="")
    rows[150] = NewEdit(subject="Person 1", prompt="person 1  IS", target="other")
    rows[200] = json.dumps({"subject": "J", "prompt": "J is", "target": "y", "edit_id": "jay-1"})
    report = client.import_edits(rows, on_conflict="fail")
    assert [error.row for error in report.errors] == [5, 51, 100, 151]
    assert [error.reason for error in report.errors] == ["FIELD_INVALID"] * 3 + ["EDIT_CONFLICT"]
    assert (report.received, report.created, report.refused) == (300, 296, 4)
    assert (report.durable_row, report.done) == (300, True)
    assert client.get_edit("jay-1").target == "y"
    assert len(list(client.list_edits())) == 296


def test_the_same_import_again_takes_nothing_twice(client: Client) -> None:
    rows = records(200)
    client.import_edits(rows[:120], import_id="nightly")
    report = client.import_edits(rows, import_id="nightly", on_conflict="skip")
    assert (report.already_imported, report.created) == (120, 80)
    assert client.status().namespaces[0].active == 200


def test_a_changed_row_under_the_same_import_is_refused(client: Client) -> None:
    client.import_edits(records(2), import_id="nightly")
    changed = [NewEdit(subject="Z", prompt="Z is", target="z"), *records(2)[1:]]
    report = client.import_edits(changed, import_id="nightly")
    assert [(error.row, error.reason) for error in report.errors] == [(1, "REQUEST_ID_REUSED")]
    assert report.already_imported == 1


def test_records_about_one_prompt_are_written_in_their_order(client: Client) -> None:
    rows: list[NewEdit | str] = [
        NewEdit(subject="X", prompt=" x is" if n % 2 else "X is", target=f"T{n}") for n in range(60)
    ]
    report = client.import_edits(rows, on_conflict="supersede")
    assert (report.created, report.superseded) == (1, 59)
    assert [edit.target for edit in client.list_edits()] == ["T59"]
    everything = client.list_edits(EditFilter(states=("superseded",)))
    assert [edit.target for edit in everything] == [f"T{n}" for n in range(59)]


def test_records_about_one_subject_are_written_in_their_order(client: Client) -> None:
    """Of two that ask the same in other words the later one counts."""
    rows: list[NewEdit | str] = [
        NewEdit(subject="x" if n % 2 else "X", prompt=f"Fact {n} of X is", target=f"T{n}")
        for n in range(300)
    ]
    assert 300 == client.import_edits(rows).created
    assert [f"T{n}" for n in range(300)] == [edit.target for edit in client.list_edits()]


def test_validate_only_reports_and_writes_nothing(client: Client) -> None:
    report = client.import_edits([*records(10), "{bad"], validate_only=True)
    assert (report.created, report.refused) == (10, 1)
    assert client.status().sequence == 0


def test_progress_counts_up_and_says_what_is_durable(client: Client) -> None:
    seen: list[ImportProgress] = []
    client.import_edits(records(500), progress=seen.append)
    assert seen[-1].done
    assert [item.durable_row for item in seen] == sorted(item.durable_row for item in seen)
    assert seen[-1].durable_row == 500


def test_a_failing_source_ends_the_import_after_what_came_before(client: Client) -> None:
    def failing() -> Iterator[NewEdit | str]:
        yield from records(30)
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        client.import_edits(failing())
    assert client.status().namespaces[0].active == 30


def send(
    kit: Kit, *messages: memory_pb2.ImportEditsRequest
) -> list[memory_pb2.ImportEditsResponse]:
    with grpc.insecure_channel(kit.target) as channel:
        make: Any = memory_pb2_grpc.MemoryServiceStub
        stub = make(channel)
        return list(stub.ImportEdits(iter(messages)))


def test_a_stream_without_options_or_with_strange_ones_is_refused(kit: Kit) -> None:
    request = memory_pb2.ImportEditsRequest
    record = request(record={"row": 1, "json": "{}"})
    options = request(options={})
    for messages in (
        (),
        (record,),
        (request(),),
        (request(options={"parent": "bad"}),),
        (request(options={"import_id": "i" * 97}),),
        (options, options),
        (options, request()),
    ):
        with pytest.raises(grpc.RpcError) as caught:
            send(kit, *messages)
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


def test_rows_must_count_up_and_records_must_hold_something(kit: Kit) -> None:
    request = memory_pb2.ImportEditsRequest
    edit = {"subject": "A", "prompt": "A is", "target": "b"}
    answers = send(
        kit,
        request(options={}),
        request(record={"row": 5, "edit": edit}),
        request(record={"row": 5, "edit": edit}),
        request(record={"row": 0, "edit": edit}),
        request(record={"row": 6}),
    )
    assert [error.row for answer in answers for error in answer.errors] == [5, 0, 6]
    assert (answers[-1].created, answers[-1].refused, answers[-1].done) == (1, 3, True)


def test_an_import_that_is_cut_off_goes_on_without_duplicates(client: Client, kit: Kit) -> None:
    """The stream is cancelled again and again; the same records under the same id finish it."""
    rows = records(400)
    for _ in range(4):
        cut = threading.Event()
        with grpc.insecure_channel(kit.target) as channel:
            make: Any = memory_pb2_grpc.MemoryServiceStub
            stub = make(channel)

            def messages(cut: threading.Event = cut) -> Iterator[memory_pb2.ImportEditsRequest]:
                yield memory_pb2.ImportEditsRequest(options={"import_id": "big", "on_conflict": 2})
                for row, record in enumerate(rows[:300], start=1):
                    assert isinstance(record, NewEdit)
                    edit = {
                        "subject": record.subject,
                        "prompt": record.prompt,
                        "target": record.target,
                    }
                    yield memory_pb2.ImportEditsRequest(record={"row": row, "edit": edit})
                cut.wait(10)

            call = stub.ImportEdits(messages())
            for answer in call:
                if answer.received > 50:
                    break
            call.cancel()
            cut.set()
    report = client.import_edits(rows, import_id="big")
    assert report.created + report.already_imported == 400
    assert client.status().namespaces[0].active == 400


def test_a_full_write_queue_slows_an_import_and_loses_nothing(tmp_path: Path) -> None:
    limits = ServiceLimits(import_threads=8)
    memory_limits = MemoryLimits(writes_queued_max=2, storage_retry_s=0.0)
    with (
        run_server(tmp_path, limits=limits, memory_limits=memory_limits) as kit,
        kit.client() as client,
    ):
        report = client.import_edits(records(40))
        assert (report.created, report.refused) == (40, 0)


def test_the_client_resumes_when_the_connection_breaks(tmp_path: Path) -> None:
    with run_server(tmp_path) as kit:
        retry = RetryPolicy(attempts=5, first_wait_s=0.01)
        with kit.client(retry=retry) as client:
            real = client._memory.ImportEdits
            broken: list[str] = []

            def flaky(messages: object, **more: object) -> object:
                call = real(messages, **more)
                return call if broken else BreaksAfterOne(call, broken)

            client._memory.ImportEdits = flaky
            report = client.import_edits(records(300))
            assert broken == ["once"]
            assert report.created + report.already_imported == 300
            assert (report.received, report.refused, report.durable_row) == (300, 0, 300)
            assert client.status().namespaces[0].active == 300


class BreaksAfterOne:
    """A call that breaks like a lost connection after its first answer."""

    def __init__(self, call: object, broken: list[str]) -> None:
        self._call = call
        self._broken = broken

    def __iter__(self) -> Iterator[object]:
        yield next(self._call)  # type: ignore[call-overload]
        self._broken.append("once")
        raise LostConnection

    def cancel(self) -> None:
        self._call.cancel()  # type: ignore[attr-defined]


class LostConnection(grpc.RpcError):
    def code(self) -> grpc.StatusCode:
        return grpc.StatusCode.UNAVAILABLE

    def details(self) -> str:
        return "Socket closed"


def test_a_record_counts_when_those_before_it_are_settled(client: Client, kit: Kit) -> None:
    """Else a stream that breaks would count what a client sends again a second time."""
    create, first_may_go = kit.memory.create, threading.Event()

    def slow_first(draft: EditDraft, **options: Any) -> WriteResult:
        if draft.subject == "Person 0":
            first_may_go.wait(20)
        return create(draft, **options)

    seen: list[ImportProgress] = []

    def watch(progress: ImportProgress) -> None:
        seen.append(progress)
        if kit.memory.snapshot().sequence == 39:
            first_may_go.set()

    with patch.object(kit.memory, "create", slow_first):
        report = client.import_edits(records(40), progress=watch)
    assert (report.created, report.durable_row) == (40, 40)
    held = [progress for progress in seen if progress.durable_row == 0]
    assert held
    assert {(progress.created, progress.sequence) for progress in held} == {(0, 0)}


def test_records_that_a_failing_memory_did_not_take_are_sent_again(tmp_path: Path) -> None:
    """A write that fails ends the stream; neither it nor those cancelled with it count as taken."""
    with run_server(tmp_path) as kit:
        create, failed = kit.memory.create, threading.Event()

        def fails_once(draft: EditDraft, **options: Any) -> WriteResult:
            if draft.subject == "Person 100" and not failed.is_set():
                failed.set()
                raise StorageReadOnly("the disk is full", retry_after_s=0.01)
            return create(draft, **options)

        retry = RetryPolicy(attempts=5, first_wait_s=0.01)
        with patch.object(kit.memory, "create", fails_once), kit.client(retry=retry) as client:
            report = client.import_edits(records(300))
            assert failed.is_set()
            assert report.created + report.already_imported == 300
            assert (report.received, report.refused, report.durable_row) == (300, 0, 300)
            assert client.status().namespaces[0].active == 300


def test_a_memory_that_takes_no_writes_ends_the_import_as_unavailable(tmp_path: Path) -> None:
    with run_server(tmp_path) as kit, kit.client() as client:
        kit.memory._keeper._note_read_only("the test says so")
        with pytest.raises(errors.ServerUnavailable) as caught:
            client.import_edits(records(5))
        assert caught.value.reason == "STORAGE_READ_ONLY"
