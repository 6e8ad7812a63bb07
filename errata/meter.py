"""A progress bar that is there on a terminal and nowhere else."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self

from rich.progress import Progress, ProgressColumn, TaskID

from errata.show import Screen


class Meter:
    """Holds the bar, None elsewhere than on a terminal; use it as a context manager."""

    def __init__(
        self, screen: Screen, *columns: str | ProgressColumn, total: int | None, **fields: Any
    ) -> None:
        """Takes rich's columns and the fields that they show."""
        self._screen = screen
        self._bar: Progress | None = None
        self._task = TaskID(0)
        if screen.err.is_terminal and not screen.json:
            self._bar = Progress(*columns, console=screen.err, transient=True)
            self._task = self._bar.add_task("", total=total, **fields)

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
