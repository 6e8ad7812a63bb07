"""A real server on a real port around fakes: a scripted engine and an encoder without weights."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import structlog

from classifiers.subject_rule import SubjectRule
from errata.client import Client
from errata.options import ClientOptions
from errata.retry import NO_RETRIES
from memory.edit_memory import EditMemory
from memory.flat_index import FlatIndex
from memory.limits import MemoryLimits
from runtime.engine.contract import Engine
from runtime.paths.contract import BASE_MODEL, PathInput, Preparation
from runtime.query_runner import QueryRunner
from runtime.services.limits import ServiceLimits
from runtime.services.server import ErrataServer, Listening
from tests.fakes import FakeEngine
from tests.hash_encoder import HashEncoder


class NewFactPath:
    """An in-context path in miniature: the new facts, then the prompt."""

    name = "in_context"
    model = BASE_MODEL
    edits_max = 4

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def prepare(self, asked: PathInput, edits: Any) -> Preparation:
        facts = "".join(f"New Fact: {edit.statement}\n" for edit in edits)
        prompt = asked.prompt or asked.messages[-1][1]
        tokens = self._engine.tokenize(facts + "Prompt: " + prompt)
        return Preparation(prompt_tokens=tuple(tokens), edits_used=tuple(edits))


def follow_new_fact(prompt: str) -> str:
    """Answers like a model that copies the first new fact's last word, else "base"."""
    if not prompt.startswith("New Fact: "):
        return " base"
    return " " + prompt.splitlines()[0].split()[-1]


@dataclass(slots=True)
class Kit:
    """A running server and what it is made of."""

    engine: FakeEngine
    memory: EditMemory
    runner: QueryRunner
    classifier: SubjectRule
    server: ErrataServer = field(init=False)
    loop: asyncio.AbstractEventLoop = field(init=False)

    @property
    def target(self) -> str:
        return f"127.0.0.1:{self.server.port}"

    def client(self, **options: Any) -> Client:
        """Opens a client that gives up at once, so that errors show."""
        given = {"retry": NO_RETRIES, **options}
        namespace = given.pop("namespace", "default")
        timeout_s = given.pop("timeout_s", 20.0)
        return Client(
            self.target,
            namespace=namespace,
            timeout_s=timeout_s,
            options=ClientOptions(**given),
        )

    def in_loop(self, coroutine: Any, timeout_s: float = 20.0) -> Any:
        """Runs a coroutine in the server's loop."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(timeout_s)

    def stop(self, drain_s: float = 0.0) -> None:
        """Drains the server."""
        self.in_loop(self.server.stop(drain_s))


@contextmanager
def run_server(
    directory: Path,
    *,
    engine: FakeEngine | None = None,
    limits: ServiceLimits | None = None,
    memory_limits: MemoryLimits | None = None,
    clock: Callable[[], float] | None = None,
    **listening: Any,
) -> Iterator[Kit]:
    """Serves on a free port until the block ends."""
    structlog.configure(  # Plain and quiet: rich tracebacks take seconds.
        processors=[structlog.processors.format_exc_info, structlog.processors.KeyValueRenderer()],
        logger_factory=structlog.ReturnLoggerFactory(),
    )
    engine = engine or FakeEngine(default=follow_new_fact)
    encoder = HashEncoder()
    memory = EditMemory.open(
        directory,
        encoder=encoder,
        limits=memory_limits or MemoryLimits(storage_retry_s=0.0),
        make_index=FlatIndex,
        clock=clock or time.time,
    )
    runner = QueryRunner(
        engine=engine,
        memory=memory,
        encoder=encoder,
        classifier=SubjectRule(),
        paths={"in_context": NewFactPath(engine)},
    )
    kit = Kit(engine=engine, memory=memory, runner=runner, classifier=SubjectRule())
    kit.loop = asyncio.new_event_loop()
    thread = threading.Thread(target=kit.loop.run_forever, name="test-server")
    thread.start()
    try:
        settings = Listening(limits=limits or ServiceLimits(), threads=8, **listening)
        kit.in_loop(_start(kit, settings))
        try:
            yield kit
        finally:  # A failing test, too: a server left behind would fail a later one.
            kit.stop()
    finally:
        if engine.gate is not None:
            engine.gate.set()
        engine.close()
        kit.in_loop(wind_down())
        kit.loop.call_soon_threadsafe(kit.loop.stop)
        thread.join(10.0)
        kit.loop.close()
        runner.close()
        memory.close()


def wait_until(condition: Callable[[], bool], timeout_s: float = 10.0) -> None:
    """Waits for what another thread does; fails loudly when it does not."""
    until = time.monotonic() + timeout_s
    pause = threading.Event()
    while not condition():
        assert time.monotonic() < until, "it did not happen in time"
        pause.wait(0.005)


async def _start(kit: Kit, settings: Listening) -> None:
    kit.server = ErrataServer(kit, settings)
    await kit.server.start()


async def wind_down() -> None:
    """Ends what still runs in the loop, as asyncio.run does: left to the garbage, it would be
    reported in some later test."""
    left = asyncio.all_tasks() - {asyncio.current_task()}
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)
    await asyncio.get_running_loop().shutdown_asyncgens()
