"""The two trivial rules that every report carries."""

from __future__ import annotations

import numpy as np
import pytest

from classifiers.subject_rule import CosineThreshold, SubjectRule
from memory.errors import InvalidInput
from memory.record import DEFAULT_NAMESPACE, Candidate, Edit, EditId, Query, ScopeDecision

QUERY = Query(text="Messi plays", vector=np.ones(1, dtype=np.float32))
EDIT = Edit(
    id=EditId("e-1"), namespace=DEFAULT_NAMESPACE, subject="Messi", prompt="Messi is", target="x"
)


def candidate(cosine: float, *, by_subject: bool) -> Candidate:
    return Candidate(edit=EDIT, cosine=cosine, rank=0, by_vector=True, by_subject=by_subject)


def test_the_subject_rule_accepts_mentions_and_nothing_else() -> None:
    rule = SubjectRule()
    pair = [candidate(0.1, by_subject=True), candidate(0.99, by_subject=False)]
    scores = rule.score(QUERY, pair)
    accepted = [
        ScopeDecision(candidate=c, score=s, threshold=rule.threshold()).accepted
        for c, s in zip(pair, scores, strict=True)
    ]
    assert accepted == [True, False]


def test_the_cosine_rule_accepts_from_its_cosine_on() -> None:
    rule = CosineThreshold(0.5)
    scores = rule.score(QUERY, [candidate(c, by_subject=False) for c in (0.49, 0.5, 1.0000001)])
    assert [score >= rule.threshold() for score in scores] == [False, True, True]
    assert max(scores) <= 1.0


@pytest.mark.parametrize("rule", [SubjectRule(), CosineThreshold()])
def test_uncalibrated_rules_promise_no_budget(rule: SubjectRule | CosineThreshold) -> None:
    assert not rule.calibrated
    with pytest.raises(InvalidInput, match="not calibrated"):
        rule.threshold(0.01)
    assert rule.score(QUERY, []) == []
