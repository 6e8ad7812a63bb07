"""round(W0 + Δ): in the model's dtype and layout, and never of numbers that are none."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from memory.errors import ConsolidationFailed, EditionUnusable
from runtime.consolidation.apply import edited_parameters, full_delta
from runtime.consolidation.contract import MatrixDelta


def delta(d_out: int = 4, d_in: int = 6, rank: int = 2) -> MatrixDelta:
    generator = torch.Generator().manual_seed(0)
    return MatrixDelta(
        module="m",
        left=torch.randn(d_out, rank, generator=generator),
        right=torch.randn(rank, d_in, generator=generator),
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_the_sum_is_rounded_once(dtype: torch.dtype) -> None:
    own, change = torch.randn(4, 6).to(dtype), delta()
    made = edited_parameters(lambda _: own, [change], "llama")
    exact = own.double() + full_delta(change)
    assert {"m.weight"} == set(made)
    assert torch.equal(exact.to(dtype), made["m.weight"])
    assert made["m.weight"].dtype is dtype


def test_a_family_that_stores_weights_transposed_gets_them_so() -> None:
    own, change = torch.randn(6, 4), delta()
    made = edited_parameters(lambda _: own, [change], "gpt2")
    assert torch.equal((own.double() + full_delta(change).T).float(), made["m.weight"])


def test_factors_and_the_full_matrix_say_the_same() -> None:
    own, change = torch.randn(4, 6), delta()
    full = MatrixDelta(module="m", full=full_delta(change))
    one, other = (edited_parameters(lambda _: own, [x], "llama") for x in (change, full))
    assert torch.equal(one["m.weight"], other["m.weight"])


def test_what_is_not_for_this_model_is_refused() -> None:
    with pytest.raises(EditionUnusable, match=r"\(4, 6\) where the model has \(6, 4\)"):
        edited_parameters(lambda _: torch.randn(6, 4), [delta()], "llama")


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), 1e30])
def test_numbers_that_are_none_are_refused(bad: float) -> None:
    own: Tensor = torch.zeros(4, 6, dtype=torch.float16)
    full = torch.zeros(4, 6)
    full[1, 2] = bad
    with pytest.raises(ConsolidationFailed, match="not finite"):
        edited_parameters(lambda _: own, [MatrixDelta(module="m", full=full)], "llama")
    assert float(own.abs().max()) == 0.0
