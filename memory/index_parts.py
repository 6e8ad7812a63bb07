"""The main part of the index: an immutable FAISS structure over the first rows of the store.

A part proposes rows; the view ranks them by exact fp32 cosine, so a part's own scores need only be
near: `error_max` says how near, and from it the view proves that nothing better was left out.
FAISS's thread number belongs to the calling thread and is set at each call.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterable
from enum import Enum
from typing import Any, Protocol

import faiss
import numpy as np

from memory.contracts import Keys, Matrix
from memory.errors import ModelLoadError

LISTS_PER_ROOT = 2  # IVF lists = 2 * sqrt(rows).
TRAINING_ROWS_PER_LIST = 48
TRAINING_ROUNDS = 10
LISTS_PROBED = 32
GPU_RESULTS_MAX = 2048  # FAISS on a GPU returns no more.


class PartKind(Enum):
    """What the main part is."""

    NONE = "flat"  # No part: all rows are scanned in fp32.
    FP16 = "flat-fp16"
    IVF = "ivf-fp16"
    GPU = "gpu-flat"


class MainPart(Protocol):
    """An immutable structure over rows 0..rows of a store."""

    @property
    def kind(self) -> PartKind:
        """What it is."""
        ...

    @property
    def rows(self) -> int:
        """How many rows, from the first, it covers."""
        ...

    @property
    def bytes(self) -> int:
        """Bytes that it holds beside the store."""
        ...

    @property
    def error_max(self) -> float:
        """How far a score may be from the exact cosine."""
        ...

    @property
    def results_max(self) -> int:
        """The largest `count` that `search` takes."""
        ...

    def search(self, queries: Matrix, count: int, *, widen: int = 1) -> tuple[Matrix, Keys]:
        """Proposes up to `count` rows for each query (b, d): scores and rows (b, count), -1 padded.

        Looks at all rows, or, when approximate, at a share of them that grows with `widen`.
        """
        ...

    def looks_everywhere(self, widen: int) -> bool:
        """Tells whether a search with this `widen` looks at all rows."""
        ...

    def extended(self, pieces: Iterable[Matrix]) -> MainPart:
        """Returns a part that covers further rows too; this one stays as it is."""
        ...


def fp32_error_max(dimension: int) -> float:
    """Bounds the difference of two fp32 summations of one product of unit vectors.

    Each is within d * 2^-24 of the true value (Higham 2002, section 3.1), to first order.
    """
    return 2.02 * dimension * 2.0**-24


def fp16_error_max(dimension: int) -> float:
    """Bounds the error of a product with a row rounded to fp16: relative 2^-11, 2^-25 near 0."""
    return 1.01 * 2.0**-11 + math.sqrt(dimension) * 2.0**-25 + fp32_error_max(dimension)


class FlatHalf:
    """All rows in fp16, scanned: half the memory traffic of fp32, and provably exact with it."""

    def __init__(self, index: Any, *, threads: int) -> None:
        self._index = index
        self._threads = threads
        self.kind = PartKind.FP16
        self.rows = int(index.ntotal)
        self.bytes = self.rows * int(index.code_size)
        self.error_max = fp16_error_max(index.d)
        self.results_max = 2**31

    @classmethod
    def build(cls, dimension: int, pieces: Iterable[Matrix], *, threads: int) -> FlatHalf:
        """Rounds the rows of the pieces to fp16."""
        index = faiss.IndexScalarQuantizer(
            dimension, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT
        )
        return cls(_filled(index, pieces, threads), threads=threads)

    def search(self, queries: Matrix, count: int, *, widen: int = 1) -> tuple[Matrix, Keys]:
        """Scans all rows; see MainPart."""
        del widen
        faiss.omp_set_num_threads(self._threads)
        scores, rows = self._index.search(queries, count)
        return scores, rows

    def looks_everywhere(self, widen: int) -> bool:
        """A scan does."""
        del widen
        return True

    def extended(self, pieces: Iterable[Matrix]) -> FlatHalf:
        """Copies the codes and adds."""
        return FlatHalf(
            _filled(faiss.clone_index(self._index), pieces, self._threads), threads=self._threads
        )


class InvertedLists:
    """Rows in fp16 by nearest of L centroids; the nearest lists are scanned."""

    def __init__(self, index: Any, *, trained_rows: int, probed: int, threads: int) -> None:
        self._index = index
        self._threads = threads
        self._probed = probed
        self.trained_rows = trained_rows
        self.kind = PartKind.IVF
        self.rows = int(index.ntotal)
        centroids = index.nlist * index.d * 4
        self.bytes = self.rows * (int(index.code_size) + 8) + centroids
        self.error_max = fp16_error_max(index.d)
        self.results_max = 2**31

    @classmethod
    def build(
        cls, sample: Matrix, pieces: Iterable[Matrix], *, total: int, probed: int, threads: int
    ) -> InvertedLists:
        """Trains the centroids on `sample`, then sorts the rows of the pieces into lists."""
        faiss.omp_set_num_threads(threads)
        lists = min(list_count(total), max(1, len(sample)))
        quantizer = faiss.IndexFlatIP(sample.shape[1])
        index = faiss.IndexIVFScalarQuantizer(
            quantizer,
            sample.shape[1],
            lists,
            faiss.ScalarQuantizer.QT_fp16,
            faiss.METRIC_INNER_PRODUCT,
            False,  # by_residual: the rows themselves, so that the error bound holds.
        )
        index.cp.niter = TRAINING_ROUNDS
        index.cp.min_points_per_centroid = 1
        index.cp.max_points_per_centroid = TRAINING_ROWS_PER_LIST
        index.cp.spherical = True
        index.train(sample)
        _filled(index, pieces, threads)
        return cls(index, trained_rows=total, probed=probed, threads=threads)

    def search(self, queries: Matrix, count: int, *, widen: int = 1) -> tuple[Matrix, Keys]:
        """Scans the nearest `probed * widen` lists; see MainPart."""
        faiss.omp_set_num_threads(self._threads)
        parameters = faiss.SearchParametersIVF()
        parameters.nprobe = self._lists_for(widen)
        scores, rows = self._index.search(queries, count, params=parameters)
        return scores, rows

    def looks_everywhere(self, widen: int) -> bool:
        """Whether all lists are scanned."""
        return self._lists_for(widen) >= int(self._index.nlist)

    def extended(self, pieces: Iterable[Matrix]) -> InvertedLists:
        """Copies the lists and sorts the further rows into them; the centroids stay."""
        return InvertedLists(
            _filled(faiss.clone_index(self._index), pieces, self._threads),
            trained_rows=self.trained_rows,
            probed=self._probed,
            threads=self._threads,
        )

    def _lists_for(self, widen: int) -> int:
        return min(self._probed * widen, int(self._index.nlist))


class GpuFlat:
    """All rows in fp32 on a GPU, scanned there. One search at a time: its scratch is shared."""

    def __init__(self, index: Any, resources: Any, lock: threading.Lock) -> None:
        self._index = index
        self._resources = resources  # Must outlive the index.
        self._lock = lock
        self.kind = PartKind.GPU
        self.rows = int(index.ntotal)
        self.bytes = self.rows * int(index.d) * 4
        self.error_max = 4 * fp32_error_max(index.d)
        self.results_max = GPU_RESULTS_MAX

    @classmethod
    def build(cls, dimension: int, pieces: Iterable[Matrix]) -> GpuFlat:
        """Copies the rows of the pieces to the first GPU."""
        resources = faiss.StandardGpuResources()
        index = faiss.GpuIndexFlatIP(resources, dimension)
        for piece in pieces:
            index.add(piece)
        return cls(index, resources, threading.Lock())

    def search(self, queries: Matrix, count: int, *, widen: int = 1) -> tuple[Matrix, Keys]:
        """Scans all rows; see MainPart."""
        del widen
        with self._lock:
            scores, rows = self._index.search(queries, count)
        return scores, rows

    def looks_everywhere(self, widen: int) -> bool:
        """A scan does."""
        del widen
        return True

    def extended(self, pieces: Iterable[Matrix]) -> GpuFlat:
        """Copies the rows on the GPU and adds."""
        with self._lock:
            held = self._index.reconstruct_n(0, self.rows)
        return GpuFlat.build(held.shape[1], (held, *pieces))


def list_count(rows: int) -> int:
    """Returns how many inverted lists that many rows get."""
    return max(1, int(LISTS_PER_ROOT * math.sqrt(rows)))


def resolve_index_device(device: str) -> str:
    """Turns auto, cpu or cuda into cpu or cuda. Raises ModelLoadError for a GPU not there."""
    if device not in ("auto", "cpu", "cuda"):
        raise ValueError(f"device {device!r}; expected auto, cpu or cuda")
    there = hasattr(faiss, "GpuIndexFlatIP") and faiss.get_num_gpus() > 0
    if device == "cuda" and not there:
        raise ModelLoadError(
            "the index is to run on cuda, but this faiss sees no GPU; say auto or cpu, or install "
            "the extra [gpu] (faiss-gpu) in place of [cpu] on a machine with one"
        )
    return "cuda" if there and device != "cpu" else "cpu"


def sample_rows(pieces: Iterable[Matrix], total: int) -> Matrix:
    """Returns evenly spaced rows of the pieces, as many as training the lists takes."""
    step = max(1, total // (list_count(total) * TRAINING_ROWS_PER_LIST))
    return np.concatenate([piece[::step] for piece in pieces])


def _filled(index: Any, pieces: Iterable[Matrix], threads: int) -> Any:
    faiss.omp_set_num_threads(threads)
    for piece in pieces:
        index.add(piece)
    return index
