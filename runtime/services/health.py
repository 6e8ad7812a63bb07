"""Health: SERVING until the engine stalls or the server drains. Never touches the model.

The standard servicer answers; the watchdog only sets what it answers. A stalled engine (work in
hand and no step for long) makes the server and its InferenceService NOT_SERVING, and back again
when it moves. The memory's service stays up: edits need no model.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Any

from grpc_health.v1 import health_pb2

from runtime.engine.contract import Engine, EngineHealth
from runtime.services.limits import ServiceLimits

INFERENCE_SERVICE = "errata.v1.InferenceService"
MEMORY_SERVICE = "errata.v1.MemoryService"
SERVICES = (INFERENCE_SERVICE, MEMORY_SERVICE)

logger = logging.getLogger(__name__)


def is_stalled(engine: EngineHealth, stalled_s: float) -> bool:
    """Whether the engine's thread is gone, or has work and made no step for `stalled_s`."""
    if not engine.alive:
        return True
    return engine.running + engine.waiting > 0 and engine.last_step_age_s > stalled_s


class Watchdog:
    """Keeps a health servicer true."""

    def __init__(
        self,
        servicer: Any,  # health.aio.HealthServicer, which the stubs do not know.
        engine: Engine,
        limits: ServiceLimits,
        others: Sequence[Engine] = (),
    ) -> None:
        """Watches the frozen model's engine and, where paths have models of their own, theirs."""
        self._servicer = servicer
        self._engines = (engine, *others)
        self._limits = limits
        self._serving = True

    async def start(self) -> None:
        """Says that all services serve."""
        for service in ("", *SERVICES):
            await self._servicer.set(service, health_pb2.HealthCheckResponse.SERVING)

    async def run(self) -> None:
        """Looks at the engine from time to time, for ever."""
        while True:
            await asyncio.sleep(self._limits.health_probe_s)
            await self.look()

    async def look(self) -> None:
        """Looks at the engines once and sets what changed; one that stalls is enough."""
        looks = [engine.health() for engine in self._engines]
        stalled = [look for look in looks if is_stalled(look, self._limits.engine_stalled_s)]
        engine, serving = (stalled or looks)[0], not stalled
        if serving == self._serving:
            return
        self._serving = serving
        logger.log(
            logging.WARNING if serving else logging.ERROR,
            "the engine %s (running %d, waiting %d, last step %.1f s ago)",
            "moves again" if serving else "has stalled",
            engine.running,
            engine.waiting,
            engine.last_step_age_s,
        )
        states = health_pb2.HealthCheckResponse
        state = states.SERVING if serving else states.NOT_SERVING
        for service in ("", INFERENCE_SERVICE):
            await self._servicer.set(service, state)
