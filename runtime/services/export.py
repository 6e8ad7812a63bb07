"""ExportEdits: a consistent stream of edits in chunks that fit a message."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import replace

from memory.paging import EditFilter
from memory.record import Edit, EditState, Namespace
from protos.errata.v1 import memory_pb2
from runtime.services.parts import ServiceParts
from runtime.services.wire import edit_to_pb


async def export_edits(
    parts: ServiceParts, namespace: Namespace, wanted: EditFilter, *, history: bool
) -> AsyncIterator[memory_pb2.ExportEditsResponse]:
    """Yields the edits, oldest first, as of the sequence of the first page.

    With `history`, yields every revision of them up to that sequence; edits out of service are
    then shown too, unless the filter names states.
    """
    if history and not wanted.states:
        wanted = replace(wanted, states=tuple(EditState))
    token = ""
    while True:
        page = await parts.workers.run(
            parts.memory.list_edits,
            namespace,
            filter=wanted,
            page_size=parts.limits.export_chunk_edits,
            page_token=token,
        )
        edits: Iterable[Edit] = page.edits
        if history:
            edits = await parts.workers.run(_revisions, parts, page.edits, page.sequence)
        for chunk in _chunks(edits, parts):
            chunk.sequence = page.sequence
            yield chunk
        token = page.next_page_token
        if not token:
            return


def _revisions(parts: ServiceParts, edits: Iterable[Edit], sequence: int) -> list[Edit]:
    """Returns every revision of the edits up to a sequence, edit by edit."""
    return [
        revision
        for edit in edits
        for revision in parts.memory.history(edit.id, namespace=edit.namespace)
        if revision.sequence <= sequence
    ]


def _chunks(edits: Iterable[Edit], parts: ServiceParts) -> Iterator[memory_pb2.ExportEditsResponse]:
    """Cuts edits into messages by count and size; an export of nothing is one empty message."""
    limits = parts.limits
    chunk, size = memory_pb2.ExportEditsResponse(), 0
    for edit in edits:
        message = edit_to_pb(edit)
        length = message.ByteSize()
        full = len(chunk.edits) >= limits.export_chunk_edits
        if chunk.edits and (full or size + length > limits.answer_bytes_max):
            yield chunk
            chunk, size = memory_pb2.ExportEditsResponse(), 0
        chunk.edits.append(message)
        size += length
    yield chunk
