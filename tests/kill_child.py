"""A process that writes edits from many threads until it is killed; run by the kill -9 test.

    python -m tests.kill_child DIRECTORY ROUND [--acknowledge-early]

Each acknowledged edit is one line on standard output, written with one system call after the write
was answered. With --acknowledge-early the answer is moved before the commit, which the test must
then notice.
"""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path

from memory.keeper import Keeper
from memory.log import EditLog
from memory.work import Work
from tests.memory_kit import draft, open_memory

WRITERS = 16


def finish_early(keeper: Keeper, log: EditLog, work: Work) -> None:
    """What Keeper._finish does, in the wrong order."""
    keeper._answer(work)
    keeper._make_durable(log, work)
    keeper._take_in(log, work)


def main() -> None:
    # Threads take turns often, so that kills meet them everywhere.
    sys.setswitchinterval(1e-5)
    directory, turn = Path(sys.argv[1]), sys.argv[2]
    if "--acknowledge-early" in sys.argv:
        Keeper._finish = finish_early  # type: ignore[method-assign, assignment]
    memory = open_memory(directory)

    def write(writer: int) -> None:
        number = 0
        while True:
            number += 1
            name = f"{turn} {writer} {number}"
            result = memory.create(draft(name), request_id=f"r {name}")
            os.write(1, f"{result.edits[0].id} {name}\n".encode())

    threads = [threading.Thread(target=write, args=(writer,)) for writer in range(WRITERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    main()
