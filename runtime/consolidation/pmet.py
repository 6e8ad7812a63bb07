"""PMET: attention and MLP optimised together, the MLP written (Li et al. 2023, 2308.08742)."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from runtime.consolidation.contract import Delta, Fact, Progress
from runtime.consolidation.layers import write_layers
from runtime.consolidation.refine import refined_where_needed
from runtime.consolidation.solve import memit, spread_root
from runtime.consolidation.targets import Place
from runtime.consolidation.workbench import Workbench


class PmetEditor:
    """δ at the outputs of attention and MLP of the last layer; the MLP's is written.

    Attention is taken to hold general patterns that should stay, so its δ is left out of the
    weights (section 3.2); the rest of what is missing is spread by √ over the layers.
    """

    name = "pmet"

    def __init__(self, bench: Workbench) -> None:
        self._bench = bench

    def compute(self, facts: Sequence[Fact], progress: Progress) -> Delta:
        """Returns the change. Raises ConsolidationFailed, and what `progress` raises."""
        bench, how = self._bench, self._bench.settings
        rows = bench.rows(facts)
        moments = bench.moments(how.layers, progress)
        last = how.layers[-1]
        attention, watched = bench.sites.attention_out(last), bench.sites.mlp_out(last)
        flat = rows.flat
        block = bench.sites.block(last)
        _, outputs = bench.look(flat, {}, outputs=[attention, watched, block])
        first = torch.tensor(rows.first)
        targets = bench.targets(
            rows,
            own=torch.stack([outputs[attention][first], outputs[watched][first]], dim=1),
            stream=outputs[block][first],
            place=Place(first=last, inside=(attention, watched)),
            objective=how.objective,
            progress=progress,
        )
        changes = write_layers(
            bench,
            rows,
            watched=watched,
            wanted=rows.wanted(outputs[watched], targets.delta[:, 1]),
            spread=spread_root,
            kernel=lambda layer, keys, missing: memit(
                keys, missing, moments[layer], how.old_weight(len(facts))
            ),
            progress=progress,
        )
        changes = refined_where_needed(bench, facts, rows, changes, progress)
        return bench.delta(self.name, changes, facts, targets, rows.told)
