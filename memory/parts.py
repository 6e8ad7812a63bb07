"""Which index and which matcher a memory is made with, unless the caller brings others.

The modules are imported when they are first needed: FAISS takes its time, and tests and tools that
bring their own parts do without it.
"""

from __future__ import annotations

from collections.abc import Callable

from memory.contracts import VectorIndex
from memory.snapshot import SubjectIndex


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


def index_bytes(index: VectorIndex, dimension: int) -> int:
    """Returns the bytes that an index says it takes, else what its vectors take."""
    known = getattr(index, "bytes", None)
    return int(known) if isinstance(known, int) else 4 * dimension * len(index.view())


def index_kind(index: VectorIndex) -> str:
    """Returns the kind that an index says it is, else the name of its class."""
    known = getattr(index, "kind", None)
    return known if isinstance(known, str) else type(index).__name__
