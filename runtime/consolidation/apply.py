"""From base and change to the matrices of an edition: round(W0 + Δ), computed once.

The sum is made in float64 on the CPU and rounded to the model's dtype, so that an edition has the
same bits each time it is made. Pure: it reads edition 0 and returns new tensors.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from memory.errors import ConsolidationFailed, EditionUnusable
from runtime.consolidation.contract import MatrixDelta
from runtime.sites import FAMILIES


def full_delta(matrix: MatrixDelta) -> Tensor:
    """Returns a change as one matrix, (d_out, d_in) float64."""
    if matrix.full is not None:
        return matrix.full.detach().cpu().double()
    assert matrix.left is not None
    assert matrix.right is not None
    return matrix.left.detach().cpu().double() @ matrix.right.detach().cpu().double()


def edited_parameters(
    parameter: Callable[[str], Tensor], matrices: Sequence[MatrixDelta], model_type: str
) -> dict[str, Tensor]:
    """Returns the parameters that take the place of edition 0's, in its dtype, by name.

    `parameter` returns those of edition 0 and is what knows the model. Raises EditionUnusable for
    a change of another shape, ConsolidationFailed for one that is not finite.
    """
    family = FAMILIES.get(model_type)
    transposed = family is not None and family.transposed
    made: dict[str, Tensor] = {}
    for matrix in matrices:
        name = f"{matrix.module}.weight"
        own = parameter(name)
        delta = full_delta(matrix)
        if transposed:
            delta = delta.T
        if delta.shape != own.shape:
            raise EditionUnusable(
                f"the change of {matrix.module} is {tuple(delta.shape)} where the model has "
                f"{tuple(own.shape)}; it was computed for another model"
            )
        rounded = (own.detach().cpu().double() + delta).to(own.dtype)
        if not bool(torch.isfinite(rounded).all()):
            raise ConsolidationFailed(
                f"the change of {matrix.module} makes weights that are not finite numbers in "
                f"{str(own.dtype).removeprefix('torch.')}; nothing was activated"
            )
        made[name] = rounded
    return made
