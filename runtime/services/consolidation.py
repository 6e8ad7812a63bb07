"""ConsolidationService: reads the request, calls consolidation in a thread, writes the answer."""

from __future__ import annotations

from typing import Any

from google.longrunning import operations_pb2

from memory.errors import EditionUnusable, ErrataError, InvalidInput, NotFound
from memory.record import Namespace
from protos.errata.v1 import consolidation_pb2, consolidation_pb2_grpc
from runtime.consolidation.inspection import look, numbers
from runtime.consolidation.job import Consolidator
from runtime.consolidation.operations import Operation
from runtime.services.call import note
from runtime.services.checks import check_request_id
from runtime.services.names import parse_edition, parse_namespace
from runtime.services.parts import ServiceParts
from runtime.services.wire_consolidation import edition_to_pb, operation_to_pb, request_from_pb


class ConsolidationServicer(consolidation_pb2_grpc.ConsolidationServiceServicer):
    """Begins jobs and switches editions; meanings are those of consolidation.proto."""

    def __init__(self, parts: ServiceParts, consolidator: Consolidator) -> None:
        self._parts = parts
        self._consolidator = consolidator
        self._run = parts.workers.run

    async def Consolidate(  # noqa: N802  # The wire's names, here and below.
        self, request: consolidation_pb2.ConsolidateRequest, _context: Any
    ) -> operations_pb2.Operation:
        """Begins a job."""
        check_request_id(request.request_id, self._parts.limits.request_id_chars_max)
        asked = request_from_pb(request)
        note(namespace=asked.namespace)
        operation = await self._run(self._consolidator.submit, asked)
        note(operation=operation.id, count=operation.edits)
        return await self._run(operation_message, self._consolidator, operation)

    async def ListEditions(  # noqa: N802
        self, request: consolidation_pb2.ListEditionsRequest, _context: Any
    ) -> consolidation_pb2.ListEditionsResponse:
        """Lists editions, newest first."""
        namespace = parse_namespace(request.parent, field="parent")
        limits = self._parts.limits
        if request.page_size < 0:
            raise InvalidInput(
                f"page_size is {request.page_size}; give 1 to {limits.page_size_max}, or 0 for "
                f"the default of {limits.page_size_default}",
                field="page_size",
            )
        size = min(request.page_size or limits.page_size_default, limits.page_size_max)
        note(namespace=namespace)
        return await self._run(self._page, namespace, size, _page_start(request.page_token))

    async def GetEdition(  # noqa: N802
        self, request: consolidation_pb2.GetEditionRequest, _context: Any
    ) -> consolidation_pb2.Edition:
        """Returns an edition."""
        namespace, number = parse_edition(request.name, field="name")
        note(namespace=namespace, edition=number)
        return await self._run(edition_message, self._consolidator, namespace, number)

    async def ActivateEdition(  # noqa: N802
        self, request: consolidation_pb2.ActivateEditionRequest, _context: Any
    ) -> consolidation_pb2.ActivateEditionResponse:
        """Gives a namespace an edition."""
        namespace, number = parse_edition(request.name, field="name")
        check_request_id(request.request_id, self._parts.limits.request_id_chars_max)
        note(namespace=namespace, edition=number)
        written = await self._run(
            self._consolidator.editions.activate,
            namespace,
            number,
            reason=request.reason,
            request_id=request.request_id,
        )
        note(sequence=written.sequence, count=len(written.edits))
        changed = sum(outcome.value == "updated" for outcome in written.outcomes)
        return consolidation_pb2.ActivateEditionResponse(
            edition=await self._run(edition_message, self._consolidator, namespace, number),
            sequence=written.sequence,
            edits_changed=changed,
        )

    def _page(
        self, namespace: Namespace, size: int, below: int | None
    ) -> consolidation_pb2.ListEditionsResponse:
        """Returns a page of the namespace's editions; blocking."""
        self._parts.memory.snapshot().space(namespace)  # Raises NotFound.
        found: list[consolidation_pb2.Edition] = []
        for number in numbers(self._consolidator.editions, namespace):
            if below is not None and number >= below:
                continue
            if len(found) == size:
                token = str(found[-1].number)
                return consolidation_pb2.ListEditionsResponse(editions=found, next_page_token=token)
            try:
                found.append(edition_message(self._consolidator, namespace, number, whole=False))
            except (NotFound, EditionUnusable):
                continue  # Another namespace's.
        return consolidation_pb2.ListEditionsResponse(editions=found)


def edition_message(
    consolidator: Consolidator, namespace: Namespace, number: int, *, whole: bool = True
) -> consolidation_pb2.Edition:
    """Returns an edition as it stands. Raises NotFound, EditionUnusable (another namespace's)."""
    seen = look(consolidator.editions, namespace, number, thorough=whole)
    return edition_to_pb(seen, whole=whole)


def operation_message(consolidator: Consolidator, operation: Operation) -> operations_pb2.Operation:
    """Returns an operation with the edition that it made; blocking."""
    edition = None
    if operation.edition is not None:
        try:
            edition = edition_message(consolidator, operation.request.namespace, operation.edition)
        except ErrataError:  # Damaged since; the operation is what it was.
            edition = None
    return operation_to_pb(operation, edition)


def _page_start(token: str) -> int | None:
    """Returns the number that the page stays below. Raises InvalidInput."""
    if not token:
        return None
    if not token.isascii() or not token.isdigit() or len(token) > 12:
        raise InvalidInput(
            "page_token is not one of this listing; leave it out to start over",
            field="page_token",
        )
    return int(token)
