"""MEMIT: many facts at once into a range of layers (Meng et al. 2022, arXiv 2210.07229)."""

from __future__ import annotations

from collections.abc import Sequence

from runtime.consolidation.contract import Delta, Fact, Progress
from runtime.consolidation.layers import write_layers
from runtime.consolidation.refine import refined_where_needed
from runtime.consolidation.solve import memit, spread_even
from runtime.consolidation.state import state_targets
from runtime.consolidation.workbench import Workbench


class MemitEditor:
    """δ at the last layer of the range, least squares against the old associations in each."""

    name = "memit"

    def __init__(self, bench: Workbench) -> None:
        self._bench = bench

    def compute(self, facts: Sequence[Fact], progress: Progress) -> Delta:
        """Returns the change. Raises ConsolidationFailed, and what `progress` raises."""
        bench, how = self._bench, self._bench.settings
        rows = bench.rows(facts)
        moments = bench.moments(how.layers, progress)
        targets, wanted, watched = state_targets(bench, rows, progress)
        changes = write_layers(
            bench,
            rows,
            watched=watched,
            wanted=wanted,
            spread=spread_even,
            kernel=lambda layer, keys, missing: memit(
                keys, missing, moments[layer], how.old_weight(len(facts))
            ),
            progress=progress,
        )
        changes = refined_where_needed(bench, facts, rows, changes, progress)
        return bench.delta(self.name, changes, facts, targets, rows.told)
