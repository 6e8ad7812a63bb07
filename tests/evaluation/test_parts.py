"""Small parts of a run: baselines that choose an edit, quantiles, the plan, what is remembered."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation.latency import quantile
from evaluation.plan import method_pairs
from evaluation.scopes import BM25, ExactLookup, NearestAlways, make_scope
from evaluation.workbench import RememberingEncoder, patiently
from memory.errors import InvalidInput, Overloaded
from memory.record import DEFAULT_NAMESPACE, Candidate, Edit, EditId, Query
from runtime.paths.counterfactual import AS_ASKED
from tests.hash_encoder import HashEncoder

PATHS = ("in_context", "counterfactual", "auto", AS_ASKED)


def candidate(prompt: str, rank: int) -> Candidate:
    edit = Edit(
        id=EditId(f"e-{rank}"), namespace=DEFAULT_NAMESPACE, subject="X", prompt=prompt, target="y"
    )
    return Candidate(edit=edit, cosine=0.1, rank=rank, by_vector=True, by_subject=False)


def test_the_look_up_takes_the_edit_s_own_prompt_and_the_nearest_takes_anything() -> None:
    query = Query(text="x IS", vector=np.zeros(4, dtype=np.float32))
    held = [candidate("Y is", 0), candidate("X is.", 1)]
    assert [0.0, 1.0] == ExactLookup().score(query, held)
    assert [1.0, 0.0] == NearestAlways().score(query, held)
    for scope in (ExactLookup(), NearestAlways()):
        assert [] == scope.score(query, [])
        assert 0.5 == scope.threshold() == scope.threshold(0.01)


def test_an_unknown_scope_is_refused() -> None:
    with pytest.raises(InvalidInput, match="known are ours"):
        make_scope("telepathy", HashEncoder())


def pairs(**changes: Any) -> list[tuple[str, str]]:
    given: dict[str, Any] = {
        "methods": ("auto",),
        "scopes": ("ours",),
        "baselines": False,
        "default_scope": "features",
        "paths": PATHS,
    }
    return method_pairs(**{**given, **changes})


def test_what_was_asked_for_is_crossed_and_no_edits_come_first() -> None:
    assert [
        ("none", "-"),
        ("auto", "features"),
        ("in_context", "features"),
        ("auto", BM25),
        ("in_context", BM25),
    ] == pairs(methods=("auto", "in_context"), scopes=("ours", BM25))


def test_a_pair_that_is_a_baseline_too_is_asked_once() -> None:
    found = pairs(methods=("target",), scopes=("exact", "ours"), baselines=True)
    assert len(found) == len(set(found))
    assert {("target", "exact"), ("target", "features")} <= set(found)


def test_baselines_of_paths_that_the_server_lacks_are_left_out() -> None:
    assert {AS_ASKED} <= {method for method, _ in pairs(baselines=True)}
    without = pairs(baselines=True, paths=("in_context",))
    assert AS_ASKED not in {method for method, _ in without}


@given(st.lists(st.floats(0, 1e3), min_size=1, max_size=200), st.sampled_from([0.5, 0.99]))
def test_a_quantile_lies_in_its_interval_among_the_values(
    values: list[float], share: float
) -> None:
    found = quantile("m", values, share)
    assert min(values) <= found.low <= found.value <= found.high <= max(values)
    assert sum(value <= found.value for value in values) >= share * (len(values) - 1)


def test_the_interval_of_a_median_is_that_of_order_statistics() -> None:
    """100 values: the 41st to the 60th (Conover 1999, section 3.2)."""
    found = quantile("m", [float(number) for number in range(100)], 0.5)
    assert (40.0, 59.0) == (found.low, found.high)


def test_a_text_is_encoded_once_as_query_and_edit_and_the_vector_is_the_caller_s_own() -> None:
    under = HashEncoder()
    encoder = RememberingEncoder(under)
    first = encoder.encode("a")
    first[:] = 0.0
    assert np.array_equal(under.encode("a"), encoder.encode("a"))
    before = under.encoded
    for _ in range(2):
        assert (3, under.dimension) == encoder.encode_many(["a", "b", "a"]).shape
    assert before + 2 == under.encoded
    assert (0, under.dimension) == encoder.encode_many([]).shape


def test_a_full_queue_is_asked_again() -> None:
    left = [2]

    async def ask() -> str:
        if left[0]:
            left[0] -= 1
            raise Overloaded("full")
        return "answer"

    assert "answer" == asyncio.run(patiently(ask))
