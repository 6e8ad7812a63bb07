"""Metrics by their definitions, at the borders where definitions differ."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation.metrics import clopper_pearson, exact, mean, normalise, rate, token_share


def test_exact_match_forgives_a_final_stop_and_white_space_and_nothing_else() -> None:
    assert exact(" French.\n", "French")
    assert exact("“French”", "French")
    assert exact('"French".', "French")
    assert exact("\u2018French.\u2019", "French")
    assert not exact("French and Italian", "French")
    assert not exact("french", "French")
    assert not exact("", "French")


@given(st.text(max_size=40))
def test_normalising_twice_changes_nothing_more_for_plain_words(text: str) -> None:
    words = " ".join(part for part in text.split() if part.isalnum())
    assert normalise(words) == normalise(normalise(words))


def test_the_token_share_counts_first_choices() -> None:
    assert 0.75 == token_share([True, True, False, True])
    assert 0.0 == token_share([])


@given(st.integers(1, 500), st.data())
def test_the_interval_holds_the_share_and_lies_in_zero_to_one(n: int, data: st.DataObject) -> None:
    successes = data.draw(st.integers(0, n))
    low, high = clopper_pearson(successes, n)
    assert 0.0 <= low <= successes / n <= high <= 1.0


def test_the_interval_is_the_published_one() -> None:
    """No failure in 100 trials leaves at most 3.6% at 95% (two-sided): 1 - 0.025 ** (1 / 100)."""
    low, high = clopper_pearson(0, 100)
    assert 0.0 == low
    assert pytest.approx(1 - 0.025 ** (1 / 100), abs=1e-9) == high


def test_a_rate_of_nothing_says_that_it_knows_nothing() -> None:
    assert (0.0, 1.0, 0) == (rate("m", []).low, rate("m", []).high, rate("m", []).n)


def test_a_mean_has_a_narrower_interval_with_more_values() -> None:
    few, many = mean("m", [0.0, 1.0] * 5), mean("m", [0.0, 1.0] * 500)
    assert 0.5 == few.value == many.value
    assert many.high - many.low < few.high - few.low


def test_the_interval_of_a_mean_of_shares_stays_among_shares() -> None:
    made = mean("m", [0.0] * 9 + [1.0], low=0.0, high=1.0)
    assert (0.0, 0.1) == (made.low, made.value)
    assert mean("m", [0.0] * 9 + [1.0]).low < 0.0


def test_the_interval_of_few_values_is_student_s() -> None:
    made = mean("m", [1.0, 2.0, 3.0])
    assert pytest.approx((2 - 2.484, 2 + 2.484), abs=1e-3) == (made.low, made.high)
    alone = mean("m", [1.5])
    assert (1.5, 1.5, 1) == (alone.low, alone.high, alone.n)
