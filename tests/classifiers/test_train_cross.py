"""A training run resumes where it stopped, and never another run's."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from classifiers.cross_pairs import PairBatch, PairTokenizer
from classifiers.fit_cross import TrainableCross
from classifiers.train_cross import Lessons, train
from tests.tiny_minilm import tiny_encoder

PAIRS = [("x was born in = Paris", "Where was x born?"), ("x plays = jazz", "What is x?")]


class TwoLessons(Lessons):
    """The same two pairs again and again; notes where runs begin."""

    def __init__(self, folder: Path) -> None:
        self._batch = PairTokenizer(folder).batch(PAIRS)
        self.began: list[int] = []

    def start_at(self, step: int) -> None:
        self.began.append(step)

    def next(self) -> tuple[PairBatch, torch.Tensor]:
        return self._batch, torch.tensor([1.0, 0.0])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_encoder(tmp_path_factory.mktemp("encoder"))


def run(folder: Path, checkpoint: Path, *, seed: int = 1, steps: int = 3) -> list[int]:
    """Trains; returns the steps at which lessons were begun."""
    lessons = TwoLessons(folder)
    train(
        TrainableCross(folder, frozen_blocks=1), lessons,
        steps=steps, rate=1e-3, checkpoint=checkpoint, run={"seed": seed, "start": None},
    )  # fmt: skip
    return lessons.began


def test_a_run_goes_on_from_its_checkpoint(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("classifiers.train_cross.CHECKPOINT_SECONDS", -1.0)
    checkpoint = tmp_path / "cross.ckpt"
    assert [0] == run(folder, checkpoint)
    assert [3] == run(folder, checkpoint)


def test_the_checkpoint_of_another_run_is_refused(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("classifiers.train_cross.CHECKPOINT_SECONDS", -1.0)
    checkpoint = tmp_path / "cross.ckpt"
    run(folder, checkpoint)
    for other in ({"seed": 2}, {"steps": 4}):
        with pytest.raises(ValueError, match="name another file"):
            run(folder, checkpoint, **other)
