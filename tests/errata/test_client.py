"""The synchronous client: what it retries, remembers, and gives back."""

import socket
import threading
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import grpc
import pytest

from errata import errors
from errata.answers import RouteKind
from errata.client import Client
from errata.options import ClientOptions
from errata.requests import RoutingOptions, edit_name, namespace_name
from errata.results import Edit, EditFilter, EditState, NewEdit, Outcome
from errata.retry import NO_RETRIES, RetryPolicy
from tests.fakes import FakeEngine
from tests.server_kit import Kit, run_server, wait_until

PROMPT = "The mother tongue of Danielle Darrieux is"
FACT: dict[str, Any] = {"subject": "Danielle Darrieux", "prompt": PROMPT, "target": "English"}


@pytest.fixture
def kit(tmp_path: Path) -> Iterator[Kit]:
    with run_server(tmp_path / "data") as running:
        yield running


def test_the_readme_example_works(kit: Kit) -> None:
    with Client(kit.target) as errata:
        before = errata.generate(PROMPT)
        written = errata.create_edit(**FACT)
        after = errata.generate(PROMPT)
        neighbour = errata.generate("The mother tongue of Lionel Messi is")
        errata.retire_edit(written)
        undone = errata.generate(PROMPT)
    assert [str(answer) for answer in (before, after, neighbour, undone)] == [
        " base",
        " English",
        " base",
        " base",
    ]
    assert (after.path, after.edits[0].id) == ("in_context", written.id)


class Flaky:
    """A stub method that fails some times before, or after, doing its work."""

    def __init__(self, real: Any, failures: int, *, after: bool = False) -> None:
        self.real = real
        self.left = failures
        self.after = after
        self.calls = 0

    def __call__(self, request: Any, timeout: float | None = None, **more: Any) -> Any:
        self.calls += 1
        if self.left:
            self.left -= 1
            if self.after:
                self.real(request, timeout=timeout, **more)
            raise Lost
        return self.real(request, timeout=timeout, **more)


class Lost(grpc.RpcError):
    def code(self) -> grpc.StatusCode:
        return grpc.StatusCode.UNAVAILABLE

    def details(self) -> str:
        return "Socket closed"


def patient(kit: Kit, **options: Any) -> Client:
    retry = RetryPolicy(attempts=3, first_wait_s=0.001)
    return kit.client(retry=retry, **options)


def test_a_write_whose_answer_was_lost_is_retried_and_written_once(kit: Kit) -> None:
    with patient(kit) as client:
        flaky = client._memory.CreateEdit = Flaky(client._memory.CreateEdit, 2, after=True)
        written = client.create_edit(**FACT)
        assert (flaky.calls, written.replayed, written.outcome) == (3, True, Outcome.CREATED)
        assert len(list(client.list_edits())) == 1


def test_retries_are_bounded(kit: Kit) -> None:
    with patient(kit) as client:
        flaky = client._inference.Generate = Flaky(client._inference.Generate, 99)
        with pytest.raises(errors.ServerUnavailable, match="no server answers"):
            client.generate("x")
        assert flaky.calls == 3


def test_errors_that_a_retry_cannot_cure_are_not_retried(kit: Kit) -> None:
    with patient(kit) as client:
        counting = client._inference.Generate = Flaky(client._inference.Generate, 0)
        with pytest.raises(errors.InvalidRequest):
            client.generate("")
        assert counting.calls == 1


def test_no_server_is_said_so_with_what_to_do() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # Bound but not listening: connections are refused.
        target = f"127.0.0.1:{taken.getsockname()[1]}"
        options = ClientOptions(retry=NO_RETRIES)
        with (
            Client(target, timeout_s=5.0, options=options) as client,
            pytest.raises(errors.ServerUnavailable) as caught,
        ):
            client.generate("x")
    assert target in str(caught.value)
    assert "errata serve" in str(caught.value)


def test_a_client_reads_its_writes_unless_told_otherwise(kit: Kit) -> None:
    seen: list[int] = []

    def spy(client: Client) -> None:
        real = client._inference.Generate

        def generate(request: Any, timeout: float | None = None, **more: Any) -> Any:
            seen.append(request.routing.min_sequence)
            return real(request, timeout=timeout, **more)

        client._inference.Generate = generate

    with kit.client() as client:
        spy(client)
        client.generate(PROMPT)
        written = client.create_edit(**FACT)
        client.generate(PROMPT)
        client.generate(PROMPT, routing=RoutingOptions(min_sequence=1))
    assert seen == [0, written.sequence, written.sequence]
    seen.clear()
    with kit.client(read_your_writes=False) as client:
        spy(client)
        client.create_edit(subject="B", prompt="B is", target="c")
        client.generate(PROMPT)
    assert seen == [0]


def test_closing_a_stream_early_ends_it_and_frees_the_slot(tmp_path: Path) -> None:
    gate = threading.Event()
    engine = FakeEngine(answers={"slow": " many words"}, gate=gate)
    with run_server(tmp_path, engine=engine) as kit, kit.client() as client:
        stream = client.stream("slow")
        assert next(iter(stream)) == " "
        stream.close()
        stream.close()
        with pytest.raises(errors.Cancelled):
            stream.answer  # noqa: B018
        wait_until(lambda: engine.running == 0)


def test_a_stream_that_is_refused_raises_the_typed_error(kit: Kit) -> None:
    with kit.client() as client:
        for read in (lambda s: s.provenance, lambda s: s.answer, list):
            with pytest.raises(errors.InvalidRequest):
                read(client.stream(""))


def test_options_are_taken_from_arguments_first() -> None:
    options = ClientOptions(target="a:1", namespace="n", timeout_s=7.0)
    with Client(options=options) as client:
        assert (client.options.target, client.options.namespace) == ("a:1", "n")
        assert client.options.timeout_s == 7.0
    with Client("b:2", namespace="m", timeout_s=None, options=options) as client:
        assert (client.options.target, client.options.namespace) == ("b:2", "m")
        assert client.options.timeout_s is None


def test_an_edit_is_named_by_itself_by_its_name_or_by_its_id(kit: Kit) -> None:
    with kit.client() as client:
        written = client.create_edit(**FACT)
        for reference in (written, written.edit, written.name, written.id):
            assert client.get_edit(reference) == written.edit
    assert edit_name("abcd", "team") == "namespaces/team/edits/abcd"
    assert namespace_name("namespaces/x") == namespace_name("x")
    assert Edit(name="x", subject="", prompt="", target="").namespace == ""


def test_a_listing_pages_by_itself(kit: Kit) -> None:
    with kit.client() as client:
        client.create_edits(
            [NewEdit(subject=f"P{n}", prompt=f"P{n} is", target="t") for n in range(23)]
        )
        assert len(list(client.list_edits(page_size=5))) == 23
        only = EditFilter(subject="P7", states=(EditState.ACTIVE,))
        assert [edit.subject for edit in client.list_edits(only, page_size=1)] == ["P7"]


def test_mistakes_that_need_no_server_are_value_errors() -> None:
    with Client("127.0.0.1:1", options=ClientOptions(retry=NO_RETRIES)) as client:
        with pytest.raises(ValueError, match="on_conflict"):
            client.create_edit(**FACT, on_conflict="maybe")  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="time zone"):
            client.create_edit(**FACT, expires_at=datetime(2999, 1, 1))  # noqa: DTZ001
        with pytest.raises(ValueError, match="nonsense"):
            list(client.list_edits(EditFilter(states=("nonsense",))))


@pytest.mark.parametrize("option", ["namespace", "max_token", "force"])
def test_an_option_that_there_is_none_of_is_refused_instead_of_ignored(
    kit: Kit, option: str
) -> None:
    given: dict[str, Any] = {option: "x"}
    with kit.client() as client:
        with pytest.raises(TypeError, match=rf"{option}.*RoutingOptions"):
            client.generate(PROMPT, **given)
        with pytest.raises(TypeError, match=option):
            client.stream(PROMPT, **given)


def test_errors_read_well(kit: Kit) -> None:
    with kit.client() as client, pytest.raises(errors.NotFound) as caught:
        client.get_edit("nothing-here")
    assert str(caught.value).endswith("[EDIT_NOT_FOUND]")
    assert "namespaces/default/edits/nothing-here" in str(caught.value)
    assert caught.value.resource == "namespaces/default/edits/nothing-here"


def test_one_client_serves_many_threads(kit: Kit) -> None:
    with kit.client() as client:
        client.create_edit(**FACT)
        routes: list[RouteKind] = []
        threads = [
            threading.Thread(target=lambda: routes.append(client.generate(PROMPT).route))
            for _ in range(12)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
    assert routes == [RouteKind.EDITED] * 12
