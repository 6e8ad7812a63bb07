"""The residual stream that facts should have after the last layer of the range (MEMIT, AlphaEdit).

Legend: n facts, d width.
"""

from __future__ import annotations

import torch
from torch import Tensor

from runtime.consolidation.contract import Progress
from runtime.consolidation.targets import Place, Targets
from runtime.consolidation.workbench import Rows, Workbench


def state_targets(bench: Workbench, rows: Rows, progress: Progress) -> tuple[Targets, Tensor, str]:
    """Returns the targets, the wanted state of each row (rows, d) float64, and its module.

    z = h + δ for each row's own h: with mean columns that is MEMIT's residual, δ where the range
    begins (MEMIT, arXiv 2210.07229, eq. 16).
    """
    layer = bench.settings.layers[-1]
    watched = bench.sites.block(layer)
    flat = rows.flat
    _, outputs = bench.look(flat, {}, outputs=[watched])
    states = outputs[watched]  # (rows, d)
    first = torch.tensor(rows.first)
    targets = bench.targets(
        rows,
        own=states[first][:, None],
        stream=states[first],
        place=Place(first=layer + 1),
        objective=bench.settings.objective,
        progress=progress,
    )
    return targets, rows.wanted(states, targets.delta[:, 0]), watched
