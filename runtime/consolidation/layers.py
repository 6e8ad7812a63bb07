"""Writes target vectors into a range of layers: what MEMIT, AlphaEdit and PMET share.

Legend: n columns, d width of the residual stream, d_in of the projection's input.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from memory.errors import ConsolidationFailed
from runtime.consolidation.contract import Progress
from runtime.consolidation.solve import Factors
from runtime.consolidation.workbench import Rows, Workbench

Kernel = Callable[[int, Tensor, Tensor], Factors]  # (layer, K (d_in, n), R (d, n))


def write_layers(
    bench: Workbench,
    rows: Rows,
    *,
    watched: str,
    wanted: Tensor,
    spread: Callable[[int], float],
    kernel: Kernel,
    progress: Progress,
) -> dict[str, Factors]:
    """Returns a change for each layer's projection.

    `watched` is the module whose output at the fact token should become `wanted` (rows, d)
    float64. Each layer takes its share of what is then still missing, measured anew with the
    changes of the layers below (MEMIT, arXiv 2210.07229, algorithm 1). Raises ConsolidationFailed
    naming the layer.
    """
    layers, flat = bench.settings.layers, rows.flat
    mixing = rows.columns(bench.settings.columns)  # (n, rows)
    weights: dict[str, Tensor] = {}
    changes: dict[str, Factors] = {}
    for number, layer in enumerate(layers):
        progress("solving", number, len(layers))
        module = bench.sites.mlp_out(layer)
        inputs, outputs = bench.look(flat, weights, inputs=[module], outputs=[watched])
        keys = (mixing @ inputs[module]).T  # (d_in, n)
        missing = (mixing @ (wanted - outputs[watched])).T  # (d, n)
        try:
            change = kernel(layer, keys, missing * spread(len(layers) - number))
        except ConsolidationFailed as error:
            raise ConsolidationFailed(f"layer {layer}: {error}") from error
        changes[module] = change
        weights[module] = bench.weight(module) + change.full()
    progress("solving", len(layers), len(layers))
    return changes
