"""The linear algebra of editors: tensors in, tensors out, in float64; knows nothing of models.

Legend: d_in and d_out the widths of a projection, n columns (facts, or prompts of facts).
Keys K are (d_in, n): what enters the projection at the fact token. Residuals R are (d_out, n): what
must be added to what leaves it. The second moment C is (d_in, d_in): the mean of k kᵀ over running
text, uncentred. A change is returned as factors `left (d_out, r)`, `right (r, d_in)`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from memory.errors import ConsolidationFailed

MISSED_MAX = 1e-6  # Of a solve, relative; float64 gives 1e-10 on a regular system.
SILENT_MAX = 1e-12  # Of the mean diagonal.
PIVOT_MIN = 1e-15  # Of the largest: under it float64 has no digits left.
_ADVICE = "expected a regular system: raise covariance_weight, or give the covariance more text"


@dataclass(frozen=True, slots=True, kw_only=True)
class Factors:
    """A low-rank change `left @ right`, float64."""

    left: Tensor  # (d_out, r)
    right: Tensor  # (r, d_in)

    def full(self) -> Tensor:
        """Returns the change, (d_out, d_in)."""
        return self.left @ self.right


def memit(keys: Tensor, residuals: Tensor, moment: Tensor, weight: float) -> Factors:
    """Returns Δ = R Kᵀ (λ C + K Kᵀ)⁻¹ (MEMIT, Meng et al. 2022, arXiv 2210.07229, eq. 14).

    λ is `weight`: the number of tokens of running text that the old associations count for (the
    paper's C₀ = λ E[k kᵀ], eq. 15). Raises ConsolidationFailed for a singular or non-finite system.
    """
    keys, residuals, moment = _checked(keys, residuals, moment)
    system = weight * moment + keys @ keys.T  # (d_in, d_in)
    return Factors(left=residuals, right=_solve(system, keys, "MEMIT").T)


def rome(key: Tensor, wanted: Tensor, matrix: Tensor, moment: Tensor) -> Factors:
    """Returns Δ = (v* - W k*) (C⁻¹ k*)ᵀ / (k*ᵀ C⁻¹ k*), of rank one.

    ROME, Meng et al. 2022, arXiv 2202.05262, eq. 2 and 3.
    `key` (d_in,), `wanted` v* (d_out,), `matrix` W (d_out, d_in). The same k* stands in every
    place, which is R-ROME's correction (Gupta et al. 2024, arXiv 2403.07175): ROME's code takes
    the bare prompt's key for W k* and for the denominator but the mean key for the direction, and
    such edits can disable a model. Raises ConsolidationFailed.
    """
    keys, residuals, moment = _checked(
        key[:, None], (wanted.double() - matrix.double() @ key.double())[:, None], moment
    )
    direction = _solve(moment, keys, "ROME")[:, 0]  # (d_in,)
    share = direction @ keys[:, 0]
    if not float(share) > 0:
        raise ConsolidationFailed(
            f"ROME's denominator k'C⁻¹k is {float(share):.3g}; expected above 0: the key is empty"
            " or the second moment is not positive definite (give it more text)"
        )
    return Factors(left=residuals, right=(direction / share)[None])


def null_space(moment: Tensor, threshold: float) -> Tensor:
    """Returns P = U Uᵀ (d_in, d_in), onto the eigenvectors of C with small eigenvalues.

    AlphaEdit, Fang et al. 2024, arXiv 2410.02355, eq. 6 and 7. Departure: the reference cuts at an
    absolute 2e-2, which depends on the activations' scale; here `threshold` is a share of the mean
    eigenvalue. Raises ConsolidationFailed when nothing is left to write into.
    """
    values, vectors = torch.linalg.eigh(moment.double())
    kept = vectors[:, values < threshold * values.mean()]
    if kept.shape[1] == 0:
        raise ConsolidationFailed(
            f"the null space is empty: no eigenvalue is under {threshold:g} of the mean; expected"
            " some (raise nullspace_threshold)"
        )
    projection: Tensor = kept @ kept.T
    return projection


def alphaedit(
    keys: Tensor, residuals: Tensor, projection: Tensor, ridge: float, former: Tensor | None = None
) -> Factors:
    """Returns Δ = R Kᵀ P (K_p K_pᵀ P + K Kᵀ P + L₂ I)⁻¹ (AlphaEdit, arXiv 2410.02355, eq. 12).

    `former` holds the keys K_p (d_in, m) of edits that earlier batches wrote. `ridge` is L₂, which
    the reference's code multiplies the identity with (10 for 7B models). Raises
    ConsolidationFailed.
    """
    keys, residuals, projection = _checked(keys, residuals, projection)
    seen = keys @ keys.T
    if former is not None:
        seen = seen + former.double() @ former.double().T
    system = projection @ seen + ridge * torch.eye(len(keys), dtype=torch.float64)
    # Transposed: Δᵀ = (P (K_p K_pᵀ + K Kᵀ) + L₂ I)⁻¹ P K Rᵀ, for P and the sums are symmetric.
    return Factors(left=residuals, right=_solve(system, projection @ keys, "AlphaEdit").T)


def spread_even(remaining: int) -> float:
    """Returns the share of what is missing that a layer takes, `remaining` layers including it.

    MEMIT, arXiv 2210.07229, eq. 20: R / (L - l + 1).
    """
    return 1.0 / remaining


def spread_root(remaining: int) -> float:
    """Returns PMET's share, 1 / √(L - l + 1) (Li et al. 2023, arXiv 2308.08742, section 3.3)."""
    return float(remaining**-0.5)


def compact(factors: Factors) -> tuple[Tensor, Tensor] | Tensor:
    """Returns the smaller form of a change, float32: its factors, or the matrix itself."""
    rank, (d_out, d_in) = len(factors.right), (len(factors.left), factors.right.shape[1])
    if rank * (d_in + d_out) < d_in * d_out:
        return factors.left.float().contiguous(), factors.right.float().contiguous()
    return factors.full().float()


def joined(changes: list[Factors]) -> Factors:
    """Returns the sum of changes as one, its rank the sum of theirs."""
    return Factors(
        left=torch.cat([change.left for change in changes], dim=1),
        right=torch.cat([change.right for change in changes]),
    )


def _checked(keys: Tensor, residuals: Tensor, square: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Asserts shapes, raises ConsolidationFailed for numbers that are none, returns float64."""
    d_in, n = keys.shape
    assert residuals.shape[1] == n, f"{residuals.shape[1]} residuals for {n} keys"
    assert square.shape == (d_in, d_in), f"{tuple(square.shape)} for keys of {d_in}"
    for name, tensor in (("keys", keys), ("residuals", residuals), ("second moment", square)):
        if not bool(torch.isfinite(tensor).all()):
            columns = (~torch.isfinite(tensor)).any(0).nonzero().flatten().tolist()
            raise ConsolidationFailed(
                f"the {name} hold numbers that are not finite (columns {columns[:8]}); expected"
                " finite activations: check the model's dtype and the edits' targets"
            )
    return keys.double().cpu(), residuals.double().cpu(), square.double().cpu()


def _solve(system: Tensor, right: Tensor, name: str) -> Tensor:
    """Solves, or raises ConsolidationFailed where the answer would be noise."""
    system = _without_silence(system)
    factors, pivots = torch.linalg.lu_factor_ex(system)[:2]
    sizes = factors.diagonal().abs()
    if not bool(torch.isfinite(sizes).all()):
        raise ConsolidationFailed(f"{name}'s system holds numbers that are not finite; {_ADVICE}")
    if float(sizes.min()) <= PIVOT_MIN * float(sizes.max()):
        raise ConsolidationFailed(
            f"{name}'s system is singular: its pivots range from {float(sizes.min()):.1e} to"
            f" {float(sizes.max()):.1e}; {_ADVICE}"
        )
    solution: Tensor = torch.linalg.lu_solve(factors, pivots, right)
    missed = torch.linalg.norm(system @ solution - right)
    missed /= torch.linalg.norm(right).clamp(1e-300)
    if not float(missed) <= MISSED_MAX:
        raise ConsolidationFailed(
            f"{name}'s solution misses by {float(missed):.1e} of the right side; {_ADVICE}"
        )
    return solution


def _without_silence(system: Tensor) -> Tensor:
    """Gives units that never fire (ReLU and GELU have some) a diagonal, so that they stay unused.

    A departure from the papers' code, whose solve breaks down on them.
    """
    sizes = system.diagonal().abs()
    silent = sizes <= SILENT_MAX * sizes.mean()
    return system + torch.diag(silent.to(system.dtype) * sizes.mean())
