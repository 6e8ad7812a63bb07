"""The contract of scope classifiers, which say whether a query is in the scope of an edit.

A classifier scores (query, candidate) pairs. Whether a score passes is decided in one place,
`memory.record.ScopeDecision.accepted`, against the threshold that the classifier gives for an error
budget. It knows nothing of indexes, routes or models.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, runtime_checkable

from memory.record import Candidate, Edit, Query

Foreseen = Mapping[tuple[str, str], float]  # Log-odds by pair of texts.


class ScopeClassifier(Protocol):
    """Scores pairs; says whether its score is a calibrated probability. Thread-safe."""

    @property
    def name(self) -> str:
        """A stable name, shown in every answer's provenance."""
        ...

    @property
    def calibrated(self) -> bool:
        """Whether a score is a calibrated probability of "in scope"."""
        ...

    @property
    def version(self) -> str:
        """A hash of the weights, so that an answer can be traced to them."""
        ...

    def score(self, query: Query, candidates: Sequence[Candidate]) -> list[float]:
        """Returns one score per candidate, in their order, higher is more in scope.

        Scores lie in [0, 1]. Changes nothing; raises nothing for any text.
        """
        ...

    def threshold(self, error_budget: float | None = None) -> float:
        """Returns the score from which a candidate is a hit.

        `error_budget` (0..1) is the share of out-of-scope queries that may be routed to an edit;
        None means the classifier's default. Raises InvalidInput when it has no threshold that
        keeps so small a budget.
        """
        ...


@runtime_checkable
class Foreseeing(Protocol):
    """What a classifier has besides when part of its work needs no vector of the query.

    That part is then done on another thread, while the vector is computed and the index searched.
    """

    def foresee(self, text: str, mentioned: Sequence[tuple[Edit, str]]) -> Foreseen:
        """Returns what is worth knowing of a query beforehand; changes nothing, raises nothing.

        `mentioned` are edits that will be candidates, one at least, each with its mention as it
        stands in `text`.
        """
        ...

    def score_foreseen(
        self, query: Query, candidates: Sequence[Candidate], foreseen: Callable[[], Foreseen]
    ) -> list[float]:
        """Returns what `score` does, but for last bits, which depend on what is read together.

        `foreseen` waits for what `foresee` returns of the same text.
        It is called once at most, as late as can be, and only where a score depends on it.
        """
        ...


@runtime_checkable
class Preparing(Protocol):
    """What a classifier has besides when part of its work needs an edit alone, and is kept.

    That part is then done before a query has the edit for a candidate.
    """

    @property
    def prepared_max(self) -> int:
        """How many prepared edits are kept: those that were prepared or scored last."""
        ...

    def prepare(self, edit: Edit) -> None:
        """Does what a score needs of the edit alone. Changes no score; raises nothing."""
        ...


@runtime_checkable
class Budgeted(Protocol):
    """What a classifier has besides when its own threshold keeps an error budget."""

    @property
    def budget_default(self) -> float:
        """The budget that `threshold()` keeps when none is given."""
        ...
