"""ErrataServer: the gRPC server around a runtime's parts; starts, tells its port, drains."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import grpc
from google.longrunning import operations_pb2_grpc
from grpc_health.v1 import health, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from classifiers.scope import ScopeClassifier
from memory.edit_memory import EditMemory
from memory.errors import StartupError
from protos.errata.v1 import consolidation_pb2_grpc, inference_pb2_grpc, memory_pb2_grpc
from runtime.consolidation.job import Consolidator
from runtime.engine.contract import Engine
from runtime.query_runner import QueryRunner
from runtime.services.access import Access
from runtime.services.call import CallInterceptor
from runtime.services.consolidation import ConsolidationServicer
from runtime.services.health import SERVICES, Watchdog
from runtime.services.inference import InferenceServicer
from runtime.services.limits import ServiceLimits
from runtime.services.memory import MemoryServicer
from runtime.services.operations import SERVICES as CONSOLIDATION_SERVICES
from runtime.services.operations import OperationsServicer
from runtime.services.parts import ServiceParts
from runtime.services.workers import Slots, Workers

STOP_MARGIN_S = 2.0  # For calls to hear that their engine has closed.


@dataclass(frozen=True, slots=True, kw_only=True)
class Listening:
    """Where and how a server listens."""

    host: str = "127.0.0.1"
    port: int = 0  # 0 takes a free one.
    certificate: Path | None = None  # PEM chain; with `key` the server speaks TLS.
    key: Path | None = None
    access: Path | None = None  # The file of the callers' keys; None: anybody may call.
    reflection: bool = True
    threads: int = 32  # For memory calls.
    version: str = ""
    limits: ServiceLimits = field(default_factory=ServiceLimits)


class Served(Protocol):
    """What is served; runtime/build.py's Runtime is one."""

    @property
    def runner(self) -> QueryRunner:
        """Answers queries."""
        ...

    @property
    def memory(self) -> EditMemory:
        """Keeps the edits."""
        ...

    @property
    def engine(self) -> Engine:
        """Decodes."""
        ...

    @property
    def classifier(self) -> ScopeClassifier:
        """Decides about scope."""
        ...


class ErrataServer:
    """Serves a runtime on one port; lives on one event loop.

    It closes none of the runtime's parts but the engines, whose running answers it ends when the
    time to drain is over.
    """

    def __init__(
        self, runtime: Served, listening: Listening, *, consolidator: Consolidator | None = None
    ) -> None:
        """Takes what is served; without a consolidator its services are not.

        Raises StartupError when the file of keys cannot be used.
        """
        self._listening = listening
        self._runtime = runtime
        limits = listening.limits
        self._parts = ServiceParts(
            runner=runtime.runner,
            memory=runtime.memory,
            engine=runtime.engine,
            classifier=runtime.classifier,
            workers=Workers(
                threads=listening.threads, queue_max=limits.memory_queue_max, name="memory"
            ),
            import_workers=Workers(
                threads=limits.import_threads, queue_max=limits.memory_queue_max, name="import"
            ),
            watches=Slots(limits.watches_max, "watches"),
            scans=Slots(limits.overlap_scans_max, "searches for overlaps"),
            limits=limits,
            consolidator=consolidator,
            version=listening.version,
            started_at_s=time.time(),
        )
        self._calls = CallInterceptor(
            calls_max=limits.calls_max,
            write_stalled_s=limits.write_stalled_s,
            access=Access(listening.access) if listening.access else None,
        )
        self._health: Any = health.aio.HealthServicer()  # type: ignore[attr-defined]  # Not in its stubs.
        others = [e for e in runtime.runner.engines if e is not runtime.engine]
        self._watchdog = Watchdog(self._health, runtime.engine, limits, others=others)
        self._watching: asyncio.Task[None] | None = None
        self._server: grpc.aio.Server | None = None
        self._hurry = asyncio.Event()
        self._port = 0

    @property
    def port(self) -> int:
        """The port that is listened on; 0 before `start`."""
        return self._port

    @property
    def running_calls(self) -> int:
        """Calls in hand."""
        return self._calls.running

    async def start(self) -> None:
        """Binds and serves. Raises StartupError when the address cannot be had."""
        limits = self._listening.limits
        server = grpc.aio.server(
            interceptors=[self._calls],
            maximum_concurrent_rpcs=limits.calls_max * 2,  # A last guard; ours answers first.
            options=_grpc_options(limits),
        )
        self._add_services(server)
        if self._listening.reflection:
            more = CONSOLIDATION_SERVICES if self._parts.consolidator is not None else ()
            names = (*SERVICES, *more, health.SERVICE_NAME, reflection.SERVICE_NAME)
            reflection.enable_server_reflection(names, server)
        self._port = self._bind(server)
        await self._watchdog.start()
        await server.start()
        self._server = server
        self._watching = asyncio.create_task(self._watchdog.run())

    async def stop(self, drain_s: float) -> None:
        """Refuses new calls, lets those in hand finish for `drain_s` seconds, ends the rest.

        Health says NOT_SERVING at once; watches end at once; answers that are still being
        generated when the time is over end with UNAVAILABLE, reason DRAINING.
        """
        if self._server is None:
            return
        server, self._server = self._server, None
        await self._health.enter_graceful_shutdown()
        self._calls.drain()
        self._parts.draining.set()
        idle = asyncio.ensure_future(self._calls.wait_idle(drain_s))
        hurry = asyncio.ensure_future(self._hurry.wait())
        await asyncio.wait({idle, hurry}, return_when=asyncio.FIRST_COMPLETED)
        hurry.cancel()
        if not (idle.done() and idle.result()):
            idle.cancel()
            for engine in self._runtime.runner.engines:
                await asyncio.to_thread(engine.close, 0.0)
            await self._calls.wait_idle(STOP_MARGIN_S)
        await server.stop(grace=0.1 if self._calls.running == 0 else 0.0)
        if self._watching is not None:
            self._watching.cancel()
        await asyncio.to_thread(self._close_workers)

    def _add_services(self, server: Any) -> None:
        """Adds the servicers; the generated functions carry no types."""
        add_inference: Any = inference_pb2_grpc.add_InferenceServiceServicer_to_server
        add_memory: Any = memory_pb2_grpc.add_MemoryServiceServicer_to_server
        add_inference(InferenceServicer(self._parts), server)
        add_memory(MemoryServicer(self._parts), server)
        if self._parts.consolidator is not None:
            add_consolidation: Any = (
                consolidation_pb2_grpc.add_ConsolidationServiceServicer_to_server
            )
            add_consolidation(ConsolidationServicer(self._parts, self._parts.consolidator), server)
            operations = OperationsServicer(self._parts, self._parts.consolidator)
            operations_pb2_grpc.add_OperationsServicer_to_server(operations, server)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)

    def hurry(self) -> None:
        """Makes a running `stop` end what is in hand now."""
        self._hurry.set()

    def _close_workers(self) -> None:
        self._parts.workers.close()
        self._parts.import_workers.close()

    def _bind(self, server: grpc.aio.Server) -> int:
        address = f"{self._listening.host}:{self._listening.port}"
        try:
            if self._listening.certificate is None or self._listening.key is None:
                port = server.add_insecure_port(address)
            else:
                port = server.add_secure_port(address, self._credentials())
        except RuntimeError as error:
            raise StartupError(
                f"Cannot listen on {address}: the address is taken or not this machine's. "
                "Stop the other server, or choose another port (0 takes a free one)."
            ) from error
        return int(port)

    def _credentials(self) -> grpc.ServerCredentials:
        """Reads the TLS files. Raises StartupError naming the one that cannot be read."""
        certificate, key = self._listening.certificate, self._listening.key
        assert certificate is not None
        assert key is not None
        try:
            pair = (key.read_bytes(), certificate.read_bytes())
        except OSError as error:
            raise StartupError(
                f"Cannot read the TLS file {error.filename}: {error.strerror}."
            ) from error
        return grpc.ssl_server_credentials([pair])


def _grpc_options(limits: ServiceLimits) -> list[tuple[str, int]]:
    return [
        ("grpc.max_receive_message_length", limits.receive_bytes_max),
        ("grpc.max_send_message_length", limits.send_bytes_max),
        ("grpc.max_concurrent_streams", 256),
        ("grpc.keepalive_time_ms", 60_000),
        ("grpc.keepalive_timeout_ms", 20_000),
        ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
        ("grpc.so_reuseport", 0),  # A port in use is an error, not a silent sharing.
    ]
