"""MemoryService over a real channel: every method, every error that applies."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import pytest

from errata import errors
from errata.answers import RouteKind
from errata.client import Client
from errata.results import EditFilter, EditState, NewEdit, Outcome
from protos.errata.v1 import memory_pb2, memory_pb2_grpc
from tests.server_kit import Kit, run_server

FACT: dict[str, Any] = {"subject": "Messi", "prompt": "Messi plays", "target": "basketball"}


@pytest.fixture(scope="module")
def kit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kit]:
    with run_server(tmp_path_factory.mktemp("data")) as running:
        yield running


@pytest.fixture
def client(kit: Kit, request: pytest.FixtureRequest) -> Iterator[Client]:
    """A client in a namespace of the test's own."""
    name = "t" + format(abs(hash(request.node.nodeid)), "x")
    with kit.client(namespace=name) as connected:
        yield connected


def fact(number: int, target: str = "T") -> NewEdit:
    return NewEdit(subject=f"Person {number}", prompt=f"Person {number} is", target=target)


def test_an_edit_is_created_with_all_its_fields_and_read_back(client: Client) -> None:
    expires = datetime(2999, 1, 31, 12, 30, 15, 250_000, tzinfo=UTC)
    written = client.create_edit(
        **FACT,
        former="football",
        aliases=["Leo"],
        author="ada",
        source="ticket 7",
        labels={"team": "x"},
        expires_at=expires,
        edit_id="messi-sport",
    )
    edit = client.get_edit("messi-sport")
    assert (written.outcome, written.edit) == (Outcome.CREATED, edit)
    assert (edit.id, edit.namespace) == ("messi-sport", client.options.namespace)
    assert (edit.former, edit.aliases, edit.author, edit.source) == (
        "football",
        ("Leo",),
        "ada",
        "ticket 7",
    )
    assert (edit.labels, edit.expires_at) == ({"team": "x"}, expires)
    assert (edit.state, edit.revision, edit.sequence) == (EditState.ACTIVE, 1, written.sequence)


def test_the_answer_to_a_write_is_seen_by_the_next_request(client: Client) -> None:
    written = client.create_edit(**FACT)
    answer = client.generate("What does Messi play?")
    assert (answer.route, answer.text) == (RouteKind.EDITED, " basketball")
    assert answer.sequence >= written.sequence
    client.retire_edit(written)
    assert client.generate("What does Messi play?").route is RouteKind.BASE
    client.restore_edit(written)
    assert client.generate("What does Messi play?").route is RouteKind.EDITED


def test_namespaces_never_see_each_other(client: Client, kit: Kit) -> None:
    mine = client.create_edit(**FACT)
    with kit.client(namespace=f"{client.options.namespace}b") as other:
        other.create_edit(**{**FACT, "target": "chess"})
        assert other.generate("Messi plays").text == " chess"
        assert client.generate("Messi plays").text == " basketball"
        assert len(list(other.list_edits())) == 1
        assert [hit.edit.target for hit in other.search_edits("Messi")] == ["chess"]
        with pytest.raises(errors.NotFound):
            other.get_edit(mine.id)
        with pytest.raises(errors.NotFound):
            other.retire_edit(mine.id)


def test_a_conflict_fails_skips_or_supersedes_as_asked(client: Client) -> None:
    first = client.create_edit(**FACT)
    changed = {**FACT, "prompt": "messi  PLAYS.", "subject": "MESSI", "target": "chess"}
    with pytest.raises(errors.EditConflict) as caught:
        client.create_edit(**changed)
    assert caught.value.conflicts == (first.name,)
    skipped = client.create_edit(**changed, on_conflict="skip")
    assert (skipped.outcome, skipped.edit) == (Outcome.SKIPPED, first.edit)
    replaced = client.create_edit(**changed, on_conflict="supersede")
    assert (replaced.outcome, replaced.edit.supersedes) == (Outcome.SUPERSEDED, first.name)
    assert client.get_edit(first).state is EditState.SUPERSEDED
    assert client.get_edit(first).superseded_by == replaced.name
    same = client.create_edit(**changed, on_conflict="supersede")
    assert (same.outcome, same.edit) == (Outcome.UNCHANGED, replaced.edit)


def test_a_taken_id_exists_already(client: Client) -> None:
    client.create_edit(**FACT, edit_id="taken")
    with pytest.raises(errors.AlreadyExists) as caught:
        client.create_edit(subject="X", prompt="X is", target="Y", edit_id="taken")
    assert caught.value.resource.endswith("/edits/taken")


def test_a_request_id_makes_a_second_time_harmless_and_stands_for_one_content(
    client: Client,
) -> None:
    first = client.create_edit(**FACT, request_id="once")
    again = client.create_edit(**FACT, request_id="once")
    assert (again.replayed, again.edit, again.sequence) == (True, first.edit, first.sequence)
    with pytest.raises(errors.WrongState) as caught:
        client.create_edit(**{**FACT, "target": "chess"}, request_id="once")
    assert caught.value.reason == "REQUEST_ID_REUSED"


def test_validate_only_checks_everything_and_writes_nothing(client: Client) -> None:
    before = client.create_edit(subject="A", prompt="A is", target="b").sequence
    client.create_edit(**FACT, validate_only=True)
    client.create_edits([fact(1)], validate_only=True)
    client.update_edit(next(client.list_edits()), target="c", validate_only=True)
    client.retire_edit(next(client.list_edits()), validate_only=True)
    assert client.status().sequence == before
    assert [edit.target for edit in client.list_edits()] == ["b"]
    with pytest.raises(errors.InvalidRequest):
        client.create_edit(subject="A", prompt="no mention", target="b", validate_only=True)


def test_a_batch_is_written_whole_or_not_at_all(client: Client) -> None:
    written = client.create_edits([fact(1), fact(2), fact(3)])
    assert [edit.subject for edit in written.edits] == ["Person 1", "Person 2", "Person 3"]
    with pytest.raises(errors.InvalidRequest) as caught:
        client.create_edits([fact(4), NewEdit(subject="X", prompt="none", target="y"), fact(5)])
    assert caught.value.violations[0].field == "requests[1].edit.prompt"
    with pytest.raises(errors.EditConflict):
        client.create_edits([fact(6), fact(1, target="other")])
    assert len(list(client.list_edits())) == 3


@pytest.mark.parametrize("count", [0, 1001])
def test_a_batch_of_none_or_too_many_is_refused(client: Client, count: int) -> None:
    with pytest.raises(errors.InvalidRequest) as caught:
        client.create_edits([fact(n) for n in range(count)])
    assert caught.value.violations[0].field == "requests"


def test_a_request_of_a_batch_must_not_contradict_it(kit: Kit) -> None:
    with grpc.insecure_channel(kit.target) as channel:
        make: Any = memory_pb2_grpc.MemoryServiceStub
        stub = make(channel)
        for single in ({"parent": "namespaces/x"}, {"on_conflict": 2}, {"request_id": "r"}):
            request = memory_pb2.BatchCreateEditsRequest(requests=[single])
            with pytest.raises(grpc.RpcError) as caught:
                stub.BatchCreateEdits(request)
            assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


def test_readers_never_see_part_of_a_batch(client: Client) -> None:
    client.create_edit(subject="A", prompt="A is", target="b")
    stop, counts = threading.Event(), set()

    def read() -> None:
        while not stop.is_set():
            counts.add(len(list(client.list_edits())))

    reading = threading.Thread(target=read)
    reading.start()
    for batch in range(10):
        client.create_edits([fact(batch * 20 + n) for n in range(20)])
    stop.set()
    reading.join(10)
    assert {count % 20 for count in counts} == {1}


def test_pages_show_the_memory_as_it_was_at_the_first(client: Client) -> None:
    client.create_edits([fact(n) for n in range(25)])
    first = client.list_page(page_size=10)
    client.create_edit(**FACT)
    client.retire_edit(first.edits[0])
    second = client.list_page(page_size=10, page_token=first.next_page_token)
    third = client.list_page(page_size=10, page_token=second.next_page_token)
    pages = (*first.edits, *second.edits, *third.edits)
    assert [edit.subject for edit in pages] == [f"Person {n}" for n in range(25)]
    assert third.next_page_token == ""
    assert first.sequence == second.sequence == third.sequence


def test_a_page_token_serves_its_own_listing_only(client: Client) -> None:
    client.create_edits([fact(n) for n in range(5)])
    token = client.list_page(page_size=2).next_page_token
    for bad in ("nonsense", token[:-3], "é"):
        with pytest.raises(errors.InvalidRequest) as caught:
            client.list_page(page_token=bad)
        assert caught.value.violations[0].field == "page_token"
    with pytest.raises(errors.InvalidRequest):
        client.list_page(EditFilter(author="x"), page_token=token)


def test_page_sizes_are_checked_coerced_and_defaulted(client: Client) -> None:
    client.create_edits([fact(n) for n in range(60)])
    assert len(client.list_page().edits) == 50
    assert len(client.list_page(page_size=100_000).edits) == 60
    with pytest.raises(errors.InvalidRequest) as caught:
        client.list_page(page_size=-1)
    assert caught.value.violations[0].field == "page_size"


def test_a_page_of_very_large_edits_is_cut_before_it_is_too_large(client: Client) -> None:
    large: dict[str, Any] = {"source": "é" * 2000, "former": "f" * 1000}
    labels = {f"k{n}": "ü" * 250 for n in range(60)}
    client.create_edits(
        [
            NewEdit(subject=f"P{n}", prompt=f"P{n} is", target="t", labels=labels, **large)
            for n in range(100)
        ]
    )
    page = client.list_page(page_size=1000)
    assert 0 < len(page.edits) < 100
    assert len(list(client.list_edits(page_size=1000))) == 100
    assert len(list(client.export_edits())) == 100


def test_filters_all_have_to_hold(client: Client) -> None:
    client.create_edit(**FACT, author="ada", labels={"topic": "sport"})
    client.create_edit(subject="Bo", prompt="Bo is", target="cat", author="ada")
    retired = client.create_edit(subject="Cy", prompt="Cy is", target="dog", source="s")
    client.retire_edit(retired)

    def found(**given: object) -> list[str]:
        return [edit.subject for edit in client.list_edits(EditFilter(**given))]  # type: ignore[arg-type]

    assert found() == ["Messi", "Bo"]
    assert found(subject=" MESSI ") == ["Messi"]
    assert found(text="BASKET") == ["Messi"]
    assert found(author="ada", labels={"topic": "sport"}) == ["Messi"]
    assert found(states=["retired"], source="s") == ["Cy"]
    assert found(states=list(EditState)) == ["Messi", "Bo", "Cy"]
    hour = timedelta(hours=1)
    assert found(created_after=datetime.now(UTC) + hour) == []
    assert len(found(created_before=datetime.now(UTC) + hour)) == 2


def test_an_update_changes_what_is_named_and_only_that(client: Client) -> None:
    written = client.create_edit(**FACT, former="football", author="ada")
    updated = client.update_edit(written, target="chess", former=None, aliases=["Leo"])
    assert updated.outcome is Outcome.UPDATED
    assert (updated.edit.target, updated.edit.former, updated.edit.author) == ("chess", None, "ada")
    assert (updated.edit.revision, updated.edit.aliases) == (2, ("Leo",))
    assert client.generate("Messi plays").text == " chess"
    with pytest.raises(errors.InvalidRequest) as caught:
        client.update_edit(written, target="")
    assert caught.value.violations[0].field == "edit.target"
    with pytest.raises(errors.InvalidRequest) as caught:
        client.update_edit(written)
    assert caught.value.violations[0].field == "update_mask"


def test_a_stale_etag_is_refused_by_every_write(client: Client) -> None:
    written = client.create_edit(**FACT)
    fresh = client.update_edit(written, author="bo", etag=written.edit.etag)
    for write in (client.retire_edit, client.restore_edit):
        with pytest.raises(errors.EtagMismatch):
            write(written, etag=written.edit.etag)
    with pytest.raises(errors.EtagMismatch):
        client.update_edit(written, author="cy", etag=written.edit.etag)
    retired = client.retire_edit(written, etag=fresh.edit.etag, reason="wrong")
    assert retired.edit.state is EditState.RETIRED


def test_a_state_that_does_not_allow_it_is_a_failed_precondition(client: Client) -> None:
    written = client.create_edit(**FACT)
    with pytest.raises(errors.WrongState):
        client.restore_edit(written)
    client.retire_edit(written)
    with pytest.raises(errors.WrongState):
        client.retire_edit(written)
    with pytest.raises(errors.WrongState):
        client.update_edit(written, target="x")


def test_restoring_can_set_an_expiry(client: Client) -> None:
    written = client.create_edit(**FACT)
    client.retire_edit(written)
    later = datetime(2999, 1, 1, tzinfo=UTC)
    assert client.restore_edit(written, expires_at=later).edit.expires_at == later
    client.retire_edit(written)
    with pytest.raises(errors.InvalidRequest) as caught:
        client.restore_edit(written, expires_at=datetime(1999, 1, 1, tzinfo=UTC))
    assert caught.value.violations[0].field == "edit.expire_time"


def test_search_finds_by_mention_and_refuses_bad_asking(client: Client) -> None:
    client.create_edit(**FACT)
    client.create_edits([fact(n) for n in range(20)])
    assert len(client.search_edits("Who is Messi?", limit=3)) == 3
    hits = client.search_edits("Who is Messi?", limit=30)
    assert [hit.mention for hit in hits if hit.edit.subject == "Messi"] == ["Messi"]
    for given in ({"text": ""}, {"text": "x" * 5000}, {"text": "x", "limit": 101}):
        with pytest.raises(errors.InvalidRequest):
            client.search_edits(**given)


def test_reading_an_unknown_namespace_is_not_found(client: Client) -> None:
    for call in (
        client.list_page,
        lambda: client.search_edits("x"),
        lambda: list(client.export_edits()),
        lambda: list(client.watch()),
        lambda: client.status(namespace=client.options.namespace),
        lambda: client.get_edit("abcd"),
    ):
        with pytest.raises(errors.NotFound):
            call()


def test_an_export_is_one_moment_and_with_history_every_revision(client: Client) -> None:
    written = client.create_edit(**FACT)
    client.update_edit(written, target="chess")
    retired = client.create_edit(subject="Bo", prompt="Bo is", target="cat")
    client.retire_edit(retired)
    assert [edit.target for edit in client.export_edits()] == ["chess"]
    history = [(edit.target, edit.state) for edit in client.export_edits(history=True)]
    assert history == [
        ("basketball", "active"),
        ("chess", "active"),
        ("cat", "active"),
        ("cat", "retired"),
    ]


def test_an_export_ends_with_what_was_said_last(client: Client) -> None:
    first, second, third = [
        client.create_edit(subject=name, prompt=f"{name} is", target="T") for name in "ABC"
    ]
    client.update_edit(second, author="somebody")  # Says nothing new.
    client.update_edit(first, target="chess")
    assert [edit.id for edit in client.export_edits()] == [second.id, third.id, first.id]
    filters = EditFilter(text="chess"), EditFilter(author="somebody")
    assert [[e.id for e in client.export_edits(wanted)] for wanted in filters] == [
        [first.id],
        [second.id],
    ]


def test_an_import_of_an_export_keeps_which_edit_is_later(client: Client) -> None:
    first, *_ = [
        client.create_edit(subject="Acme", prompt=f"Acme {verb}", target=verb)
        for verb in ("makes", "sells", "owns")
    ]
    client.update_edit(first, target="chess")
    rows = [
        NewEdit(subject=edit.subject, prompt=edit.prompt, target=edit.target)
        for edit in client.export_edits()
    ]
    client.import_edits(rows, namespace="elsewhere")
    copied = [edit.target for edit in client.export_edits(namespace="elsewhere")]
    assert copied == ["sells", "owns", "chess"]


def test_status_tells_sizes_model_and_health(client: Client) -> None:
    client.create_edits([fact(n) for n in range(3)])
    client.retire_edit(next(client.list_edits()))
    status = client.status(namespace=client.options.namespace)
    assert [(item.active, item.retired) for item in status.namespaces] == [(2, 1)]
    assert (status.model.model, status.model.context_tokens) == ("fake", 4096)
    assert (status.classifier, status.read_only_reason) == ("subject-rule", "")
    assert len(client.status().namespaces) > 1


def test_writers_at_once_all_get_what_they_asked_for(client: Client) -> None:
    with ThreadPoolExecutor(16) as pool:
        written = list(
            pool.map(
                lambda n: client.create_edit(subject=f"S{n}", prompt=f"S{n} is", target="t"),
                range(200),
            )
        )
    assert len({item.sequence for item in written}) == 200
    assert len(list(client.list_edits())) == 200


BAD_EDITS = [
    ("edit.subject", {**FACT, "subject": ""}),
    ("edit.subject", {**FACT, "subject": "x" * 257}),
    ("edit.prompt", {**FACT, "prompt": "Somebody plays"}),
    ("edit.prompt", {**FACT, "prompt": "Messi " + "x" * 2048}),
    ("edit.target", {**FACT, "target": "  "}),
    ("edit.target", {**FACT, "target": "a\0b"}),
    ("edit.target", {**FACT, "target": "a\nb"}),
    ("edit.target", {**FACT, "target": "x" * 1_000_000}),
    ("edit.former", {**FACT, "former": "\x07"}),
    ("edit.aliases", {**FACT, "aliases": ["a"] * 33}),
    ("edit.author", {**FACT, "author": "x" * 257}),
    ("edit.source", {**FACT, "source": "x" * 2049}),
    ("edit.labels", {**FACT, "labels": {f"k{n}": "v" for n in range(65)}}),
    ("edit.expire_time", {**FACT, "expires_at": datetime(1999, 1, 1, tzinfo=UTC)}),
    ("edit_id", {**FACT, "edit_id": "Not An Id"}),
    ("request_id", {**FACT, "request_id": "r" * 129}),
    ("parent", {**FACT, "namespace": "No Such Form"}),
]


@pytest.mark.parametrize(("field", "given"), BAD_EDITS, ids=lambda value: str(value)[:30])
def test_a_malformed_edit_is_refused_and_its_field_named(
    client: Client, field: str, given: dict[str, object]
) -> None:
    with pytest.raises(errors.InvalidRequest) as caught:
        client.create_edit(**given)  # type: ignore[arg-type]
    assert caught.value.violations[0].field == field
    assert caught.value.reason == "FIELD_INVALID"
