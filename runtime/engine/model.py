"""Forward passes of a frozen causal model over column caches; knows nothing of requests.

Legend: n rows, q new columns, c columns in use before the pass, V vocabulary.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from runtime.engine.columns import ColumnCache


class FrozenModel:
    """A causal model of transformers whose weights never change. Used by one thread at a time."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self.device: torch.device = model.device
        accepts = inspect.signature(model.forward).parameters
        self._last_only: dict[str, int] = (
            {"logits_to_keep": 1} if "logits_to_keep" in accepts else {}
        )

    def prefill(self, cache: ColumnCache, rows: Sequence[Sequence[int]]) -> Tensor:
        """Appends `rows` of tokens, which may differ in length when the cache is empty.

        Returns the logits after each row's last token, (n, V) float32, and commits the cache.
        """
        width = max(map(len, rows))
        assert cache.window.end == 0 or all(len(row) == width for row in rows)
        cache.reserve(width)
        tokens = torch.tensor([[0] * (width - len(row)) + list(row) for row in rows])
        lengths = torch.tensor([len(row) for row in rows])
        done = torch.tensor(cache.lengths)
        places = torch.arange(width) - (width - lengths)[:, None] + done[:, None]  # (n, q)
        mask = None
        if any(len(row) != width for row in rows):
            mask = places >= 0
        logits = self._forward(cache, tokens, places.clamp(min=0), mask, last_only=True)
        cache.advance(width, [len(row) for row in rows])
        return logits[:, -1].float()

    def step(
        self, cache: ColumnCache, tokens: Tensor, places: Tensor, mask: Tensor | None
    ) -> Tensor:
        """Appends one token a row without committing: a failed or single-row pass may repeat it.

        `tokens` and `places` are (n, 1), `mask` (n, c + 1) or None when no row is padded. Returns
        logits (n, V) float32.
        """
        return self._forward(cache, tokens, places, mask, last_only=True)[:, -1].float()

    def score(self, cache: ColumnCache, rows: Sequence[Sequence[int]]) -> Tensor:
        """Appends `rows` after equally long beginnings, padded on the right, without committing.

        Returns logits (n, q, V) after every token; those after a row's end mean nothing.
        """
        width = max(map(len, rows))
        cache.reserve(width)
        tokens = torch.tensor([list(row) + [0] * (width - len(row)) for row in rows])
        places = torch.arange(width) + torch.tensor(cache.lengths)[:, None]
        return self._forward(cache, tokens, places, None, last_only=False).float()

    def _forward(
        self,
        cache: ColumnCache,
        tokens: Tensor,
        places: Tensor,
        mask: Tensor | None,
        *,
        last_only: bool,
    ) -> Tensor:
        """Runs the model; the cache's window says which rows and columns it sees."""
        device = self.device
        output = self._model(
            input_ids=tokens.to(device),
            attention_mask=None if mask is None else mask.to(device),
            position_ids=places.to(device),
            past_key_values=cache,
            use_cache=True,
            return_dict=True,
            **(self._last_only if last_only else {}),
        )
        logits: Tensor = output.logits
        return logits
