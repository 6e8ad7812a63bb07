"""What is refused before any work, with the field's name and what was expected."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from memory.errors import ContextTooLong, InvalidInput
from runtime.engine.admission import check_request, check_room, check_sampling
from runtime.engine.contract import EngineInfo, EngineRequest, Sampling

INFO = EngineInfo(
    model="m",
    model_type="llama",
    fingerprint="f",
    context_tokens=100,
    vocab_size=50,
    parameters=1,
    dtype="float32",
    device="cpu",
    chat=False,
    concurrent_max=4,
)
REQUEST = EngineRequest(
    request_id="r", prompt_tokens=(1, 2, 3), sampling=Sampling(max_tokens=5), prefix_tokens=2
)
NAN, INFINITY = float("nan"), float("inf")


def with_sampling(**values: Any) -> Sampling:
    return replace(Sampling(temperature=1.0), **values)


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("max_tokens", [0, -1, True, 1.5]),
        ("temperature", [-0.1, NAN, INFINITY, 101.0, True]),
        ("top_p", [0.0, -1.0, 1.01, NAN]),
        ("top_k", [-1, 2**31, 1.5]),
        ("min_p", [-0.1, 1.0, NAN]),
        ("repetition_penalty", [0.0, -1.0, 10.1, NAN, 1e-9]),
        ("seed", [-1, 2**63, 1.5]),
        ("stop", [tuple("abcdefghijklmnopq")]),
    ],
)
def test_values_out_of_range_are_refused_by_name(field: str, values: list[Any]) -> None:
    for value in values:
        with pytest.raises(InvalidInput) as refusal:
            check_sampling(with_sampling(**{field: value}))
        assert f"sampling.{field}" == refusal.value.field
        assert "expected" in str(refusal.value)


@pytest.mark.parametrize("stop", [("",), ("fine", ""), ("x" * 257,)])
def test_a_bad_stop_string_is_named_by_its_place(stop: tuple[str, ...]) -> None:
    with pytest.raises(InvalidInput) as refusal:
        check_sampling(with_sampling(stop=stop))
    assert f"sampling.stop[{len(stop) - 1}]" == refusal.value.field


@pytest.mark.parametrize("values", [{"top_p": 0.9}, {"top_k": 5}, {"min_p": 0.1}])
def test_greedy_with_a_cut_contradicts_itself(values: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput, match="temperature is 0") as refusal:
        check_sampling(Sampling(**values))
    assert f"sampling.{next(iter(values))}" == refusal.value.field


@pytest.mark.parametrize(
    "sampling",
    [
        Sampling(),
        Sampling(top_k=1, seed=0, repetition_penalty=10.0, stop=("x",) * 16),
        Sampling(temperature=100.0, top_p=1e-6, top_k=2**31 - 1, min_p=0.999, seed=2**63 - 1),
        Sampling(temperature=1, top_p=1),
    ],
)
def test_values_on_their_borders_are_accepted(sampling: Sampling) -> None:
    check_sampling(sampling)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"prompt_tokens": ()}, "prompt"),
        ({"prompt_tokens": (1, 50)}, "prompt"),
        ({"prompt_tokens": (-1,)}, "prompt"),
        ({"prompt_tokens": (True,)}, "prompt"),
        ({"logprobs_top": 21}, "logprobs"),
        ({"logprobs_top": -1}, "logprobs"),
        ({"prefix_tokens": 4}, "prefix_tokens"),
        ({"prefix_tokens": -1}, "prefix_tokens"),
    ],
)
def test_a_request_that_cannot_run_is_refused_by_field(changes: dict[str, Any], field: str) -> None:
    check_request(REQUEST, INFO)
    with pytest.raises(InvalidInput) as refusal:
        check_request(replace(REQUEST, **{"prefix_tokens": 0, **changes}), INFO)
    assert field == refusal.value.field


def test_room_is_refused_with_the_numbers_on_both_sides_of_the_border() -> None:
    check_room(60, 40, 100)
    check_room(99, 1, 100)
    with pytest.raises(ContextTooLong, match="at most 40") as refusal:
        check_room(60, 41, 100)
    assert (101, 100, "sampling.max_tokens") == (
        refusal.value.given,
        refusal.value.limit,
        refusal.value.field,
    )
    with pytest.raises(ContextTooLong) as refusal:
        check_room(100, 1, 100)
    assert (100, 100, "prompt") == (refusal.value.given, refusal.value.limit, refusal.value.field)
    with pytest.raises(ContextTooLong):
        check_room(5, 10**9, 100)
