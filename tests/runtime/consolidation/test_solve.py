"""The kernels agree with naive float64 loops, with closed forms, and with what they promise."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from memory.errors import ConsolidationFailed
from runtime.consolidation import solve


def drawn(seed: int, d_in: int, d_out: int, n: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    text = normal(d_in, 4 * d_in)
    return normal(d_in, n), normal(d_out, n), text @ text.T / (4 * d_in), normal(d_out, d_in)


def naive_memit(keys: Tensor, residuals: Tensor, moment: Tensor, weight: float) -> Tensor:
    """Sums over facts in loops, then one solve a row by Gauss elimination."""
    d_in, n = keys.shape
    d_out = len(residuals)
    system = [[weight * float(moment[i, j]) for j in range(d_in)] for i in range(d_in)]
    for f in range(n):
        for i in range(d_in):
            for j in range(d_in):
                system[i][j] += float(keys[i, f]) * float(keys[j, f])
    out = torch.zeros(d_out, d_in, dtype=torch.float64)
    for row in range(d_out):
        right = [sum(float(residuals[row, f] * keys[i, f]) for f in range(n)) for i in range(d_in)]
        out[row] = torch.tensor(eliminate([line[:] for line in system], right), dtype=torch.float64)
    return out


def eliminate(a: list[list[float]], b: list[float]) -> list[float]:
    n = len(b)
    b = b[:]
    for i in range(n):
        pivot = max(range(i, n), key=lambda r: abs(a[r][i]))
        a[i], a[pivot], b[i], b[pivot] = a[pivot], a[i], b[pivot], b[i]
        for r in range(i + 1, n):
            factor = a[r][i] / a[i][i]
            b[r] -= factor * b[i]
            for c in range(i, n):
                a[r][c] -= factor * a[i][c]
    x = [0.0] * n
    for i in reversed(range(n)):
        x[i] = (b[i] - sum(a[i][c] * x[c] for c in range(i + 1, n))) / a[i][i]
    return x


@settings(max_examples=20, deadline=None)
@given(
    seed=st.integers(0, 1000),
    d_in=st.integers(2, 7),
    d_out=st.integers(1, 5),
    n=st.integers(1, 9),
    weight=st.floats(0.01, 100),
)
def test_memit_equals_a_naive_loop(seed: int, d_in: int, d_out: int, n: int, weight: float) -> None:
    keys, residuals, moment, _ = drawn(seed, d_in, d_out, n)
    actual = solve.memit(keys, residuals, moment, weight).full()
    assert torch.allclose(naive_memit(keys, residuals, moment, weight), actual, atol=1e-9)


def test_memit_minimises_what_the_paper_minimises() -> None:
    """At the minimum of λ tr(Δ C Δᵀ) + |Δ K - R|² the gradient is zero (MEMIT, eq. 10 and 13)."""
    keys, residuals, moment, _ = drawn(3, 8, 5, 4)
    delta = solve.memit(keys, residuals, moment, 2.5).full().requires_grad_()
    cost = 2.5 * (delta @ moment @ delta.T).trace() + (delta @ keys - residuals).square().sum()
    (slope,) = torch.autograd.grad(cost, delta)
    assert float(slope.abs().max()) < 1e-10


def test_memit_without_old_associations_writes_exactly_what_is_asked() -> None:
    keys, residuals, moment, _ = drawn(4, 9, 5, 4)
    delta = solve.memit(keys, residuals, moment, 1e-9).full()
    assert torch.allclose(residuals, delta @ keys, atol=1e-6)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000), d_in=st.integers(2, 8), d_out=st.integers(1, 6))
def test_rome_maps_the_key_to_the_value_and_moves_old_keys_least(
    seed: int, d_in: int, d_out: int
) -> None:
    """ROME, eq. 2: the closed form of least change under the constraint W' k* = v*."""
    keys, values, moment, matrix = drawn(seed, d_in, d_out, 1)
    change = solve.rome(keys[:, 0], values[:, 0], matrix, moment)
    assert 1 == len(change.right)
    delta = change.full()
    assert torch.allclose(values[:, 0], (matrix + delta) @ keys[:, 0], atol=1e-8)
    # Constrained least squares by its Karush-Kuhn-Tucker system, row by row.
    system = torch.zeros(d_in + 1, d_in + 1, dtype=torch.float64)
    system[:d_in, :d_in], system[:d_in, d_in], system[d_in, :d_in] = moment, keys[:, 0], keys[:, 0]
    missing = values[:, 0] - matrix @ keys[:, 0]
    for row in range(d_out):
        right = torch.zeros(d_in + 1, dtype=torch.float64)
        right[d_in] = missing[row]
        assert torch.allclose(torch.linalg.solve(system, right)[:d_in], delta[row], atol=1e-7)


def test_alphaedit_leaves_old_keys_exactly_alone_and_equals_its_formula() -> None:
    generator = torch.Generator().manual_seed(0)
    old = torch.randn(10, 4, generator=generator, dtype=torch.float64)
    old = torch.cat([old, torch.zeros(10, 0, dtype=torch.float64)], dim=1)
    moment = old @ old.T / 4  # Rank 4 of 10: six directions are free.
    projection = solve.null_space(moment, 1e-6)
    assert 6 == round(float(projection.trace()))
    assert torch.allclose(projection, projection @ projection, atol=1e-10)
    keys = torch.randn(10, 3, generator=generator, dtype=torch.float64)
    residuals = torch.randn(5, 3, generator=generator, dtype=torch.float64)
    former = torch.randn(10, 2, generator=generator, dtype=torch.float64)
    delta = solve.alphaedit(keys, residuals, projection, 0.5, former).full()
    assert float((delta @ old).abs().max()) < 1e-10
    inner = (former @ former.T + keys @ keys.T) @ projection
    expected = (
        residuals @ keys.T @ projection @ torch.linalg.inv(inner + 0.5 * torch.eye(10).double())
    )
    assert torch.allclose(expected, delta, atol=1e-10)


def test_alphaedit_with_a_small_ridge_writes_what_is_asked() -> None:
    keys, residuals, _, _ = drawn(6, 9, 4, 3)
    delta = solve.alphaedit(keys, residuals, torch.eye(9, dtype=torch.float64), 1e-9).full()
    assert torch.allclose(residuals, delta @ keys, atol=1e-6)


def test_an_empty_null_space_is_said() -> None:
    with pytest.raises(ConsolidationFailed, match="null space is empty"):
        solve.null_space(torch.eye(4), 0.5)


@pytest.mark.parametrize(
    ("spread", "expected"),
    [(solve.spread_even, [1 / 3, 1 / 2, 1.0]), (solve.spread_root, [3**-0.5, 2**-0.5, 1.0])],
)
def test_the_last_layer_takes_all_that_is_missing(
    spread: Callable[[int], float], expected: list[float]
) -> None:
    assert pytest.approx(expected) == [spread(3 - number) for number in range(3)]


def test_even_spread_in_a_linear_model_writes_all_of_it() -> None:
    """Layers that each write their share of what is then missing sum to the whole."""
    missing, written = torch.tensor([1.0, -2.0]).double(), torch.zeros(2).double()
    shares = []
    for remaining in (4, 3, 2, 1):
        share = (missing - written) * solve.spread_even(remaining)
        written += share
        shares.append(share)
    assert torch.allclose(missing, written)
    assert all(torch.allclose(missing / 4, share) for share in shares)


def test_a_singular_system_fails_clearly() -> None:
    keys, residuals, _, _ = drawn(1, 6, 3, 2)
    with pytest.raises(ConsolidationFailed, match=r"MEMIT's system is singular.*covariance_weight"):
        solve.memit(keys, residuals, torch.zeros(6, 6), 1.0)


def test_a_nearly_singular_system_is_not_solved_into_noise() -> None:
    _, residuals, moment, _ = drawn(1, 6, 3, 2)
    turn = torch.linalg.qr(moment).Q
    moment = turn @ torch.diag(torch.tensor([1, 1, 1, 1, 1e-17, 1e-18]).double()) @ turn.T
    with pytest.raises(ConsolidationFailed, match="covariance_weight"):
        solve.rome(torch.ones(6).double(), residuals[:, 0], torch.zeros(3, 6), moment)


def test_units_that_never_fire_stay_unused() -> None:
    keys, residuals, moment, _ = drawn(1, 6, 3, 2)
    awake = torch.tensor([1, 1, 0, 1, 1, 0]).double()
    keys, moment = keys * awake[:, None], moment * awake * awake[:, None]
    delta = solve.memit(keys, residuals, moment, 0.5).full()
    kept = awake.bool()
    expected = solve.memit(keys[kept], residuals, moment[kept][:, kept], 0.5).full()
    assert torch.allclose(expected, delta[:, kept])
    assert float(delta[:, ~kept].abs().max()) == 0


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_numbers_that_are_none_fail_clearly(bad: float) -> None:
    keys, residuals, moment, _ = drawn(1, 6, 3, 2)
    residuals[1, 1] = bad
    with pytest.raises(ConsolidationFailed, match=r"residuals .*columns \[1\]"):
        solve.memit(keys, residuals, moment, 1.0)


def test_the_smaller_form_is_kept() -> None:
    few = solve.Factors(left=torch.ones(8, 2).double(), right=torch.ones(2, 6).double())
    many = solve.Factors(left=torch.ones(8, 5).double(), right=torch.ones(5, 6).double())
    form = solve.compact(few)
    assert isinstance(form, tuple)
    assert torch.equal(few.full().float(), form[0] @ form[1])
    whole = solve.compact(many)
    assert isinstance(whole, torch.Tensor)
    assert torch.equal(many.full().float(), whole)
    assert torch.equal(few.full() + many.full(), solve.joined([few, many]).full())
