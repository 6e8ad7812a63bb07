"""Where the index keeps its vectors: rows that are only ever appended, with versions.

Every vector stands once, in fp32, in a chunk that never moves. A row has a key and the version at
which it went (or NEVER); a view is a row count and a version. So a view costs nothing to make and
answers for ever as it did: later rows are past its count, later removals past its version.
One writer; readers never lock. Knows nothing of FAISS.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from memory.contracts import Keys, Matrix

NEVER = 2**62  # The version at which a live row goes.
CHUNK_ROWS = 16_384  # 24 MiB at 384 dimensions; pages are taken as rows come.
META_ROWS_MIN = 1_024
META_BYTES = 16  # Per row: key and version.
DICT_BYTES = 105  # Per live key: a slot of the dict and two ints, CPython 3.11.


class RowStore:
    """The rows of an index. Its arrays are replaced when they grow, never shrunk or reordered."""

    def __init__(self, dimension: int, *, chunk_rows: int = CHUNK_ROWS) -> None:
        self.dimension = dimension
        self.chunk_rows = chunk_rows
        self.chunks: list[Matrix] = []  # Each (chunk_rows, d); grows at its end.
        self.keys: Keys = np.empty(META_ROWS_MIN, dtype=np.int64)
        self.went: Keys = np.empty(META_ROWS_MIN, dtype=np.int64)
        self.count = 0
        self.row_of: dict[int, int] = {}  # The newest row of a key, live or not.
        self.earlier: dict[int, int] = {}  # The row that a key had before this one.

    def append(self, keys: Keys, vectors: Matrix) -> None:
        """Appends rows under keys that are not live; unseen until a view counts them."""
        self._grow_meta(self.count + len(keys))
        begin, end = self.count, self.count + len(keys)
        self.keys[begin:end] = keys
        self.went[begin:end] = NEVER
        while len(self.chunks) * self.chunk_rows < end:
            self.chunks.append(np.empty((self.chunk_rows, self.dimension), dtype=np.float32))
        done = 0
        for chunk in self.pieces(begin, end):
            chunk[:] = vectors[done : done + len(chunk)]
            done += len(chunk)
        for row, key in enumerate(keys.tolist(), start=begin):
            before = self.row_of.get(key)
            if before is not None:
                self.earlier[row] = before
            self.row_of[key] = row
        self.count = end

    def mark_gone(self, keys: Sequence[int], version: int) -> None:
        """Lets live keys go at `version`."""
        for key in keys:
            self.went[self.row_of[key]] = version

    def is_live(self, key: int) -> bool:
        """Tells whether the key has a row that has not gone."""
        row = self.row_of.get(key)
        return row is not None and bool(self.went[row] == NEVER)

    def pieces(self, begin: int, end: int) -> Iterator[Matrix]:
        """Yields the rows begin..end as views of chunks, in order, without copying."""
        while begin < end:
            chunk, first = divmod(begin, self.chunk_rows)
            last = min(first + end - begin, self.chunk_rows)
            yield self.chunks[chunk][first:last]
            begin += last - first

    def gather(self, rows: Keys) -> Matrix:
        """Returns copies of the rows, shape (n, d), in their order."""
        if len(self.chunks) == 1:
            return self.chunks[0][rows]
        gathered = np.empty((len(rows), self.dimension), dtype=np.float32)
        chunks, firsts = np.divmod(rows, self.chunk_rows)
        for chunk in set(chunks.tolist()):
            here = chunks == chunk
            gathered[here] = self.chunks[chunk][firsts[here]]
        return gathered

    @property
    def bytes(self) -> int:
        """Bytes in use: vectors, keys, versions and the dict of keys."""
        return self.count * (4 * self.dimension + META_BYTES) + len(self.row_of) * DICT_BYTES

    def _grow_meta(self, rows: int) -> None:
        if rows <= len(self.keys):
            return
        size = max(rows, 2 * len(self.keys))
        for name in ("keys", "went"):
            old = getattr(self, name)
            new = np.empty(size, dtype=np.int64)
            new[: self.count] = old[: self.count]
            setattr(self, name, new)  # Views keep the old array: all they may know is in it.
