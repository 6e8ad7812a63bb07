"""One write of MemoryService: in a thread, with what overlaps it, noted for the log."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from memory.errors import InvalidInput
from memory.record import Namespace
from memory.writes import WriteResult
from protos.errata.v1 import memory_pb2
from runtime.overlaps import OverlapFinder
from runtime.services.call import current_call, note
from runtime.services.checks import check_request_id
from runtime.services.overlaps import Looked, WriteCheck
from runtime.services.parts import ServiceParts
from runtime.services.wire_memory import fields_under, written_to_pb
from runtime.services.wire_overlaps import add_overlaps


class Writing:
    """Does the writes of a server. For the event loop; the work itself is done by its workers."""

    def __init__(self, parts: ServiceParts, finder: OverlapFinder) -> None:
        self._parts = parts
        self._limits = parts.limits
        self._run = parts.workers.run
        self._check = WriteCheck(finder, parts.memory, parts.limits)

    async def one(
        self,
        namespace: Namespace,
        request: Any,
        write: Callable[..., WriteResult],
        *arguments: Any,
        **named: Any,
    ) -> memory_pb2.WriteEditResponse:
        """Does a write of one edit and answers with what overlaps it."""
        result, looked = await self.several(
            namespace, request, write, *arguments, look=_look_wanted(request), **named
        )
        return add_overlaps(
            written_to_pb(result),
            looked.pairs,
            bytes_max=self._limits.overlap_bytes_max,
            complete=looked.complete,
        )

    async def several(
        self,
        namespace: Namespace,
        request: Any,
        write: Callable[..., WriteResult],
        *arguments: Any,
        look: bool,
        **named: Any,
    ) -> tuple[WriteResult, Looked]:
        """Does one write in a thread, looks for overlaps there, and notes both for the log.

        `look`: whether the caller wants overlaps, which are told only to who may read.
        """
        note(namespace=namespace)
        check_request_id(request.request_id, self._limits.request_id_chars_max)
        call = current_call()
        wanted = look and call.may_read  # Overlaps are edits of others.
        left = threading.Event()  # Set when nobody waits for the answer any more.

        def stopped() -> bool:
            return left.is_set() or self._parts.draining.is_set()

        def write_and_look() -> tuple[WriteResult, Looked]:
            result = write(
                *arguments,
                namespace=namespace,
                request_id=request.request_id,
                validate_only=request.validate_only,
                **named,
            )
            if not wanted:
                return result, Looked()
            looked = self._check.look(
                result,
                validate_only=request.validate_only,
                deadline_s=call.deadline_s,
                stopped=stopped,
            )
            return result, looked

        try:
            with fields_under("edit."):
                result, looked = await self._run(write_and_look)
        finally:
            left.set()
        shown = [edit.id for edit in result.edits[:8]]
        note(edits=shown, count=len(result.edits), sequence=result.sequence)
        if looked.pairs:
            note(overlaps=len(looked.pairs))
        return result, looked


def _look_wanted(request: Any) -> bool:
    """Whether the writer of one edit wants to know what overlaps it: unless it says no."""
    if isinstance(request, memory_pb2.RetireEditRequest):
        return False
    return bool(request.check_overlaps) or not request.HasField("check_overlaps")


def check_agrees(
    single: memory_pb2.CreateEditRequest, batch: memory_pb2.BatchCreateEditsRequest, place: int
) -> None:
    """Raises InvalidInput when a request of a batch says otherwise than the batch."""
    told = _said(batch)
    given = [name for name, value in _said(single).items() if value != told.get(name)]
    if given:
        field = f"requests[{place}].{given[0]}"
        raise InvalidInput(f"{field} differs from the batch's; leave it unset", field=field)


def _said(request: Any) -> dict[str, Any]:
    """Returns what a request says, by name, of what a batch and its requests must agree on."""
    names = {"parent", "on_conflict", "request_id", "validate_only", "check_overlaps"}
    return {field.name: value for field, value in request.ListFields() if field.name in names}
