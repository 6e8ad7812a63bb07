"""The process that computes a job: low in priority, capped in memory, gone when its parent is.

    python -m runtime.consolidation.child FOLDER

It reads job.json in the folder and writes its results there; progress goes to stdout, one JSON
object a line. Standard input stays open as long as the parent lives: at its end this process ends,
so that a killed server leaves no computing behind. Exit codes: 0 done, 3 failed (error.json says
why), anything else a crash.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from memory.errors import ErrataError
from runtime.consolidation.files import write_json
from runtime.consolidation.spec import ERROR, JobSpec, read_spec

DONE, FAILED, ORPHANED = 0, 3, 4
REPORT_S = 0.1  # Between two lines of the same stage.


class Reporter:
    """Writes progress to stdout, not more often than somebody can look."""

    def __init__(self) -> None:
        self._stage = ""
        self._next_s = 0.0

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Reports; a stage's first and last step always."""
        now_s = time.monotonic()
        if stage == self._stage and done < total and now_s < self._next_s:
            return
        self._stage, self._next_s = stage, now_s + REPORT_S
        line = json.dumps({"stage": stage, "done": done, "total": total})
        sys.stdout.write(line + "\n")
        sys.stdout.flush()


def main(arguments: Sequence[str], editors: Mapping[str, Any] | None = None) -> int:
    """Computes the job; `editors` replaces the table of editors."""
    folder = Path(arguments[0])
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        spec = read_spec(folder)
        if spec is not None:
            os.nice(spec.niceness)
        _compute(folder, spec, editors)
    except ErrataError as error:
        return _give_up(folder, error.reason, str(error))
    except (MemoryError, RuntimeError) as error:
        if not _is_memory(error):
            raise
        return _give_up(
            folder,
            "OUT_OF_MEMORY",
            f"the job needed more memory than consolidation.memory_mb allows ({error}); raise it, "
            "or consolidate fewer edits at once",
        )
    return DONE


def _compute(folder: Path, spec: JobSpec | None, editors: Mapping[str, Any] | None) -> None:
    import torch  # noqa: PLC0415  # Slow: the watch of the parent must be there before.

    from runtime.consolidation.compute import compute  # noqa: PLC0415

    if spec is not None:
        torch.set_num_threads(spec.threads)
        _cap_memory(spec.memory_bytes)
    if editors is None:
        from runtime.consolidation.editors import EDITORS  # noqa: PLC0415

        editors = EDITORS
    compute(folder, editors, Reporter())


def _cap_memory(memory_bytes: int) -> None:
    """Lets this process map so much more than it has mapped by now (Linux only)."""
    if not memory_bytes or not sys.platform.startswith("linux"):
        return
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    limit = pages * resource.getpagesize() + memory_bytes
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def _is_memory(error: BaseException) -> bool:
    text = str(error).lower()
    return isinstance(error, MemoryError) or "allocate" in text or "out of memory" in text


def _give_up(folder: Path, reason: str, message: str) -> int:
    write_json(folder / ERROR, {"reason": reason, "message": message})
    return FAILED


def _end_with_parent() -> None:
    """Ends this process when standard input ends, which it does with the parent."""
    while os.read(0, 4096):
        pass
    os._exit(ORPHANED)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
