"""Which index and which matcher a memory is made with, unless the caller brings others.

The modules are imported when they are first needed: FAISS takes its time, and tests and tools that
bring their own parts do without it.
"""

from __future__ import annotations

from collections.abc import Callable

from memory.contracts import SubjectIndex, VectorIndex


def faiss_maker(device: str) -> Callable[[int], VectorIndex]:
    """Returns what makes a FAISS index of a dimension on a device."""

    def make(dimension: int) -> VectorIndex:
        from memory.index import FaissIndex  # noqa: PLC0415

        return FaissIndex(dimension, device=device)

    return make


def make_subject_matcher() -> SubjectIndex:
    """Returns an empty subject matcher."""
    from memory.subjects import SubjectMatcher  # noqa: PLC0415

    return SubjectMatcher()


def describe_index(index: VectorIndex, dimension: int) -> tuple[str, int]:
    """Returns the kind of an index and its bytes: as its status says, else by its vectors."""
    status = getattr(index, "status", None)
    if status is None:
        return type(index).__name__, 4 * dimension * len(index.view())
    said = status()
    return str(said.kind), int(said.bytes)


def close_index(index: VectorIndex) -> None:
    """Lets an index end what it does in the background, if it does anything."""
    close = getattr(index, "close", None)
    if close is not None:
        close()
