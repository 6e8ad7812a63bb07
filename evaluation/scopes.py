"""What chooses an edit for a query: the server's classifiers by name, and two trivial baselines.

`exact` looks the query up; `dense` takes the nearest edit whatever its distance (IKE has no
router: Zheng et al. 2023, arXiv 2305.12740). BM25 needs an index of its own: evaluation/bm25.py.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from classifiers.scope import ScopeClassifier
from memory.conflicts import same_text
from memory.contracts import Encoder
from memory.errors import InvalidInput
from memory.record import Candidate, Query
from runtime.build import CLASSIFIERS, named

OURS = "ours"  # On the command line: the server's default classifier.
BM25 = "bm25"
NOTHING = "-"


class ExactLookup:
    """Implements ScopeClassifier: 1 where the query is the edit's own prompt, else 0."""

    name = "exact"
    calibrated = False
    version = "1"

    def score(self, query: Query, candidates: Sequence[Candidate]) -> list[float]:
        """Returns 1 for an edit whose prompt is the query, as the memory compares texts."""
        return [float(same_text(query.text, candidate.edit.prompt)) for candidate in candidates]

    def threshold(self, error_budget: float | None = None) -> float:
        """Returns 0.5; a look-up has no errors to budget."""
        del error_budget
        return 0.5


class NearestAlways:
    """Implements ScopeClassifier: 1 for the nearest edit by cosine, however far, else 0."""

    name = "dense"
    calibrated = False
    version = "1"

    def score(self, query: Query, candidates: Sequence[Candidate]) -> list[float]:
        """Returns 1 for the first by cosine."""
        del query
        return [float(candidate.rank == 0) for candidate in candidates]

    def threshold(self, error_budget: float | None = None) -> float:
        """Returns 0.5; it keeps no budget."""
        del error_budget
        return 0.5


BASELINES: dict[str, Callable[[Encoder], ScopeClassifier]] = {
    "exact": lambda _: ExactLookup(),
    "dense": lambda _: NearestAlways(),
}


def known_scopes() -> tuple[str, ...]:
    """The names that `--scope` takes."""
    return (OURS, *CLASSIFIERS, *BASELINES, BM25)


def make_scope(name: str, encoder: Encoder) -> ScopeClassifier:
    """Makes a classifier by name. Raises InvalidInput that lists the known ones."""
    if name not in CLASSIFIERS and name not in BASELINES:
        raise InvalidInput(
            f"unknown scope {name!r}; known are {', '.join(known_scopes())}", field="scope"
        )
    return named({**CLASSIFIERS, **BASELINES}, name, "scope")(encoder)
