"""The frozen model by transformers alone: the reference that BASE answers are compared with.

Nothing of the engine is used here, so that a fault of the engine cannot hide in the reference.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.utils import logging as transformers_logging

NEAR_TIE = 1e-4  # Gap of the two largest logits under which the choice is not defined.


@dataclass(frozen=True, slots=True, kw_only=True)
class FrozenAnswer:
    """What `generate` says, greedily, alone, in float32."""

    token_ids: tuple[int, ...]  # Without the end-of-text token.
    gaps: tuple[float, ...]  # Of the two largest logits, one per token decided, the end included.
    text: str


class FrozenModel:
    """A model and its tokenizer, loaded by transformers, decoding one prompt at a time."""

    def __init__(self, folder: str) -> None:
        self._tokenizer = AutoTokenizer.from_pretrained(folder)
        transformers_logging.disable_progress_bar()
        self._model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
        ends = self._model.generation_config.eos_token_id
        self._ends = set(ends if isinstance(ends, list) else [ends])

    def answer(self, prompt: str, *, max_tokens: int) -> FrozenAnswer:
        """Greedy continuation of a bare prompt."""
        ids = self._tokenizer(prompt, return_tensors="pt")["input_ids"]  # (1, t)
        with torch.inference_mode():
            out = self._model.generate(
                ids,
                attention_mask=torch.ones_like(ids),
                do_sample=False,
                repetition_penalty=1.0,  # The model's own settings are not the question here.
                max_new_tokens=max_tokens,
                return_dict_in_generate=True,
                output_scores=True,
                pad_token_id=min(self._ends),
            )
        new = out.sequences[0, ids.shape[1] :].tolist()
        top = [torch.topk(step[0], 2).values for step in out.scores]
        kept = [token for token in new if token not in self._ends]
        return FrozenAnswer(
            token_ids=tuple(kept),
            gaps=tuple(float(two[0] - two[1]) for two in top),
            text=self._tokenizer.decode(kept, skip_special_tokens=True),
        )

    def without_end(self, token_ids: Sequence[int]) -> tuple[int, ...]:
        """The ids without end-of-text tokens."""
        return tuple(token for token in token_ids if token not in self._ends)


def same_but_near_ties(ours: Sequence[int], reference: FrozenAnswer) -> tuple[bool, bool]:
    """Returns (identical, identical up to a near-tie of the reference).

    After the first difference the answers are different texts; what counts is whether the
    reference's own choice there was a near-tie.
    """
    theirs = reference.token_ids
    if tuple(ours) == theirs:
        return True, True
    first = next(
        (i for i, (a, b) in enumerate(zip(ours, theirs, strict=False)) if a != b),
        min(len(ours), len(theirs)),
    )
    near = first < len(reference.gaps) and reference.gaps[first] < NEAR_TIE
    return False, near
