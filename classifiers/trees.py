"""A small ensemble of regression trees evaluated in numpy: raw scores for feature rows.

Legend: n rows, f features, t trees, m nodes of the largest tree.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from classifiers.calibration import Floats

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeEnsemble:
    """Trees as padded tables; a leaf points to itself, so that every walk has the same length."""

    feature: Ints  # (t, m): the column a node compares.
    limit: Floats  # (t, m): go left where the value is at most this.
    left: Ints  # (t, m)
    right: Ints  # (t, m)
    value: Floats  # (t, m): what a leaf adds, in log-odds.
    start: float  # Log-odds before any tree.
    depth: int

    def score(self, rows: Floats) -> Floats:
        """Returns the log-odds of each row: (n, f) -> (n,). Changes nothing."""
        assert rows.ndim == 2, f"rows have shape {rows.shape}; expected (n, features)"
        # Flat indexes: `take` is several times as fast as indexing by two arrays.
        t, m = self.feature.shape
        roots = (np.arange(t) * m)[None, :]  # (1, t)
        cells, begins = rows.ravel(), (np.arange(rows.shape[0]) * rows.shape[1])[:, None]  # (n, 1)
        feature, limit = self.feature.ravel(), self.limit.ravel()
        left, right = self.left.ravel(), self.right.ravel()
        at = np.repeat(roots, rows.shape[0], axis=0)  # (n, t)
        for _ in range(self.depth):
            goes_left = cells.take(begins + feature.take(at)) <= limit.take(at)
            at = roots + np.where(goes_left, left.take(at), right.take(at))
        total: Floats = self.start + self.value.ravel().take(at).sum(axis=1)
        return total


def ensemble_from_record(record: Mapping[str, Any]) -> TreeEnsemble:
    """Builds the ensemble from its JSON form: {"start", "trees": [[node, ...], ...]}.

    A node is [feature, limit, left, right], or [value] for a leaf. Raises ValueError when a node
    points outside its tree or backwards.
    """
    trees: Sequence[Sequence[Sequence[float]]] = record["trees"]
    shape = (len(trees), max(len(nodes) for nodes in trees))
    feature, left, right = (np.zeros(shape, dtype=np.int64) for _ in range(3))
    limit, value = np.zeros(shape), np.zeros(shape)
    for tree, nodes in enumerate(trees):
        for number, node in enumerate(nodes):
            left[tree, number] = right[tree, number] = number
            if len(node) == 1:
                value[tree, number] = node[0]
                continue
            feature[tree, number], limit[tree, number] = int(node[0]), node[1]
            for side, target in ((left, int(node[2])), (right, int(node[3]))):
                if not number < target < len(nodes):
                    raise ValueError(f"node {number} of tree {tree} points to node {target}")
                side[tree, number] = target
    return TreeEnsemble(
        feature=feature,
        limit=limit,
        left=left,
        right=right,
        value=value,
        start=float(record["start"]),
        depth=max(_depth(nodes) for nodes in trees),
    )


def _depth(nodes: Sequence[Sequence[float]]) -> int:
    depths = [0] * len(nodes)
    for number in range(len(nodes) - 1, -1, -1):  # Children come after their parents.
        node = nodes[number]
        if len(node) > 1:
            depths[number] = 1 + max(depths[int(node[2])], depths[int(node[3])])
    return depths[0]
