"""Fits boosted trees with scikit-learn (the extra `errata[train]`) and writes them as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from classifiers.calibration import Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeSettings:
    """How trees are grown, and in which features they may only rise or fall."""

    features: Sequence[str]
    rising: Sequence[str]
    falling: Sequence[str]
    trees: int = 120
    leaves_max: int = 12
    rate: float = 0.1


def fit_trees(
    rows: Floats, labels: Floats, weights: Floats, settings: TreeSettings, seed: int
) -> dict[str, Any]:
    """Fits rows (n, f) to labels (n,) and returns the JSON form (see classifiers/trees.py)."""
    from sklearn.ensemble import (  # noqa: PLC0415  # An extra.
        HistGradientBoostingClassifier,
    )

    monotonic = [
        1 if name in settings.rising else -1 if name in settings.falling else 0
        for name in settings.features
    ]
    model = HistGradientBoostingClassifier(
        learning_rate=settings.rate, max_iter=settings.trees, max_leaf_nodes=settings.leaves_max,
        min_samples_leaf=40, l2_regularization=5.0, monotonic_cst=monotonic, random_state=seed,
    )  # fmt: skip
    model.fit(rows, labels, sample_weight=weights)
    trees = [_nodes(stage[0].nodes) for stage in model._predictors]  # noqa: SLF001  # No public way.
    return {"start": float(model._baseline_prediction.ravel()[0]), "trees": trees}  # noqa: SLF001


def _nodes(nodes: Any) -> list[list[float]]:
    return [
        [round(float(node["value"]), 5)]
        if node["is_leaf"]
        else [
            int(node["feature_idx"]),
            round(float(node["num_threshold"]), 6),
            int(node["left"]),
            int(node["right"]),
        ]
        for node in nodes
    ]
