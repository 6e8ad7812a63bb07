"""Holds BASE answers against the frozen model by transformers alone, on a sample."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from random import Random

from evaluation.asking import Block
from evaluation.frozen import FrozenAnswer, FrozenModel, same_but_near_ties
from evaluation.metrics import Rate, rate
from evaluation.outcome import Outcome
from runtime.build import model_folder
from runtime.consolidation.editors import EDITORS


def compare_with_transformers(
    model: str,
    outcomes: Mapping[Block, Sequence[Outcome]],
    *,
    sample: int,
    max_tokens: int,
    advance: Callable[[], None],
) -> Iterator[tuple[Block, list[Rate], float]]:
    """Yields, by block, the share of BASE answers that are the frozen model's own.

    One sample of prompts (bare ones: the reference knows no chats) is decoded for all blocks.
    """
    base = {
        block: {
            o.probe.prompt: o.asked.said.token_ids
            for o in of
            if not o.edited and o.asked.said is not None and not o.probe.messages and not o.refused
        }
        for block, of in outcomes.items()
        if block.method not in EDITORS  # Their weights are edited, though nothing is routed.
    }
    prompts = sorted({prompt for answered in base.values() for prompt in answered})
    chosen = Random(0).sample(prompts, min(sample, len(prompts)))
    if not chosen:
        return
    frozen = FrozenModel(model_folder(model))
    known: dict[str, FrozenAnswer] = {}
    for prompt in chosen:
        known[prompt] = frozen.answer(prompt, max_tokens=max_tokens)
        advance()
    for block, answered in base.items():
        compared = [
            same_but_near_ties(frozen.without_end(answered[prompt]), known[prompt])
            for prompt in chosen
            if prompt in answered
        ]
        if compared:
            rates = [
                rate("base_identical", [same for same, _ in compared]),
                rate("base_identical_but_near_ties", [same or near for same, near in compared]),
            ]
            yield block, rates, 0.0
