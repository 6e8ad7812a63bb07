"""WatchEdits: every change once and in order, checkpoints when idle, threads given back."""

import threading
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest

from errata import errors
from errata.client import Client
from errata.results import ChangeKind
from runtime.services.limits import ServiceLimits
from tests.server_kit import Kit, run_server, wait_until

LIMITS = ServiceLimits(watch_checkpoint_s=0.1, watches_max=3)


@pytest.fixture
def kit(tmp_path: Path) -> Iterator[Kit]:
    with run_server(tmp_path / "data", limits=LIMITS) as running:
        yield running


@pytest.fixture
def client(kit: Kit) -> Iterator[Client]:
    with kit.client() as connected:
        yield connected


def create(client: Client, number: int, namespace: str = "") -> None:
    client.create_edit(
        subject=f"P{number}", prompt=f"P{number} is", target="t", namespace=namespace
    )


def watch_threads() -> int:
    return sum(thread.name.startswith("errata-watch") for thread in threading.enumerate())


def test_a_watch_sends_what_was_and_then_what_comes(client: Client) -> None:
    create(client, 1)
    create(client, 2)
    with client.watch(after_sequence=1) as changes:
        coming = iter(changes)
        first = next(coming)
        client.retire_edit(next(client.list_edits()), reason="wrong")
        second = next(coming)
    assert (first.sequence, first.kind, first.edit and first.edit.subject) == (
        2,
        ChangeKind.CREATED,
        "P2",
    )
    assert (second.sequence, second.kind, second.reason) == (3, ChangeKind.RETIRED, "wrong")
    assert second.at is not None


def test_a_watch_of_one_namespace_is_not_told_of_others_and_a_dash_is_told_all(
    client: Client,
) -> None:
    create(client, 1)
    create(client, 2, namespace="other")
    create(client, 3)
    with client.watch() as changes:
        assert [change.sequence for change in islice(changes, 2)] == [1, 3]
    with client.watch(namespace="-") as changes:
        assert [change.sequence for change in islice(changes, 3)] == [1, 2, 3]


def test_an_idle_watch_says_how_far_it_is(client: Client) -> None:
    create(client, 1)
    create(client, 2, namespace="other")
    with client.watch(checkpoints=True) as changes:
        seen = list(islice(changes, 3))
    assert [(change.checkpoint, change.sequence) for change in seen] == [
        (False, 1),
        (True, 2),
        (True, 2),
    ]


def test_closing_a_watch_frees_its_thread_and_its_place(client: Client, kit: Kit) -> None:
    create(client, 1)
    for _ in range(8):
        with client.watch() as changes:
            next(iter(changes))
        wait_until(lambda: kit.server.running_calls == 0)
    wait_until(lambda: watch_threads() == 0)


def test_too_many_watches_are_refused(client: Client) -> None:
    create(client, 1)
    watches = [client.watch() for _ in range(3)]
    for watch in watches:
        next(iter(watch))
    with pytest.raises(errors.Overloaded):
        next(iter(client.watch()))
    for watch in watches:
        watch.close()


def test_a_sequence_beyond_the_log_or_below_zero_is_refused(client: Client) -> None:
    create(client, 1)
    for sequence in (2, 10**9, -1):
        with pytest.raises(errors.InvalidRequest) as caught:
            next(iter(client.watch(after_sequence=sequence)))
        assert caught.value.violations[0].field == "after_sequence"


def test_a_draining_server_ends_its_watches_and_says_why(client: Client, kit: Kit) -> None:
    create(client, 1)
    coming = iter(client.watch())
    next(coming)
    kit.stop(drain_s=5.0)
    with pytest.raises(errors.ServerUnavailable) as caught:
        next(coming)
    assert caught.value.reason == "DRAINING"


def test_every_change_of_many_writers_arrives_once_and_in_order(client: Client) -> None:
    def write(start: int) -> None:
        for number in range(start, start + 25):
            create(client, number)

    writers = [threading.Thread(target=write, args=(n * 100,)) for n in range(4)]
    with client.watch(namespace="-") as changes:
        for writer in writers:
            writer.start()
        assert [change.sequence for change in islice(changes, 100)] == list(range(1, 101))
    for writer in writers:
        writer.join(10)
