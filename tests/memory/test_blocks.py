"""Whoever computes the blocks, the hidden states are the same."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from memory.blocks import NAMES, Blocks, BlockTensors, TorchBlocks, fast_dtype, make_blocks
from memory.onnx_blocks import OnnxBlocks

WIDTH, INNER, HEADS, EPSILON, DEPTH = 24, 48, 3, 1e-12, 2
SHAPES = {
    "qkv": (3 * WIDTH, WIDTH), "out": (WIDTH, WIDTH), "norm1": (WIDTH,),
    "up": (INNER, WIDTH), "down": (WIDTH, INNER), "norm2": (WIDTH,),
}  # fmt: skip


def random_block() -> BlockTensors:
    pairs = {
        name: (torch.randn(shape) * WIDTH**-0.5, 0.3 * torch.randn(shape[0]))
        for name, shape in SHAPES.items()
    }
    return BlockTensors(**pairs)


def built(dtype: torch.dtype = torch.float32) -> Blocks:
    torch.manual_seed(0)
    tensors = [random_block() for _ in range(DEPTH)]
    return make_blocks(tensors, heads=HEADS, epsilon=EPSILON, dtype=dtype)


@pytest.fixture(scope="module")
def fused() -> Blocks:
    return built()


@pytest.fixture(scope="module")
def plain() -> Blocks:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("memory.blocks.has_onnx_runtime", lambda: False)
        return built()


def test_onnx_runtime_computes_float32_on_a_cpu_where_it_is_installed(
    fused: Blocks, plain: Blocks
) -> None:
    assert (OnnxBlocks, "float32 in ONNX Runtime") == (type(fused), fused.described)
    assert (TorchBlocks, "float32 in torch") == (type(plain), plain.described)
    half = built(torch.bfloat16)
    assert (TorchBlocks, "bfloat16 in torch") == (type(half), half.described)
    assert set(NAMES) == set(SHAPES)


def of_texts(hidden: Tensor, lengths: list[int]) -> Tensor:
    """What comes out at tokens; padding means nothing."""
    return torch.cat([hidden[row, :length] for row, length in enumerate(lengths)])


@settings(deadline=None)
@given(st.lists(st.integers(1, 9), min_size=1, max_size=5), st.integers(0, 99))
def test_both_compute_the_same_and_padding_changes_nothing(
    fused: Blocks, plain: Blocks, lengths: list[int], seed: int
) -> None:
    hidden = torch.randn(
        (len(lengths), max(lengths), WIDTH), generator=torch.Generator().manual_seed(seed)
    )
    counts = torch.tensor(lengths)
    expected = of_texts(plain(hidden, counts), lengths)
    assert torch.allclose(of_texts(fused(hidden, counts), lengths), expected, atol=2e-5)
    alone = [fused(hidden[row : row + 1, :length], None)[0] for row, length in enumerate(lengths)]
    assert torch.allclose(torch.cat(alone), expected, atol=2e-5)


@pytest.mark.parametrize("onnx", [True, False])
@pytest.mark.parametrize("native", [True, False])
def test_a_cpu_takes_bfloat16_where_it_has_it_and_nothing_better(
    monkeypatch: pytest.MonkeyPatch, onnx: bool, native: bool
) -> None:
    monkeypatch.setattr("memory.blocks.has_onnx_runtime", lambda: onnx)
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: native)
    expected = torch.bfloat16 if native and not onnx else torch.float32
    assert fast_dtype(torch.device("cpu")) is expected
    assert fast_dtype(torch.device("cuda")) is torch.float32
