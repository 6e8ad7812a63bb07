"""Prompts on their way into the cache: in groups when short, in chunks when long.

One forward pass a turn, so that prompts hold up running streams by at most one pass each step.
"""

from __future__ import annotations

import logging
from collections import deque
from dataclasses import dataclass

from torch import Tensor

from runtime.engine.columns import ColumnCache
from runtime.engine.model import FrozenModel
from runtime.engine.prefixes import PrefixCache, PrefixKey
from runtime.engine.sequence import RunningGeneration

logger = logging.getLogger(__name__)


@dataclass(slots=True, kw_only=True)
class Prefill:
    """A prompt whose first `cache.lengths[0]` tokens have been computed (none without a cache)."""

    generation: RunningGeneration
    cache: ColumnCache | None = None

    @property
    def prompt(self) -> tuple[int, ...]:
        """The tokens to compute."""
        return self.generation.request.prompt_tokens

    @property
    def prefix(self) -> int:
        """How many leading tokens other requests share."""
        return self.generation.request.prefix_tokens

    @property
    def fresh(self) -> bool:
        """Whether it can start in a group: nothing computed, nothing to reuse."""
        return self.cache is None and self.prefix == 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Prefilled:
    """Finished prompts: row i of `cache` and of `logits` (n, V) is that of generation i."""

    generations: list[RunningGeneration]
    cache: ColumnCache
    logits: Tensor


class PrefillQueue:
    """The prompts that hold a slot but do not decode yet. Used by the engine's thread only."""

    def __init__(self, prefixes: PrefixCache, fingerprint: str) -> None:
        self._prefixes = prefixes
        self._fingerprint = fingerprint
        self._queue: deque[Prefill] = deque()

    def __len__(self) -> int:
        return len(self._queue)

    def add(self, generation: RunningGeneration) -> None:
        """Queues a prompt behind the others."""
        self._queue.append(Prefill(generation=generation))

    def generations(self) -> list[RunningGeneration]:
        """Returns who is waiting here."""
        return [prefill.generation for prefill in self._queue]

    def drop_ended(self) -> None:
        """Forgets generations that have ended."""
        self._queue = deque(p for p in self._queue if not p.generation.ended)

    def turn(self, tokens_max: int) -> Prefilled | None:
        """Computes up to about `tokens_max` tokens; returns prompts that became complete.

        A prompt that is not complete goes to the end of the queue, so that short ones pass it. A
        prompt whose pass raises fails; one that shared the pass is tried again alone.
        """
        if not self._queue:
            return None
        group = self._next_group(tokens_max)
        for prefill in group:
            prefill.generation.note_prefill()
        try:
            done = self._run(group, tokens_max)
        except Exception as error:
            logger.exception("a prefill of %d prompts failed", len(group))
            if len(group) > 1:
                for prefill in group:  # From now on each is alone: its cache exists.
                    prefill.cache = ColumnCache(1, len(prefill.prompt))
                    prefill.cache.open_rows(1)
                self._queue.extendleft(reversed(group))
            else:
                group[0].generation.fail(error)
            return None
        if done is None:
            self._queue.append(group[0])
        return done

    def _next_group(self, tokens_max: int) -> list[Prefill]:
        """Takes the first prompt, and those after it that may share its pass."""
        first = self._queue.popleft()
        group = [first]
        if not first.fresh or len(first.prompt) > tokens_max:
            return group
        weights = first.generation.weights
        widest = len(first.prompt)
        rest: deque[Prefill] = deque()
        for prefill in self._queue:
            width = max(widest, len(prefill.prompt))
            same = prefill.fresh and prefill.generation.weights is weights
            if same and width * (len(group) + 1) <= tokens_max:
                group.append(prefill)
                widest = width
            else:
                rest.append(prefill)
        self._queue = rest
        return group

    def _run(self, group: list[Prefill], tokens_max: int) -> Prefilled | None:
        """Runs one pass for `group`; returns it when its prompts are complete."""
        if len(group) > 1:
            model = _model_of(group[0])
            cache = ColumnCache(len(group), max(len(p.prompt) for p in group))
            cache.open_rows(len(group))
            logits = model.prefill(cache, [p.prompt for p in group])
            return Prefilled(generations=[p.generation for p in group], cache=cache, logits=logits)
        return self._run_single(group[0], tokens_max)

    def _run_single(self, prefill: Prefill, tokens_max: int) -> Prefilled | None:
        """Computes the next chunk of one prompt; a shared prefix is looked up, or kept."""
        model = _model_of(prefill)
        cache = prefill.cache or self._open(prefill)
        prefill.cache = cache
        done = cache.lengths[0]
        end = min(len(prefill.prompt), done + tokens_max)
        if done < prefill.prefix < end:
            end = prefill.prefix  # A pass ends where the prefix does, so that it can be kept.
        logits = model.prefill(cache, [prefill.prompt[done:end]])
        if end == prefill.prefix:
            self._prefixes.put(self._key(prefill), cache)
        if end < len(prefill.prompt):
            return None
        return Prefilled(generations=[prefill.generation], cache=cache, logits=logits)

    def _open(self, prefill: Prefill) -> ColumnCache:
        """Returns a one-row cache for a prompt, filled with its prefix when that is known."""
        cache = ColumnCache(1, len(prefill.prompt))
        known = self._prefixes.get(self._key(prefill)) if prefill.prefix else None
        if known is None:
            cache.open_rows(1)
            return cache
        cache.append_row(known, 0)
        if prefill.prefix == len(prefill.prompt):  # The last token must run to give its logits.
            cache.truncate_row(prefill.prefix - 1)
        prefill.generation.cached_tokens = cache.lengths[0]
        return cache

    def _key(self, prefill: Prefill) -> PrefixKey:
        request = prefill.generation.request
        return PrefixKey(
            fingerprint=self._fingerprint,
            edition=request.edition,
            tokens=request.prompt_tokens[: prefill.prefix],
        )


def _model_of(prefill: Prefill) -> FrozenModel:
    """Returns the weights that the generation began with."""
    weights = prefill.generation.weights
    assert weights is not None, "the engine gives every generation its weights"
    return weights
