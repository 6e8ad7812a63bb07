"""The router: scored candidates and a policy in, a route out. Pure; it reads nothing else.

The comparison of score and threshold is `ScopeDecision.accepted`; this file only orders the hits,
keeps at most as many as the path can use, and says why every other candidate was left out.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from memory.record import (
    EDITION_BASE,
    Edit,
    EditId,
    EditsPolicy,
    EditState,
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
    edition: int = EDITION_BASE,
    corrected: Collection[EditId] = (),
) -> Route:
    """Decides one request's route.

    `decisions` are the scored candidates in any order; with FORCE they are the named edits, used in
    the order given. `edits_max` (>= 1) is what the path can use in one answer. `edition` is the
    weights that answer: hits that they hold need no path. `corrected` are edits in scope for which
    a later one in scope speaks (runtime/later.py); they are not used.
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
    return _automatic_route(
        decisions, path=path, edits_max=edits_max, edition=edition, corrected=corrected
    )


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


def _automatic_route(
    decisions: Sequence[ScopeDecision],
    *,
    path: str,
    edits_max: int,
    edition: int,
    corrected: Collection[EditId],
) -> Route:
    ordered = _by_score(decisions)
    in_scope = [d for d in ordered if d.accepted]
    outdated = [
        Rejection(decision=d, reason=RejectReason.CORRECTED)
        for d in in_scope
        if d.candidate.edit.id in corrected
    ]
    below = [
        Rejection(decision=d, reason=RejectReason.BELOW_THRESHOLD)
        for d in ordered
        if not d.accepted
    ]
    if not in_scope:
        return Route(
            kind=RouteKind.BASE,
            path=BASE_PATH,
            rejections=tuple(below),
            reason=_why_base(below),
        )
    counted = [d for d in in_scope if d.candidate.edit.id not in corrected]
    # Weights that hold the corrected edit too may answer with either: then memory speaks.
    torn = any(is_held(r.decision.candidate.edit, edition) for r in outdated)
    by_weights = [d for d in counted if not torn and is_held(d.candidate.edit, edition)]
    held = [Rejection(decision=d, reason=RejectReason.CONSOLIDATED) for d in by_weights]
    if counted[0] in by_weights:
        return _held_route(counted, held, [*outdated, *below], edition)
    routed = [d for d in counted if d not in by_weights]
    used, outranked = routed[:edits_max], routed[edits_max:]
    return Route(
        kind=RouteKind.EDITED,
        path=path,
        hits=tuple(used),
        rejections=(
            *(Rejection(decision=d, reason=RejectReason.OUTRANKED) for d in outranked),
            *held,
            *outdated,
            *below,
        ),
        reason=(
            f"In scope of {_count(len(counted), 'edit')}{_besides(outdated)}; the best scores "
            f"{counted[0].score:.3f}, threshold {counted[0].threshold:.3f}."
        ),
    )


def is_held(edit: Edit, edition: int) -> bool:
    """Whether the weights of an edition hold the edit, so that it is answered at base cost."""
    return edit.state is EditState.CONSOLIDATED and edit.edition == edition != EDITION_BASE


def _held_route(
    counted: Sequence[ScopeDecision],
    held: Sequence[Rejection],
    others: Sequence[Rejection],
    edition: int,
) -> Route:
    """The best hit stands in the weights: they answer by themselves."""
    best = counted[0]
    outranked = [
        Rejection(decision=d, reason=RejectReason.OUTRANKED)
        for d in counted
        if not is_held(d.candidate.edit, edition)
    ]
    return Route(
        kind=RouteKind.BASE,
        path=BASE_PATH,
        rejections=(*held, *outranked, *others),
        reason=(
            f"In scope of {_count(len(counted), 'edit')}; the weights of edition {edition} hold "
            f"the best, which scores {best.score:.3f}, threshold {best.threshold:.3f}."
        ),
    )


def only_used(route: Route, used: set[EditId]) -> Route:
    """Returns the route with the hits that did not fit the model's context among its rejections."""
    if route.kind is RouteKind.BASE or all(d.candidate.edit.id in used for d in route.hits):
        return route
    kept = tuple(d for d in route.hits if d.candidate.edit.id in used)
    dropped = tuple(
        Rejection(decision=d, reason=RejectReason.OUTRANKED)
        for d in route.hits
        if d.candidate.edit.id not in used
    )
    return replace(
        route,
        hits=kept,
        rejections=(*dropped, *route.rejections),
        reason=f"{route.reason} {len(dropped)} did not fit the model's context.",
    )


def _besides(outdated: Sequence[Rejection]) -> str:
    if not outdated:
        return ""
    return f" and of {_count(len(outdated), 'earlier one')} that a later one corrects"


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
