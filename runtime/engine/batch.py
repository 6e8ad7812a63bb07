"""The generations of one edition that decode together, one token each per step.

Legend: n rows, c columns in use, V vocabulary.
"""

from __future__ import annotations

import logging

import torch
from torch import Tensor

from runtime.engine.columns import ColumnCache
from runtime.engine.model import FrozenModel
from runtime.engine.sequence import RunningGeneration

logger = logging.getLogger(__name__)


class RunningBatch:
    """Rows that share decode steps. Used by the engine's thread only."""

    def __init__(self, model: FrozenModel, rows_max: int, columns: int) -> None:
        self.generations: list[RunningGeneration] = []
        self._model = model
        self._cache = ColumnCache(rows_max, columns)
        self._places: Tensor | None = None  # (n, 1), the position of each row's next token.
        self._pads: Tensor | None = None  # (n, 1), masked columns left of each row, if any.

    def join(self, generation: RunningGeneration, source: ColumnCache, row: int) -> None:
        """Adds a generation whose prompt lies in row `row` of `source`."""
        self._cache.append_row(source, row)
        self.generations.append(generation)
        self._refresh()

    def drop_ended(self) -> None:
        """Frees the rows of generations that have ended."""
        for row in range(len(self.generations) - 1, -1, -1):
            if self.generations[row].ended:
                self._cache.remove_row(row)
                last = self.generations.pop()
                if row < len(self.generations):
                    self.generations[row] = last
        self._refresh()

    def columns_used(self) -> int:
        """Returns how long the longest row is."""
        return self._cache.window.end - self._cache.window.start

    def step(self) -> Tensor | None:
        """Feeds each row's last token; returns logits (n, V), or None when no row survived.

        A pass that raises is repeated row by row: the rows that raise again fail, the others go on.
        Rows that failed are dropped before the logits are returned.
        """
        tokens = torch.tensor([[generation.tokens[-1]] for generation in self.generations])
        self._cache.reserve(1)
        try:
            logits = self._model.step(self._cache, tokens, self._positions(), self._mask())
        except Exception:
            logger.exception("a decode step of %d rows failed; trying them singly", len(tokens))
            return self._step_singly(tokens)
        self._cache.advance(1)
        self._positions().add_(1)
        return logits

    def _step_singly(self, tokens: Tensor) -> Tensor | None:
        """Runs the step one row at a time, failing those that raise."""
        mask, places = self._mask(), self._positions()
        survivors: list[Tensor] = []
        for row, generation in enumerate(self.generations):
            self._cache.show_row(row)
            try:
                survivors.append(
                    self._model.step(
                        self._cache,
                        tokens[row : row + 1],
                        places[row : row + 1],
                        None if mask is None else mask[row : row + 1],
                    )
                )
            except Exception as error:  # noqa: BLE001  # Whatever it is, it is this row's.
                generation.fail(error)
        self._cache.show_all()
        self._cache.advance(1)
        alive = [i for i, generation in enumerate(self.generations) if not generation.ended]
        order = {id(self.generations[i]): n for n, i in enumerate(alive)}
        self.drop_ended()
        if not survivors:
            return None
        logits = torch.cat(survivors)
        return logits[[order[id(generation)] for generation in self.generations]]

    def _refresh(self) -> None:
        """Forgets what depends on who is in the batch."""
        self._places = self._pads = None

    def _positions(self) -> Tensor:
        """Returns the positions of the next tokens, (n, 1)."""
        if self._places is None:
            lengths = torch.tensor(self._cache.lengths)[:, None]
            self._places = lengths
            pads = lengths.max() - lengths
            self._pads = pads if bool(pads.any()) else None
        return self._places

    def _mask(self) -> Tensor | None:
        """Returns which columns each row sees in the next step, (n, c + 1); None for all."""
        self._positions()
        if self._pads is None:
            return None
        return torch.arange(self.columns_used() + 1) >= self._pads
