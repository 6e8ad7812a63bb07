"""Two stages with hand-made trees: who is judged, what is shown, which weights are refused."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from classifiers.calibration import Floats
from classifiers.retrieval import RetrievalPool
from classifiers.two_stage import (
    FORMAT,
    TwoStageClassifier,
    grey_band,
    load_weights,
)
from classifiers.two_stage_features import CHEAP, JUDGED, cheap_rows, pair_texts
from memory.errors import InvalidInput, StartupError
from memory.record import Candidate, EditDraft, Query
from tests.hash_encoder import HashEncoder
from tests.tiny_minilm import tiny_cross, tiny_encoder

ENCODER = HashEncoder(64, name="hashed")
EDITS = [
    EditDraft(subject=subject, prompt=prompt, target=target)
    for subject, prompt, target in (
        ("Lionel Messi", "Lionel Messi plays the sport of", "basketball"),
        ("Lionel Messi", "Lionel Messi was born in", "Oslo"),
        ("Lionel Messi", "The spouse of Lionel Messi is", "Ida"),
        ("Paris", "The mayor of Paris is", "Ada Palmer"),
    )
]
MENTIONED, CROSS = CHEAP.index("mentioned"), JUDGED.index("cross")


def stump(feature: int, limit: float, low: float, high: float) -> dict[str, Any]:
    return {"start": 0.0, "trees": [[[feature, limit, 1, 2], [low], [high]]]}


def record(**changes: Any) -> dict[str, Any]:
    """Stage one likes mentions, stage two believes the cross-encoder."""
    curve = {"knots": [-4.0, 4.0], "values": [0.02, 0.98]}
    held = {
        "format": FORMAT,
        "cheap": list(CHEAP),
        "judged": list(JUDGED),
        "first": stump(MENTIONED, 0.5, -4.0, 0.0),
        "first_curve": curve,
        "second": stump(CROSS, 0.0, -4.0, 4.0),
        "second_curve": curve,
        "grey_from": -1.0,
        "thresholds": [{"budget": 0.01, "score": 0.9}, {"budget": 0.1, "score": 0.6}],
        "budget_default": 0.01,
        "reliability": [
            {"low": 0.0, "high": 0.1, "n": 9, "mean_probability": 0.05, "share_in_scope": 0.04}
        ],
        "encoder": "hashed",
        "cross": "judge-1",
    }
    return {**held, **changes}


def write(folder: Path, **changes: Any) -> Path:
    path = folder / "two_stage.json"
    path.write_text(json.dumps(record(**changes)), encoding="utf-8")
    return path


class RecordingJudge:
    """Believes in pairs whose query holds a word; notes what it was shown."""

    version = "judge-1"

    def __init__(self, word: str) -> None:
        self._word = word
        self.shown: list[tuple[str, str]] = []

    def judge(self, pairs: Sequence[tuple[str, str]]) -> Floats:
        self.shown += pairs
        return np.array([3.0 if self._word in edit else -3.0 for edit, _ in pairs])


@pytest.fixture(scope="module")
def pool() -> RetrievalPool:
    return RetrievalPool(EDITS, ENCODER)


def asked(text: str, pool: RetrievalPool) -> tuple[Query, list[Candidate]]:
    query = Query(text=text, vector=ENCODER.encode(text))
    return query, [c for _, c in pool.candidates(query, home=None, size=len(EDITS), k=8)]


def classifier(folder: Path, judge: RecordingJudge, pairs_max: int = 4) -> TwoStageClassifier:
    return TwoStageClassifier(load_weights(write(folder)), judge, pairs_max=pairs_max)


def test_a_mentioned_subject_is_judged_by_frames_without_its_name(
    tmp_path: Path, pool: RetrievalPool
) -> None:
    judge = RecordingJudge("sport")
    query, near = asked("What does Lionel Messi play?", pool)
    scores = classifier(tmp_path, judge).score(query, near)
    assert len(judge.shown) == 3  # Paris is not mentioned.
    assert all("Messi" not in edit + asked_of for edit, asked_of in judge.shown)
    assert ("x plays the sport of = basketball", "What does x play?") in judge.shown
    best = near[int(np.argmax(scores))]
    assert best.edit.target == "basketball"
    assert max(scores) > 0.8 > sorted(scores)[-2]


def test_the_judge_reads_no_more_pairs_than_it_may(tmp_path: Path, pool: RetrievalPool) -> None:
    judge = RecordingJudge("sport")
    query, near = asked("What does Lionel Messi play?", pool)
    made = classifier(tmp_path, judge, pairs_max=2)
    made.score(query, near)
    assert len(judge.shown) == 2 == made.pairs_of(query, near)


def test_the_edits_own_prompt_is_in_scope_without_any_judging(
    tmp_path: Path, pool: RetrievalPool
) -> None:
    judge = RecordingJudge("nothing")
    query, near = asked("lionel messi  was born in ...", pool)
    scores = classifier(tmp_path, judge).score(query, near)
    assert judge.shown == []
    assert [c.edit.target for c, s in zip(near, scores, strict=True) if s == 1.0] == ["Oslo"]


@pytest.mark.parametrize(
    "text",
    [
        "What does Lionel Messi play?",
        "Lionel Messi was born in",
        "who won the cup in 1990",
        "Messi",
    ],
)
def test_what_was_foreseen_is_not_judged_again_and_changes_no_score(
    tmp_path: Path, pool: RetrievalPool, text: str
) -> None:
    query, near = asked(text, pool)
    expected = classifier(tmp_path, RecordingJudge("sport")).score(query, near)
    judge = RecordingJudge("sport")
    made = classifier(tmp_path, judge)
    mentioned = [(c.edit, c.mention) for c in near if c.mention]
    foreseen = made.foresee(text, mentioned)
    before = len(judge.shown)
    assert made.score_foreseen(query, near, lambda: foreseen) == expected
    assert made.pairs_of(query, near) - len(foreseen) == len(judge.shown) - before


@pytest.mark.parametrize("ahead", [True, False])
def test_a_query_asked_again_is_not_judged_again_and_scores_the_same(
    tmp_path: Path, pool: RetrievalPool, ahead: bool
) -> None:
    text = "What does Lionel Messi play?"
    query, near = asked(text, pool)
    judge = RecordingJudge("sport")
    made = classifier(tmp_path, judge)
    mentioned = [(c.edit, c.mention) for c in near if c.mention]

    def scores() -> list[float]:
        foreseen = made.foresee(text, mentioned) if ahead else {}
        return made.score_foreseen(query, near, lambda: foreseen)

    first, shown = scores(), len(judge.shown)
    assert shown == 3
    assert scores() == first
    assert len(judge.shown) == shown


def test_too_many_mentions_and_an_edits_own_prompt_are_left_to_the_scoring(
    tmp_path: Path, pool: RetrievalPool
) -> None:
    judge = RecordingJudge("sport")
    _, near = asked("What does Lionel Messi play?", pool)
    named = [(c.edit, "Lionel Messi") for c in near if c.edit.subject == "Lionel Messi"]
    assert len(named) == 3
    assert classifier(tmp_path, judge, pairs_max=2).foresee("Where is Lionel Messi?", named) == {}
    assert classifier(tmp_path, judge).foresee("lionel messi  was born in ...", named) == {}
    assert classifier(tmp_path, judge).foresee("nobody", []) == {}
    assert judge.shown == []
    assert len(classifier(tmp_path, judge).foresee("Where is Lionel Messi?", named)) == 3


def test_where_nobody_is_mentioned_nothing_is_judged(tmp_path: Path, pool: RetrievalPool) -> None:
    judge = RecordingJudge("sport")
    query, near = asked("who won the cup in 1990", pool)
    scores = classifier(tmp_path, judge).score(query, near)
    assert judge.shown == []
    assert max(scores) < 0.1


def test_the_grey_band_holds_the_best_mentions_that_are_not_clear() -> None:
    first = np.array([0.5, -2.0, 0.9, 3.0, 0.9])
    pairs = [("a", "b"), ("a", "b"), ("a", "b"), None, ("a", "b")]
    assert grey_band(first, pairs, -1.0, 9) == [2, 4, 0]
    assert grey_band(first, pairs, -1.0, 2) == [2, 4]
    assert grey_band(first, pairs, 0.9, 9) == [2, 4]
    assert grey_band(first, pairs, 5.0, 9) == []


@settings(deadline=None, max_examples=80)
@given(text=st.text(max_size=80))
def test_scores_of_any_text_are_probabilities(text: str) -> None:
    pool = RetrievalPool(EDITS, ENCODER)
    weights = _weights()
    query, near = asked(text, pool)
    scores = TwoStageClassifier(weights, RecordingJudge("sport")).score(query, near)
    assert len(scores) == len(near)
    assert all(0.0 <= score <= 1.0 for score in scores)


def _weights() -> Any:
    import tempfile  # hypothesis allows no function-scoped folder.

    with tempfile.TemporaryDirectory() as folder:
        return load_weights(write(Path(folder)))


def test_no_candidates_and_a_huge_text_are_scored(tmp_path: Path, pool: RetrievalPool) -> None:
    made = classifier(tmp_path, RecordingJudge("sport"))
    query, near = asked("word " * 100_000 + "What does Lionel Messi play?", pool)
    assert made.score(query, []) == []
    assert made.pairs_of(query, []) == 0
    assert len(made.score(query, near)) == len(near)


def test_thresholds_keep_the_contract(tmp_path: Path) -> None:
    made = classifier(tmp_path, RecordingJudge("sport"))
    assert made.threshold() == made.threshold(0.05) == 0.9
    assert made.threshold(0.1) == made.threshold(1.0) == 0.6
    for budget in (0.001, -0.1, 1.5, float("nan")):
        with pytest.raises(InvalidInput) as caught:
            made.threshold(budget)
        assert caught.value.field == "error_budget"


def test_reliability_is_exposed_for_reports(tmp_path: Path) -> None:
    (only,) = classifier(tmp_path, RecordingJudge("sport")).reliability
    assert (only.low, only.high, only.n) == (0.0, 0.1, 9)


def test_the_version_follows_both_files(tmp_path: Path) -> None:
    first = load_weights(write(tmp_path)).version
    assert first == load_weights(write(tmp_path)).version
    assert first != load_weights(write(tmp_path, grey_from=-2.0)).version
    assert first != load_weights(write(tmp_path, cross="judge-2")).version


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("format", "other"),
        ("cheap", ["cosine"]),
        ("judged", ["cosine"]),
        ("first_curve", {"knots": [0, 1], "values": [1, 0]}),
        ("second", {"start": 0.0, "trees": [[[0, 1.0, 9, 9]]]}),
        ("thresholds", [{}]),
        ("reliability", [{"low": 0.0}]),
    ],
)
def test_damaged_weights_are_refused(tmp_path: Path, key: str, value: Any) -> None:
    with pytest.raises(StartupError, match="cannot be used"):
        load_weights(write(tmp_path, **{key: value}))


def test_weights_of_different_parts_are_refused_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tiny_encoder(tmp_path / "encoder")
    cross_path = tmp_path / "cross.safetensors"
    tiny_cross(folder, cross_path)
    monkeypatch.setattr("classifiers.cross_encoder.encoder_folder", lambda: folder)
    with pytest.raises(StartupError, match=r"judgements of the cross-encoder judge-1, but .* fit"):
        TwoStageClassifier.load(ENCODER, write(tmp_path), cross_path)
    path = write(tmp_path, encoder="another")
    with pytest.raises(StartupError, match="cosines of the encoder another, but hashed is in use"):
        TwoStageClassifier.load(ENCODER, path, cross_path)


def test_cheap_rows_cost_no_encoding(pool: RetrievalPool) -> None:
    query, near = asked("What does Lionel Messi play?", pool)
    before = ENCODER.encoded
    assert cheap_rows(query, near).shape == (len(near), len(CHEAP))
    assert len(pair_texts(query, near, cheap_rows(query, near))) == len(near)
    assert ENCODER.encoded == before


@pytest.mark.parametrize(
    ("text", "words", "asks"),
    [
        ("The mayor of Paris is Ada Palmer. The mayor of Riga is", 5, 1.0),  # Somebody else's.
        ("I like Paris. Who is its mayor?", 0, 0.0),  # Refers back.
        ("Who is the mayor of Paris? One word is enough.", 4, 0.0),
        ("Who is the mayor of Paris?", 0, 0.0),
        ("Who is the mayor of Rome?", 0, 0.0),
    ],
)
def test_what_follows_the_mention_and_does_not_refer_back_is_seen(
    text: str, words: int, asks: float, pool: RetrievalPool
) -> None:
    query, near = asked(text, pool)
    rows = cheap_rows(query, near)
    (row,) = [row for row, c in zip(rows, near, strict=True) if c.edit.subject == "Paris"]
    assert row[CHEAP.index("tail_words")] == pytest.approx(math.log1p(words))
    assert row[CHEAP.index("tail_asks")] == asks


def test_a_name_that_shares_a_word_needs_many_slips(pool: RetrievalPool) -> None:
    slips = {}
    for text in ("Where was Lionel Mesis born?", "Where was Lionel Richie born?"):
        query, near = asked(text, pool)
        rows = cheap_rows(query, near)
        (row, *_) = [r for r, c in zip(rows, near, strict=True) if "Messi" in c.edit.subject]
        slips[text] = row[CHEAP.index("missing_slips")]
    assert list(slips.values()) == [1.0, 4.0]
