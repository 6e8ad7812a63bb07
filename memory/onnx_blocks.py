"""BERT's blocks as a graph of ONNX Runtime, built in memory from the weights: nothing is exported.

The graph uses the operators that the runtime's own optimiser would fuse a BERT into (domain
com.microsoft), because only those are fast; they are part of every build of it. Vectors agree with
torch's to 2e-6 (a test holds it).

Legend: n texts, t tokens, d width, i inner width.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Array = npt.NDArray[np.float32]
Pair = tuple[Array, Array]  # Weight and bias.

DOMAIN = "com.microsoft"
OPSET, IR_VERSION = 17, 9  # Old enough for every runtime that pyproject.toml allows.
LOG_ERRORS_ONLY = 3


class OnnxBlocks:
    """Implements Blocks (memory/blocks.py) in float32 on a CPU. Immutable; thread-safe."""

    described = "float32 in ONNX Runtime"

    def __init__(
        self, blocks: Sequence[Mapping[str, Pair]], *, heads: int, epsilon: float, threads: int
    ) -> None:
        """Takes each block's qkv (3d, d), out, norm1, up, down and norm2."""
        import onnxruntime  # noqa: PLC0415  Only where it computes.

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = LOG_ERRORS_ONLY
        # Its threads would otherwise spin between two products, on cores that others need.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session: Any = onnxruntime.InferenceSession(
            _graph(blocks, heads=heads, epsilon=epsilon),
            options,
            providers=["CPUExecutionProvider"],
        )

    def __call__(self, hidden: Tensor, lengths: Tensor | None) -> Tensor:
        """Implements Blocks."""
        n, t, _ = hidden.shape
        counts = np.full(n, t, np.int32) if lengths is None else lengths.numpy().astype(np.int32)
        (last,) = self._session.run(None, {"hidden": hidden.numpy(), "lengths": counts})
        return torch.from_numpy(last)


def _graph(blocks: Sequence[Mapping[str, Pair]], *, heads: int, epsilon: float) -> bytes:
    """Returns the serialised model: hidden (n, t, d) and lengths (n,) to the last hidden."""
    from onnx import TensorProto, helper, numpy_helper  # noqa: PLC0415

    nodes: list[Any] = []
    weights: list[Any] = []

    def held(name: str, array: Array) -> str:
        weights.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def node(kind: str, inputs: list[str], output: str, domain: str = DOMAIN, **more: Any) -> str:
        nodes.append(helper.make_node(kind, inputs, [output], domain=domain, **more))
        return output

    def product(x: str, place: str, weight: Array) -> str:
        return node("MatMul", [x, held(f"{place}.weight", weight.T)], f"{place}.x", domain="")

    def normed(x: str, skip: str, place: str, norm: Pair, bias: Array) -> str:
        """Normalises x + bias + skip."""
        parts = [held(f"{place}.{n}", a) for n, a in (("gain", norm[0]), ("shift", norm[1]))]
        inputs = [x, skip, *parts, held(f"{place}.bias", bias)]
        return node("SkipLayerNormalization", inputs, f"{place}.x", epsilon=epsilon)

    x = "hidden"
    for number, block in enumerate(blocks):
        at = f"block.{number}"
        (qkv, qkv_bias), (out, out_bias) = block["qkv"], block["out"]
        (up, up_bias), (down, down_bias) = block["up"], block["down"]
        inputs = [x, held(f"{at}.qkv", qkv.T), held(f"{at}.qkv_bias", qkv_bias), "lengths"]
        mixed = node("Attention", inputs, f"{at}.mixed", num_heads=heads)
        x = normed(product(mixed, f"{at}.out", out), x, f"{at}.norm1", block["norm1"], out_bias)
        inner = product(x, f"{at}.up", up)
        inner = node("BiasGelu", [inner, held(f"{at}.up_bias", up_bias)], f"{at}.inner")
        last = product(inner, f"{at}.down", down)
        x = normed(last, x, f"{at}.norm2", block["norm2"], down_bias)
    width = blocks[0]["out"][1].shape[0]
    states = (TensorProto.FLOAT, ["n", "t", width])
    takes = [
        helper.make_tensor_value_info("hidden", *states),
        helper.make_tensor_value_info("lengths", TensorProto.INT32, ["n"]),
    ]
    graph = helper.make_graph(
        nodes, "blocks", takes, [helper.make_tensor_value_info(x, *states)], weights
    )
    opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid(DOMAIN, 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION)
    serialised: bytes = model.SerializeToString()
    return serialised
