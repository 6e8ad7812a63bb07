"""Metrics by name and definition; pure functions over what was answered.

`*_exact`: the whole answer under greedy free generation with natural stop equals the target after
`normalise`. `*_token`: the share of the target's tokens that are the model's own first choice when
the tokens before them are given (teacher forcing; EasyEdit's default), averaged over records.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from scipy.stats import beta, t


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """A share with its 95% interval (Clopper-Pearson for counts)."""

    metric: str
    value: float
    low: float
    high: float
    n: int


_QUOTES = "\"'\u201c\u201d\u2018\u2019"  # Straight and curly ones.


def normalise(text: str) -> str:
    """NFC, surrounding white space and quotes and a final full stop removed; case is kept."""
    bare = unicodedata.normalize("NFC", text).strip()
    return bare.rstrip(".").strip(_QUOTES).rstrip(".").strip()


def exact(answer: str, target: str) -> bool:
    """Whether the whole answer is the target."""
    return normalise(answer) == normalise(target)


def token_share(greedy: Sequence[bool]) -> float:
    """Share of a target's tokens that are the model's first choice; 0 for no tokens."""
    return sum(greedy) / len(greedy) if greedy else 0.0


def clopper_pearson(successes: int, n: int, *, confidence: float = 0.95) -> tuple[float, float]:
    """The exact two-sided interval of a binomial share (Clopper and Pearson 1934)."""
    if n == 0:
        return 0.0, 1.0
    tail = (1 - confidence) / 2
    low = 0.0 if successes == 0 else float(beta.ppf(tail, successes, n - successes + 1))
    high = 1.0 if successes == n else float(beta.ppf(1 - tail, successes + 1, n - successes))
    return low, high


def rate(metric: str, outcomes: Sequence[bool]) -> Rate:
    """The share of true outcomes with its exact interval."""
    successes, n = sum(outcomes), len(outcomes)
    low, high = clopper_pearson(successes, n)
    return Rate(metric=metric, value=successes / n if n else 0.0, low=low, high=high, n=n)


def mean(
    metric: str, values: Sequence[float], *, low: float = -math.inf, high: float = math.inf
) -> Rate:
    """The mean of values with its 95% interval by Student's t.

    The interval is cut at `low` and `high`, between which all values lie by their nature. Of one
    value, or of equal ones, it has no width, which says nothing of how sure they are.
    """
    n = len(values)
    if n == 0:
        return Rate(metric=metric, value=0.0, low=0.0, high=1.0, n=0)
    average = sum(values) / n
    spread = (sum((v - average) ** 2 for v in values) / max(1, n - 1)) ** 0.5
    half = float(t.ppf(0.975, n - 1)) * spread / n**0.5 if n > 1 else 0.0
    return Rate(
        metric=metric,
        value=average,
        low=max(low, average - half),
        high=min(high, average + half),
        n=n,
    )
