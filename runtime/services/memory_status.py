"""What GetMemoryStatus tells: the size and health of the memory, and the model it serves."""

from __future__ import annotations

from memory.record import EDITION_BASE, Namespace
from memory.status import NamespaceStatus
from protos.errata.v1 import memory_pb2
from runtime.consolidation.inspection import answering_of
from runtime.services.parts import ServiceParts
from runtime.services.wire import time_to_pb
from runtime.services.wire_memory import (
    memory_status_to_pb,
    model_to_pb,
    namespace_status_to_pb,
)


def read_status(parts: ServiceParts, wanted: Namespace | None) -> memory_pb2.MemoryStatus:
    """Puts the status together; blocking, never touches the model."""
    status = parts.memory.status()
    snapshot = parts.memory.snapshot()
    if wanted is not None:
        snapshot.count(wanted)  # Raises NotFound for an unknown namespace.
    message = memory_status_to_pb(status)
    for item in status.namespaces:
        if wanted in (None, item.name):
            message.namespaces.append(_namespace_status(parts, item))
    message.classifier = parts.classifier.name
    health = parts.engine.health()
    message.model.CopyFrom(
        model_to_pb(parts.engine.info, running=health.running, waiting=health.waiting)
    )
    message.start_time.CopyFrom(time_to_pb(parts.started_at_s))
    message.version = parts.version
    return message


def _namespace_status(parts: ServiceParts, status: NamespaceStatus) -> memory_pb2.NamespaceStatus:
    consolidator = parts.consolidator
    if consolidator is None:
        active = parts.memory.snapshot().edition(status.name)
        problem = "" if active == EDITION_BASE else "this server has no editions"
        return namespace_status_to_pb(
            status, active=active, answering=EDITION_BASE, problem=problem
        )
    found = answering_of(consolidator.editions, status.name)
    return namespace_status_to_pb(
        status, active=found.active, answering=found.edition, problem=found.problem
    )
