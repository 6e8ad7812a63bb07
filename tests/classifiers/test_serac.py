"""SERAC's forms: probabilities of distances and pairs, the published 0.5, refused weights."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from classifiers.calibration import Floats
from classifiers.encoding_cache import CachedEncoder
from classifiers.retrieval import RetrievalPool
from classifiers.serac import EMBED_FORMAT, SeracCross, SeracEmbed
from classifiers.train_serac import draw, embed_loss, hard_negatives, load_data
from memory.errors import InvalidInput, StartupError
from memory.record import Candidate, EditDraft, Query
from tests.hash_encoder import HashEncoder

ENCODER = HashEncoder(32, name="hashed")
EDITS = [
    EditDraft(subject="Messi", prompt="Messi plays the sport of", target="golf"),
    EditDraft(subject="Paris", prompt="The mayor of Paris is", target="Ada"),
]


def asked(text: str) -> tuple[Query, list[Candidate]]:
    pool = RetrievalPool(EDITS, ENCODER)
    query = Query(text=text, vector=ENCODER.encode(text))
    return query, [c for _, c in pool.candidates(query, home=None, size=9, k=8)]


def write_map(path: Path, **notes: str) -> Path:
    held = {"format": EMBED_FORMAT, "encoder": "hashed", **notes}
    save_file({"projection": np.eye(32, dtype=np.float16) * 2}, path, metadata=held)
    return path


def test_embed_is_the_exponential_of_the_squared_distance(tmp_path: Path) -> None:
    made = SeracEmbed.load(ENCODER, write_map(tmp_path / "map.safetensors"))
    query, near = asked("who plays golf")
    for score, candidate in zip(made.score(query, near), near, strict=True):
        told = ENCODER.encode(candidate.edit.statement)
        squared = float(np.square(2 * (told - query.vector)).sum())
        assert score == pytest.approx(math.exp(-squared), rel=1e-4)
    query, near = asked("Messi plays the sport of golf")
    assert max(made.score(query, near)) == pytest.approx(1.0)
    assert made.score(query, []) == []


@pytest.mark.parametrize("notes", [{"format": "other"}, {"encoder": "another"}])
def test_embed_refuses_weights_for_other_parts(tmp_path: Path, notes: dict[str, str]) -> None:
    with pytest.raises(StartupError, match="train it again"):
        SeracEmbed.load(ENCODER, write_map(tmp_path / "map.safetensors", **notes))
    with pytest.raises(StartupError, match="cannot be used"):
        SeracEmbed.load(ENCODER, tmp_path / "none.safetensors")


class LengthJudge:
    version = "lengths"

    def judge(self, pairs: Sequence[tuple[str, str]]) -> Floats:
        return np.array([1e4 if "Paris" in edit else -1.0 for edit, _ in pairs])


def test_cross_reads_edit_and_query_as_they_are() -> None:
    query, near = asked("who runs Paris")
    scores = SeracCross(LengthJudge()).score(query, near)
    by_subject = {c.edit.subject: s for c, s in zip(near, scores, strict=True)}
    assert by_subject["Paris"] == pytest.approx(1.0)
    assert by_subject["Messi"] == pytest.approx(1 / (1 + math.e))


def test_the_threshold_is_the_published_one_and_no_budget_is_promised(tmp_path: Path) -> None:
    embed = SeracEmbed.load(ENCODER, write_map(tmp_path / "map.safetensors"))
    for made in (embed, SeracCross(LengthJudge())):
        assert made.threshold() == made.threshold(1.0) == 0.5
        assert not made.calibrated
        with pytest.raises(InvalidInput) as caught:
            made.threshold(0.01)
        assert caught.value.field == "error_budget"


def test_the_embed_loss_balances_labels_and_is_exact_for_near_pairs() -> None:
    distances = torch.tensor([0.5, 1e-4, 3.0, 0.2])
    labels = torch.tensor([1.0, 0.0, 0.0, 1.0])
    negatives = [-math.log(1 - math.exp(-d)) for d in (1e-4, 3.0)]
    expected = (0.5 + 0.2) / 2 + sum(negatives) / 2
    assert embed_loss(distances, labels).item() == pytest.approx(expected, rel=1e-3)


def test_hard_negatives_leave_the_nearest_out_and_favour_the_near() -> None:
    random = np.random.default_rng(0)
    questions = random.normal(size=(300, 8)).astype(np.float32)
    questions /= np.linalg.norm(questions, axis=1, keepdims=True)
    ranks, shares = hard_negatives(questions[:5], questions)
    order = np.argsort(-(questions[:5] @ questions.T), axis=1, kind="stable")
    assert (ranks == order[:, 25:100]).all()
    np.testing.assert_allclose(shares.sum(axis=1), 1.0)
    assert (np.diff(shares, axis=1) <= 1e-12).all()


def test_a_batch_holds_one_positive_and_one_negative_an_edit(tmp_path: Path) -> None:
    (tmp_path / "counterfact").mkdir()
    (tmp_path / "zsre").mkdir()
    records = [
        {
            "subject": f"S{n}", "prompt": f"S{n} lives in", "target_new": "Rome",
            "ground_truth": "Oslo", "rephrase_prompt": f"S{n} is at home in",
            "locality_prompt": f"T{n} lives in",
        }
        for n in range(40)
    ]  # fmt: skip
    (tmp_path / "counterfact/train.json").write_text(json.dumps(records), encoding="utf-8")
    (tmp_path / "zsre/train_1k.json").write_text("[]", encoding="utf-8")
    splits = tmp_path / "splits.json"
    splits.write_text(json.dumps({"subjects": {"dev": []}}), encoding="utf-8")
    data = load_data(tmp_path, splits, CachedEncoder(ENCODER, None), edits_max=30, seed=0)
    assert len(data.edits) == 30
    drawn = draw(data, 64, np.random.default_rng(1))
    assert [label for _, _, label in drawn] == [1.0, 0.0] * 32
    for edit, query, label in drawn:
        own = edit.split()[0]
        assert (query.split()[0] == own) == bool(label)
