"""Calibration rises, bounds are honest, thresholds keep their budget."""

from __future__ import annotations

import json
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from classifiers.calibration import (
    apply_isotonic,
    binomial_interval,
    binomial_upper,
    curve_from_record,
    curve_to_record,
    fit_curve,
    isotonic,
    reliability_bins,
    threshold_for_budget,
)

shares = st.floats(0, 1)


@settings(deadline=None)
@given(st.lists(st.tuples(st.floats(-9, 9), st.booleans()), min_size=1, max_size=60))
def test_the_calibration_curve_rises_and_stays_inside_0_and_1(
    pairs: list[tuple[float, bool]],
) -> None:
    scores = np.array([score for score, _ in pairs])
    labels = np.array([float(label) for _, label in pairs])
    knots, values = isotonic(scores, labels)
    grid = np.linspace(-10, 10, 200)
    fitted = apply_isotonic(grid, knots, values)
    assert (np.diff(fitted) >= 0).all()
    assert (fitted > 0).all()
    assert (fitted < 1).all()


def test_calibration_finds_the_share_of_positives() -> None:
    generator = np.random.default_rng(0)
    truth = generator.uniform(0, 1, 20_000)
    labels = (generator.uniform(0, 1, 20_000) < truth).astype(float)
    knots, values = isotonic(truth * 3 - 1, labels)
    at = np.array([0.1, 0.5, 0.9])
    assert apply_isotonic(at * 3 - 1, knots, values) == pytest.approx(at, abs=0.06)


@pytest.mark.parametrize(
    ("errors", "trials", "expected"),
    [(0, 100, 0.02951), (1, 100, 0.04656), (5, 1000, 0.01048), (0, 1, 0.95)],
)
def test_the_upper_bound_agrees_with_published_values(
    errors: int, trials: int, expected: float
) -> None:
    assert binomial_upper(errors, trials) == pytest.approx(expected, abs=2e-5)


def test_the_interval_agrees_with_published_values() -> None:
    assert binomial_interval(10, 100) == pytest.approx((0.04900, 0.17622), abs=2e-5)
    assert binomial_interval(0, 50)[0] == pytest.approx(0.0, abs=1e-9)
    assert binomial_interval(50, 50)[1] == pytest.approx(1.0, abs=1e-9)
    assert binomial_upper(0, 0) == 1.0


@settings(deadline=None)
@given(st.lists(shares, min_size=1, max_size=400), shares)
def test_a_threshold_keeps_its_budget_even_at_ties(scores: list[float], budget: float) -> None:
    threshold = threshold_for_budget(scores, budget)
    if threshold is not None:
        routed = sum(score >= threshold for score in scores)
        assert binomial_upper(routed, len(scores)) <= max(budget, 1.0 if budget == 1 else 0)


@settings(deadline=None)
@given(st.lists(shares, min_size=1, max_size=200))
def test_a_smaller_budget_never_lowers_the_threshold(scores: list[float]) -> None:
    chosen = [threshold_for_budget(scores, budget) for budget in (0.5, 0.2, 0.1, 0.05, 0.02)]
    for larger, smaller in pairwise(chosen):
        if smaller is not None:
            assert larger is not None
            assert larger <= smaller


def test_too_few_queries_promise_no_small_budget() -> None:
    assert threshold_for_budget([0.1] * 50, 0.01) is None
    assert threshold_for_budget([0.1] * 400, 0.01) is not None


def test_a_curve_survives_its_record_and_keeps_the_order_of_scores() -> None:
    random = np.random.default_rng(3)
    scores = random.normal(size=400)
    labels = (random.random(400) < 1 / (1 + np.exp(-scores))).astype(np.float64)
    curve = fit_curve(scores, labels)
    back = curve_from_record(json.loads(json.dumps(curve_to_record(curve))))
    inner = np.sort(scores)[5:-5]
    np.testing.assert_allclose(back.apply(inner), curve.apply(inner), atol=1e-4)
    assert (np.diff(back.apply(np.sort(scores))) >= 0).all()
    for damaged in ({"knots": [0, 1], "values": [1, 0]}, {"knots": [1, 0], "values": [0, 1]}):
        with pytest.raises(ValueError, match="does not rise"):
            curve_from_record(damaged)


def test_reliability_bins_hold_every_pair_once_and_say_what_was_so() -> None:
    probabilities = np.array([0.0, 0.04, 0.55, 0.58, 1.0])
    labels = np.array([0.0, 1.0, 1.0, 0.0, 1.0])
    bins = reliability_bins(probabilities, labels)
    assert [(b.low, b.high, b.n, b.share_in_scope) for b in bins] == [
        (0.0, 0.1, 2, 0.5), (0.5, 0.6, 2, 0.5), (0.9, 1.0, 1, 1.0),
    ]  # fmt: skip
    assert bins[1].mean_probability == pytest.approx(0.565)
    assert reliability_bins(np.zeros(0), np.zeros(0)) == ()


def test_a_curve_keeps_scores_apart_between_the_means_of_its_blocks() -> None:
    random = np.random.default_rng(5)
    truth = random.random(4000)
    labels = (random.random(4000) < truth).astype(np.float64)
    curve = fit_curve(truth, labels)
    at = np.linspace(0.05, 0.95, 200)
    assert (np.diff(curve.apply(at)) > 0).all()
    assert curve.apply(at) == pytest.approx(at, abs=0.08)
