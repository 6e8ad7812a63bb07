"""The errors that are most worth reading: those the router or the path was surest of."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from evaluation.outcome import Outcome
from evaluation.probes import Scope

SHOWN = 20


def worst_cases(
    outcomes: Sequence[Outcome], *, routes: bool = True
) -> Iterator[tuple[str, list[Outcome]]]:
    """Yields (what went wrong, the worst of it), for each kind of error that there is.

    Without `routes` nothing was to be routed: edits in the weights, or none.
    """
    inside = [o for o in outcomes if o.probe.scope is Scope.INSIDE]
    outside = [o for o in outcomes if o.probe.scope is Scope.OUTSIDE and not o.covered]
    missed = [o for o in inside if not o.edited]
    wrong = [o for o in inside if o.wrong]
    false = [o for o in outside if o.wrong]
    reached = [o for o in inside if o.right or not routes]
    garbled = [o for o in reached if o.asked.said is not None and not o.exact]
    for title, of, reverse in (
        ("In scope, not routed (the least probable first)", missed if routes else [], False),
        ("In scope, routed to the wrong edit", wrong, True),
        ("Out of scope, routed to an edit (the surest first)", false, True),
        ("Edited, not answered with the target", garbled, True),
    ):
        if of:
            ordered = sorted(of, key=_own if not reverse else _best, reverse=reverse)
            yield f"{title}: {len(of)}", ordered[:SHOWN]


def _own(outcome: Outcome) -> float:
    return outcome.asked.routed.own_score


def _best(outcome: Outcome) -> float:
    return outcome.asked.routed.best_score
