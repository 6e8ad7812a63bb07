"""The router's decisions, as properties over any scores and by hand at the borders."""

from dataclasses import replace
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memory.record import (
    Candidate,
    Edit,
    EditId,
    EditsPolicy,
    EditState,
    Namespace,
    RejectReason,
    Route,
    RouteKind,
    ScopeDecision,
)
from runtime.router import choose_route


def decision(
    score: float, *, threshold: float = 0.5, cosine: float = 0.0, name: str = "e", sequence: int = 1
) -> ScopeDecision:
    edit = Edit(
        id=EditId(name),
        namespace=Namespace("default"),
        subject="S",
        prompt="S is",
        target="T",
        sequence=sequence,
    )
    candidate = Candidate(edit=edit, cosine=cosine, rank=0, by_vector=True, by_subject=False)
    return ScopeDecision(candidate=candidate, score=score, threshold=threshold)


scores = st.lists(st.floats(0, 1), max_size=12).map(
    lambda values: [decision(v, name=f"e{n}") for n, v in enumerate(values)]
)


@given(scores, st.integers(1, 5))
def test_every_candidate_is_a_hit_or_a_rejection_with_a_reason(
    decisions: list[ScopeDecision], edits_max: int
) -> None:
    route = choose_route(decisions, policy=EditsPolicy.AUTO, path="p", edits_max=edits_max)
    hits = [d.candidate.edit.id for d in route.hits]
    rejected = [r.decision.candidate.edit.id for r in route.rejections]
    assert sorted(d.candidate.edit.id for d in decisions) == sorted(hits + rejected)
    assert len(hits) <= edits_max
    assert (RouteKind.EDITED if hits else RouteKind.BASE) is route.kind
    assert ("p" if hits else "base") == route.path
    for rejection in route.rejections:
        below = rejection.decision.score < rejection.decision.threshold
        expected = RejectReason.BELOW_THRESHOLD if below else RejectReason.OUTRANKED
        assert expected is rejection.reason


@given(scores, st.randoms())
def test_the_order_of_candidates_does_not_matter(
    decisions: list[ScopeDecision], random: Random
) -> None:
    shuffled = list(decisions)
    random.shuffle(shuffled)
    one = choose_route(decisions, policy=EditsPolicy.AUTO, path="p", edits_max=3)
    other = choose_route(shuffled, policy=EditsPolicy.AUTO, path="p", edits_max=3)
    assert one == other


def test_a_score_exactly_at_the_threshold_is_a_hit() -> None:
    at, just_below = decision(0.5, name="at"), decision(0.5 - 1e-12, name="below")
    route = choose_route([just_below, at], policy=EditsPolicy.AUTO, path="p", edits_max=4)
    assert ["at"] == [d.candidate.edit.id for d in route.hits]


def test_of_equal_scores_the_nearer_then_the_newer_edit_wins() -> None:
    far = decision(0.9, cosine=0.1, name="far", sequence=9)
    old = decision(0.9, cosine=0.7, name="old", sequence=1)
    new = decision(0.9, cosine=0.7, name="new", sequence=2)
    route = choose_route([far, old, new], policy=EditsPolicy.AUTO, path="p", edits_max=3)
    assert ["new", "old", "far"] == [d.candidate.edit.id for d in route.hits]


@given(scores)
def test_off_is_base_whatever_the_scores(decisions: list[ScopeDecision]) -> None:
    route = choose_route(decisions, policy=EditsPolicy.OFF, path="p", edits_max=3)
    assert RouteKind.BASE is route.kind
    assert () == route.hits
    assert all(r.reason is RejectReason.POLICY_OFF for r in route.rejections)


def test_force_uses_the_named_edits_in_their_order_whatever_their_scores() -> None:
    named = [decision(0.0, name="a"), decision(1.0, name="b"), decision(0.2, name="c")]
    route = choose_route(named, policy=EditsPolicy.FORCE, path="p", edits_max=2)
    assert RouteKind.EDITED is route.kind
    assert ["a", "b"] == [d.candidate.edit.id for d in route.hits]
    assert [RejectReason.OUTRANKED] == [r.reason for r in route.rejections]


def test_the_reason_names_best_score_and_threshold() -> None:
    route = choose_route([decision(0.25)], policy=EditsPolicy.AUTO, path="p", edits_max=1)
    assert "0.250" in route.reason
    assert "0.500" in route.reason
    empty = choose_route([], policy=EditsPolicy.AUTO, path="p", edits_max=1)
    assert "No edit came near this query." == empty.reason


def held(name: str, score: float, edition: int = 2) -> ScopeDecision:
    """A hit that the weights of an edition hold."""
    found = decision(score, name=name)
    edit = replace(found.candidate.edit, state=EditState.CONSOLIDATED, edition=edition)
    return replace(found, candidate=replace(found.candidate, edit=edit))


def auto(decisions: list[ScopeDecision], edition: int) -> Route:
    return choose_route(decisions, policy=EditsPolicy.AUTO, path="p", edits_max=4, edition=edition)


def test_a_best_hit_that_the_weights_hold_is_answered_by_them() -> None:
    route = auto([decision(0.7, name="a"), held("b", 0.9)], edition=2)
    assert (route.kind, route.path, route.hits) == (RouteKind.BASE, "base", ())
    assert "the weights of edition 2 hold the best" in route.reason
    assert [(r.decision.candidate.edit.id, r.reason) for r in route.rejections] == [
        ("b", RejectReason.CONSOLIDATED),
        ("a", RejectReason.OUTRANKED),
    ]


def test_a_better_hit_that_they_do_not_hold_takes_its_path_without_the_held_ones() -> None:
    route = auto([decision(0.9, name="a"), held("b", 0.8), decision(0.6, name="c")], edition=2)
    assert route.kind is RouteKind.EDITED
    assert [hit.candidate.edit.id for hit in route.hits] == ["a", "c"]
    assert route.rejections[0].reason is RejectReason.CONSOLIDATED


@given(scores, st.sets(st.integers(0, 11)))
def test_a_corrected_edit_is_never_used_and_the_reason_counts_it(
    decisions: list[ScopeDecision], numbers: set[int]
) -> None:
    in_scope = [d for d in decisions if d.accepted]
    outdated = {
        d.candidate.edit.id for d in in_scope[1:] if int(d.candidate.edit.id[1:]) in numbers
    }
    route = choose_route(
        decisions, policy=EditsPolicy.AUTO, path="p", edits_max=12, corrected=outdated
    )
    told = {r.decision.candidate.edit.id for r in route.rejections if r.reason.value == "corrected"}
    assert told == outdated
    assert len(route.hits) == len(in_scope) - len(outdated)
    assert ("that a later one corrects" in route.reason) == bool(outdated)


def test_weights_that_hold_a_corrected_edit_do_not_answer() -> None:
    decisions = [held("old", 0.9), decision(0.7, name="new")]
    route = choose_route(
        decisions, policy=EditsPolicy.AUTO, path="p", edits_max=4, edition=2,
        corrected={EditId("old")},
    )  # fmt: skip
    assert [hit.candidate.edit.id for hit in route.hits] == ["new"]
    assert [r.reason for r in route.rejections] == [RejectReason.CORRECTED]


def test_weights_that_hold_a_corrected_edit_too_leave_the_later_one_to_memory() -> None:
    decisions = [held("new", 0.9), held("old", 0.8), decision(0.7, name="another")]
    route = choose_route(
        decisions, policy=EditsPolicy.AUTO, path="p", edits_max=4, edition=2,
        corrected={EditId("old")},
    )  # fmt: skip
    assert [hit.candidate.edit.id for hit in route.hits] == ["new", "another"]
    assert [r.reason for r in route.rejections] == [RejectReason.CORRECTED]


def test_weights_that_hold_the_later_edit_alone_answer() -> None:
    decisions = [held("new", 0.9), decision(0.8, name="old"), held("older", 0.7, edition=1)]
    route = choose_route(
        decisions, policy=EditsPolicy.AUTO, path="p", edits_max=4, edition=2,
        corrected={EditId("old"), EditId("older")},
    )  # fmt: skip
    assert route.kind is RouteKind.BASE


@pytest.mark.parametrize("edition", [0, 1, 3])
def test_an_edit_of_another_edition_is_routed_like_any_other(edition: int) -> None:
    route = auto([held("b", 0.9, edition=2)], edition=edition)
    assert [hit.candidate.edit.id for hit in route.hits] == ["b"]


def test_a_held_edit_below_the_threshold_is_just_out_of_scope() -> None:
    route = auto([held("b", 0.3)], edition=2)
    assert route.rejections[0].reason is RejectReason.BELOW_THRESHOLD


def test_a_forced_edit_takes_its_path_also_when_the_weights_hold_it() -> None:
    route = choose_route(
        [held("b", 1.0)], policy=EditsPolicy.FORCE, path="in_context", edits_max=2, edition=2
    )
    assert [hit.candidate.edit.id for hit in route.hits] == ["b"]
