"""MemoryService: reads the request, calls the memory in a thread, writes the answer. No logic."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from memory.errors import InvalidInput
from memory.paging import EditFilter, Page
from memory.record import Namespace
from memory.writes import UNSET
from protos.errata.v1 import memory_pb2, memory_pb2_grpc
from runtime.overlap_scan import OverlapScan
from runtime.overlaps import OverlapFinder
from runtime.services.call import note
from runtime.services.export import export_edits
from runtime.services.follow import follow_log
from runtime.services.imports import ImportRun
from runtime.services.memory_status import read_status
from runtime.services.names import parse_edit, parse_namespace, parse_namespace_or_all
from runtime.services.overlaps import find_overlaps
from runtime.services.parts import ServiceParts
from runtime.services.wire import draft_from_pb, edit_to_pb, time_from_pb
from runtime.services.wire_memory import (
    batch_to_pb,
    check_subject,
    conflict_policy,
    read_changes,
    read_filter,
    results_to_pb,
)
from runtime.services.wire_overlaps import add_pairs
from runtime.services.writing import Writing, check_agrees


class MemoryServicer(memory_pb2_grpc.MemoryServiceServicer):
    """Keeps edits; method names and meanings are those of memory.proto."""

    def __init__(self, parts: ServiceParts) -> None:
        self._parts = parts
        self._limits = parts.limits
        self._memory = parts.memory
        self._run = parts.workers.run
        self._finder = OverlapFinder(parts.runner.scope)
        self._writing = Writing(parts, self._finder)

    async def CreateEdit(  # noqa: N802  # The wire's names, here and below.
        self, request: memory_pb2.CreateEditRequest, _context: Any
    ) -> memory_pb2.WriteEditResponse:
        """Creates one edit."""
        namespace = parse_namespace(request.parent, field="parent")
        draft = draft_from_pb(request.edit, edit_id=request.edit_id, field="edit.")
        return await self._writing.one(
            namespace,
            request,
            self._memory.create,
            draft,
            on_conflict=conflict_policy(request.on_conflict),
        )

    async def BatchCreateEdits(  # noqa: N802
        self, request: memory_pb2.BatchCreateEditsRequest, _context: Any
    ) -> memory_pb2.BatchCreateEditsResponse:
        """Creates all of the edits or none."""
        namespace = parse_namespace(request.parent, field="parent")
        count = len(request.requests)
        if not 1 <= count <= self._limits.batch_edits_max:
            raise InvalidInput(
                f"requests has {count} edits; give 1 to {self._limits.batch_edits_max}",
                field="requests",
            )
        for place, single in enumerate(request.requests):
            check_agrees(single, request, place)
        drafts = [
            draft_from_pb(single.edit, edit_id=single.edit_id, field=f"requests[{place}].edit.")
            for place, single in enumerate(request.requests)
        ]
        small = count <= self._limits.overlap_batch_edits
        result, looked = await self._writing.several(
            namespace,
            request,
            self._memory.create_batch,
            drafts,
            look=request.check_overlaps if request.HasField("check_overlaps") else small,
            on_conflict=conflict_policy(request.on_conflict),
        )
        return add_pairs(
            batch_to_pb(result),
            looked.pairs,
            bytes_max=self._limits.overlap_bytes_max,
            complete=looked.complete,
        )

    async def GetEdit(  # noqa: N802
        self, request: memory_pb2.GetEditRequest, _context: Any
    ) -> Any:
        """Returns an edit in whatever state it is."""
        namespace, edit_id = parse_edit(request.name, field="name")
        note(namespace=namespace, edits=[edit_id])
        return edit_to_pb(await self._run(self._memory.get, edit_id, namespace=namespace))

    async def ListEdits(  # noqa: N802
        self, request: memory_pb2.ListEditsRequest, _context: Any
    ) -> memory_pb2.ListEditsResponse:
        """Lists edits page by page."""
        namespace = parse_namespace(request.parent, field="parent")
        wanted = read_filter(request.filter)
        if request.page_size < 0:
            raise InvalidInput(
                f"page_size is {request.page_size}; give 1 to {self._limits.page_size_max}, or 0 "
                f"for the default of {self._limits.page_size_default}",
                field="page_size",
            )
        size = min(request.page_size, self._limits.page_size_max)
        note(namespace=namespace)
        return await self._run(
            self._page_that_fits,
            namespace,
            wanted,
            size or self._limits.page_size_default,
            request.page_token,
        )

    async def UpdateEdit(  # noqa: N802
        self, request: memory_pb2.UpdateEditRequest, _context: Any
    ) -> memory_pb2.WriteEditResponse:
        """Changes the fields named in the mask."""
        namespace, edit_id = parse_edit(request.edit.name, field="edit.name")
        return await self._writing.one(
            namespace,
            request,
            self._memory.update,
            edit_id,
            read_changes(request),
            etag=request.edit.etag,
        )

    async def RetireEdit(  # noqa: N802
        self, request: memory_pb2.RetireEditRequest, _context: Any
    ) -> memory_pb2.WriteEditResponse:
        """Takes an edit out of service."""
        namespace, edit_id = parse_edit(request.name, field="name")
        return await self._writing.one(
            namespace,
            request,
            self._memory.retire,
            edit_id,
            reason=request.reason,
            etag=request.etag,
        )

    async def RestoreEdit(  # noqa: N802
        self, request: memory_pb2.RestoreEditRequest, _context: Any
    ) -> memory_pb2.WriteEditResponse:
        """Brings a retired, expired or superseded edit back."""
        namespace, edit_id = parse_edit(request.name, field="name")
        expires_at_s = (
            time_from_pb(request.expire_time, field="expire_time")
            if request.HasField("expire_time")
            else UNSET
        )
        return await self._writing.one(
            namespace,
            request,
            self._memory.restore,
            edit_id,
            reason=request.reason,
            etag=request.etag,
            expires_at_s=expires_at_s,
        )

    async def SearchEdits(  # noqa: N802
        self, request: memory_pb2.SearchEditsRequest, _context: Any
    ) -> memory_pb2.SearchEditsResponse:
        """Finds active edits near a text."""
        namespace = parse_namespace(request.parent, field="parent")
        limits = self._limits
        if len(request.text) > limits.search_chars_max:
            raise InvalidInput(
                f"text has {len(request.text)} characters; give 1 to {limits.search_chars_max}",
                field="text",
            )
        if not 0 <= request.limit <= limits.search_results_max:
            raise InvalidInput(
                f"limit is {request.limit}; give 1 to {limits.search_results_max}, or 0 for the "
                f"default of {limits.search_results_default}",
                field="limit",
            )
        note(namespace=namespace)
        sequence = self._memory.snapshot().sequence
        found = await self._run(
            self._memory.search,
            namespace,
            request.text,
            k=request.limit or limits.search_results_default,
        )
        return memory_pb2.SearchEditsResponse(results=results_to_pb(found), sequence=sequence)

    async def FindOverlaps(  # noqa: N802
        self, request: memory_pb2.FindOverlapsRequest, _context: Any
    ) -> AsyncIterator[memory_pb2.FindOverlapsResponse]:
        """Lists the pairs of edits that overlap."""
        namespace = parse_namespace(request.parent, field="parent")
        check_subject(request.subject, field="subject")
        note(namespace=namespace)
        scan = OverlapScan(
            self._finder,
            self._memory.snapshot,
            namespace,
            subject=request.subject,
            everywhere=request.everywhere,
        )
        async for answer in find_overlaps(self._parts, scan):
            yield answer

    async def ImportEdits(  # noqa: N802
        self, requests: AsyncIterator[memory_pb2.ImportEditsRequest], _context: Any
    ) -> AsyncIterator[memory_pb2.ImportEditsResponse]:
        """Imports a stream of records."""
        run = await ImportRun.begin(requests, self._parts)
        async for progress in run.reports():
            yield progress

    async def ExportEdits(  # noqa: N802
        self, request: memory_pb2.ExportEditsRequest, _context: Any
    ) -> AsyncIterator[memory_pb2.ExportEditsResponse]:
        """Streams edits, oldest first."""
        namespace = parse_namespace(request.parent, field="parent")
        note(namespace=namespace)
        async for chunk in export_edits(
            self._parts, namespace, read_filter(request.filter), history=request.history
        ):
            yield chunk

    async def WatchEdits(  # noqa: N802
        self, request: memory_pb2.WatchEditsRequest, _context: Any
    ) -> AsyncIterator[memory_pb2.WatchEditsResponse]:
        """Follows the log."""
        namespace = parse_namespace_or_all(request.parent, field="parent")
        if request.after_sequence < 0:
            raise InvalidInput(
                f"after_sequence is {request.after_sequence}; give 0 or more",
                field="after_sequence",
            )
        note(namespace=namespace or "-")
        async for change in follow_log(self._parts, namespace, request.after_sequence):
            yield change

    async def GetMemoryStatus(  # noqa: N802
        self, request: memory_pb2.GetMemoryStatusRequest, _context: Any
    ) -> memory_pb2.MemoryStatus:
        """Tells size and health of the memory."""
        wanted = parse_namespace_or_all(request.parent or "namespaces/-", field="parent")
        return await self._run(read_status, self._parts, wanted)

    def _page_that_fits(
        self, namespace: Namespace, wanted: EditFilter, size: int, token: str
    ) -> memory_pb2.ListEditsResponse:
        """Returns a page, smaller than asked for when its edits are so large; blocking."""
        while True:
            page = self._memory.list_edits(
                namespace, filter=wanted, page_size=size, page_token=token
            )
            message = _page_to_pb(page)
            if size == 1 or message.ByteSize() <= self._limits.answer_bytes_max:
                return message
            size = max(1, size // 2)


def _page_to_pb(page: Page) -> memory_pb2.ListEditsResponse:
    return memory_pb2.ListEditsResponse(
        edits=[edit_to_pb(edit) for edit in page.edits],
        next_page_token=page.next_page_token,
        sequence=page.sequence,
    )
