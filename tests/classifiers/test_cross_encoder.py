"""What was trained is what serves; padding changes nothing; weights for other parts are refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from classifiers.cross_encoder import CrossEncoder, packed, unpacked
from classifiers.cross_pairs import PairTokenizer
from classifiers.fit_cross import TrainableCross, loss_of
from memory.errors import StartupError
from tests.tiny_minilm import tiny_cross, tiny_encoder

PAIRS = [
    ("x was born in = Paris", "Where was x born?"),
    ("The mother tongue of x is = English", "x, a native speaker of"),
    ("x plays = jazz", "x"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_encoder(tmp_path_factory.mktemp("encoder"))


@pytest.fixture(scope="module")
def trained(folder: Path) -> TrainableCross:
    return tiny_cross(folder, folder / "cross.safetensors")


@pytest.fixture(scope="module")
def served(folder: Path, trained: TrainableCross) -> CrossEncoder:
    del trained  # It wrote the file.
    return CrossEncoder.load(folder / "cross.safetensors", folder=folder, dtype=torch.float32)


def test_serving_agrees_with_training_up_to_the_rounding_of_the_file(
    folder: Path, trained: TrainableCross, served: CrossEncoder
) -> None:
    with torch.no_grad():
        expected = trained(PairTokenizer(folder).batch(PAIRS)).numpy()
    np.testing.assert_allclose(served.judge(PAIRS), expected, atol=0.05)


def test_a_pair_is_judged_the_same_alone_and_among_longer_ones(served: CrossEncoder) -> None:
    together = served.judge([*PAIRS, ("x is = y", "word " * 60)])
    alone = [served.judge([pair])[0] for pair in PAIRS]
    np.testing.assert_allclose(together[: len(PAIRS)], alone, atol=1e-5)


def test_the_two_sides_are_not_interchangeable(served: CrossEncoder) -> None:
    edit, query = PAIRS[0]
    assert served.judge([(edit, query)])[0] != pytest.approx(served.judge([(query, edit)])[0])


def test_no_pairs_and_any_text_are_judged(served: CrossEncoder) -> None:
    assert served.judge([]).shape == (0,)
    odd = served.judge([("", ""), ("\ud800 x", "\x00"), ("x" * 10_000, "? " * 5_000)])
    assert np.isfinite(odd).all()


def test_packing_keeps_each_row_within_half_a_step_of_its_scale() -> None:
    weight = torch.randn(7, 11) * torch.logspace(-3, 3, 7)[:, None]
    tensors = {"block.0.up.weight": weight, "block.0.up.bias": torch.zeros(7)}
    stored = packed(tensors)
    assert stored["block.0.up.weight"].dtype is torch.int8
    back = unpacked(stored)["block.0.up.weight"]
    step = weight.abs().amax(dim=1) / 127
    assert bool(((back - weight).abs() <= 0.51 * step[:, None]).all())


def test_lower_blocks_and_word_vectors_stay_the_encoders_and_are_not_shipped(
    folder: Path, trained: TrainableCross
) -> None:
    names = set(trained.trained())
    assert not any(name.startswith("block.0.") for name in names)
    assert any(name.startswith("block.1.") for name in names)
    assert not any("embedding" in name for name in names)
    with safe_open(str(folder / "cross.safetensors"), framework="pt") as held:
        assert names <= set(held.keys())


def test_weights_for_another_encoder_are_refused_with_what_to_do(
    folder: Path, served: CrossEncoder, tmp_path: Path
) -> None:
    del served
    other = tiny_encoder(tmp_path / "other", seed=5)
    with pytest.raises(StartupError, match=r"was trained for the encoder .* train it again"):
        CrossEncoder.load(folder / "cross.safetensors", folder=other)


@pytest.mark.parametrize("damage", ["missing", "cut", "format", "tensor"])
def test_damaged_weights_are_refused(
    folder: Path, served: CrossEncoder, tmp_path: Path, damage: str
) -> None:
    del served
    path = tmp_path / "cross.safetensors"
    whole = folder / "cross.safetensors"
    with safe_open(str(whole), framework="pt") as held:
        notes = dict(held.metadata())
        tensors = {name: held.get_tensor(name) for name in list(held.keys())}
    if damage == "cut":
        path.write_bytes(whole.read_bytes()[:-100])
    elif damage == "format":
        save_file(tensors, path, metadata={**notes, "format": "other"})
    elif damage == "tensor":
        del tensors["head.last.weight"]
        save_file(tensors, path, metadata=notes)
    with pytest.raises(StartupError, match="cannot be used"):
        CrossEncoder.load(path, folder=folder)


def test_the_balanced_loss_weighs_both_labels_alike() -> None:
    odds = torch.tensor([2.0, -1.0, -1.0, -1.0])
    labels = torch.tensor([1.0, 0.0, 0.0, 0.0])
    expected = torch.log1p(torch.exp(torch.tensor(-2.0))) + torch.log1p(
        torch.exp(torch.tensor(-1.0))
    )
    assert loss_of(odds, labels, balanced=True).item() == pytest.approx(expected.item())
    plain = loss_of(odds, labels, balanced=False).item()
    assert plain == pytest.approx(
        (torch.log1p(torch.exp(torch.tensor(-2.0))) / 4).item()
        + 3 / 4 * torch.log1p(torch.exp(torch.tensor(-1.0))).item()
    )


def test_training_goes_on_from_a_weights_file(tmp_path: Path) -> None:
    folder = tiny_encoder(tmp_path / "encoder")
    path = tmp_path / "cross.safetensors"
    written = tiny_cross(folder, path)
    fresh = TrainableCross(folder, frozen_blocks=1)
    fresh.start_from(path)
    wanted = written.trained()
    for name, tensor in fresh.trained().items():
        # Up to the rounding of 8-bit matrices, and of fp16 for the rest.
        assert torch.allclose(tensor, wanted[name], atol=0.01), name


def test_weights_of_other_parts_are_nothing_to_go_on_from(tmp_path: Path) -> None:
    folder = tiny_encoder(tmp_path / "encoder")
    path = tmp_path / "cross.safetensors"
    tiny_cross(folder, path)
    with pytest.raises(ValueError, match="other parts"):
        TrainableCross(folder, frozen_blocks=2).start_from(path)
