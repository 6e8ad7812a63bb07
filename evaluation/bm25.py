"""BM25 over the statements of edits, as a retriever for a baseline.

Robertson and Zaragoza 2009, "The Probabilistic Relevance Framework: BM25 and Beyond", equation
3.15, with k1 = 1.2, b = 0.75 and the idf of Lucene, ln(1 + (N - n + 0.5) / (n + 0.5)), which is
never negative. Words are runs of letters and digits, case folded; no stemming, no stop words.

Legend: n edits, v words of the vocabulary.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

import numpy as np
from scipy.sparse import csr_matrix

K1 = 1.2
B = 0.75
WORD = re.compile(r"\w+")


def words(text: str) -> list[str]:
    """Returns the words that are compared."""
    return WORD.findall(text.casefold())


class Bm25Index:
    """An immutable index. Thread-safe."""

    def __init__(self, texts: Sequence[str]) -> None:
        if not texts:
            raise ValueError("BM25 needs at least one text")
        counts = [Counter(words(text)) for text in texts]
        lengths = np.array([sum(count.values()) for count in counts], dtype=np.float64)
        self._places: dict[str, int] = {}
        rows, columns, values = [], [], []
        for row, count in enumerate(counts):
            for word, times in count.items():
                rows.append(row)
                columns.append(self._places.setdefault(word, len(self._places)))
                values.append(times)
        shape = (len(texts), max(1, len(self._places)))
        times = csr_matrix((np.array(values, dtype=np.float64), (rows, columns)), shape=shape)
        found_in = np.bincount(np.array(columns, dtype=np.int64), minlength=shape[1])
        idf = np.log1p((len(texts) - found_in + 0.5) / (found_in + 0.5))  # (v,)
        norm = K1 * (1 - B + B * lengths / max(lengths.mean(), 1e-9))  # (n,)
        row_of = np.repeat(np.arange(len(texts)), np.diff(times.indptr))
        saturated = times.data * (K1 + 1) / (times.data + norm[row_of])
        weights = csr_matrix((saturated * idf[times.indices], times.indices, times.indptr), shape)
        self._by_word = weights.tocsc()  # (n, v)
        self._size = len(texts)

    def scores(self, query: str) -> np.ndarray:
        """Returns the score of every text, (n,); a word said twice counts twice."""
        total = np.zeros(self._size)
        for word in words(query):
            place = self._places.get(word)
            if place is not None:
                column = slice(self._by_word.indptr[place], self._by_word.indptr[place + 1])
                total[self._by_word.indices[column]] += self._by_word.data[column]
        return total

    def best(self, query: str) -> tuple[int, float]:
        """Returns the place and score of the best text; the first of equal ones."""
        found = self.scores(query)
        place = int(np.argmax(found))
        return place, float(found[place])
