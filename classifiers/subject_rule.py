"""Two baselines that every report carries: a mentioned subject is in scope; a near text is."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from memory.errors import InvalidInput
from memory.record import Candidate, Query

COSINE_DEFAULT = 0.8


class SubjectRule:
    """Implements ScopeClassifier: 1 where the subject is mentioned, else 0. Promises no budget."""

    name = "subject-rule"
    calibrated = False
    version = "1"

    def score(self, query: Query, candidates: Sequence[Candidate]) -> list[float]:
        """Returns 1 for mentioned subjects, else 0."""
        del query
        return [1.0 if candidate.by_subject else 0.0 for candidate in candidates]

    def threshold(self, error_budget: float | None = None) -> float:
        """Returns 0.5; raises InvalidInput for any budget below 1, having no calibration."""
        _refuse_budget(self.name, error_budget)
        return 0.5


class CosineThreshold:
    """Implements ScopeClassifier: the cosine, mapped from [-1, 1] to [0, 1]."""

    calibrated = False

    def __init__(self, cosine: float = COSINE_DEFAULT) -> None:
        if not -1.0 <= cosine <= 1.0:
            raise InvalidInput(f"a cosine lies in -1..1, got {cosine}", field="cosine")
        self._cosine = cosine

    @property
    def name(self) -> str:
        """A stable name with the cosine it routes from."""
        return f"cosine-{self._cosine:g}"

    @property
    def version(self) -> str:
        """A hash of the cosine."""
        return hashlib.sha256(self.name.encode()).hexdigest()[:16]

    def score(self, query: Query, candidates: Sequence[Candidate]) -> list[float]:
        """Returns (1 + cosine) / 2 of each candidate."""
        del query
        return [min(1.0, max(0.0, (1 + candidate.cosine) / 2)) for candidate in candidates]

    def threshold(self, error_budget: float | None = None) -> float:
        """Returns the fixed threshold; raises InvalidInput for any budget below 1."""
        _refuse_budget(self.name, error_budget)
        return (1 + self._cosine) / 2


def _refuse_budget(name: str, error_budget: float | None) -> None:
    if error_budget is not None and error_budget < 1.0:
        raise InvalidInput(
            f"{name} is not calibrated and keeps no error budget; leave error_budget out",
            field="error_budget",
        )
