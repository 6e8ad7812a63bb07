"""BERT's blocks, run as fast as the device allows: hidden states in, hidden states out.

The sentence encoder and the cross-encoder are stacks of the same block with other weights. Float32
on a CPU is ONNX Runtime's, where it is installed: at the 5 to 30 tokens of a question its products
take about half the time of torch's, and one text can be had in 8 bits (memory/int8_blocks.py). All
else is torch. Knows nothing of words and heads.

Legend: n texts, t tokens, d width, i inner width, h attention heads.
BERT, Devlin et al. 2018, arXiv 1810.04805.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812  The name every torch user reads.

from memory.int8_blocks import Int8Blocks, Ranges
from memory.onnx_blocks import Array, OnnxBlocks
from memory.packed_linear import PackedLinear


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockTensors:
    """The weights of one block, float32; each pair is (weight, bias)."""

    qkv: tuple[Tensor, Tensor]  # (3d, d): query, key and value in one product.
    out: tuple[Tensor, Tensor]  # (d, d)
    norm1: tuple[Tensor, Tensor]  # (d,)
    up: tuple[Tensor, Tensor]  # (i, d), with GELU.
    down: tuple[Tensor, Tensor]  # (d, i)
    norm2: tuple[Tensor, Tensor]  # (d,)


NAMES = tuple(field.name for field in fields(BlockTensors))


class Blocks(Protocol):
    """A stack of blocks on one device. Immutable; thread-safe."""

    @property
    def described(self) -> str:
        """Number format and library, for people."""
        ...

    def __call__(self, hidden: Tensor, lengths: Tensor | None) -> Tensor:
        """Returns the last hidden states (n, t, d) of `hidden` (n, t, d), both float32.

        `lengths` (n,) int64 counts the tokens of each text, padding comes after them; None when
        nothing is padded. What comes out at padding is finite and means nothing.
        """
        ...


def make_blocks(
    tensors: Sequence[BlockTensors],
    *,
    heads: int,
    epsilon: float,
    dtype: torch.dtype,
    threads: int = 1,
) -> Blocks:
    """Builds the fastest stack there is for the tensors' device and a dtype of products."""
    on_cpu = tensors[0].qkv[0].device.type == "cpu"
    if on_cpu and dtype is torch.float32 and has_onnx_runtime():
        return OnnxBlocks(_named_arrays(tensors), heads=heads, epsilon=epsilon, threads=threads)
    return TorchBlocks(tensors, heads=heads, epsilon=epsilon, dtype=dtype)


def make_int8_blocks(
    tensors: Sequence[BlockTensors],
    ranges: Ranges,
    *,
    heads: int,
    epsilon: float,
    threads: int = 1,
) -> Blocks:
    """Builds the stack that takes one text at a time, in 8 bits. Needs ONNX Runtime and a CPU."""
    weights = _named_arrays(tensors)
    return Int8Blocks(weights, ranges, heads=heads, epsilon=epsilon, threads=threads)


def has_onnx_runtime() -> bool:
    """Whether ONNX Runtime, and what builds its graphs, are installed."""
    return all(importlib.util.find_spec(name) is not None for name in ("onnx", "onnxruntime"))


def multiplies_bfloat16() -> bool:
    """Whether this processor multiplies bfloat16 in hardware; elsewhere it is many times slower."""
    mkldnn = torch.ops.mkldnn
    return bool(torch._C._has_mkldnn and mkldnn._is_mkldnn_bf16_supported())  # noqa: SLF001


def fast_dtype(device: torch.device) -> torch.dtype:
    """Returns the number format in which one text is encoded soonest.

    ONNX Runtime's float32 beats torch's bfloat16 there, and is exact; without it bfloat16 wins.
    """
    narrow = device.type == "cpu" and not has_onnx_runtime() and multiplies_bfloat16()
    return torch.bfloat16 if narrow else torch.float32


class TorchBlocks:
    """Implements Blocks in torch: products in a dtype, norms and sums in float32."""

    def __init__(
        self, tensors: Sequence[BlockTensors], *, heads: int, epsilon: float, dtype: torch.dtype
    ) -> None:
        self._blocks = tuple(_packed(block, dtype) for block in tensors)
        self._heads = heads
        self._epsilon = epsilon
        self._dtype = dtype

    @property
    def described(self) -> str:
        """Number format and library, for people."""
        return f"{str(self._dtype).removeprefix('torch.')} in torch"

    @torch.inference_mode()
    def __call__(self, hidden: Tensor, lengths: Tensor | None) -> Tensor:
        """Implements Blocks."""
        allowed = None
        if lengths is not None:
            places = torch.arange(hidden.shape[1], device=hidden.device)
            allowed = (places < lengths[:, None])[:, None, None, :]  # (n, 1, 1, t)
        for block in self._blocks:
            hidden = self._apply(block, hidden, allowed)
        return hidden

    def _apply(self, block: _Packed, hidden: Tensor, allowed: Tensor | None) -> Tensor:
        n, t, d = hidden.shape
        qkv = block.qkv(hidden.to(self._dtype)).view(n, t, 3, self._heads, d // self._heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=allowed)  # (n, h, t, d/h)
        out = block.out(mixed.transpose(1, 2).reshape(n, t, d)).float()
        hidden = F.layer_norm(hidden + out, (d,), *block.norm1, self._epsilon)
        out = block.down(block.up(hidden.to(self._dtype))).float()
        return F.layer_norm(hidden + out, (d,), *block.norm2, self._epsilon)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Packed:
    qkv: PackedLinear
    out: PackedLinear
    norm1: tuple[Tensor, Tensor]
    up: PackedLinear  # With its GELU.
    down: PackedLinear
    norm2: tuple[Tensor, Tensor]


def _packed(block: BlockTensors, dtype: torch.dtype) -> _Packed:
    def linear(pair: tuple[Tensor, Tensor], *, gelu: bool = False) -> PackedLinear:
        return PackedLinear(pair[0].to(dtype), pair[1].to(dtype), gelu=gelu)

    return _Packed(
        qkv=linear(block.qkv),
        out=linear(block.out),
        norm1=block.norm1,
        up=linear(block.up, gelu=True),
        down=linear(block.down),
        norm2=block.norm2,
    )


def _named_arrays(tensors: Sequence[BlockTensors]) -> list[dict[str, tuple[Array, Array]]]:
    def arrays(pair: tuple[Tensor, Tensor]) -> tuple[Array, Array]:
        return pair[0].numpy(), pair[1].numpy()

    return [{name: arrays(getattr(block, name)) for name in NAMES} for block in tensors]
