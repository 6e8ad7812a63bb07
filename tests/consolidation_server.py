"""A process that runs one job until it is killed: `python -m tests.consolidation_server DIR MODEL`.

It prints a line for each stage that the operation enters, and then waits for its end.
"""

from __future__ import annotations

import sys
from pathlib import Path

from tests.consolidation_kit import Bench, load_tiny, real_worker


def main() -> None:
    folder, model = Path(sys.argv[1]), Path(sys.argv[2])
    bench = Bench(
        folder,
        load_tiny(model),
        editors={"stuck": None},  # type: ignore[dict-item]  # The child has its own table.
        worker=real_worker(),
        model=str(model),
    )
    bench.add(1)
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
