"""A frozen linear layer whose weights are laid out once for oneDNN, where torch has it.

At the 5 to 30 tokens of a question a packed fp32 product takes a half to two thirds of the time of
`torch.nn.functional.linear` (benchmarks/encoder.py). torch's own compiler uses these operators when
it freezes a model; where they are missing, the plain ones serve.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812  The name every torch user reads.

BATCH_HINT = 16  # Rows that the layout is chosen for; others are hardly slower.


class PackedLinear:
    """x (..., in) to (..., out) in the dtype of the weights, with GELU at the end if asked."""

    def __init__(self, weight: Tensor, bias: Tensor, *, gelu: bool = False) -> None:
        """Takes weight (out, in) and bias (out,), both of one dtype and on one device."""
        self._weight = weight
        self._bias = bias
        self._gelu = gelu
        self._pointwise: Any = None
        if weight.device.type == "cpu" and _can_pack(weight.dtype):
            with torch.no_grad():
                self._weight = torch.ops.mkldnn._reorder_linear_weight(weight, BATCH_HINT)  # noqa: SLF001
            self._pointwise = torch.ops.mkldnn._linear_pointwise  # noqa: SLF001

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of what comes in and goes out."""
        return self._bias.dtype

    def __call__(self, x: Tensor) -> Tensor:
        """Returns x times the weights, plus the bias."""
        if self._pointwise is not None:
            after, algorithm = ("gelu", "none") if self._gelu else ("none", "")
            packed: Tensor = self._pointwise(x, self._weight, self._bias, after, [], algorithm)
            return packed
        out = F.linear(x, self._weight, self._bias)
        return F.gelu(out) if self._gelu else out


def _can_pack(dtype: torch.dtype) -> bool:
    if not torch._C._has_mkldnn:  # noqa: SLF001  The typed spelling of mkldnn.is_available().
        return False
    if dtype is torch.bfloat16 and not torch.ops.mkldnn._is_mkldnn_bf16_supported():  # noqa: SLF001
        return False
    return hasattr(torch.ops.mkldnn, "_linear_pointwise")
