"""What a job will take, from the model's shape: said before it begins, and held to a cap."""

from __future__ import annotations

import os
from collections.abc import Callable

from runtime.consolidation.descent import PASS_TOKENS
from runtime.consolidation.operations import Estimate
from runtime.engine.contract import EngineInfo

MIB = 2**20
WORD = 4  # Bytes of a float32.
LAYERS_TOUCHED = 6  # Of the editors' tables, at most.
COLUMNS_EACH = 32  # Rows of an edit: its four prompts, after each prefix, and what is kept (27).
PROGRAM_BYTES = 300 * MIB  # What torch maps besides, once it computes.
GATE_TOKENS = 4096  # Of one forward pass at the gate; an editor's passes are smaller.
PASS_COPIES = 3  # Logits, their log-softmax and its gradient.
KEPT_WIDTHS = 30  # What a block keeps of a token for the way back, in widths of the stream.
BLOCK_WIDTHS = 12  # Parameters of a block, about, in squares of that width.
MOVED_COPIES = 5  # What is refined, its slope, Adam's two moments, and the slope being made.


def estimator(info: EngineInfo, *, memory_cap_bytes: int) -> Callable[[int], Estimate]:
    """Returns the estimate of a job by its number of edits.

    Two copies of the weights (one to read, one float64 for the touched matrices at most), logits of
    one pass, the second moments of the touched layers, the edits' rows, and what refining keeps: of
    one pass what its way back needs, and the change in several copies. It is an upper bound for the
    families that are known, not a measurement.
    """
    width = info.width
    inner = 4 * width  # Input of an MLP's output projection, about.

    def estimate(edits: int) -> Estimate:
        moments = LAYERS_TOUCHED * inner * inner * 8 * 2
        logits = GATE_TOKENS * info.vocab_size * WORD * PASS_COPIES
        columns = edits * COLUMNS_EACH
        rows = columns * (inner + width) * 8
        factors = columns * (inner * (WORD + 8) + width * WORD * MOVED_COPIES)
        kept = KEPT_WIDTHS * info.parameters / max(1, BLOCK_WIDTHS * width) * PASS_TOKENS * WORD
        edition = LAYERS_TOUCHED * WORD * min(columns * (inner + width), inner * width)
        return Estimate(
            edits=edits,
            memory_bytes=PROGRAM_BYTES
            + 3 * info.parameters * WORD
            + moments
            + logits
            + rows
            + LAYERS_TOUCHED * factors
            + round(kept),
            memory_cap_bytes=memory_cap_bytes,
            edition_bytes=edition,
        )

    return estimate


def half_of_memory() -> int:
    """Returns half of the machine's memory, bytes."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
