"""Teacher-forced scores of continuations, in steps small enough to share the model fairly.

Legend: n continuations in a pass, q tokens of the longest, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Future

import torch
from torch import Tensor

from runtime.engine.columns import ColumnCache
from runtime.engine.contract import ScoredContinuation
from runtime.engine.model import FrozenModel

LOGITS_MAX = 32_000_000  # Of one pass: 128 MB in float32.


class ScoreJob:
    """One call of score(): `steps` runs on the engine's thread, `result` is waited for."""

    def __init__(
        self,
        prompt: Sequence[int],
        continuations: Sequence[Sequence[int]],
        *,
        model: FrozenModel,
        vocab_size: int,
    ) -> None:
        self._model = model
        self.result: Future[list[ScoredContinuation]] = Future()
        self._prompt = tuple(prompt)
        self._continuations = [tuple(tokens) for tokens in continuations]
        self._tokens_max = max(1, LOGITS_MAX // vocab_size)

    def steps(self, chunk_tokens: int) -> Iterator[None]:
        """Yields between forward passes; sets `result` at the end."""
        model = self._model
        prompt = ColumnCache(1, len(self._prompt))
        prompt.open_rows(1)
        first = torch.empty(0)
        for start in range(0, len(self._prompt), chunk_tokens):
            first = model.prefill(prompt, [self._prompt[start : start + chunk_tokens]])
            yield
        scored: list[ScoredContinuation | None] = [None] * len(self._continuations)
        for group in self._groups(min(chunk_tokens, self._tokens_max)):
            for place, result in zip(group, self._score(model, prompt, first, group), strict=True):
                scored[place] = result
            yield
        self.result.set_result([result for result in scored if result is not None])

    def _groups(self, tokens_max: int) -> list[list[int]]:
        """Returns the places of continuations that share a pass, alike in length."""
        order = sorted(range(len(self._continuations)), key=lambda i: len(self._continuations[i]))
        groups: list[list[int]] = []
        for place in order:
            width = len(self._continuations[place])
            if groups and width * (len(groups[-1]) + 1) <= tokens_max:
                groups[-1].append(place)
            else:
                groups.append([place])
        return groups

    def _score(
        self, model: FrozenModel, prompt: ColumnCache, first: Tensor, group: Sequence[int]
    ) -> list[ScoredContinuation]:
        """Scores one group; `first` (1, V) are the logits after the prompt."""
        rows = [self._continuations[place] for place in group]
        fed = [row[:-1] for row in rows]  # The last token is judged, not read.
        width = max(map(len, fed))
        logits = first[:, None].expand(len(rows), 1, -1)  # (n, 1, V)
        if width > 0:
            cache = ColumnCache(len(rows), len(self._prompt) + width)
            for _ in rows:
                cache.append_row(prompt, 0)
            logits = torch.cat([logits, model.score(cache, fed)], dim=1)  # (n, q, V)
        return [read_scores(logits[index], row) for index, row in enumerate(rows)]


def read_scores(logits: Tensor, tokens: tuple[int, ...]) -> ScoredContinuation:
    """Reads the scores of one continuation off its logits (q, V)."""
    if not tokens:
        return ScoredContinuation(token_ids=(), logprobs=(), greedy=())
    logits = logits[: len(tokens)]
    chosen = torch.tensor(tokens, device=logits.device)
    scores = logits.log_softmax(dim=-1).gather(1, chosen[:, None])[:, 0]
    return ScoredContinuation(
        token_ids=tokens,
        logprobs=tuple(scores.tolist()),
        greedy=tuple((logits.argmax(dim=-1) == chosen).tolist()),
    )
