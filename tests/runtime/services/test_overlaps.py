"""Overlaps over a real channel: beside every write, as a stream, and never at a write's cost."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest

from errata import errors
from errata.client import Client
from errata.results import NewEdit, Outcome, OverlapSearch
from protos.errata.v1 import memory_pb2, memory_pb2_grpc
from runtime.overlap_scan import OverlapScan
from runtime.overlaps import OverlapFinder
from runtime.services.limits import ServiceLimits
from tests.server_kit import Kit, run_server, wait_until

# The kit's classifier takes every prompt that mentions a subject as in scope of its edits.
LED: dict[str, Any] = {"subject": "Acme", "prompt": "Acme is led by", "target": "Jane"}
BOSS: dict[str, Any] = {"subject": "Acme", "prompt": "The boss of Acme is", "target": "Tom"}
numbers = itertools.count()


@pytest.fixture(scope="module")
def kit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kit]:
    limits = ServiceLimits(overlap_batch_edits=3, overlap_report_s=0.0)
    with run_server(tmp_path_factory.mktemp("data"), limits=limits) as running:
        yield running


@pytest.fixture
def client(kit: Kit) -> Iterator[Client]:
    """A client in a namespace of the test's own."""
    with kit.client(namespace=f"o{next(numbers)}") as connected:
        yield connected


def fact(number: int, target: str) -> NewEdit:
    return NewEdit(subject="Acme", prompt=f"Fact {number} of Acme is", target=target)


def test_a_write_tells_what_overlaps_it(client: Client) -> None:
    first = client.create_edit(**LED)
    assert ((), True) == (first.overlaps, first.overlaps_checked)
    second = client.create_edit(**BOSS)
    (overlap,) = second.overlaps
    assert (first.edit, 1.0, 0.5, False) == (
        overlap.edit,
        overlap.score,
        overlap.threshold,
        overlap.reverse,
    )
    assert second.overlaps_checked


def test_a_dry_run_tells_before_anything_is_written(client: Client) -> None:
    client.create_edit(**LED)
    dry = client.create_edit(**BOSS, validate_only=True)
    assert ["Jane"] == [overlap.edit.target for overlap in dry.overlaps]
    assert 1 == len(list(client.list_edits()))


def test_update_and_restore_tell_it_too_and_retire_has_nothing_to_tell(client: Client) -> None:
    client.create_edit(**LED)
    same = client.create_edit(**{**BOSS, "target": "JANE."})
    assert ((), True) == (same.overlaps, same.overlaps_checked)
    changed = client.update_edit(same, target="Tom")
    assert ["Jane"] == [overlap.edit.target for overlap in changed.overlaps]
    assert not client.update_edit(same, author="me", check_overlaps=False).overlaps_checked
    assert not client.retire_edit(same).overlaps_checked
    assert ["Jane"] == [overlap.edit.target for overlap in client.restore_edit(same).overlaps]


def test_who_wants_no_check_gets_none(client: Client) -> None:
    client.create_edit(**LED)
    written = client.create_edit(**BOSS, check_overlaps=False)
    assert ((), False) == (written.overlaps, written.overlaps_checked)


def test_what_is_left_as_it_was_and_a_retry_are_looked_at_too(client: Client) -> None:
    client.create_edit(**LED)
    written = client.create_edit(**BOSS, request_id="once")
    again = client.create_edit(**BOSS, request_id="once")
    assert (True, written.overlaps) == (again.replayed, again.overlaps)
    skipped = client.create_edit(**BOSS, on_conflict="skip")
    assert (Outcome.UNCHANGED, written.overlaps) == (skipped.outcome, skipped.overlaps)
    assert skipped.overlaps_checked
    client.update_edit(written, target="Ann")
    assert not client.create_edit(**BOSS, request_id="once").overlaps_checked  # No longer said.
    client.retire_edit(written)
    assert not client.create_edit(**BOSS, request_id="once").overlaps_checked


def test_a_small_batch_tells_each_pair_once_and_a_large_one_when_asked(client: Client) -> None:
    client.create_edit(**LED)
    small = client.create_edits([fact(1, "Tom"), fact(2, "Ann"), fact(3, "Jane")])
    told = {frozenset({p.edit.target, p.overlap.edit.target}) for p in small.overlaps}
    assert {frozenset(p) for p in (("Tom", "Jane"), ("Tom", "Ann"), ("Ann", "Jane"))} == told
    assert 5 == len(small.overlaps)  # Tom and Ann against the two of Jane, and each other.
    assert small.overlaps_checked
    large = client.create_edits([fact(n, "Tom") for n in range(4, 8)])
    assert ((), False) == (large.overlaps, large.overlaps_checked)
    asked = client.create_edits([fact(n, "Tom") for n in range(8, 12)], check_overlaps=True)
    assert asked.overlaps_checked
    assert 4 * 3 == len(asked.overlaps)


def test_a_request_of_a_batch_cannot_say_otherwise(client: Client, kit: Kit) -> None:
    single = memory_pb2.CreateEditRequest(check_overlaps=True)
    single.edit.subject, single.edit.prompt, single.edit.target = "Acme", "Acme is", "big"
    with grpc.insecure_channel(kit.target) as channel:
        stub: Any = memory_pb2_grpc.MemoryServiceStub(channel)  # type: ignore[no-untyped-call]
        with pytest.raises(grpc.RpcError, match="check_overlaps differs"):
            stub.BatchCreateEdits(memory_pb2.BatchCreateEditsRequest(requests=[single]))


def test_a_search_that_fails_never_fails_the_write(
    client: Client, kit: Kit, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.create_edit(**LED)

    def broken(*_: Any) -> list[float]:
        raise RuntimeError("the classifier is broken")

    monkeypatch.setattr(type(kit.classifier), "score", broken)
    written = client.create_edit(**BOSS)
    assert (Outcome.CREATED, (), False) == (
        written.outcome,
        written.overlaps,
        written.overlaps_checked,
    )
    assert "Tom" == client.get_edit(written).target


def test_a_write_near_its_deadline_is_answered_without_a_search(tmp_path: Any) -> None:
    limits = ServiceLimits(overlap_margin_s=1000.0)
    with run_server(tmp_path, limits=limits) as kit, kit.client() as client:
        assert not client.create_edit(**LED).overlaps_checked


class Gated:
    """Finds what there is, an edit at a time as it is let."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.begun, self.leave, self.looked = threading.Event(), threading.Semaphore(0), 0
        find = OverlapFinder.find

        def gated(finder: OverlapFinder, *arguments: Any, **named: Any) -> Any:
            self.begun.set()
            assert self.leave.acquire(timeout=10.0)
            self.looked += 1
            return find(finder, *arguments, **named)

        monkeypatch.setattr(OverlapFinder, "find", gated)


def test_a_batch_that_nobody_waits_for_is_looked_at_no_further(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    gated = Gated(monkeypatch)
    with run_server(tmp_path) as kit, grpc.insecure_channel(kit.target) as channel:
        request = memory_pb2.BatchCreateEditsRequest(parent="namespaces/default")
        for number in range(4):
            one = request.requests.add().edit
            one.subject, one.prompt, one.target = "Acme", f"Fact {number} of Acme is", f"{number}"
        stub: Any = memory_pb2_grpc.MemoryServiceStub(channel)  # type: ignore[no-untyped-call]
        call = stub.BatchCreateEdits.future(request)
        assert gated.begun.wait(10.0)
        call.cancel()
        wait_until(lambda: kit.server.running_calls == 0)
        gated.leave.release(4)
        wait_until(lambda: kit.server._parts.workers.held == 0)
        assert 1 == gated.looked
        with kit.client() as client:
            assert 4 == len(list(client.list_edits()))  # The write stands.


def test_a_draining_server_answers_a_batch_as_far_as_it_was_looked_at(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    gated = Gated(monkeypatch)
    with run_server(tmp_path) as kit, kit.client() as client, ThreadPoolExecutor() as pool:
        writing = pool.submit(client.create_edits, [fact(n, f"{n}") for n in range(4)])
        assert gated.begun.wait(10.0)
        kit.in_loop(_drain(kit))
        gated.leave.release(4)
        written = writing.result(10.0)
        assert (4, False) == (len(written.edits), written.overlaps_checked)
        assert 1 == gated.looked


def test_overlaps_take_a_bounded_part_of_an_answer(tmp_path: Any) -> None:
    room_for_one = ServiceLimits(overlap_bytes_max=1200)
    with run_server(tmp_path, limits=room_for_one) as kit, kit.client() as client:
        for number in range(3):
            client.create_edits([fact(number, f"{number} {'x' * 600}")])
        assert 1 == len(client.create_edit(**LED).overlaps)
        assert 1 == len(client.create_edits([fact(9, "Tom")]).overlaps)


def test_the_list_streams_pairs_and_progress(client: Client) -> None:
    for number in range(3):
        client.create_edit(subject=f"Firm {number}", prompt=f"Firm {number} is", target="big")
    jane = client.create_edit(**LED)
    tom = client.create_edit(**BOSS)
    seen: list[OverlapSearch] = []
    (pair,) = client.find_overlaps(progress=seen.append)
    assert (tom.edit, jane.edit) == (pair.edit, pair.overlap.edit)
    last = seen[-1]
    assert (True, 5, 5, 1) == (last.done, last.examined, last.total, last.found)
    assert last.sequence >= tom.sequence
    assert [False] * (len(seen) - 1) == [search.done for search in seen[:-1]]
    assert [pair] == list(client.find_overlaps(subject="ACME"))
    assert [] == list(client.find_overlaps(subject="Firm 1"))
    assert [pair] == list(client.find_overlaps(everywhere=True))


def test_the_list_is_of_one_namespace_that_exists(client: Client, kit: Kit) -> None:
    client.create_edit(**LED)
    with kit.client(namespace=f"{client.options.namespace}b") as other:
        other.create_edit(**BOSS)
        assert [] == list(other.find_overlaps())
    with pytest.raises(errors.NotFound):
        list(client.find_overlaps(namespace="nowhere"))
    with pytest.raises(errors.InvalidRequest, match="only punctuation"):
        list(client.find_overlaps(subject="?!"))


def test_a_search_that_nobody_waits_for_ends_and_frees_its_place(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each slice waits for leave, so that the search cannot have ended by itself."""
    leave = threading.Semaphore(0)
    step = OverlapScan.step
    steps = itertools.count()

    def slow(scan: OverlapScan, seconds: float) -> Any:
        assert leave.acquire(timeout=10.0)
        next(steps)
        found = step(scan, 0.0)
        scan.done = False
        return found

    monkeypatch.setattr(OverlapScan, "step", slow)
    limits = ServiceLimits(overlap_scans_max=1, overlap_report_s=0.0)
    with run_server(tmp_path, limits=limits) as kit, kit.client() as client:
        client.create_edit(**LED)
        client.create_edit(**BOSS)
        slots = kit.server._parts.scans
        search = client.find_overlaps()
        leave.release(2)
        assert "Tom" == next(search).edit.target
        with pytest.raises(errors.Overloaded, match="searches for overlaps"):
            list(client.find_overlaps())
        search.close()
        leave.release(1)  # The slice that was running ends by itself.
        wait_until(lambda: slots.held == 0)
        with pytest.raises(errors.DeadlineExceeded):
            list(client.find_overlaps(timeout_s=0.2))
        leave.release(1)
        wait_until(lambda: slots.held == 0)
        assert next(steps) <= 4  # Nothing went on.


def test_a_draining_server_ends_its_searches(tmp_path: Any) -> None:
    with run_server(tmp_path) as kit, kit.client() as client:
        client.create_edit(**LED)
        kit.in_loop(_drain(kit))
        with pytest.raises(errors.ServerUnavailable, match="stopping"):
            list(client.find_overlaps())


async def _drain(kit: Kit) -> None:
    kit.server._parts.draining.set()
