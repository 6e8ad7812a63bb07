"""The ids of a pair: both sides in place, long queries cut in the middle, types by side."""

from __future__ import annotations

import pytest

from classifiers.cross_encoder import encoder_folder
from classifiers.cross_pairs import (
    CLS,
    EDIT_TOKENS_MAX,
    QUERY_HEAD_TOKENS,
    QUERY_TAIL_TOKENS,
    SEP,
    PairTokenizer,
    edit_side,
)


@pytest.fixture(scope="module")
def tokenizer() -> PairTokenizer:
    return PairTokenizer(encoder_folder())


def test_a_pair_is_edit_then_query_with_types_and_padding(tokenizer: PairTokenizer) -> None:
    batch = tokenizer.batch([("x is = y", "who is x"), ("x", "x")])
    edit, query = tokenizer.tokens("x is = y"), tokenizer.tokens("who is x")
    assert batch.ids[0].tolist() == [CLS, *edit, SEP, *query, SEP]
    assert batch.types[0].tolist() == [0] * (len(edit) + 2) + [1] * (len(query) + 1)
    assert batch.lengths.tolist() == [len(edit) + len(query) + 3, 5]
    assert batch.ids[1, 5:].tolist() == [0] * (batch.ids.shape[1] - 5)


def test_a_long_query_keeps_its_beginning_and_its_end(tokenizer: PairTokenizer) -> None:
    query = " ".join(["one"] * 100 + ["two"] * 100)
    row = tokenizer.batch([("edit " * 100, query)]).ids[0].tolist()
    assert len(row) == EDIT_TOKENS_MAX + QUERY_HEAD_TOKENS + QUERY_TAIL_TOKENS + 3
    (one,), (two,) = tokenizer.tokens("one"), tokenizer.tokens("two")
    assert row.count(one) == QUERY_HEAD_TOKENS
    assert row.count(two) == QUERY_TAIL_TOKENS


def test_the_edits_side_carries_a_target_of_bounded_length() -> None:
    assert edit_side("x is ", " Paris ") == "x is = Paris"
    assert len(edit_side("x", "y" * 500)) < 60
