"""Keys and values of prompt beginnings that many requests share, computed once and kept.

Bounded by tokens; the least recently used goes first. An entry is keyed by everything it depends
on: the fingerprint of the model, the edition, and the tokens themselves.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from runtime.engine.columns import ColumnCache


@dataclass(frozen=True, slots=True, kw_only=True)
class PrefixKey:
    """What the keys and values of a prefix depend on."""

    fingerprint: str
    edition: int
    tokens: tuple[int, ...]


class PrefixCache:
    """An LRU of one-row caches. Used by the engine's thread only."""

    def __init__(self, tokens_max: int) -> None:
        self._tokens_max = tokens_max
        self._tokens = 0
        self._entries: OrderedDict[PrefixKey, ColumnCache] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: PrefixKey) -> ColumnCache | None:
        """Returns the entry, which the caller must not change, or None."""
        entry = self._entries.get(key)
        if entry is not None:
            self._entries.move_to_end(key)
        return entry

    def put(self, key: PrefixKey, source: ColumnCache) -> None:
        """Keeps a copy of the first row of `source`; drops old entries to make room."""
        size = len(key.tokens)
        if size > self._tokens_max or key in self._entries:
            return
        while self._tokens + size > self._tokens_max:
            dropped, _ = self._entries.popitem(last=False)
            self._tokens -= len(dropped.tokens)
        entry = ColumnCache(1, size)
        entry.append_row(source, 0)
        self._entries[key] = entry
        self._tokens += size
