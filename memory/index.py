"""The vector index: exact cosines at any size, on FAISS, for readers that never lock.

The rule, by the number of live vectors (constants below):
  up to FLAT_MAX       no main part: all rows are scanned in fp32;
  up to FP16_MAX       main part flat in fp16: proposals, ranked by exact fp32 cosine, searched
                       wider until the rounding bound proves that nothing was missed: exact;
  beyond               main part IVF in fp16: the same, within the lists probed: approximate recall
                       (benchmarks/vector_index.py measures it), exact cosines;
  with device "cuda"   main part flat in fp32 on the GPU, at any size above FLAT_MAX: exact.
Rows added since the main part was built are scanned in fp32. Rows removed are skipped by version.
When either grows past its share, a merge builds a new main part, on a thread of its own by default,
and is published by one assignment; views made before it profit too, as far as they reach. Vectors
stand once in fp32 (memory/index_rows.py); the fp16 copies of the main part add half: about 2.45 KB
per vector in all.
"""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass

from memory.contracts import Keys, Matrix
from memory.flat_index import key_array, unit_rows
from memory.index_parts import (
    LISTS_PROBED,
    FlatHalf,
    GpuFlat,
    InvertedLists,
    MainPart,
    PartKind,
    resolve_index_device,
    sample_rows,
)
from memory.index_rows import CHUNK_ROWS, NEVER, RowStore
from memory.index_view import FaissView, Merged

logger = logging.getLogger(__name__)

FLAT_MAX = 4_000  # 0.4 ms a scan; from here on half the bytes are sooner read.
FP16_MAX = 60_000  # 2 ms a scan.
DELTA_MIN = 2_048  # Rows scanned beside the main part before a merge, at least ...
DELTA_SHARE = 0.1  # ... and as a share of the main part.
GONE_MIN = 1_024  # Rows gone before the store is compacted, at least ...
GONE_SHARE = 0.25  # ... and as a share of all rows.
RETRAIN_GROWTH = 2.0  # IVF lists are trained anew when the rows have grown by this factor.


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexRules:
    """When the index is what; the defaults are the constants above."""

    flat_max: int = FLAT_MAX
    fp16_max: int = FP16_MAX
    delta_min: int = DELTA_MIN
    delta_share: float = DELTA_SHARE
    gone_min: int = GONE_MIN
    gone_share: float = GONE_SHARE
    lists_probed: int = LISTS_PROBED
    chunk_rows: int = CHUNK_ROWS


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexStatus:
    """What the index is now."""

    kind: str
    device: str
    live: int
    rows: int  # With those gone but not yet compacted.
    main_rows: int
    bytes: int


class FaissIndex:
    """Implements VectorIndex; one writer at a time, any number of readers."""

    def __init__(
        self,
        dimension: int,
        *,
        device: str = "cpu",
        threads: int = 1,
        rules: IndexRules | None = None,
        merge_in_background: bool = True,
    ) -> None:
        if dimension < 1 or threads < 1:
            raise ValueError(f"dimension {dimension}, threads {threads}; expected 1 or more")
        self._dimension = dimension
        self._device = resolve_index_device(device)
        self._threads = threads
        self._rules = rules or IndexRules()
        self._background = merge_in_background
        self._write = threading.Lock()  # Held for a change, never for a merge's work.
        self._merge_turn = threading.Lock()  # One merge at a time; taken before _write.
        self._merger: threading.Thread | None = None
        store = RowStore(dimension, chunk_rows=self._rules.chunk_rows)
        self._view = FaissView(store=store, version=0, live=0, merged=Merged(None))

    def apply(self, *, add_keys: Keys, add_vectors: Matrix, remove_keys: Keys) -> FaissView:
        """Removes, then adds, as one step; see VectorIndex. May start, or be, a merge."""
        added, gone = key_array(add_keys), key_array(remove_keys)
        vectors = unit_rows(add_vectors, self._dimension)
        if len(added) != len(vectors):
            raise ValueError(f"{len(added)} keys for {len(vectors)} vectors; expected one each")
        with self._write:
            view = self._view
            _check_step(view.store, added, gone)
            version = view.version + 1
            view.store.mark_gone(gone.tolist(), version)
            view.store.append(added, vectors)
            live = view.live + len(added) - len(gone)
            self._view = FaissView(store=view.store, version=version, live=live, merged=view.merged)
        self._merge_if_due()
        return self._view

    def view(self) -> FaissView:
        """Returns the current view. Changes nothing."""
        return self._view

    def rebuild(self) -> FaissView:
        """Compacts the store and builds a fresh main part; readers and writers go on meanwhile."""
        with self._merge_turn:
            self._compact()
        return self._view

    def status(self) -> IndexStatus:
        """Returns what the index is now. Changes nothing."""
        view = self._view
        return IndexStatus(
            kind=(view.main.kind if view.main else PartKind.NONE).value,
            device=self._device,
            live=view.live,
            rows=view.rows,
            main_rows=view.main_rows,
            bytes=view.store.bytes + (view.main.bytes if view.main else 0),
        )

    def check_integrity(self) -> None:
        """Raises AssertionError naming the first disagreement between keys, vectors and parts."""
        with self._write:
            self._view.check_integrity()

    def close(self) -> None:
        """Waits for a merge under way. The index stays usable."""
        merger = self._merger
        if merger is not None:
            merger.join()

    def _merge_if_due(self) -> None:
        if not self._due(self._view):
            return
        if not self._background:
            with self._merge_turn:
                self._merge()
            return
        with self._write:
            if self._merger is not None and self._merger.is_alive():
                return  # It looks again before it ends; see _merge_until_done.
            self._merger = threading.Thread(
                target=self._merge_until_done, name="index-merge", daemon=True
            )
            self._merger.start()

    def _merge_until_done(self) -> None:
        try:
            while self._due(self._view):
                with self._merge_turn:
                    self._merge()
        except Exception:
            logger.exception("a merge of the index failed; it serves on, slower, and tries again")

    def _due(self, view: FaissView) -> bool:
        if self._gone_past_share(view):
            return True
        if view.live <= self._rules.flat_max and view.main is None:
            return False
        delta = view.rows - view.main_rows
        least = self._rules.delta_min if view.main else 0
        return delta > max(least, self._rules.delta_share * view.main_rows)

    def _gone_past_share(self, view: FaissView) -> bool:
        gone = view.rows - view.live
        return gone >= max(1, self._rules.gone_min, self._rules.gone_share * view.rows)

    def _merge(self) -> None:
        """Takes the rows added since into the main part; drops those gone when they are many."""
        view = self._view
        if self._gone_past_share(view):
            self._compact()
            return
        main = self._grown(view)
        with self._write:
            now = self._view
            now.merged.part = main  # Views made before profit from here on.
            self._view = FaissView(
                store=now.store, version=now.version, live=now.live, merged=now.merged
            )

    def _compact(self) -> None:
        """Copies the live rows into a fresh store with a fresh main part, then catches up."""
        view = self._view
        keys, rows = view.live_rows()
        fresh = RowStore(self._dimension, chunk_rows=self._rules.chunk_rows)
        for begin in range(0, len(rows), self._rules.chunk_rows):
            part = slice(begin, begin + self._rules.chunk_rows)
            fresh.append(keys[part], view.store.gather(rows[part]))
        main = self._built(fresh, fresh.count)
        with self._write:
            now = self._view
            old = now.store
            went = old.went[: view.rows]
            lately = (went > view.version) & (went < NEVER)
            fresh.mark_gone(old.keys[: view.rows][lately].tolist(), now.version)
            later = view.rows + (old.went[view.rows : old.count] == NEVER).nonzero()[0]
            fresh.append(old.keys[later], old.gather(later))
            self._view = FaissView(
                store=fresh, version=now.version, live=now.live, merged=Merged(main)
            )

    def _kind_for(self, live: int) -> PartKind:
        if live <= self._rules.flat_max:
            return PartKind.NONE
        if self._device == "cuda":
            return PartKind.GPU
        return PartKind.FP16 if live <= self._rules.fp16_max else PartKind.IVF

    def _grown(self, view: FaissView) -> MainPart | None:
        """Extends the view's main part when it is still of the right kind, else builds one."""
        main = view.main
        if main is None or main.kind is not self._kind_for(view.live):
            return self._built(view.store, view.rows)
        if isinstance(main, InvertedLists) and view.rows > RETRAIN_GROWTH * main.trained_rows:
            return self._built(view.store, view.rows)
        return main.extended(view.store.pieces(main.rows, view.rows))

    def _built(self, store: RowStore, rows: int) -> MainPart | None:
        """Builds the main part that the rule names for the first rows of a store."""
        kind = self._kind_for(rows)
        if kind is PartKind.FP16:
            return FlatHalf.build(self._dimension, store.pieces(0, rows), threads=self._threads)
        if kind is PartKind.GPU:
            return GpuFlat.build(self._dimension, store.pieces(0, rows))
        if kind is PartKind.IVF:
            return InvertedLists.build(
                sample_rows(store.pieces(0, rows), rows),
                store.pieces(0, rows),
                total=rows,
                probed=self._rules.lists_probed,
                threads=self._threads,
            )
        return None


def _check_step(store: RowStore, added: Keys, gone: Keys) -> None:
    for key in gone.tolist():
        if not store.is_live(key):
            raise ValueError(f"key {key} is to be removed but is not live")
    leaving = set(gone.tolist())
    for key in added.tolist():
        if store.is_live(key) and key not in leaving:
            raise ValueError(f"key {key} is to be added but is live; remove it first")
