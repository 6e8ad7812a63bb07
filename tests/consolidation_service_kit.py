"""Consolidation behind a port: a bench with a tiny real engine, served over gRPC."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog

from classifiers.subject_rule import SubjectRule
from errata.client import Client
from errata.options import ClientOptions
from errata.retry import NO_RETRIES
from runtime.engine.load import LoadedModel
from runtime.query_runner import QueryRunner
from runtime.services.limits import ServiceLimits
from runtime.services.server import ErrataServer, Listening
from tests.consolidation_kit import Bench
from tests.hash_encoder import HashEncoder
from tests.server_kit import NewFactPath, wind_down


@dataclass(slots=True)
class Served:
    """A bench behind a port."""

    bench: Bench
    runner: QueryRunner
    classifier: SubjectRule
    port: int = 0

    @property
    def memory(self) -> Any:
        return self.bench.memory

    @property
    def engine(self) -> Any:
        return self.bench.engine

    @property
    def target(self) -> str:
        return f"127.0.0.1:{self.port}"

    def client(self, namespace: str = "default") -> Client:
        return Client(
            self.target,
            namespace=namespace,
            timeout_s=60.0,
            options=ClientOptions(retry=NO_RETRIES),
        )


@contextmanager
def served(
    folder: Path, loaded: LoadedModel, *, limits: ServiceLimits | None = None, **more: Any
) -> Iterator[Served]:
    """Serves a bench on a free port until the block ends."""
    structlog.configure(
        processors=[structlog.processors.format_exc_info, structlog.processors.KeyValueRenderer()],
        logger_factory=structlog.ReturnLoggerFactory(),
    )
    with ExitStack() as ends:
        loop = asyncio.new_event_loop()
        ends.callback(loop.close)
        thread = threading.Thread(target=loop.run_forever)
        thread.start()
        ends.callback(thread.join)
        ends.callback(loop.call_soon_threadsafe, loop.stop)

        def in_loop(coroutine: Any) -> Any:
            return asyncio.run_coroutine_threadsafe(coroutine, loop).result(60)

        ends.callback(lambda: in_loop(wind_down()))
        bench = Bench(folder, loaded, **more)
        ends.callback(bench.close)
        runner = QueryRunner(
            engine=bench.engine,
            memory=bench.memory,
            encoder=HashEncoder(dimension=16),
            classifier=SubjectRule(),
            paths={"in_context": NewFactPath(bench.engine)},
            editions=bench.editions,
        )
        ends.callback(runner.close)
        kit = Served(bench, runner, SubjectRule())

        async def begin() -> ErrataServer:
            listening = Listening(limits=limits or ServiceLimits(), threads=8)
            server = ErrataServer(kit, listening, consolidator=bench.consolidator)
            await server.start()
            return server

        server = in_loop(begin())
        kit.port = server.port
        ends.callback(lambda: in_loop(server.stop(0.0)))
        yield kit
