"""BERT's blocks as a graph of ONNX Runtime, built in memory from the weights: nothing is exported.

The graph uses the operators that the runtime's own optimiser would fuse a BERT into (domain
com.microsoft), because only those are fast; they are part of every build of it. Vectors agree with
torch's to 2e-6 (a test holds it). memory/int8_blocks.py builds the same in 8 bits.

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
        graph = _graph(blocks, heads=heads, epsilon=epsilon)
        self._session = make_session(graph, threads=threads)

    def __call__(self, hidden: Tensor, lengths: Tensor | None) -> Tensor:
        """Implements Blocks."""
        n, t, _ = hidden.shape
        counts = np.full(n, t, np.int32) if lengths is None else lengths.numpy().astype(np.int32)
        (last,) = self._session.run(None, {"hidden": hidden.numpy(), "lengths": counts})
        return torch.from_numpy(last)


class GraphBuilder:
    """Collects the nodes and weights of one graph; names of values are strings."""

    def __init__(self, *, epsilon: float) -> None:
        self._nodes: list[Any] = []
        self._weights: list[Any] = []
        self._epsilon = epsilon

    def held(self, name: str, array: npt.NDArray[Any]) -> str:
        """Adds a constant; returns its name."""
        from onnx import numpy_helper  # noqa: PLC0415  Only where a graph is built.

        self._weights.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def node(
        self, kind: str, inputs: list[str], *outputs: str, domain: str = DOMAIN, **more: Any
    ) -> str:
        """Adds an operator; returns the name of its first output."""
        from onnx import helper  # noqa: PLC0415

        self._nodes.append(helper.make_node(kind, inputs, outputs, domain=domain, **more))
        return outputs[0]

    def normed(self, x: str, skip: str, place: str, norm: Pair, bias: Array) -> str:
        """Normalises x + bias + skip; step by step, which SkipLayerNormalization is slower than."""
        parts = [self.held(f"{place}.{n}", a) for n, a in (("gain", norm[0]), ("shift", norm[1]))]
        biased = [x, self.held(f"{place}.bias", bias)]
        summed = [self.node("Add", biased, f"{place}.biased", domain=""), skip]
        inputs = [self.node("Add", summed, f"{place}.sum", domain=""), *parts]
        return self.node(
            "LayerNormalization", inputs, f"{place}.x", domain="", epsilon=self._epsilon
        )

    def gelu(self, x: str, place: str, bias: Array) -> str:
        """Applies GELU to x + bias."""
        return self.node("BiasGelu", [x, self.held(f"{place}.bias", bias)], f"{place}.inner")

    def serialised(self, last: str, *, width: int, with_lengths: bool) -> bytes:
        """Returns the model: hidden (n, t, d), and lengths (n,) if said, to the last hidden."""
        from onnx import TensorProto, helper  # noqa: PLC0415

        shape: list[str | int | None] = ["n", "t", width]
        takes = [helper.make_tensor_value_info("hidden", TensorProto.FLOAT, shape)]
        if with_lengths:
            takes.append(helper.make_tensor_value_info("lengths", TensorProto.INT32, ["n"]))
        gives = [helper.make_tensor_value_info(last, TensorProto.FLOAT, shape)]
        graph = helper.make_graph(self._nodes, "blocks", takes, gives, self._weights)
        opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid(DOMAIN, 1)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION)
        serialised: bytes = model.SerializeToString()
        return serialised


def make_session(model: bytes, *, threads: int) -> Any:
    """Returns a session of ONNX Runtime on the CPU."""
    import onnxruntime  # noqa: PLC0415  Only where it computes.

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = LOG_ERRORS_ONLY
    # More would undo what is put together here, above all fuse the norms again.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    # Its threads would otherwise spin between two products, on cores that others need.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def _graph(blocks: Sequence[Mapping[str, Pair]], *, heads: int, epsilon: float) -> bytes:
    graph = GraphBuilder(epsilon=epsilon)

    def product(x: str, place: str, weight: Array) -> str:
        weights = graph.held(f"{place}.weight", weight.T)
        return graph.node("MatMul", [x, weights], f"{place}.x", domain="")

    x = "hidden"
    for number, block in enumerate(blocks):
        at = f"block.{number}"
        (qkv, qkv_bias), (out, out_bias) = block["qkv"], block["out"]
        (up, up_bias), (down, down_bias) = block["up"], block["down"]
        weights = [graph.held(f"{at}.qkv", qkv.T), graph.held(f"{at}.qkv_bias", qkv_bias)]
        mixed = graph.node("Attention", [x, *weights, "lengths"], f"{at}.mixed", num_heads=heads)
        last = product(mixed, f"{at}.out", out)
        x = graph.normed(last, x, f"{at}.norm1", block["norm1"], out_bias)
        inner = graph.gelu(product(x, f"{at}.up", up), f"{at}.up", up_bias)
        last = product(inner, f"{at}.down", down)
        x = graph.normed(last, x, f"{at}.norm2", block["norm2"], down_bias)
    return graph.serialised(x, width=blocks[0]["out"][1].shape[0], with_lengths=True)
