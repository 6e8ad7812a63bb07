"""Calibration and honest bounds: isotonic regression, Clopper-Pearson, thresholds for a budget.

Pure numpy. "In scope" is the positive class; an error is an out-of-scope query that is routed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
CONFIDENCE = 0.95
BLOCK_MIN = 30  # Observations behind a probability of a curve.
_BISECTIONS = 60


@dataclass(frozen=True, slots=True)
class _Blocks:
    """What pooling adjacent violators leaves, all (b,): scores' bounds and means, probabilities."""

    lowest: Floats
    highest: Floats
    means: Floats
    values: Floats


def isotonic(scores: Floats, labels: Floats) -> tuple[Floats, Floats]:
    """Fits a non-decreasing step curve (n,) -> knots (m,) and probabilities (m,), m <= n.

    Pool-adjacent-violators, Ayer et al. 1955. A block of fewer than BLOCK_MIN observations joins
    the neighbour that is likest to it: two hits in a row are no 75%. Each block's probability is
    shrunk by one virtual observation of either class, so that no finite sample yields 0 or 1.
    """
    blocks = _pooled(scores, labels)
    knots = np.stack([blocks.lowest, blocks.highest], axis=1).ravel()
    return knots, np.repeat(blocks.values, 2)


def _pooled(scores: Floats, labels: Floats) -> _Blocks:
    """Pools scores (n,) with labels 0 or 1 (n,) into blocks (b,) whose probabilities rise."""
    order = np.argsort(scores, kind="stable")
    sums: list[float] = []
    counts: list[float] = []
    edges: list[tuple[float, float]] = []  # The lowest and highest score of each block.
    for score, label in zip(scores[order], labels[order], strict=True):
        sums.append(float(label))
        counts.append(1.0)
        edges.append((float(score), float(score)))
        while len(sums) > 1 and (
            sums[-2] / counts[-2] >= sums[-1] / counts[-1] or edges[-2][1] == edges[-1][0]
        ):
            sums[-2:] = [sums[-2] + sums[-1]]
            counts[-2:] = [counts[-2] + counts[-1]]
            edges[-2:] = [(edges[-2][0], edges[-1][1])]
    _join_small(sums, counts, edges)
    values = np.maximum.accumulate([(s + 1) / (c + 2) for s, c in zip(sums, counts, strict=True)])
    lowest, highest = np.array(edges).T
    begins = np.cumsum([0, *counts[:-1]]).astype(np.int64)
    means = np.add.reduceat(scores[order], begins) / np.array(counts)
    return _Blocks(lowest, highest, np.clip(means, lowest, highest), values)


def _join_small(sums: list[float], counts: list[float], edges: list[tuple[float, float]]) -> None:
    """Joins blocks, in place, until each holds BLOCK_MIN observations or one is left."""
    while len(counts) > 1 and min(counts) < BLOCK_MIN:
        at = counts.index(min(counts))
        beside = [place for place in (at - 1, at + 1) if 0 <= place < len(counts)]
        rates = [total / count for total, count in zip(sums, counts, strict=True)]
        first = min(at, min(beside, key=lambda place: abs(rates[place] - rates[at])))
        sums[first : first + 2] = [sums[first] + sums[first + 1]]
        counts[first : first + 2] = [counts[first] + counts[first + 1]]
        edges[first : first + 2] = [(edges[first][0], edges[first + 1][1])]


def apply_isotonic(scores: Floats, knots: Floats, values: Floats) -> Floats:
    """Maps raw scores (n,) to probabilities (n,) along the fitted curve, linear between blocks."""
    return np.interp(scores, knots, values)


def binomial_upper(errors: int, trials: int, confidence: float = CONFIDENCE) -> float:
    """Returns the one-sided Clopper-Pearson upper bound of an error rate (Biometrika 1934).

    The largest rate under which `errors` or fewer in `trials` is not rarer than 1 - confidence.
    """
    if trials == 0 or errors >= trials:
        return 1.0
    low, high = errors / trials, 1.0
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        if _binomial_cdf(errors, trials, middle) > 1 - confidence:
            low = middle
        else:
            high = middle
    return high


def binomial_interval(
    hits: int, trials: int, confidence: float = CONFIDENCE
) -> tuple[float, float]:
    """Returns the two-sided Clopper-Pearson interval of a rate."""
    each_side = (1 + confidence) / 2
    lower = 1 - binomial_upper(trials - hits, trials, each_side)
    return lower, binomial_upper(hits, trials, each_side)


def threshold_for_budget(negatives: Sequence[float], budget: float) -> float | None:
    """Returns the lowest threshold whose false-route rate is within `budget`, or None.

    `negatives` holds, for each out-of-scope query, its best candidate's score. Within means by the
    upper bound at CONFIDENCE, not by the observed rate, so few data give strict thresholds.
    """
    ordered = sorted(negatives, reverse=True)
    allowed = -1
    while allowed + 1 < len(ordered) and binomial_upper(allowed + 1, len(ordered)) <= budget:
        allowed += 1
    if allowed < 0:
        return None
    return math.nextafter(ordered[allowed], math.inf)  # The next one would be one too many.


def _binomial_cdf(errors: int, trials: int, rate: float) -> float:
    if rate <= 0.0:
        return 1.0
    if rate >= 1.0:
        return 0.0
    log_rate, log_rest = math.log(rate), math.log1p(-rate)
    log_trials = math.lgamma(trials + 1)
    terms = (
        log_trials
        - math.lgamma(count + 1)
        - math.lgamma(trials - count + 1)
        + count * log_rate
        + (trials - count) * log_rest
        for count in range(errors + 1)
    )
    return min(1.0, sum(math.exp(term) for term in terms))


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """A calibration curve: log-odds to probabilities, both (m,) and rising."""

    knots: Floats
    values: Floats

    def apply(self, scores: Floats) -> Floats:
        """Maps raw scores (n,) to probabilities (n,)."""
        return apply_isotonic(scores, self.knots, self.values)


def fit_curve(scores: Floats, labels: Floats) -> Curve:
    """Fits a curve that rises from each block's mean to the next one's, so that scores differ.

    Centred isotonic regression, Oron & Flournoy 2017 (Statistics in Biopharmaceutical Research 9),
    with a slight slope where two blocks' probabilities agree and beyond the outermost means.
    """
    blocks = _pooled(scores, labels)
    knots = np.concatenate([blocks.lowest[:1], blocks.means, blocks.highest[-1:]])
    values = np.concatenate([blocks.values[:1], blocks.values, blocks.values[-1:]])
    return Curve(knots=knots, values=values + 1e-6 * np.arange(len(values)) / max(1, len(values)))


def curve_to_record(curve: Curve) -> dict[str, list[float]]:
    """Returns a curve's JSON form."""
    return {
        "knots": [round(float(knot), 6) for knot in curve.knots],
        "values": [round(float(value), 8) for value in curve.values],
    }


def curve_from_record(record: Mapping[str, Sequence[float]]) -> Curve:
    """Reads a curve. Raises KeyError or ValueError when it is damaged or falls."""
    knots, values = (np.asarray(record[key], dtype=np.float64) for key in ("knots", "values"))
    if knots.shape != values.shape or (np.diff(knots) < 0).any() or (np.diff(values) < 0).any():
        raise ValueError("the calibration curve does not rise")
    return Curve(knots=knots, values=values)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReliabilityBin:
    """One bar of a reliability diagram: pairs whose probability lies in [low, high)."""

    low: float
    high: float
    n: int
    mean_probability: float  # What was said.
    share_in_scope: float  # What was so.


def reliability_bins(
    probabilities: Floats, labels: Floats, *, bins: int = 10
) -> tuple[ReliabilityBin, ...]:
    """Returns the bins of equal width that hold any pair; probabilities and labels are (n,)."""
    found = []
    places = np.minimum((probabilities * bins).astype(np.int64), bins - 1)
    for place in range(bins):
        held = places == place
        if held.any():
            found.append(
                ReliabilityBin(
                    low=place / bins,
                    high=(place + 1) / bins,
                    n=int(held.sum()),
                    mean_probability=round(float(probabilities[held].mean()), 5),
                    share_in_scope=round(float(labels[held].mean()), 5),
                )
            )
    return tuple(found)
