"""The router: scored candidates and a policy in, a route out. Pure; it reads nothing else.

The comparison of score and threshold is `ScopeDecision.accepted`; this file only orders the hits,
keeps at most as many as the path can use, and says why every other candidate was left out.
"""

from __future__ import annotations

from collections.abc import Sequence

from memory.record import (
    EditsPolicy,
    Rejection,
    RejectReason,
    Route,
    RouteKind,
    ScopeDecision,
)

BASE_PATH = "base"


def choose_route(
    decisions: Sequence[ScopeDecision],
    *,
    policy: EditsPolicy,
    path: str,
    edits_max: int,
) -> Route:
    """Decides one request's route.

    `decisions` are the scored candidates in any order; with FORCE they are the named edits, used in
    the order given. `edits_max` (>= 1) is what the path can use in one answer.
    """
    if policy is EditsPolicy.OFF:
        rejected = tuple(
            Rejection(decision=d, reason=RejectReason.POLICY_OFF) for d in _by_score(decisions)
        )
        return Route(
            kind=RouteKind.BASE,
            path=BASE_PATH,
            rejections=rejected,
            reason="Edits are off for this request.",
        )
    if policy is EditsPolicy.FORCE:
        return _forced_route(decisions, path=path, edits_max=edits_max)
    return _automatic_route(decisions, path=path, edits_max=edits_max)


def _forced_route(decisions: Sequence[ScopeDecision], *, path: str, edits_max: int) -> Route:
    used = tuple(decisions[:edits_max])
    left_out = tuple(
        Rejection(decision=d, reason=RejectReason.OUTRANKED) for d in decisions[edits_max:]
    )
    return Route(
        kind=RouteKind.EDITED,
        path=path,
        hits=used,
        rejections=left_out,
        reason=f"The caller forced {_count(len(used), 'edit')}.",
    )


def _automatic_route(decisions: Sequence[ScopeDecision], *, path: str, edits_max: int) -> Route:
    ordered = _by_score(decisions)
    accepted = [d for d in ordered if d.accepted]
    below = [
        Rejection(decision=d, reason=RejectReason.BELOW_THRESHOLD)
        for d in ordered
        if not d.accepted
    ]
    if not accepted:
        return Route(
            kind=RouteKind.BASE,
            path=BASE_PATH,
            rejections=tuple(below),
            reason=_why_base(below),
        )
    used, outranked = accepted[:edits_max], accepted[edits_max:]
    best = used[0]
    return Route(
        kind=RouteKind.EDITED,
        path=path,
        hits=tuple(used),
        rejections=(
            *(Rejection(decision=d, reason=RejectReason.OUTRANKED) for d in outranked),
            *below,
        ),
        reason=(
            f"In scope of {_count(len(accepted), 'edit')}; the best scores {best.score:.3f}, "
            f"threshold {best.threshold:.3f}."
        ),
    )


def _why_base(below: Sequence[Rejection]) -> str:
    if not below:
        return "No edit came near this query."
    best = below[0].decision
    return (
        f"Out of scope of {_count(len(below), 'candidate')}; the best scores {best.score:.3f}, "
        f"threshold {best.threshold:.3f}."
    )


def _by_score(decisions: Sequence[ScopeDecision]) -> list[ScopeDecision]:
    """Best first; equal scores by cosine, then by the newer edit, then by id (a total order)."""
    return sorted(
        decisions,
        key=lambda d: (
            -d.score,
            -d.candidate.cosine,
            -d.candidate.edit.sequence,
            d.candidate.edit.id,
        ),
    )


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
