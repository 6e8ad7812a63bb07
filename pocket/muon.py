"""Muon for the block matrices, AdamW for the rest.

Muon (Jordan 2024; scaled as in arXiv 2502.16982): momentum, then the nearest semi-orthogonal
matrix by five Newton-Schulz iterations. Fused matrices are split first, and equal shapes are
stacked, so that one batched product serves all layers.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import torch
from torch import Tensor

from pocket import team
from pocket.network import Network, has_bfloat16

COEFFICIENTS = (3.4445, -4.7750, 2.0315)


def orthogonalise(stack: Tensor) -> Tensor:
    """Returns the semi-orthogonal parts of `stack (n, rows, columns)`, about, in bf16 if fast."""
    a, b, c = COEFFICIENTS
    x: Tensor = stack.bfloat16() if has_bfloat16(stack.device) else stack
    flat = x.shape[1] > x.shape[2]
    if flat:
        x = x.mT
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(5):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.mT if flat else x


class Muon:
    """Momentum and orthogonalised updates of the block matrices."""

    def __init__(self, network: Network, momentum: float = 0.95, decay: float = 0.01) -> None:
        self.momentum, self.decay = momentum, decay
        self.matrices = [
            (name, parameter)
            for name, parameter in network.named_parameters()
            if parameter.dim() == 2 and name.startswith("blocks.")
        ]
        self.buffers = {name: torch.zeros_like(parameter) for name, parameter in self.matrices}

    @torch.no_grad()
    def step(self, rate: float) -> None:
        """Applies one update at learning rate `rate` (in units of AdamW's)."""
        stacks: dict[tuple[int, ...], list[tuple[Tensor, Tensor]]] = defaultdict(list)
        for name, parameter in self.matrices:
            gradient = parameter.grad
            if gradient is None:
                continue
            buffer = self.buffers[name]
            buffer.lerp_(gradient, 1 - self.momentum)
            update = gradient.lerp(buffer, self.momentum)
            parts = 3 if ".qkv." in name else 2 if ".gate_up." in name else 1
            for target, part in zip(parameter.chunk(parts), update.chunk(parts), strict=True):
                stacks[tuple(part.shape)].append((target, part))
        for shape, pairs in stacks.items():
            updates = team.share_rows(torch.stack([part for _, part in pairs]), orthogonalise)
            scale = 0.2 * max(shape) ** 0.5
            for (target, _), update in zip(pairs, updates, strict=True):
                target.mul_(1 - rate * self.decay).add_(update, alpha=-rate * scale)

    def state_dict(self) -> dict[str, Any]:
        """Returns the momentum buffers."""
        return dict(self.buffers)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restores the momentum buffers."""
        for name, buffer in self.buffers.items():
            buffer.copy_(state[name])


def adamw(network: Network, rate: float) -> torch.optim.AdamW:
    """Returns AdamW for the embedding and the norms."""
    rest = [
        parameter
        for name, parameter in network.named_parameters()
        if not (parameter.dim() == 2 and name.startswith("blocks."))
    ]
    return torch.optim.AdamW(rest, lr=rate, betas=(0.9, 0.98), weight_decay=0.0, fused=True)
