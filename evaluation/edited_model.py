"""A model with a change of its weights, asked directly through transformers alone.

Nothing of the engine or of the editors' own forward passes is used, so that a fault there cannot
hide in the figures. The frozen model is not touched: changes go to a copy.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from typing import Any

import torch

from runtime.consolidation.contract import Delta
from runtime.sites import sites_of

BATCH_ROWS = 128
WINDOW_TOKENS = 256


class EditedModel:
    """A copy of a model that takes changes on and off."""

    def __init__(self, model: Any, tokenizer: Any) -> None:
        self._base = model
        self.model = copy.deepcopy(model)
        self._tokenizer = tokenizer
        self._touched: set[str] = set()

    def wear(self, delta: Delta | None) -> None:
        """Puts round(W0 + Δ) in place, each from edition 0; None takes everything off."""
        transposed = sites_of(self._base).family.transposed
        with torch.no_grad():
            for module in self._touched:
                before = self._base.get_submodule(module).weight
                self.model.get_submodule(module).weight.copy_(before)
            self._touched = set()
            for matrix in delta.matrices if delta else ():
                if matrix.left is not None and matrix.right is not None:
                    change = matrix.left.double() @ matrix.right.double()
                else:
                    assert matrix.full is not None
                    change = matrix.full.double()
                base = self._base.get_submodule(matrix.module).weight
                whole = base.double() + (change.T if transposed else change).to(base.device)
                self.model.get_submodule(matrix.module).weight.copy_(whole)
                self._touched.add(matrix.module)

    def answers(self, prompts: Sequence[str], *, max_tokens: int = 12) -> list[str]:
        """Returns the greedy answers, decoded freely until the model ends them."""
        self._tokenizer.padding_side = "left"
        order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
        found = [""] * len(prompts)
        for start in range(0, len(order), BATCH_ROWS):
            chosen = order[start : start + BATCH_ROWS]
            batch = self._tokenizer(
                [prompts[i] for i in chosen], return_tensors="pt", padding=True
            ).to(self.model.device)
            with torch.inference_mode():
                out = self.model.generate(
                    input_ids=batch["input_ids"],
                    attention_mask=batch["attention_mask"],
                    max_new_tokens=max_tokens,
                    do_sample=False,
                    pad_token_id=self._tokenizer.pad_token_id,
                )
            new = out[:, batch["input_ids"].shape[1] :]
            for i, ids in zip(chosen, new, strict=True):
                found[i] = self._tokenizer.decode(ids, skip_special_tokens=True).strip()
        return found

    def perplexity(self, text: str) -> float:
        """Returns the perplexity a token of running text."""
        return perplexity(self.model, self._tokenizer, text)


def perplexity(model: Any, tokenizer: Any, text: str) -> float:
    """Returns the perplexity a token of running text, in windows of 256 tokens."""
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    begin = tokenizer.bos_token_id
    total, count = 0.0, 0
    for start in range(0, len(ids), WINDOW_TOKENS):
        window = ids[start : start + WINDOW_TOKENS]
        window = window if begin is None else [begin, *window]
        if len(window) < 2:
            continue
        row = torch.tensor([window], device=model.device)
        with torch.inference_mode():
            logits = model(row).logits[0, :-1].float()
        total += float(torch.nn.functional.cross_entropy(logits, row[0, 1:], reduction="sum"))
        count += len(window) - 1
    return math.exp(total / count) if count else math.nan
