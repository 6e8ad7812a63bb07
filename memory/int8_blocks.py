"""BERT's blocks with products of 8-bit integers, for one text at a time on a CPU.

A pass takes about 60% of float32's time, without AVX-512 too (docs/log.md). What that costs in
agreement is kept small by three things:
  weights have a scale for each output channel, and 7 bits: the products of AVX2 add two of 8 bits
    by 8 bits in 16 and would saturate;
  inputs have a scale for each product, taken as they come; before it the ranges of their channels
    are evened out against the weights' (SmoothQuant, Xiao et al. 2022, arXiv 2211.10438), by ranges
    that were measured once (`python -m benchmarks.encoder_ranges`) and ship in memory/weights;
  what goes into `down` is divided by each token's own maximum first, because one token's massive
    activations (Sun et al. 2024, arXiv 2402.17762) would else leave the others no bits.
A scale is of a whole tensor: texts in one pass would change each other, hence one at a time.

Legend: t tokens, d width, i inner width.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from memory.onnx_blocks import Array, GraphBuilder, Pair, make_session

Ranges = Sequence[Mapping[str, Array]]  # Of each block, by PRODUCTS: largest size of a channel.

PRODUCTS = ("qkv", "out", "up", "down")
RANGES_FILE = Path(__file__).with_name("weights") / "minilm_ranges.safetensors"
WEIGHT_MAX = 63  # 7 bits with the sign.
SMOOTHING = 0.5  # SmoothQuant's alpha: 0 leaves the inputs as they are, 1 evens them out wholly.
TINY = 1e-3  # Ranges and weights below count as this.


class Int8Blocks:
    """Implements Blocks (memory/blocks.py) for one text at a time. Immutable; thread-safe."""

    described = "int8 in ONNX Runtime"

    def __init__(
        self,
        blocks: Sequence[Mapping[str, Pair]],
        ranges: Ranges,
        *,
        heads: int,
        epsilon: float,
        threads: int,
    ) -> None:
        """Takes each block's weights in float32, as OnnxBlocks does, and its inputs' ranges."""
        graph = _graph(blocks, ranges, heads=heads, epsilon=epsilon)
        self._session = make_session(graph, threads=threads)

    def __call__(self, hidden: Tensor, lengths: Tensor | None) -> Tensor:
        """Implements Blocks, for n = 1 and nothing padded."""
        assert len(hidden) == 1, f"{len(hidden)} texts; expected one"
        assert lengths is None, "a text alone has no padding"
        (last,) = self._session.run(None, {"hidden": hidden.numpy()})
        return torch.from_numpy(last)


def load_ranges(path: Path, *, encoder: str, depth: int) -> Ranges:
    """Reads the ranges that were measured for the encoder of that name.

    Raises ValueError, with the reason, for a file that is missing, broken or of another encoder.
    """
    try:
        with safe_open(path, framework="numpy") as file:
            measured = (file.metadata() or {}).get("encoder", "")
            if measured != encoder:
                raise ValueError(f"{path.name} was measured for {measured!r}, not for {encoder!r}")
            return [
                {name: file.get_tensor(f"{block}.{name}").astype(np.float32) for name in PRODUCTS}
                for block in range(depth)
            ]
    except (OSError, SafetensorError) as error:
        raise ValueError(f"{path.name} cannot be read ({error})") from error


def _graph(
    blocks: Sequence[Mapping[str, Pair]], ranges: Ranges, *, heads: int, epsilon: float
) -> bytes:
    graph = GraphBuilder(epsilon=epsilon)

    def product(x: str, place: str, weight: Array) -> str:
        """Multiplies x, whose channels are evened out already, by weight (out, in) in 8 bits."""
        integers, scales = _integers(weight)
        held = [graph.held(f"{place}.weight", integers.T), graph.held(f"{place}.scale", scales)]
        return graph.node("DynamicQuantizeMatMul", [x, *held], f"{place}.x")

    def evened(x: str, place: str, even: Array) -> str:
        factors = graph.held(f"{place}.even", np.reciprocal(even))
        return graph.node("Mul", [x, factors], place, domain="")

    tiny = graph.held("tiny", np.array([TINY], np.float32))
    x = "hidden"
    for number, (block, reach) in enumerate(zip(blocks, ranges, strict=True)):
        at = f"block.{number}"
        even = {name: _evening(reach[name], block[name][0]) for name in PRODUCTS}
        qkv, qkv_bias = (array.copy() for array in block["qkv"])
        values = slice(2 * len(qkv) // 3, None)  # Mixing is linear: what `out` gets is evened here.
        qkv[values] /= even["out"][:, None]
        qkv_bias[values] /= even["out"]
        asked = evened(x, f"{at}.asked", even["qkv"])
        together = product(asked, f"{at}.qkv", qkv * even["qkv"])
        parts = [f"{at}.{part}" for part in ("query", "key", "value")]
        graph.node("Split", [together], *parts, domain="", axis=-1)
        bias = graph.held(f"{at}.qkv_bias", qkv_bias)
        mixed = graph.node("MultiHeadAttention", [*parts, bias], f"{at}.mixed", num_heads=heads)
        last = product(mixed, f"{at}.out", block["out"][0] * even["out"])
        x = graph.normed(last, x, f"{at}.norm1", block["norm1"], block["out"][1])
        last = product(evened(x, f"{at}.told", even["up"]), f"{at}.up", block["up"][0] * even["up"])
        inner = evened(graph.gelu(last, f"{at}.up", block["up"][1]), f"{at}.even", even["down"])
        sizes = graph.node("Abs", [inner], f"{at}.sizes", domain="")
        most = graph.node("ReduceMax", [sizes], f"{at}.largest", domain="", axes=[-1], keepdims=1)
        most = graph.node("Max", [most, tiny], f"{at}.most", domain="")
        inner = graph.node("Div", [inner, most], f"{at}.within", domain="")
        last = product(inner, f"{at}.down", block["down"][0] * even["down"])
        last = graph.node("Mul", [last, most], f"{at}.last", domain="")
        x = graph.normed(last, x, f"{at}.norm2", block["norm2"], block["down"][1])
    return graph.serialised(x, width=blocks[0]["out"][1].shape[0], with_lengths=False)


def _evening(reach: Array, weight: Array) -> Array:
    """Returns the factors (in,) that inputs are divided and weights (out, in) multiplied by."""
    heaviest = np.maximum(np.abs(weight).max(axis=0), TINY)
    factors = np.maximum(reach, TINY) ** SMOOTHING / heaviest ** (1 - SMOOTHING)
    even: Array = (factors / np.exp(np.log(factors).mean())).astype(np.float32)
    return even


def _integers(weight: Array) -> tuple[npt.NDArray[np.int8], Array]:
    """Rounds weight (out, in) to 7 bits with a scale for each output channel (out,)."""
    scales = np.maximum(np.abs(weight).max(axis=1), TINY * TINY) / WEIGHT_MAX
    integers = np.rint(weight / scales[:, None]).astype(np.int8)
    return integers, scales.astype(np.float32)
