"""How far a consolidation job is: a bar on a terminal, a line for each stage elsewhere."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)

from errata.edition_results import Operation
from errata.show import Screen

STAGES = {
    "selecting": "selecting edits",
    "covariance": "reading running text",
    "targets": "finding targets",
    "solving": "solving",
    "gating": "asking the gate's questions",
    "writing": "writing the edition",
    "activating": "activating",
    "done": "done",
}


class JobMeter:
    """Shows what `take` is given."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._stage = ""
        self._began_s = time.monotonic()
        self._bar: Progress | None = None
        self._task = TaskID(0)
        if screen.err.is_terminal and not screen.json:
            self._bar = Progress(
                TextColumn("{task.description:<28}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                console=screen.err,
                transient=True,
            )
            self._task = self._bar.add_task("", total=None)

    def __enter__(self) -> Self:
        if self._bar:
            self._bar.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Takes the bar away."""
        if self._bar:
            self._bar.stop()

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
