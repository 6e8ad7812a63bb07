"""What a model says to probes, in batches: greedy agreement, log-probabilities, running text.

Legend: n rows, t tokens, V vocabulary. Knows nothing of editions: it is asked of two models.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from runtime.consolidation.tokens import Codec
from runtime.engine.load import eos_ids

BATCH_TOKENS = 4096  # Of one forward pass, padding included.

Tick = Callable[[int], None]  # Called with the number of rows that were done.


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """Tokens to read, of which the last `answer` are judged."""

    tokens: tuple[int, ...]
    answer: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """What a model says of one row."""

    logprob: float  # Mean of the answer's tokens, nats.
    greedy: bool  # Every token of the answer is the model's own first choice.
    first: Tensor | None  # Log-distribution before the answer's first token, (V,), where asked.


def target_rows(codec: Codec, asked: Sequence[tuple[str, str]]) -> list[Row]:
    """Returns rows that judge a target after each prompt."""
    rows = []
    for prompt, target in asked:
        answer = codec.answer(prompt, target)
        rows.append(Row(tokens=(*codec.prompt(prompt), *answer), answer=len(answer)))
    return rows


def judge(model: Any, rows: Sequence[Row], tick: Tick, *, keep_first: bool = False) -> list[Judged]:
    """Returns what the model says of each row, in their order."""
    found: list[Judged | None] = [None] * len(rows)
    for group in _groups([len(row.tokens) for row in rows]):
        logits = _logits(model, [rows[place].tokens for place in group])  # (n, t, V)
        for index, place in enumerate(group):
            found[place] = _judged(logits[index], rows[place], keep_first=keep_first)
        tick(len(group))
    return [one for one in found if one is not None]


def greedy_answers(
    model: Any, codec: Codec, prompts: Sequence[str], tokens: int, tick: Tick
) -> list[Row]:
    """Returns each prompt with the model's own first `tokens` tokens as its answer.

    An answer ends where the model ends it: what it would say after that is no answer.
    """
    rows = [codec.prompt(prompt) for prompt in prompts]
    answers: list[tuple[int, ...]] = [()] * len(rows)
    ends = eos_ids(model)
    for _ in range(tokens):
        open_ = [place for place, answer in enumerate(answers) if not ends & set(answer[-1:])]
        read = [(*rows[place], *answers[place]) for place in open_]
        for group in _groups([len(row) for row in read]):
            logits = _logits(model, [read[index] for index in group])
            for line, index in enumerate(group):
                best = int(logits[line, len(read[index]) - 1].argmax())
                answers[open_[index]] = (*answers[open_[index]], best)
        tick(len(rows))
    return [
        Row(tokens=(*row, *answer), answer=len(answer))
        for row, answer in zip(rows, answers, strict=True)
    ]


def mean_nats(model: Any, codec: Codec, texts: Sequence[str], limit: int, tick: Tick) -> float:
    """Returns the mean negative log-likelihood of running text, nats a token."""
    rows = [tokens[:limit] for text in texts if len(tokens := codec.prompt(text)) > 1]
    total, count = 0.0, 0
    for group in _groups([len(row) for row in rows]):
        logits = _logits(model, [rows[place] for place in group])
        for index, place in enumerate(group):
            row = torch.tensor(rows[place], device=logits.device)
            scores = logits[index, : len(row) - 1].log_softmax(-1)
            total -= float(scores.gather(1, row[1:, None]).double().sum())
            count += len(row) - 1
        tick(len(group))
    return total / max(1, count)


def kl_nats(before: Tensor, after: Tensor) -> float:
    """Returns KL(before || after) of two log-distributions (V,)."""
    p, q = before.double(), after.double()
    return float((p.exp() * (p - q)).sum().clamp(min=0.0))


def _judged(logits: Tensor, row: Row, *, keep_first: bool) -> Judged:
    """Reads one row off its logits (t, V)."""
    end = len(row.tokens)
    scores = logits[end - row.answer - 1 : end - 1].float().log_softmax(-1)  # (answer, V)
    chosen = torch.tensor(row.tokens[end - row.answer :], device=logits.device)
    own = scores.gather(1, chosen[:, None])[:, 0]
    return Judged(
        logprob=float(own.mean()),
        greedy=bool((scores.argmax(-1) == chosen).all()),
        first=scores[0].cpu() if keep_first else None,
    )


@torch.inference_mode()
def _logits(model: Any, rows: Sequence[Sequence[int]]) -> Tensor:
    """Returns logits (n, t, V) of rows padded on the right, where causal models do not look."""
    width = max(map(len, rows))
    tokens = torch.tensor([list(row) + [0] * (width - len(row)) for row in rows])
    output: Tensor = model(input_ids=tokens.to(model.device), use_cache=False).logits
    return output.float()


def _groups(lengths: Sequence[int]) -> list[list[int]]:
    """Returns places of rows that share a pass, alike in length."""
    groups: list[list[int]] = []
    for place in sorted(range(len(lengths)), key=lambda place: lengths[place]):
        if groups and lengths[place] * (len(groups[-1]) + 1) <= BATCH_TOKENS:
            groups[-1].append(place)
        else:
            groups.append([place])
    return groups
