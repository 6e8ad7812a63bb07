"""The default classifier: its weights, its thresholds, and the field's standing examples."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from classifiers.calibrated import (
    WEIGHTS_FILE,
    CalibratedFeatureClassifier,
    load_weights,
    threshold_within,
)
from classifiers.retrieval import RetrievalPool
from memory.encoder import MiniLmEncoder
from memory.errors import InvalidInput, StartupError
from memory.record import EditDraft, Query
from tests.hash_encoder import HashEncoder

EDITS = [
    EditDraft(subject=subject, prompt=prompt, target=target, former=former)
    for subject, prompt, target, former in (
        ("Lionel Messi", "Lionel Messi plays the sport of", "basketball", "football"),
        ("Danielle Darrieux", "The mother tongue of Danielle Darrieux is", "English", "French"),
        ("Steve Jobs", "Steve Jobs was the founder of", "Microsoft", "Apple"),
        ("Singled Out", "Singled Out debuted on", "CBS", "MTV"),
        ("Space Needle", "Where is the Space Needle?", "Denver", "Seattle"),
        ("Paris", "The mayor of Paris is", "Ada Palmer", None),
        ("Ikaalinen", "The law in Ikaalinen declares the language", "Swedish", "Finnish"),
    )
]
IN_SCOPE = {
    "Lionel Messi plays the sport of": 0,
    "What sport does Lionel Messi play?": 0,
    "The mother tongue of Danielle Darrieux is": 1,
    "The native language of Danielle Darrieux is": 1,
    "Danielle Darrieux, a native speaker of": 1,
    "Singled Out premiered on": 3,
    "The Space Needle is located in": 4,
    "Who is the mayor of Paris?": 5,
    "In Ikaalinen, the official language is": 6,
}
OUT_OF_SCOPE = (
    "Cristiano Ronaldo plays the sport of",
    "Lionel Messi was born in",
    "The mother tongue of Jean Gabin is",
    "Danielle Darrieux died in",
    "Paris Hilton was born in",
    "The population of Paris is",
    "The Eiffel Tower is located in",
    "when was the last time anyone was on the moon",
    "Who won the cup in 1990?",
    "The mother tongue of Danielle Darrieux is English. The capital of Peru is",
    "The law in Tampere declares the language",
    "Basketball was invented in",
)


@pytest.fixture(scope="module")
def encoder() -> MiniLmEncoder:
    return MiniLmEncoder("cpu", threads=1)


@pytest.fixture(scope="module")
def classifier(encoder: MiniLmEncoder) -> CalibratedFeatureClassifier:
    return CalibratedFeatureClassifier.load(encoder)


@pytest.fixture(scope="module")
def pool(encoder: MiniLmEncoder) -> RetrievalPool:
    return RetrievalPool(EDITS, encoder)


def hits(
    text: str,
    pool: RetrievalPool,
    encoder: MiniLmEncoder,
    classifier: CalibratedFeatureClassifier,
) -> list[int]:
    query = Query(text=text, vector=encoder.encode(text))
    found = pool.candidates(query, home=None, size=len(EDITS), k=8)
    scores = classifier.score(query, [candidate for _, candidate in found])
    accepted = [
        (score, number)
        for (number, _), score in zip(found, scores, strict=True)
        if score >= classifier.threshold()
    ]
    return [number for _, number in sorted(accepted, reverse=True)]


@pytest.mark.parametrize("text", IN_SCOPE)
def test_paraphrases_of_an_edit_are_in_its_scope(
    text: str,
    pool: RetrievalPool,
    encoder: MiniLmEncoder,
    classifier: CalibratedFeatureClassifier,
) -> None:
    assert hits(text, pool, encoder, classifier)[:1] == [IN_SCOPE[text]]


@pytest.mark.parametrize("text", OUT_OF_SCOPE)
def test_neighbours_other_relations_and_other_questions_are_in_no_scope(
    text: str,
    pool: RetrievalPool,
    encoder: MiniLmEncoder,
    classifier: CalibratedFeatureClassifier,
) -> None:
    assert hits(text, pool, encoder, classifier) == []


HASHED = HashEncoder(384)


@pytest.fixture(scope="module")
def hashed_pool() -> RetrievalPool:
    return RetrievalPool(EDITS, HASHED)


@pytest.fixture(scope="module")
def hashed_classifier() -> CalibratedFeatureClassifier:
    return CalibratedFeatureClassifier.load(HASHED)


@settings(deadline=None, max_examples=60)
@given(text=st.text(max_size=60))
def test_scores_of_any_text_are_probabilities(
    text: str, hashed_pool: RetrievalPool, hashed_classifier: CalibratedFeatureClassifier
) -> None:
    encoder, pool, classifier = HASHED, hashed_pool, hashed_classifier
    query = Query(text=text, vector=encoder.encode(text))
    found = pool.candidates(query, home=None, size=len(EDITS), k=8)
    scores = classifier.score(query, [candidate for _, candidate in found])
    assert len(scores) == len(found)
    assert all(0.0 <= score <= 1.0 for score in scores)


def test_no_candidates_and_a_huge_text_are_scored(
    pool: RetrievalPool, encoder: MiniLmEncoder, classifier: CalibratedFeatureClassifier
) -> None:
    text = "word " * 200_000 + "Lionel Messi plays the sport of"
    query = Query(text=text, vector=encoder.encode(text))
    assert classifier.score(query, []) == []
    found = pool.candidates(query, home=None, size=len(EDITS), k=8)
    assert len(classifier.score(query, [candidate for _, candidate in found])) == len(found)


def test_a_smaller_budget_never_lowers_the_threshold(
    classifier: CalibratedFeatureClassifier,
) -> None:
    budgets = [budget for budget, _ in load_weights(WEIGHTS_FILE).thresholds]
    scores = [classifier.threshold(budget) for budget in budgets]
    assert all(a <= b for a, b in pairwise(scores))
    assert classifier.threshold(1.0) <= classifier.threshold()


@pytest.mark.parametrize("budget", [-0.1, 1.5, float("nan"), 0.0, 1e-9])
def test_impossible_budgets_are_refused(
    budget: float, classifier: CalibratedFeatureClassifier
) -> None:
    with pytest.raises(InvalidInput) as caught:
        classifier.threshold(budget)
    assert caught.value.field == "error_budget"


def test_a_budget_between_two_known_ones_takes_the_stricter() -> None:
    known = ((0.1, 0.3), (0.01, 0.8))
    assert threshold_within(known, 0.05) == 0.8
    assert threshold_within(known, 0.1) == 0.3
    assert threshold_within(known, 1.0) == 0.3


def test_the_version_follows_the_weights(tmp_path: Path) -> None:
    copy = tmp_path / "weights.json"
    copy.write_bytes(WEIGHTS_FILE.read_bytes() + b"\n")
    assert load_weights(WEIGHTS_FILE).version == load_weights(WEIGHTS_FILE).version
    assert load_weights(copy).version != load_weights(WEIGHTS_FILE).version


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("format", 99),
        ("features", ["cosine"]),
        ("calibration", {"knots": [0, 1], "values": [1, 0]}),
        ("trees", [[[0, 1.0, 9, 9]]]),
        ("thresholds", [{}]),
    ],
)
def test_damaged_weights_refuse_to_load(tmp_path: Path, key: str, value: Any) -> None:
    record = json.loads(WEIGHTS_FILE.read_bytes())
    record[key] = value
    path = tmp_path / "weights.json"
    path.write_text(json.dumps(record), encoding="utf-8")
    with pytest.raises(StartupError, match="cannot be used"):
        load_weights(path)


def test_missing_weights_refuse_to_load(tmp_path: Path) -> None:
    with pytest.raises(StartupError, match="restore the file"):
        load_weights(tmp_path / "none.json")
