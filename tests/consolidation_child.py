"""The computing process with the tests' editors: `python -m tests.consolidation_child FOLDER`.

readout   the honest little editor
stuck     says that it has begun to solve, then waits for ever
hungry    takes more memory than any test allows
crash     dies the first time it solves, as by a signal, and works from then on

With HOLD_AT=STAGE in the environment it waits for ever once that stage has been reported.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import torch

from runtime.consolidation import child
from runtime.consolidation.contract import Delta, Fact, Progress
from tests.readout_editor import ReadoutEditor

FOLDER = Path(sys.argv[1]) if len(sys.argv) > 1 else Path()
HOLD_AT = "HOLD_AT"


class Stuck(ReadoutEditor):
    def compute(self, facts: Sequence[Fact], progress: Progress) -> Delta:
        progress("solving", 0, 1)
        threading.Event().wait()
        return super().compute(facts, progress)


class Hungry(ReadoutEditor):
    def compute(self, facts: Sequence[Fact], progress: Progress) -> Delta:
        progress("solving", 0, 1)
        torch.empty(2**36, dtype=torch.uint8)
        return super().compute(facts, progress)


class Crash(ReadoutEditor):
    def compute(self, facts: Sequence[Fact], progress: Progress) -> Delta:
        marker = FOLDER / "crashed"
        if not marker.exists():
            marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().compute(facts, progress)


class HoldingReporter(child.Reporter):
    """Reports, then waits for ever at the stage that HOLD_AT names."""

    def __call__(self, stage: str, done: int, total: int) -> None:
        super().__call__(stage, done, total)
        if stage == os.environ.get(HOLD_AT):
            threading.Event().wait()


if __name__ == "__main__":
    editors = {"readout": ReadoutEditor, "stuck": Stuck, "hungry": Hungry, "crash": Crash}
    child.Reporter = HoldingReporter  # type: ignore[misc]
    sys.exit(child.main(sys.argv[1:], editors))
