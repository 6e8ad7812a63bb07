"""The asyncio client does what the synchronous one does."""

import asyncio
import inspect
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from errata import errors
from errata.aio_client import AsyncClient
from errata.answers import RouteKind
from errata.client import Client
from errata.options import ClientOptions
from errata.results import ImportProgress, NewEdit
from errata.retry import NO_RETRIES
from tests.fakes import FakeEngine
from tests.server_kit import Kit, run_server, wait_until

PROMPT = "The mother tongue of Danielle Darrieux is"
FACT: dict[str, Any] = {"subject": "Danielle Darrieux", "prompt": PROMPT, "target": "English"}


@pytest.fixture(scope="module")
def kit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kit]:
    with run_server(tmp_path_factory.mktemp("data")) as running:
        yield running


def connect(kit: Kit, namespace: str) -> AsyncClient:
    options = ClientOptions(retry=NO_RETRIES, timeout_s=20.0)
    return AsyncClient(kit.target, namespace=namespace, options=options)


def records(count: int) -> list[NewEdit | str]:
    return [NewEdit(subject=f"P{n}", prompt=f"P{n} is", target=f"T{n}") for n in range(count)]


def test_both_clients_have_the_same_methods_with_the_same_arguments() -> None:
    names = {name for name in dir(Client) if not name.startswith("_")}
    assert names == {name for name in dir(AsyncClient) if not name.startswith("_")}
    for name in names - {"import_edits"}:
        ours, theirs = getattr(Client, name), getattr(AsyncClient, name)
        assert list(inspect.signature(ours).parameters) == list(
            inspect.signature(theirs).parameters
        )


async def test_asking_editing_and_asking_again(kit: Kit) -> None:
    async with connect(kit, "asks") as client:
        written = await client.create_edit(**FACT)
        answer = await client.generate(PROMPT)
        assert (answer.text, answer.route) == (" English", RouteKind.EDITED)
        assert (await client.explain(PROMPT)).route is RouteKind.EDITED
        assert (await client.score(PROMPT, [" English"])).scores[0].greedy
        updated = await client.update_edit(written, target="Irish", etag=written.edit.etag)
        assert (await client.get_edit(written)).etag == updated.edit.etag
        await client.retire_edit(written)
        await client.restore_edit(written)
        assert (await client.search_edits("Darrieux"))[0].edit.target == "Irish"
        assert (await client.status()).sequence >= updated.sequence
        assert await client.health() == "SERVING"


async def test_overlaps_come_with_writes_and_as_a_list(kit: Kit) -> None:
    async with connect(kit, "overlaps") as client:
        first = await client.create_edit(**FACT)
        again = {**FACT, "prompt": f"{FACT['subject']} speaks", "target": "Dutch"}
        second = await client.create_edit(**again)
        assert [first.edit] == [overlap.edit for overlap in second.overlaps]
        seen: list[int] = []
        pairs = client.find_overlaps(progress=lambda search: seen.append(search.examined))
        assert [(second.edit, first.edit)] == [
            (pair.edit, pair.overlap.edit) async for pair in pairs
        ]
        assert 2 == seen[-1]


async def test_a_stream_gives_text_provenance_and_the_whole_answer(kit: Kit) -> None:
    async with connect(kit, "streams") as client:
        await client.create_edit(**FACT)
        async with client.stream(PROMPT) as stream:
            assert (await stream.provenance()).route is RouteKind.EDITED
            assert "".join([text async for text in stream]) == " English"
            assert (await stream.answer()).usage.completion_tokens == 8


async def test_errors_are_the_same_exceptions(kit: Kit) -> None:
    async with connect(kit, "fails") as client:
        with pytest.raises(errors.InvalidRequest) as caught:
            await client.generate("")
        assert caught.value.violations[0].field == "prompt"
        with pytest.raises(errors.InvalidRequest):
            await client.stream("").answer()
        with pytest.raises(errors.NotFound):
            await client.get_edit("nothing-here")
        with pytest.raises(errors.NotFound):
            [edit async for edit in client.export_edits()]


async def test_import_takes_plain_and_async_sources_and_resumes(kit: Kit) -> None:
    async def source() -> AsyncIterator[NewEdit | str]:
        for record in [*records(150), "{ bad"]:
            yield record

    seen: list[ImportProgress] = []
    async with connect(kit, "imports") as client:
        first = await client.import_edits(records(100), import_id="i")
        report = await client.import_edits(source(), import_id="i", progress=seen.append)
        assert (first.created, report.created, report.already_imported) == (100, 50, 100)
        assert [error.row for error in report.errors] == [151]
        assert seen[-1].done
        assert len([edit async for edit in client.list_edits(page_size=40)]) == 150
        assert len([edit async for edit in client.export_edits()]) == 150


async def test_a_failing_source_raises_after_what_came_before(kit: Kit) -> None:
    def failing() -> Iterator[NewEdit | str]:
        yield from records(20)
        raise OSError("gone")

    async with connect(kit, "sources") as client:
        with pytest.raises(OSError, match="gone"):
            await client.import_edits(failing())
        assert len([edit async for edit in client.list_edits()]) == 20


async def test_a_watch_follows_until_it_is_closed(kit: Kit) -> None:
    async with connect(kit, "watches") as client:
        await client.create_edit(**FACT)
        async with client.watch() as changes:
            async for change in changes:
                assert change.edit is not None
                assert change.edit.target == "English"
                break
    await asyncio.to_thread(wait_until, lambda: kit.server.running_calls == 0)


async def test_cancelling_a_task_cancels_its_answer(tmp_path: Path) -> None:
    gate = threading.Event()
    engine = FakeEngine(answers={"slow": " words"}, gate=gate)
    with run_server(tmp_path, engine=engine) as kit:
        async with connect(kit, "default") as client:
            asking = asyncio.create_task(client.generate("slow"))
            await asyncio.to_thread(wait_until, lambda: engine.running == 1)
            asking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asking
            await asyncio.to_thread(wait_until, lambda: engine.running == 0)
