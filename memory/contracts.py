"""The memory's seams: Encoder, VectorIndex, SubjectIndex. EditLog's is its SQLite class for now.

Each method says what it changes, the shapes and units, and what it raises. The numpy twin of the
index (`memory/flat_index.py`) is the reference that the FAISS one is tested against.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from memory.record import Vector

Matrix = npt.NDArray[np.float32]
Keys = npt.NDArray[np.int64]


class Encoder(Protocol):
    """Turns text into unit vectors. Safe to call from many threads at once."""

    @property
    def name(self) -> str:
        """Identifies weights and preprocessing; vectors of another name are never mixed.

        The number format of products is no part of it where what `encode_many` returns agrees to a
        cosine of 0.9999.
        """
        ...

    @property
    def dimension(self) -> int:
        """The length d of a vector."""
        ...

    def encode(self, text: str) -> Vector:
        """Returns the unit vector of a query, shape (d,). May wait for a batch to end.

        It may be a coarser vector than `encode_many` has for that text (with a cosine of at least
        0.98 to it), and is never stored.
        """
        ...

    def encode_many(self, texts: Sequence[str]) -> Matrix:
        """Returns the unit vectors of edits, shape (n, d), in their order. Changes nothing.

        Many wait for what was asked before them; a single one goes as soon as a query does.
        """
        ...


class VectorIndexView(Protocol):
    """An immutable view of an index; readers never lock."""

    def __len__(self) -> int:
        """Counts the live vectors."""
        ...

    def search(self, vectors: Matrix, k: int) -> tuple[Matrix, Keys]:
        """Returns the k nearest by cosine for each row of `vectors` (b, d), best first.

        Cosines (b, k) are exact fp32 products; keys (b, k). Rows with fewer than k live vectors end
        in key -1, cosine -inf. Ties go to the smaller key. Changes nothing.
        """
        ...

    def get(self, keys: Sequence[int]) -> Matrix:
        """Returns the vectors of `keys`, shape (n, d). Raises KeyError for a key not live."""
        ...


class VectorIndex(Protocol):
    """A growing set of unit vectors under int64 keys; one writer, any number of readers."""

    def apply(self, *, add_keys: Keys, add_vectors: Matrix, remove_keys: Keys) -> VectorIndexView:
        """Removes `remove_keys`, then adds `add_vectors` (n, d) under `add_keys` (n,), as one step.

        Publishes and returns a new view; views handed out before keep answering as they did, up
        to the recall of an index that is approximate.
        Raises ValueError when a key to add is live or a key to remove is not.
        """
        ...

    def view(self) -> VectorIndexView:
        """Returns the current view. Changes nothing."""
        ...

    def rebuild(self) -> VectorIndexView:
        """Merges what was added and removed since into a fresh main part (same live vectors)."""
        ...

    def check_integrity(self) -> None:
        """Raises AssertionError naming the first disagreement between keys, vectors and parts."""
        ...


class Mention(Protocol):
    """A surface found in a text."""

    @property
    def key(self) -> int:
        """The key that the surface was added under."""
        ...

    @property
    def surface(self) -> str:
        """The surface as it stands in the text."""
        ...

    @property
    def start(self) -> int:
        """Where it begins in the text, in characters."""
        ...

    @property
    def end(self) -> int:
        """One past its last character."""
        ...

    @property
    def covered(self) -> bool:
        """Whether a longer mention contains this one."""
        ...


class SubjectView(Protocol):
    """An immutable view of a subject matcher."""

    def find(self, text: str) -> Sequence[Mention]:
        """Returns the mentions in `text`. Changes nothing."""
        ...


class SubjectIndex(Protocol):
    """The surfaces of edits under int keys; one writer, any number of readers."""

    def apply(
        self, add: Sequence[tuple[int, tuple[str, ...]]], remove: Sequence[int]
    ) -> SubjectView:
        """Removes, then adds, as one step; views handed out before keep answering as they did."""
        ...

    def view(self) -> SubjectView:
        """Returns the current view. Changes nothing."""
        ...
