"""The default scope classifier: trees over cheap features, with a calibrated probability.

Weights are one JSON file: feature names, trees, calibration curve, and thresholds by error budget
with the counts they were chosen on. `classifiers/train_features.py` writes it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from classifiers.calibration import Floats, apply_isotonic
from classifiers.features import EDITS_KEPT_MAX, FEATURES, features, prepare_edit
from classifiers.relation import FrameEncoder
from classifiers.relation_net import RelationNet, net_from_record
from classifiers.trees import TreeEnsemble, ensemble_from_record
from memory.errors import InvalidInput, StartupError
from memory.record import Candidate, Edit, Query

if TYPE_CHECKING:
    from memory.contracts import Encoder

WEIGHTS_FILE = Path(__file__).resolve().parent / "weights" / "features_v1.json"
FORMAT = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureWeights:
    """What the file holds, read and checked."""

    trees: TreeEnsemble
    net: RelationNet
    knots: Floats  # (k,) log-odds, non-decreasing.
    probabilities: Floats  # (k,) non-decreasing.
    thresholds: tuple[tuple[float, float], ...]  # (error budget, score), by falling budget.
    budget_default: float
    version: str


class CalibratedFeatureClassifier:
    """Implements ScopeClassifier. Immutable but for the cache of frames; thread-safe.

    It needs an encoder: the frames of a query that mentions an edit's subject are encoded anew.
    """

    prepared_max = EDITS_KEPT_MAX

    def __init__(self, encoder: Encoder, weights: FeatureWeights) -> None:
        self._weights = weights
        self._frames = FrameEncoder(encoder)

    @classmethod
    def load(cls, encoder: Encoder, path: Path = WEIGHTS_FILE) -> CalibratedFeatureClassifier:
        """Reads the weights. Raises StartupError naming the file when it is not usable."""
        return cls(encoder, load_weights(path))

    @property
    def name(self) -> str:
        """A stable name, shown in every answer's provenance."""
        return "features-v1"

    @property
    def calibrated(self) -> bool:
        """Whether a score is a calibrated probability: it is."""
        return True

    @property
    def version(self) -> str:
        """A hash of the weights file."""
        return self._weights.version

    def prepare(self, edit: Edit) -> None:
        """Does what cheap features need of an edit alone."""
        prepare_edit(edit)

    def score(self, query: Query, candidates: Sequence[Candidate]) -> list[float]:
        """Returns the probability of "in scope" for each candidate, in their order."""
        if not candidates:
            return []
        rows = features(query, candidates, self._frames, self._weights.net)
        raw = self._weights.trees.score(rows)
        scores = apply_isotonic(raw, self._weights.knots, self._weights.probabilities)
        return [float(score) for score in np.clip(scores, 0.0, 1.0)]

    @property
    def budget_default(self) -> float:
        """The error budget that `threshold()` keeps."""
        return self._weights.budget_default

    def threshold(self, error_budget: float | None = None) -> float:
        """Returns the score from which a candidate is a hit; see the contract."""
        budget = self._weights.budget_default if error_budget is None else error_budget
        return threshold_within(self._weights.thresholds, budget)


def threshold_within(thresholds: Sequence[tuple[float, float]], budget: float) -> float:
    """Returns the threshold of the largest known budget that is within `budget`.

    `thresholds` holds (budget, score) by falling budget. Raises InvalidInput for a budget outside
    0..1 or smaller than every known one.
    """
    if not 0.0 <= budget <= 1.0:  # Also refuses NaN.
        raise InvalidInput(
            f"error_budget must be a share from 0 to 1, got {budget}", field="error_budget"
        )
    for known, score in thresholds:
        if known <= budget:
            return score
    smallest = min((known for known, _ in thresholds), default=1.0)
    raise InvalidInput(
        f"error_budget {budget} is smaller than what the classifier can promise; "
        f"the smallest is {smallest}",
        field="error_budget",
    )


def load_weights(path: Path) -> FeatureWeights:
    """Reads and checks a weights file. Raises StartupError saying what is wrong with it."""
    try:
        raw = path.read_bytes()
        record: Mapping[str, Any] = json.loads(raw)
        return _checked(record, hashlib.sha256(raw).hexdigest()[:16])
    except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
        raise StartupError(
            f"the scope classifier's weights {path} cannot be used ({error}); restore the file or "
            "train it again with classifiers/train_features.py"
        ) from error


def _checked(record: Mapping[str, Any], version: str) -> FeatureWeights:
    if record["format"] != FORMAT:
        raise ValueError(f"format {record['format']}, expected {FORMAT}")
    if tuple(record["features"]) != FEATURES:
        raise ValueError("it was fitted to other features than this version computes")
    knots, values = (np.asarray(record["calibration"][key]) for key in ("knots", "values"))
    if knots.shape != values.shape or (np.diff(knots) < 0).any() or (np.diff(values) < 0).any():
        raise ValueError("the calibration curve does not rise")
    thresholds = tuple(
        sorted(((t["budget"], t["score"]) for t in record["thresholds"]), reverse=True)
    )
    return FeatureWeights(
        trees=ensemble_from_record(record),
        net=net_from_record(record["relation_net"]),
        knots=knots,
        probabilities=values,
        thresholds=thresholds,
        budget_default=float(record["budget_default"]),
        version=version,
    )
