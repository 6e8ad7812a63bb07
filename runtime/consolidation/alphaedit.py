"""AlphaEdit: changes only where running text puts nothing (Fang et al. 2024, arXiv 2410.02355)."""

from __future__ import annotations

from collections.abc import Sequence

from runtime.consolidation.contract import Delta, Fact, Progress
from runtime.consolidation.layers import write_layers
from runtime.consolidation.solve import alphaedit, null_space, spread_even
from runtime.consolidation.state import state_targets
from runtime.consolidation.workbench import Workbench


class AlphaEditEditor:
    """MEMIT's targets and shares, solved in the null space of the old associations.

    An edition holds all its facts in one change from edition 0, so there are no former keys here;
    the kernel takes them for the stacked protocol of the paper.
    """

    name = "alphaedit"

    def __init__(self, bench: Workbench) -> None:
        self._bench = bench

    def compute(self, facts: Sequence[Fact], progress: Progress) -> Delta:
        """Returns the change. Raises ConsolidationFailed, and what `progress` raises."""
        bench, how = self._bench, self._bench.settings
        rows = bench.rows(facts)
        moments = bench.moments(how.layers, progress)
        spaces = {
            layer: null_space(moment, how.nullspace_threshold) for layer, moment in moments.items()
        }
        targets, wanted, watched = state_targets(bench, rows, progress)
        changes = write_layers(
            bench,
            rows,
            watched=watched,
            wanted=wanted,
            spread=spread_even,
            kernel=lambda layer, keys, missing: alphaedit(
                keys,
                missing,
                spaces[layer],
                # The ridge is in units of the keys' own energy: activations differ by family.
                how.nullspace_ridge * float(moments[layer].diagonal().mean()),
            ),
            progress=progress,
        )
        return bench.delta(self.name, changes, facts, targets, rows.told)
