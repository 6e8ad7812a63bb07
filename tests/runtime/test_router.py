"""The router's decisions, as properties over any scores and by hand at the borders."""

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from memory.record import (
    Candidate,
    Edit,
    EditId,
    EditsPolicy,
    Namespace,
    RejectReason,
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
