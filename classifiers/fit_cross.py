"""The cross-encoder as it is trained: the same blocks with gradients, and one step of training."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812  The name every torch user reads.

from classifiers.cross_encoder import (
    EMBEDDINGS,
    EPSILON,
    block_count,
    minilm_weights,
    pool,
    unpacked,
)
from classifiers.cross_pairs import PairBatch

HEAD_WIDTH = 96


class _Block(nn.Module):
    def __init__(self, width: int, inner: int, heads: int) -> None:
        super().__init__()
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.up = nn.Linear(width, inner)
        self.down = nn.Linear(inner, width)
        self.norm1 = nn.LayerNorm(width, EPSILON)
        self.norm2 = nn.LayerNorm(width, EPSILON)
        self.heads = heads

    def forward(self, hidden: Tensor, allowed: Tensor) -> Tensor:
        """Returns the next hidden states, (n, t, d)."""
        n, t, d = hidden.shape
        q, k, v = self.qkv(hidden).view(n, t, 3, self.heads, d // self.heads).permute(2, 0, 3, 1, 4)
        # Written out: for short rows the fused kernel's backward pass costs more than all else.
        likeness = (q @ k.transpose(2, 3)).float() * (d // self.heads) ** -0.5 + allowed
        mixed = torch.softmax(likeness, dim=3).to(v.dtype) @ v  # (n, h, t, d/h)
        hidden = self.norm1(hidden + self.out(mixed.transpose(1, 2).reshape(n, t, d)))
        normed: Tensor = self.norm2(hidden + self.down(F.gelu(self.up(hidden))))
        return normed


class _Head(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(3 * width, HEAD_WIDTH)
        self.last = nn.Linear(HEAD_WIDTH, 1)

    def forward(self, pooled: Tensor) -> Tensor:
        """Returns log-odds (n,)."""
        odds: Tensor = self.last(F.gelu(self.hidden(pooled))).squeeze(1)
        return odds


class TrainableCross(nn.Module):
    """MiniLM's blocks and a head over frozen word vectors; state names are those of the file.

    The lowest `frozen_blocks` stay the encoder's own: less work, and fewer bytes to ship.
    """

    def __init__(self, folder: Path, *, frozen_blocks: int) -> None:
        super().__init__()
        heads, weights = minilm_weights(folder)
        width = weights[EMBEDDINGS[3]].shape[0]
        inner = weights["block.0.up.bias"].shape[0]
        self.heads = heads
        self.frozen_blocks = frozen_blocks
        self.frozen = [weights[name] for name in EMBEDDINGS]  # No parameters: not trained.
        self.block = nn.ModuleList(_Block(width, inner, heads) for _ in range(block_count(weights)))
        self.head = _Head(width)
        for number, block in enumerate(self.block):
            prefix = f"block.{number}."
            block.load_state_dict(
                {n.removeprefix(prefix): t for n, t in weights.items() if n.startswith(prefix)}
            )
            block.requires_grad_(number >= frozen_blocks)

    def trained(self) -> dict[str, Tensor]:
        """Returns what was trained, by name."""
        return {
            name: tensor.detach()
            for name, tensor in self.named_parameters()
            if tensor.requires_grad
        }

    def start_from(self, path: Path) -> None:
        """Fills what is trained from a weights file. Raises ValueError when it does not fit."""
        held = unpacked(load_file(path))
        wanted = self.trained()
        if held.keys() != wanted.keys():
            raise ValueError(f"{path} holds other parts than are trained here")
        with torch.no_grad():
            for name, tensor in wanted.items():
                tensor.copy_(held[name])

    def forward(self, batch: PairBatch) -> Tensor:
        """Returns log-odds (n,)."""
        ids, types = torch.from_numpy(batch.ids), torch.from_numpy(batch.types)
        words, places, kinds, *norm = self.frozen
        mask = torch.arange(ids.shape[1]) < torch.from_numpy(batch.lengths)[:, None]
        hidden = words[ids] + places[: ids.shape[1]] + kinds[types]
        hidden = F.layer_norm(hidden, norm[0].shape, norm[0], norm[1], EPSILON)
        allowed = torch.where(mask, 0.0, -1e4)[:, None, None, :]  # Added to the likenesses.
        for block in self.block:
            hidden = block(hidden, allowed)
        odds: Tensor = self.head(pool(hidden.float(), types, mask))
        return odds


def loss_of(odds: Tensor, labels: Tensor, *, balanced: bool, smoothing: float = 0.0) -> Tensor:
    """Binary cross-entropy; balanced, the mean over positives plus the mean over negatives.

    The balanced form is SERAC's, Mitchell et al. 2022, arXiv 2206.06520, section 3.2.
    """
    smoothed = labels * (1 - smoothing) + (1 - labels) * smoothing
    losses = F.binary_cross_entropy_with_logits(odds, smoothed, reduction="none")
    if not balanced:
        return losses.mean()
    parts = [losses[labels == label].mean() for label in (0, 1) if (labels == label).any()]
    return torch.stack(parts).sum()
