"""google.longrunning.Operations for consolidation jobs: list, get, wait, cancel, delete."""

from __future__ import annotations

import asyncio
from typing import Any

from google.longrunning import operations_pb2, operations_pb2_grpc
from google.protobuf import empty_pb2

from memory.errors import InvalidInput, WrongState
from runtime.consolidation.job import Consolidator
from runtime.services.call import current_call, note
from runtime.services.consolidation import operation_message
from runtime.services.parts import ServiceParts
from runtime.services.wire_consolidation import OPERATIONS, parse_operation

SERVICES = ("errata.v1.ConsolidationService", "google.longrunning.Operations")
WAIT_S_MAX = 600.0
POLL_S = 0.2  # Between two looks at an operation that is waited for.


class OperationsServicer(operations_pb2_grpc.OperationsServicer):  # type: ignore[misc]
    """Serves the operations of one data directory."""

    def __init__(self, parts: ServiceParts, consolidator: Consolidator) -> None:
        self._parts = parts
        self._consolidator = consolidator
        self._run = parts.workers.run

    async def ListOperations(  # noqa: N802  # The wire's names, here and below.
        self, request: operations_pb2.ListOperationsRequest, _context: Any
    ) -> operations_pb2.ListOperationsResponse:
        """Lists operations, newest first."""
        if request.filter:
            raise InvalidInput("filter is not supported; leave it out", field="filter")
        token = request.page_token
        known = [one for one in self._consolidator.operations.all() if not token or one.id < token]
        limits = self._parts.limits
        size = min(request.page_size or limits.page_size_default, limits.page_size_max)
        if size < 0:
            raise InvalidInput(f"page_size is {request.page_size}; give 1 or more")
        shown = known[:size]
        messages = [await self._run(operation_message, self._consolidator, one) for one in shown]
        following = shown[-1].id if len(known) > len(shown) else ""
        return operations_pb2.ListOperationsResponse(operations=messages, next_page_token=following)

    async def GetOperation(  # noqa: N802
        self, request: operations_pb2.GetOperationRequest, _context: Any
    ) -> operations_pb2.Operation:
        """Returns an operation as it stands."""
        return await self._message(parse_operation(request.name))

    async def WaitOperation(  # noqa: N802
        self, request: operations_pb2.WaitOperationRequest, _context: Any
    ) -> operations_pb2.Operation:
        """Returns an operation when it has ended, or when the time is over, as it stands then."""
        name = parse_operation(request.name)
        wait_s = request.timeout.ToTimedelta().total_seconds() or WAIT_S_MAX
        loop = asyncio.get_running_loop()
        until_s = loop.time() + min(wait_s, WAIT_S_MAX)
        deadline_s = current_call().deadline_s
        if deadline_s is not None:  # Both clocks are time.monotonic.
            until_s = min(until_s, deadline_s - POLL_S)
        while not self._consolidator.operations.get(name).ended:
            if loop.time() >= until_s or self._parts.draining.is_set():
                break
            await asyncio.sleep(min(POLL_S, max(0.0, until_s - loop.time())))
        return await self._message(name)

    async def CancelOperation(  # noqa: N802
        self, request: operations_pb2.CancelOperationRequest, _context: Any
    ) -> empty_pb2.Empty:
        """Asks a job to stop between two steps."""
        name = parse_operation(request.name)
        note(operation=name)
        await self._run(self._consolidator.cancel, name)
        return empty_pb2.Empty()

    async def DeleteOperation(  # noqa: N802
        self, request: operations_pb2.DeleteOperationRequest, _context: Any
    ) -> empty_pb2.Empty:
        """Forgets an operation that has ended."""
        name = parse_operation(request.name)
        if not self._consolidator.operations.get(name).ended:
            raise WrongState(f"{OPERATIONS}{name} still runs; cancel it first")
        await self._run(self._consolidator.operations.delete, name)
        return empty_pb2.Empty()

    async def _message(self, name: str) -> operations_pb2.Operation:
        operation = self._consolidator.operations.get(name)
        note(operation=name, stage=operation.stage.value)
        return await self._run(operation_message, self._consolidator, operation)
