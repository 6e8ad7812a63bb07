"""The text of a pair as the cross-encoder reads it, and its token ids.

    [CLS] frame of the edit's prompt = target [SEP] frame of the query [SEP]

In both frames the subject is MARK. Token types are 0 for the edit's side and 1 for the query's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

MARK = "x"
TARGET_CHARS_MAX = 40
EDIT_TOKENS_MAX = 30
QUERY_HEAD_TOKENS, QUERY_TAIL_TOKENS = 24, 40  # Of a longer query, its beginning and its end.
CLS, SEP = 101, 102

Ids = npt.NDArray[np.int64]


def edit_side(prompt_frame: str, target: str) -> str:
    """Returns the edit's side of a pair."""
    return f"{prompt_frame.strip()} = {target.strip()[:TARGET_CHARS_MAX]}"


@dataclass(frozen=True, slots=True, kw_only=True)
class PairBatch:
    """Token ids of n pairs, padded to t tokens."""

    ids: Ids  # (n, t)
    types: Ids  # (n, t): 0 edit, 1 query.
    lengths: Ids  # (n,)


class PairTokenizer:
    """Turns pairs of texts into ids. Thread-safe."""

    def __init__(self, folder: Path) -> None:
        self._tokenizer: Any = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()

    def tokens(self, text: str) -> list[int]:
        """Returns the ids of a text without special tokens; any text will do."""
        clean = text.encode("utf-8", "replace").decode("utf-8")
        ids: list[int] = self._tokenizer.encode(clean, add_special_tokens=False).ids
        return ids

    def batch(self, pairs: Sequence[tuple[str, str]]) -> PairBatch:
        """Returns the ids of (edit side, query frame) pairs."""
        rows = [
            (self.tokens(edit)[:EDIT_TOKENS_MAX], _shortened(self.tokens(query)))
            for edit, query in pairs
        ]
        lengths = np.array([len(edit) + len(query) + 3 for edit, query in rows], dtype=np.int64)
        ids = np.zeros((len(rows), int(lengths.max(initial=0))), dtype=np.int64)
        types = np.zeros_like(ids)
        for place, (edit, query) in enumerate(rows):
            row = [CLS, *edit, SEP, *query, SEP]
            ids[place, : len(row)] = row
            types[place, len(edit) + 2 : len(row)] = 1
        return PairBatch(ids=ids, types=types, lengths=lengths)


def _shortened(tokens: list[int]) -> list[int]:
    if len(tokens) <= QUERY_HEAD_TOKENS + QUERY_TAIL_TOKENS:
        return tokens
    return tokens[:QUERY_HEAD_TOKENS] + tokens[-QUERY_TAIL_TOKENS:]
