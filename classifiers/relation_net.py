"""A small network that judges, from frame vectors, whether two frames ask for the same relation.

Cosines of frames weigh every direction alike; the network has learned which ones tell relations
apart, and that a statement with its answer ("it plays the piano") says what a bare prompt ("it,
the") does not. Inference is numpy; `classifiers/fit_relation_net.py` trains it.

Legend: n pairs, d width of the encoder (384), k projected width, h hidden width.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class RelationNet:
    """Weights and their one use. Immutable."""

    project: Array  # (d, k)
    hidden: Array  # (4k, h)
    hidden_bias: Array  # (h,)
    out: Array  # (h,)
    out_bias: Array  # (1,)

    def judge(self, asked: Array, prompts: Array, statements: Array) -> Array:
        """Returns the log-odds (n,) that `asked` (n, d) asks what the edit's frames (n, d) do."""
        q, p, s = (vectors @ self.project for vectors in (asked, prompts, statements))  # (n, k)
        pairs = np.concatenate([q * p, np.abs(q - p), q * s, np.abs(q - s)], axis=1)  # (n, 4k)
        active = np.maximum(pairs @ self.hidden + self.hidden_bias, 0)  # (n, h)
        odds: Array = active @ self.out + self.out_bias[0]
        return odds


def net_to_record(net: RelationNet) -> dict[str, Any]:
    """Returns the weights as JSON: shape and base64 of little-endian fp16 for each."""
    record = {}
    for field in fields(net):
        array: Array = getattr(net, field.name)
        packed = base64.b64encode(array.astype("<f2").tobytes()).decode()
        record[field.name] = {"shape": list(array.shape), "fp16": packed}
    return record


def net_from_record(record: Mapping[str, Any]) -> RelationNet:
    """Reads the weights. Raises KeyError or ValueError when they are damaged or do not fit."""
    arrays = {
        field.name: np.frombuffer(base64.b64decode(record[field.name]["fp16"]), dtype="<f2")
        .astype(np.float32)
        .reshape(record[field.name]["shape"])
        for field in fields(RelationNet)
    }
    net = RelationNet(**arrays)
    k, h = net.project.shape[1], net.hidden.shape[1]
    shapes = (net.hidden.shape[0], net.hidden_bias.shape, net.out.shape, net.out_bias.shape)
    if shapes != (4 * k, (h,), (h,), (1,)):
        raise ValueError(f"the relation network's shapes do not fit: {shapes}")
    return net
