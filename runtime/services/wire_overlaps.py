"""Overlaps to protobuf, and into the answers to writes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

from protos.errata.v1 import memory_pb2
from runtime.overlaps import Overlap, OverlapPair
from runtime.services.wire import edit_to_pb

M = TypeVar("M", memory_pb2.Overlap, memory_pb2.OverlapPair)

PAIRS_AT_ONCE = 16  # In one message: with edits of the largest size about a megabyte.


def overlap_to_pb(overlap: Overlap) -> memory_pb2.Overlap:
    """Returns an overlap as it travels."""
    return memory_pb2.Overlap(
        edit=edit_to_pb(overlap.edit),
        score=overlap.score,
        threshold=overlap.threshold,
        reverse=overlap.reverse,
    )


def pair_to_pb(pair: OverlapPair) -> memory_pb2.OverlapPair:
    """Returns a pair as it travels."""
    return memory_pb2.OverlapPair(edit=edit_to_pb(pair.edit), overlap=overlap_to_pb(pair.overlap))


def add_overlaps(
    answer: memory_pb2.WriteEditResponse,
    pairs: Sequence[OverlapPair],
    *,
    bytes_max: int,
    complete: bool,
) -> memory_pb2.WriteEditResponse:
    """Adds what was found to the answer to a single write, as far as there is room for it."""
    messages = (overlap_to_pb(pair.overlap) for pair in pairs)
    answer.overlaps.extend(_that_fit(messages, bytes_max))
    answer.overlaps_checked = complete
    return answer


def add_pairs(
    answer: memory_pb2.BatchCreateEditsResponse,
    pairs: Sequence[OverlapPair],
    *,
    bytes_max: int,
    complete: bool,
) -> memory_pb2.BatchCreateEditsResponse:
    """Adds what was found to the answer to a batch, as far as there is room for it."""
    answer.overlaps.extend(_that_fit((pair_to_pb(pair) for pair in pairs), bytes_max))
    answer.overlaps_checked = complete
    return answer


def _that_fit(messages: Iterator[M], bytes_max: int) -> Iterator[M]:
    """Yields messages until they exceed a size together."""
    for message in messages:
        bytes_max -= message.ByteSize()
        if bytes_max < 0:
            return
        yield message
