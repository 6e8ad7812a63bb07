"""A view of the vector index: how one search gathers proposals, ranks them and knows it is done."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import faiss
import numpy as np

from memory.contracts import Keys, Matrix
from memory.flat_index import UNIT_TOLERANCE, best_first, check_k, exact_cosines, unit_rows
from memory.index_parts import MainPart, fp32_error_max
from memory.index_rows import RowStore

native: Any = faiss  # Its type stubs lack the functions on raw memory.

SPARE = 32  # Proposals asked for beyond k: room for ties, rounding and rows gone.
WIDENING = 8  # How many times more is asked for when that was not enough.
RANKED_AT_ONCE = 4_096  # Rows whose exact cosines are computed together (6 MB).


class Merged:
    """The newest main part over the rows of one store; all views of the store share it."""

    __slots__ = ("part",)

    def __init__(self, part: MainPart | None) -> None:
        self.part = part


class FaissView:
    """Implements VectorIndexView: the rows of a store up to a count, as of a version.

    A main part that was merged after the view was made serves it too, as long as it covers no later
    rows: a memory that is read and not written has one view for ever.
    """

    __slots__ = ("_keys", "_went", "live", "main", "merged", "rows", "store", "version")

    def __init__(self, *, store: RowStore, version: int, live: int, merged: Merged) -> None:
        self.store = store
        self.version = version
        self.live = live
        self.merged = merged
        self.main = merged.part  # As it was when the view was made.
        self.rows = store.count
        self._keys = store.keys  # The store replaces these arrays when it grows.
        self._went = store.went

    def __len__(self) -> int:
        return self.live

    def search(self, vectors: Matrix, k: int) -> tuple[Matrix, Keys]:
        """Returns exact cosines (b, k) and keys (b, k), best first; see VectorIndexView."""
        check_k(k)
        queries = unit_rows(vectors, self.store.dimension)
        if self.live == 0 or len(queries) == 0:
            nothing = np.full((len(queries), k), -np.inf, dtype=np.float32)
            return nothing, np.full((len(queries), k), -1, dtype=np.int64)
        main = self._newest()
        if main is None:
            found = [
                self._ranked(query, k, self._scan(query, k, 0, self.rows)) for query in queries
            ]
        else:
            count = min(k + SPARE, main.rows, main.results_max)
            first = zip(*main.search(queries, count), strict=True)
            found = [
                self._search_one(query, k, main, proposals)
                for query, proposals in zip(queries, first, strict=True)
            ]
        return np.stack([cosines for cosines, _ in found]), np.stack([keys for _, keys in found])

    def get(self, keys: Sequence[int]) -> Matrix:
        """Returns copies of the vectors of `keys` (n, d). Raises KeyError for one not live."""
        return self.store.gather(np.array([self._row(int(key)) for key in keys], dtype=np.int64))

    def live_rows(self) -> tuple[Keys, Keys]:
        """Returns the keys and row numbers of the live rows, in row order."""
        rows = np.flatnonzero(self._went[: self.rows] > self.version)
        return self._keys[rows], rows

    def check_integrity(self) -> None:
        """Raises AssertionError naming the first disagreement; the writer holds its lock."""
        keys, rows = self.live_rows()
        assert len(rows) == self.live, f"{len(rows)} live rows, but {self.live} are counted"
        for key, row in zip(keys.tolist(), rows.tolist(), strict=True):
            assert self.store.row_of.get(key) == row, f"key {key} does not lead to its row {row}"
        newest = (self._went[row] > self.version for row in self.store.row_of.values())
        assert sum(newest) == self.live, "a key leads to a row that has gone, or none does"
        for piece in self.store.pieces(0, self.rows):
            lengths = np.sqrt(np.einsum("nd,nd->n", piece, piece))
            assert (np.abs(lengths - 1.0) <= UNIT_TOLERANCE).all(), "a vector lost its unit length"
        self._check_main()

    @property
    def main_rows(self) -> int:
        """How many rows the main part covers."""
        return self.main.rows if self.main else 0

    def _newest(self) -> MainPart | None:
        newest = self.merged.part
        return newest if newest is not None and newest.rows <= self.rows else self.main

    def _check_main(self) -> None:
        """Every 997th row of the main part, looked for everywhere, scores as its vector does."""
        main = self._newest()
        if main is None:
            return
        assert main.rows <= self.rows, "the main part covers rows that are not there"
        widest = 2**20
        for row in range(0, main.rows, 997):
            query = self.store.gather(np.array([row]))
            scores, _ = main.search(query, 1, widen=widest)
            found = float(scores[0, 0])
            least = float(exact_cosines(query, query[0])[0]) - main.error_max
            assert found >= least, f"the main part does not hold row {row}: best score {found}"

    def _search_one(
        self, query: Matrix, k: int, main: MainPart, proposals: tuple[Matrix, Keys]
    ) -> tuple[Matrix, Keys]:
        """Ranks the proposals of the main part, (count,) each, and the scan of the later rows."""
        later = self._scan(query, k, main.rows, self.rows)
        widen = 1
        while True:
            scores, rows = proposals
            best = self._ranked(query, k, np.concatenate([self._alive(rows), later]))
            if _is_done(main, scores, rows, float(best[0][-1]), widen):
                return best
            count = min(len(rows) * WIDENING, main.rows)
            widen *= WIDENING
            if count > main.results_max or count == len(rows) == main.rows:
                everywhere = self._scan(query, k, 0, main.rows)
                return self._ranked(query, k, np.concatenate([everywhere, later]))
            again = main.search(query[None, :], count, widen=widen)
            proposals = again[0][0], again[1][0]

    def _scan(self, query: Matrix, k: int, begin: int, end: int) -> Keys:
        """Returns the live rows of begin..end that may be among the k best: all ties included."""
        if begin == end:
            return np.empty(0, dtype=np.int64)
        scores = np.empty(end - begin, dtype=np.float32)
        done = 0
        for piece in self.store.pieces(begin, end):
            native.fvec_inner_products_ny(
                native.swig_ptr(scores[done:]),
                native.swig_ptr(query),
                native.swig_ptr(piece),
                piece.shape[1],
                len(piece),
            )
            done += len(piece)
        if self.live < self.rows:
            scores[self._went[begin:end] <= self.version] = -np.inf
        least = -np.inf
        if k < len(scores):
            least = float(np.partition(scores, len(scores) - k)[len(scores) - k])
            least -= 2 * fp32_error_max(self.store.dimension)
        found: Keys = begin + np.flatnonzero((scores >= least) & (scores > -np.inf))
        return found

    def _ranked(self, query: Matrix, k: int, rows: Keys) -> tuple[Matrix, Keys]:
        cosines = np.empty(len(rows), dtype=np.float32)
        for begin in range(0, len(rows), RANKED_AT_ONCE):
            part = slice(begin, begin + RANKED_AT_ONCE)
            cosines[part] = exact_cosines(self.store.gather(rows[part]), query)
        return best_first(cosines, self._keys[rows], k)

    def _alive(self, rows: Keys) -> Keys:
        known = rows[rows >= 0]
        alive: Keys = known[self._went[known] > self.version]
        return alive

    def _row(self, key: int) -> int:
        """Follows a key back to the row it had at this version."""
        row = self.store.row_of.get(key, -1)
        while row >= self.rows:
            row = self.store.earlier.get(row, -1)
        if row < 0 or self._went[row] <= self.version:
            raise KeyError(key)
        return row


def _is_done(main: MainPart, scores: Matrix, rows: Keys, kth: float, widen: int) -> bool:
    """Whether no row that the main part left out can be among the k best.

    A row left out scores at most the lowest score proposed; its cosine is at most that and the
    error. Equal to the k-th is not enough: ties go by key.
    """
    ran_out = len(rows) == main.rows or int(rows[-1]) < 0  # Nothing left where it looked.
    if kth == -np.inf:
        return ran_out and main.looks_everywhere(widen)
    return ran_out or float(scores[-1]) + main.error_max < kth
