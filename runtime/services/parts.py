"""What the servicers are made of."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from classifiers.scope import ScopeClassifier
from memory.edit_memory import EditMemory
from runtime.consolidation.job import Consolidator
from runtime.engine.contract import Engine
from runtime.query_runner import QueryRunner
from runtime.services.limits import ServiceLimits
from runtime.services.workers import Slots, Workers


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceParts:
    """Shared by all servicers of one server; they own none of it."""

    runner: QueryRunner
    memory: EditMemory
    engine: Engine
    classifier: ScopeClassifier
    workers: Workers  # For memory calls.
    import_workers: Workers  # So that an import never takes the threads of single writes.
    watches: Slots
    scans: Slots  # Searches for overlaps.
    limits: ServiceLimits = field(default_factory=ServiceLimits)
    draining: asyncio.Event = field(default_factory=asyncio.Event)  # Ends watches.
    consolidator: Consolidator | None = None  # None: ConsolidationService is not served.
    version: str = ""
    started_at_s: float = 0.0
