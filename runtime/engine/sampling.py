"""From raw logits to chosen tokens: penalties, warpers, seeds and logprobs, as pure functions.

Legend: n rows, V vocabulary. Processors and their order are those of transformers' `generate`:
repetition penalty, temperature, top-k, top-p, min-p. A sampled row draws one uniform number from
its own generator and inverts the cumulative distribution in vocabulary order, so its choice does
not depend on who shares the batch.
"""

from __future__ import annotations

import secrets
from collections import deque
from collections.abc import Sequence

import torch
from torch import Tensor

from runtime.engine.contract import Sampling

NEVER = float("-inf")

Ranked = tuple[float, list[tuple[int, float]]]  # The chosen token's logprob; the best tokens'.


class Sampler:
    """The state that one generation's sampling keeps between tokens."""

    __slots__ = ("generator", "given", "sampling", "seed", "seen")

    def __init__(
        self, sampling: Sampling, prompt_tokens: Sequence[int], answer_tokens: Sequence[int] = ()
    ) -> None:
        self.sampling = sampling
        self.given = deque(answer_tokens)  # What is still to be chosen whatever the logits say.
        self.seed: int | None = None
        self.generator: torch.Generator | None = None
        if sampling.temperature > 0:
            self.seed = secrets.randbits(63) if sampling.seed is None else sampling.seed
            self.generator = torch.Generator().manual_seed(self.seed)
        self.seen = set(prompt_tokens) if sampling.repetition_penalty != 1.0 else None

    def note(self, token: int) -> None:
        """Remembers a chosen token for the repetition penalty, and goes on in what is given."""
        if self.given:
            self.given.popleft()
        if self.seen is not None:
            self.seen.add(token)

    def draw(self) -> float:
        """Returns the next uniform number in [0, 1) of this generation."""
        return torch.rand((), generator=self.generator, dtype=torch.float64).item()


def choose(logits: Tensor, samplers: Sequence[Sampler]) -> list[int | None]:
    """Returns a token per row of `logits` (n, V) float; None where the row is not a distribution.

    Changes `logits` never; draws one number from each sampling row's generator.
    """
    peaks, best = logits.max(dim=-1)  # NaN anywhere makes the peak NaN.
    if any(sampler.seen is not None for sampler in samplers):
        logits = penalise(logits, samplers)
        best = logits.argmax(dim=-1)
    tokens: list[int | None] = [
        token if sound else None
        for token, sound in zip(best.tolist(), torch.isfinite(peaks).tolist(), strict=True)
    ]
    rows = [i for i, s in enumerate(samplers) if s.generator is not None and tokens[i] is not None]
    if rows:
        settings = [samplers[row].sampling for row in rows]
        chances = warp(logits[rows], settings).softmax(dim=-1)
        drawn = invert(chances, [samplers[row].draw() for row in rows])
        for row, token in zip(rows, drawn, strict=True):
            tokens[row] = token
    return [
        sampler.given[0] if sampler.given and token is not None else token
        for sampler, token in zip(samplers, tokens, strict=True)
    ]


def penalise(logits: Tensor, samplers: Sequence[Sampler]) -> Tensor:
    """Returns a copy of `logits` (n, V) where seen tokens are less likely.

    CTRL, Keskar et al. 2019, arXiv 1909.05858, section 4.1; negative logits are multiplied, as in
    transformers.
    """
    logits = logits.clone()
    for row, sampler in enumerate(samplers):
        if sampler.seen:
            seen = torch.tensor(sorted(sampler.seen), device=logits.device)
            scores = logits[row, seen]
            penalty = sampler.sampling.repetition_penalty
            logits[row, seen] = torch.where(scores < 0, scores * penalty, scores / penalty)
    return logits


def warp(logits: Tensor, settings: Sequence[Sampling]) -> Tensor:
    """Returns `logits` (n, V) with each row's temperature applied and cut tokens at -inf."""
    scores = logits / _column([s.temperature for s in settings], logits)
    if any(s.top_k > 0 for s in settings):
        scores = _cut_top_k(scores, [s.top_k for s in settings])
    if any(s.top_p < 1.0 for s in settings):
        scores = _cut_top_p(scores, [s.top_p for s in settings])
    if any(s.min_p > 0.0 for s in settings):
        chances = scores.softmax(dim=-1)
        floor = chances.amax(dim=-1, keepdim=True) * _column([s.min_p for s in settings], logits)
        scores = scores.masked_fill(chances < floor, NEVER)
    return scores


def invert(chances: Tensor, draws: Sequence[float]) -> list[int]:
    """Returns per row of `chances` (n, V) the token at which their sum first exceeds the draw."""
    sums = chances.double().cumsum(dim=-1)
    marks = _column(draws, sums) * sums[:, -1:]
    tokens = torch.searchsorted(sums, marks, right=True).squeeze(-1)
    return tokens.clamp_(max=chances.shape[-1] - 1).tolist()


def logprobs(logits: Tensor, tokens: Sequence[int], top: int) -> list[Ranked]:
    """Returns natural-log probabilities under raw `logits` (n, V): the chosen token's and the best.

    The best `top` are (token, logprob), most probable first.
    """
    scores = logits.float().log_softmax(dim=-1)
    own = scores.gather(1, torch.tensor(tokens, device=logits.device)[:, None])[:, 0].tolist()
    if top == 0:
        return [(chosen, []) for chosen in own]
    values, ids = scores.topk(min(top, scores.shape[-1]), dim=-1)
    return [
        (chosen, list(zip(best, value, strict=True)))
        for chosen, best, value in zip(own, ids.tolist(), values.tolist(), strict=True)
    ]


def _cut_top_k(scores: Tensor, top_k: Sequence[int]) -> Tensor:
    """Cuts what lies below the k-th best score of each row; k of 0 cuts nothing."""
    width = scores.shape[-1]
    kept = [min(k, width) if k > 0 else width for k in top_k]
    widest = max((k for k in kept if k < width), default=0)
    if widest == 0:
        return scores
    best = scores.topk(widest, dim=-1).values
    places = torch.tensor([min(k, widest) - 1 for k in kept], device=scores.device)[:, None]
    floor = best.gather(1, places)
    cuts = torch.tensor([k < width for k in kept], device=scores.device)[:, None]
    return scores.masked_fill((scores < floor) & cuts, NEVER)


def _cut_top_p(scores: Tensor, top_p: Sequence[float]) -> Tensor:
    """Keeps the smallest set of best tokens whose probabilities sum to top_p or more, per row."""
    ordered, places = scores.sort(dim=-1, descending=False)
    sums = ordered.softmax(dim=-1).cumsum(dim=-1)
    limits = [1.0 - p if p < 1.0 else -1.0 for p in top_p]
    removed = sums <= _column(limits, scores)
    removed[:, -1] = False
    return scores.masked_fill(removed.scatter(1, places, removed), NEVER)


def _column(values: Sequence[float], like: Tensor) -> Tensor:
    """Returns (n, 1) values of the kind of `like`."""
    return torch.tensor(values, dtype=like.dtype, device=like.device)[:, None]
