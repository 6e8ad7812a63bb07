"""ExportEdits: a consistent stream of edits in chunks that fit a message."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import replace

from memory.paging import EditFilter, Matcher
from memory.record import Edit, EditState, Namespace
from protos.errata.v1 import memory_pb2
from runtime.services.parts import ServiceParts
from runtime.services.wire import edit_to_pb


async def export_edits(
    parts: ServiceParts, namespace: Namespace, wanted: EditFilter, *, history: bool
) -> AsyncIterator[memory_pb2.ExportEditsResponse]:
    """Yields the edits as of one sequence, in the order in which they came to say what they say.

    So of two that contradict each other the later one comes later, also where it was created first
    and changed since; an import of the stream keeps that (runtime/later.py). With `history`, yields
    every revision of them up to that sequence; edits out of service are then shown too, unless the
    filter names states. Old states of the index are not held meanwhile.
    """
    if history and not wanted.states:
        wanted = replace(wanted, states=tuple(EditState))
    matcher = Matcher(wanted)
    snapshot = parts.memory.snapshot()
    sequence = snapshot.sequence
    places = await parts.workers.run(snapshot.places_as_said, namespace)
    del snapshot
    size = parts.limits.export_chunk_edits
    sent = False
    for start in range(0, len(places), size):
        part = places[start : start + size]
        edits = await parts.workers.run(_matching, parts, namespace, sequence, part, matcher)
        if history:
            edits = await parts.workers.run(_revisions, parts, edits, sequence)
        for chunk in _chunks(edits, parts):
            chunk.sequence = sequence
            sent = True
            yield chunk
    if not sent:
        yield memory_pb2.ExportEditsResponse(sequence=sequence)


def _matching(
    parts: ServiceParts, namespace: Namespace, sequence: int, places: list[int], matcher: Matcher
) -> list[Edit]:
    """Returns those of the edits at some places that a filter shows, as of a sequence."""
    then = parts.memory.snapshot().back_to(sequence)
    return [edit for edit in then.edits_at(namespace, places) if matcher.matches(edit)]


def _revisions(parts: ServiceParts, edits: Iterable[Edit], sequence: int) -> list[Edit]:
    """Returns every revision of the edits up to a sequence, edit by edit."""
    return [
        revision
        for edit in edits
        for revision in parts.memory.history(edit.id, namespace=edit.namespace)
        if revision.sequence <= sequence
    ]


def _chunks(edits: Iterable[Edit], parts: ServiceParts) -> Iterator[memory_pb2.ExportEditsResponse]:
    """Cuts edits into messages by count and size; none for no edits."""
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
    if chunk.edits:
        yield chunk
