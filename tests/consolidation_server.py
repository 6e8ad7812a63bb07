"""A process that runs one job until it is killed: `python -m tests.consolidation_server DIR MODEL`.

It prints a line for each stage that the operation enters, and then waits for its end. With
HOLD_AT=STAGE in the environment the job stands still in that stage, in whichever process it is.
"""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path

from runtime.consolidation.operations import Stage
from runtime.consolidation.stages import Stages
from tests.consolidation_kit import Bench, load_tiny, real_worker

EDITOR = "EDITOR"  # Variable of the editor's name; else the one that never ends.


def hold_at(stage: str) -> None:
    """Lets no job of this process leave the stage once it was noted."""
    enter = Stages._enter

    def held(self: Stages, name: str, entered: Stage) -> None:
        enter(self, name, entered)
        if entered.value == stage:
            threading.Event().wait()

    Stages._enter = held  # type: ignore[method-assign, assignment]


def main() -> None:
    folder, model = Path(sys.argv[1]), Path(sys.argv[2])
    hold_at(os.environ.get("HOLD_AT", ""))
    bench = Bench(
        folder,
        load_tiny(model),
        editors={os.environ.get(EDITOR, "stuck"): None},  # type: ignore[dict-item]  # Not its own.
        worker=real_worker(),
        model=str(model),
    )
    bench.add(2)
    running = bench.consolidator.submit(bench.request())
    known = ""
    while True:
        now = bench.operations.get(running.id)
        if now.stage.value != known:
            known = now.stage.value
            print(known, flush=True)  # noqa: T201  # The parent reads it.
        bench.operations.wait(running.id, 0.05)


if __name__ == "__main__":
    main()
