"""The mean of weights is the mean, keeps what it came from, and mixes nothing that does not fit."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from classifiers.average_cross import area_under_roc, average
from classifiers.cross_encoder import CrossEncoder, notes_of, packed, unpacked
from tests.tiny_minilm import tiny_cross, tiny_encoder

PAIRS = [("x was born in = Paris", "Where was x born?"), ("x plays = jazz", "x")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tiny_encoder(tmp_path_factory.mktemp("encoder"))
    tiny_cross(made, made / "one.safetensors")
    return made


def write(folder: Path, name: str, weights: dict[str, torch.Tensor]) -> Path:
    path = folder / name
    save_file(packed(weights), path, metadata=notes_of(folder, {"seed": name}))
    return path


def test_the_average_is_the_mean_of_the_weights_and_serves(folder: Path) -> None:
    one = unpacked(load_file(folder / "one.safetensors"))
    torch.manual_seed(3)
    other = {name: tensor + 0.1 * torch.randn_like(tensor) for name, tensor in one.items()}
    average(
        [folder / "one.safetensors", write(folder, "other.safetensors", other)],
        folder / "mean.safetensors",
    )
    for name, tensor in unpacked(load_file(folder / "mean.safetensors")).items():
        expected = (one[name] + other[name]) / 2
        torch.testing.assert_close(tensor, expected, atol=0.02, rtol=0.02)
    served = CrossEncoder.load(folder / "mean.safetensors", folder=folder, dtype=torch.float32)
    assert np.isfinite(served.judge(PAIRS)).all()


def test_the_average_says_what_it_was_made_of_and_may_replace_a_part(folder: Path) -> None:
    one = unpacked(load_file(folder / "one.safetensors"))
    paths = [write(folder, name, one) for name in ("a.safetensors", "b.safetensors")]
    average(paths, paths[0])
    with safe_open(str(paths[0]), framework="pt") as file:
        notes = json.loads(file.metadata()["settings"])
    assert [part["settings"]["seed"] for part in notes["average"]] == [
        "a.safetensors",
        "b.safetensors",
    ]
    for name, tensor in unpacked(load_file(paths[0])).items():
        torch.testing.assert_close(tensor, one[name], atol=0.01, rtol=0.01)


def test_what_does_not_fit_is_not_averaged(folder: Path, tmp_path: Path) -> None:
    one = folder / "one.safetensors"
    weights = unpacked(load_file(one))
    fewer = write(folder, "fewer.safetensors", dict(list(weights.items())[1:]))
    elsewhere = tmp_path / "elsewhere.safetensors"
    strange = {**notes_of(folder, {}), "encoder": "another"}
    save_file(packed(weights), elsewhere, metadata=strange)
    for given in ([one], [one, fewer], [one, elsewhere]):
        with pytest.raises(ValueError, match=r"two or more|was not trained for the same parts"):
            average(given, tmp_path / "out.safetensors")
    assert not (tmp_path / "out.safetensors").exists()


def test_the_area_under_the_curve_counts_pairs() -> None:
    rng = np.random.default_rng(0)
    odds = rng.integers(0, 6, size=60).astype(np.float64)
    labels = rng.random(60) < 0.4
    inside, outside = odds[labels][:, None], odds[~labels][None, :]
    pairs = (inside > outside) + 0.5 * (inside == outside)
    assert area_under_roc(odds, labels) == pytest.approx(float(pairs.mean()))
