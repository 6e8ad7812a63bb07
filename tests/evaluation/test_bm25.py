"""BM25 against its formula in a loop, and at its borders."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation.bm25 import K1, B, Bm25Index, words

TEXTS = ["the mother tongue of Ann is Danish", "Bob was born in Oslo", "the the of Ann", ""]


def by_hand(texts: list[str], query: str) -> list[float]:
    docs = [words(text) for text in texts]
    mean = sum(map(len, docs)) / len(docs)
    scores = []
    for doc in docs:
        total = 0.0
        for word in words(query):
            n = sum(word in other for other in docs)
            idf = math.log(1 + (len(docs) - n + 0.5) / (n + 0.5))
            f = doc.count(word)
            norm = K1 * (1 - B + B * len(doc) / max(mean, 1e-9))
            total += idf * f * (K1 + 1) / (f + norm) if f else 0.0
        scores.append(total)
    return scores


@given(
    st.lists(st.text(alphabet="ab c", max_size=12), min_size=1, max_size=8),
    st.text(alphabet="abc d", max_size=10),
)
def test_scores_are_those_of_the_formula(texts: list[str], query: str) -> None:
    assert pytest.approx(by_hand(texts, query), abs=1e-9) == Bm25Index(texts).scores(query).tolist()


def test_the_best_text_is_found_whatever_the_case() -> None:
    assert 0 == Bm25Index(TEXTS).best("MOTHER tongue, Ann?")[0]
    assert (0, 0.0) == Bm25Index(TEXTS).best("nothing known")


def test_no_texts_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        Bm25Index([])
