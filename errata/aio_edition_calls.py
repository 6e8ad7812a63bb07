"""What the asyncio client can do with editions; `errata/aio_client.py` puts it together."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from google.longrunning import operations_pb2

from errata import convert_editions as convert
from errata import requests
from errata.aio_connection import AsyncConnection
from errata.edition_results import Activated, Edition, Operation
from errata.results import EditFilter
from protos.errata.v1 import consolidation_pb2

WAIT_S = 20.0  # Of one call that waits; a longer wait is several.
POLL_S = 0.25  # Between two looks when somebody wants to see the progress.


class AsyncEditionCalls(AsyncConnection):
    """The methods of ConsolidationService and of its operations."""

    async def consolidate(
        self,
        *,
        edit_filter: EditFilter | None = None,
        editor: str = "",
        settings: Mapping[str, Any] | None = None,
        activate: bool = True,
        validate_only: bool = False,
        namespace: str = "",
        request_id: str = "",
    ) -> Operation:
        """Begins to write edits into the weights; returns at once.

        operation = await client.wait_operation(await client.consolidate())
        print(operation.state, operation.edition.number)
        """
        request = convert.consolidate_request(
            namespace or self.options.namespace,
            edit_filter=edit_filter,
            editor=editor,
            settings=settings,
            activate=activate,
            validate_only=validate_only,
            request_id=request_id or requests.draw_request_id(),
        )
        return convert.operation(await self._call(self._consolidation.Consolidate, request))

    async def operation(self, operation: str | Operation) -> Operation:
        """Returns an operation as it stands."""
        request = operations_pb2.GetOperationRequest(name=convert.operation_name(operation))
        return convert.operation(await self._call(self._operations.GetOperation, request))

    async def wait_operation(
        self,
        operation: str | Operation,
        *,
        timeout_s: float | None = None,
        on_progress: Callable[[Operation], None] | None = None,
    ) -> Operation:
        """Returns an operation when it has ended, or as it stands when the time is over.

        `on_progress` is called with every look at it, the last one included.
        """
        until = None if timeout_s is None else time.monotonic() + timeout_s
        name = convert.operation_name(operation)
        while True:
            left_s = WAIT_S if until is None else min(WAIT_S, until - time.monotonic())
            request = operations_pb2.WaitOperationRequest(name=name)
            request.timeout.FromMilliseconds(
                max(1, int(1000 * min(left_s, POLL_S if on_progress else WAIT_S)))
            )
            found = convert.operation(
                await self._call(self._operations.WaitOperation, request, WAIT_S + 40.0)
            )
            if on_progress is not None:
                on_progress(found)
            over = until is not None and time.monotonic() >= until
            if found.ended or over:
                self._sequences.note(found.sequence)
                return found

    async def list_operations(self) -> list[Operation]:
        """Returns all operations that are remembered, newest first."""
        found: list[Operation] = []
        token = ""
        while True:
            request = operations_pb2.ListOperationsRequest(page_token=token)
            page = await self._call(self._operations.ListOperations, request)
            found += [convert.operation(one) for one in page.operations]
            token = page.next_page_token
            if not token:
                return found

    async def cancel_operation(self, operation: str | Operation) -> None:
        """Asks a job to stop; nothing is activated unless it is over first."""
        request = operations_pb2.CancelOperationRequest(name=convert.operation_name(operation))
        await self._call(self._operations.CancelOperation, request)

    async def delete_operation(self, operation: str | Operation) -> None:
        """Forgets an operation that has ended."""
        request = operations_pb2.DeleteOperationRequest(name=convert.operation_name(operation))
        await self._call(self._operations.DeleteOperation, request)

    async def list_editions(self, *, namespace: str = "") -> list[Edition]:
        """Returns a namespace's editions, newest first, 0 last; without their edits."""
        found: list[Edition] = []
        token = ""
        while True:
            request = consolidation_pb2.ListEditionsRequest(
                parent=requests.namespace_name(namespace or self.options.namespace),
                page_token=token,
            )
            page = await self._call(self._consolidation.ListEditions, request)
            found += [convert.edition(one) for one in page.editions]
            token = page.next_page_token
            if not token:
                return found

    async def edition(self, edition: int | str | Edition, *, namespace: str = "") -> Edition:
        """Returns an edition with its edits and what was measured."""
        name = convert.edition_name(edition, namespace or self.options.namespace)
        request = consolidation_pb2.GetEditionRequest(name=name)
        return convert.edition(await self._call(self._consolidation.GetEdition, request))

    async def activate_edition(
        self,
        edition: int | str | Edition,
        *,
        reason: str = "",
        namespace: str = "",
        request_id: str = "",
    ) -> Activated:
        """Gives the namespace an edition; an older one, or 0, undoes.

        await client.activate_edition(0, reason="too many neighbours changed")
        """
        name = convert.edition_name(edition, namespace or self.options.namespace)
        request = consolidation_pb2.ActivateEditionRequest(
            name=name, reason=reason, request_id=request_id or requests.draw_request_id()
        )
        done = convert.activated(await self._call(self._consolidation.ActivateEdition, request))
        self._sequences.note(done.sequence)
        return done
