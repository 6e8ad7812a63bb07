"""How far a consolidation job is: a bar on a terminal, a line for each stage elsewhere."""

from __future__ import annotations

import time

from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn

from errata.edition_results import Operation
from errata.meter import Meter
from errata.show import Screen

STAGES = {
    "selecting": "selecting edits",
    "covariance": "reading running text",
    "targets": "finding targets",
    "solving": "solving",
    "refining": "refining",
    "gating": "asking the gate's questions",
    "writing": "writing the edition",
    "activating": "activating",
    "done": "done",
}


class JobMeter(Meter):
    """Shows what `take` is given."""

    def __init__(self, screen: Screen) -> None:
        self._stage = ""
        self._began_s = time.monotonic()
        columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        super().__init__(screen, TextColumn("{task.description:<28}"), *columns, total=None)

    def take(self, operation: Operation) -> None:
        """Shows how far the job is."""
        text = STAGES.get(operation.stage, operation.stage)
        if self._bar:
            total = operation.total or None
            self._bar.update(self._task, description=text, completed=operation.done, total=total)
        elif not self._screen.json and operation.stage != self._stage:
            took_s = time.monotonic() - self._began_s
            self._screen.note(f"{took_s:7.1f} s  {text}")
        self._stage = operation.stage
