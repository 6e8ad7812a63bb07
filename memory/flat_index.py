"""The numpy twin of the vector index: one matrix, a full scan, no thresholds.

The reference that memory/index.py is tested against, and small enough to be read in a minute.
Every change copies everything, so it serves tests and tiny memories only. The functions at the top
are the home of "exact cosine", of the order of ties and of what input is refused.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from memory.contracts import Keys, Matrix

UNIT_TOLERANCE = 1e-3  # How far from 1 the length of a unit vector may be.


def exact_cosines(rows: Matrix, vector: Matrix) -> Matrix:
    """Returns the fp32 products of rows (n, d) with one vector (d,), shape (n,).

    Multiplies, then sums each row alone: unlike a BLAS product, equal rows get bitwise equal
    results wherever they stand, so that ties are ties.
    """
    products: Matrix = np.multiply(rows, vector).sum(axis=1, dtype=np.float32)
    return products


def best_first(cosines: Matrix, keys: Keys, k: int) -> tuple[Matrix, Keys]:
    """Returns the k best of cosines (n,) and keys (n,), ties by smaller key, padded to (k,)."""
    order = np.lexsort((keys, -cosines))[:k]
    if len(order) == k:
        return cosines[order], keys[order]
    best_cosines = np.full(k, -np.inf, dtype=np.float32)
    best_keys = np.full(k, -1, dtype=np.int64)
    best_cosines[: len(order)] = cosines[order]
    best_keys[: len(order)] = keys[order]
    return best_cosines, best_keys


def unit_rows(vectors: npt.ArrayLike, dimension: int) -> Matrix:
    """Returns vectors as a contiguous fp32 matrix (n, d); ValueError when not of unit length."""
    rows = np.ascontiguousarray(vectors, dtype=np.float32)
    if rows.ndim != 2 or rows.shape[1] != dimension:
        raise ValueError(f"vectors have shape {rows.shape}; expected (n, {dimension})")
    lengths = np.sqrt(np.einsum("nd,nd->n", rows, rows))
    wrong = ~(np.abs(lengths - 1.0) <= UNIT_TOLERANCE)  # The negation also catches NaN.
    if wrong.any():
        row = int(np.argmax(wrong))
        raise ValueError(
            f"vector {row} has length {lengths[row]}; expected unit vectors: divide by the length"
        )
    return rows


def key_array(keys: npt.ArrayLike) -> Keys:
    """Returns keys as int64 (n,); ValueError for negative ones (-1 is padding) and repeats."""
    array = np.asarray(keys)
    if array.size == 0:
        return np.empty(0, dtype=np.int64)
    if array.ndim != 1 or not np.issubdtype(array.dtype, np.integer):
        raise ValueError(f"keys have shape {array.shape}, type {array.dtype}; expected int64 (n,)")
    if int(array.min()) < 0:
        raise ValueError(f"key {int(array.min())} is negative; keys count from 0")
    if len(np.unique(array)) != len(array):
        raise ValueError("a key is given twice in one step; give each key once")
    return array.astype(np.int64, copy=False)


def check_k(k: int) -> None:
    """Raises ValueError unless k is at least 1."""
    if k < 1:
        raise ValueError(f"k is {k}; expected at least 1")


class FlatView:
    """Keys (n,) and unit vectors (n, d) that never change."""

    def __init__(self, keys: Keys, vectors: Matrix) -> None:
        self._keys = keys
        self._vectors = vectors
        self._rows = {int(key): row for row, key in enumerate(keys)}

    def __len__(self) -> int:
        return len(self._keys)

    def search(self, vectors: Matrix, k: int) -> tuple[Matrix, Keys]:
        """Scans all rows for each query; see VectorIndexView."""
        check_k(k)
        queries = unit_rows(vectors, self._vectors.shape[1])
        cosines = np.empty((len(queries), k), dtype=np.float32)
        keys = np.empty((len(queries), k), dtype=np.int64)
        for place, query in enumerate(queries):
            found = exact_cosines(self._vectors, query)
            cosines[place], keys[place] = best_first(found, self._keys, k)
        return cosines, keys

    def get(self, keys: Sequence[int]) -> Matrix:
        """Returns copies of the vectors of `keys`; KeyError for one not live."""
        rows = np.array([self._rows[int(key)] for key in keys], dtype=np.int64)
        return self._vectors[rows]

    def without(self, gone: Keys) -> tuple[Keys, Matrix]:
        """Returns keys and vectors but for those of `gone`; ValueError for one not live."""
        for key in gone:
            if int(key) not in self._rows:
                raise ValueError(f"key {int(key)} is to be removed but is not live")
        kept = ~np.isin(self._keys, gone)
        return self._keys[kept], self._vectors[kept]


class FlatIndex:
    """A VectorIndex that copies everything at each change."""

    def __init__(self, dimension: int) -> None:
        self._dimension = dimension
        self._lock = threading.Lock()
        empty = np.empty((0, dimension), dtype=np.float32)
        self._view = FlatView(np.empty(0, dtype=np.int64), empty)

    def apply(self, *, add_keys: Keys, add_vectors: Matrix, remove_keys: Keys) -> FlatView:
        """Removes, then adds, as one step; see VectorIndex."""
        added, gone = key_array(add_keys), key_array(remove_keys)
        vectors = unit_rows(add_vectors, self._dimension)
        if len(added) != len(vectors):
            raise ValueError(f"{len(added)} keys for {len(vectors)} vectors; expected one each")
        with self._lock:
            keys, kept = self._view.without(gone)
            both = np.intersect1d(keys, added)
            if len(both):
                raise ValueError(f"key {int(both[0])} is to be added but is live; remove it first")
            self._view = FlatView(np.concatenate([keys, added]), np.concatenate([kept, vectors]))
            return self._view

    def view(self) -> FlatView:
        """Returns the current view."""
        return self._view

    def rebuild(self) -> FlatView:
        """Returns the current view: there is nothing to merge."""
        return self._view

    def check_integrity(self) -> None:
        """Raises AssertionError when keys and vectors disagree."""
        keys, vectors = self._view.without(np.empty(0, dtype=np.int64))
        assert len(keys) == len(vectors), f"{len(keys)} keys for {len(vectors)} vectors"
        assert len(np.unique(keys)) == len(keys), "a key stands twice"
