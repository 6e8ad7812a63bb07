"""ROME: one fact after another as rank-one changes of one layer (Meng et al. 2022, 2202.05262)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from memory.errors import ConsolidationFailed
from runtime.consolidation.contract import Delta, Fact, Progress
from runtime.consolidation.hyperparameters import Columns
from runtime.consolidation.solve import Factors, joined, rome
from runtime.consolidation.targets import Place
from runtime.consolidation.workbench import Workbench


class RomeEditor:
    """v* at the MLP output of one layer, k* averaged over all rows of a fact (R-ROME).

    Departure: keys and v* of all facts are found at edition 0, in batches, and written one after
    another, each against the matrix that the former ones left; ROME's code finds each v* on the
    model that the former edits left. For one fact there is no difference.
    """

    name = "rome"

    def __init__(self, bench: Workbench) -> None:
        self._bench = bench

    def compute(self, facts: Sequence[Fact], progress: Progress) -> Delta:
        """Returns the change. Raises ConsolidationFailed, and what `progress` raises."""
        bench, how = self._bench, self._bench.settings
        layer = how.rome_layer
        module = bench.sites.mlp_out(layer)
        rows = replace(bench.rows(facts), kept=[])  # A rank-one change has no room for them.
        moment = bench.moments([layer], progress)[layer]
        block = bench.sites.block(layer)
        inputs, outputs = bench.look(rows.flat, {}, inputs=[module], outputs=[module, block])
        # The δ of an MLP output is the δ of the block's: the block adds it to the residual stream.
        first = torch.tensor(rows.first)
        targets = bench.targets(
            rows,
            own=outputs[module][first][:, None],
            stream=outputs[block][first],
            place=Place(first=layer + 1),
            objective=replace(how.objective, clamp_factor=how.rome_clamp_factor),
            progress=progress,
        )
        mixing = rows.columns(Columns.MEAN)
        keys = (mixing @ inputs[module]).T  # (d_in, n)
        # v* without the projection's bias, which stays where it is: the mean output plus δ.
        before = bench.weight(module)
        wanted = before @ keys + targets.delta[:, 0].double().T  # (d, n)
        matrix, changes = before.clone(), list[Factors]()
        for number, fact in enumerate(facts):
            progress("solving", number, len(facts))
            try:
                change = rome(keys[:, number], wanted[:, number], matrix, moment)
            except ConsolidationFailed as error:
                raise ConsolidationFailed(f"edit {fact.edit_id}, layer {layer}: {error}") from error
            matrix += change.full()
            changes.append(change)
        progress("solving", len(facts), len(facts))
        return bench.delta(self.name, {module: joined(changes)}, facts, targets)
