"""How far an import is: a bar on a terminal, a line now and then elsewhere, nothing with --json."""

from __future__ import annotations

import time

from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn

from errata.meter import Meter
from errata.results import ImportProgress
from errata.show import Screen

LINE_EVERY_S = 10.0


class ImportMeter(Meter):
    """Shows what `take` is given; `total` is the number of records, None when it is not known."""

    def __init__(self, screen: Screen, *, total: int | None) -> None:
        self.durable_row = 0
        self._total = total
        self._began_s = self._said_s = time.monotonic()
        columns = (
            TextColumn("Importing"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[figures]}"),
            TimeRemainingColumn(),
        )
        super().__init__(screen, *columns, total=total, figures="")

    def take(self, progress: ImportProgress) -> None:
        """Shows how far the import is."""
        self.durable_row = progress.durable_row
        now_s = time.monotonic()
        rate = progress.received / max(now_s - self._began_s, 1e-3)
        figures = f"{progress.created} created, {progress.refused} refused, {rate:.0f}/s"
        if self._bar:
            self._bar.update(self._task, completed=progress.durable_row, figures=figures)
        elif not self._screen.json and now_s - self._said_s >= LINE_EVERY_S:
            self._said_s = now_s
            of = f" of {self._total}" if self._total else ""
            self._screen.note(f"{progress.durable_row}{of} rows: {figures}")
