"""What a run tells while it goes on, and what it gives at its end."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from evaluation.asking import Block
from evaluation.outcome import Outcome
from evaluation.probes import Dataset
from evaluation.table import Row


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How a run tells where it stands; the command draws it."""

    begin: Callable[[str, int], None]
    advance: Callable[[], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What a run gives: rows of results.jsonl, and the outcomes behind them by block."""

    data: Dataset
    model: str
    rows: tuple[Row, ...]
    outcomes: Mapping[Block, tuple[Outcome, ...]]
    thresholds: Mapping[str, float]
    calibrated: frozenset[str]  # Of these scopes, those whose scores are probabilities.
    route_ms: Mapping[tuple[str, int], tuple[float, ...]]  # (scope, edits) to single queries.
