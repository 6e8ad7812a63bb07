"""The largest resident memory that a piece of work takes. Knows nothing of what is measured."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

RESET, STATUS = Path("/proc/self/clear_refs"), Path("/proc/self/status")
RESET_PEAK = "5"  # man 5 proc: sets the "high water mark" back to the current size.


class Peak:
    """What was seen; `grown` is set when the block ends."""

    grown: int = 0  # Bytes above what was resident when the block began.


@contextmanager
def watched_memory() -> Iterator[Peak]:
    """Notes by how many bytes the process grows at most within the block.

    Where the mark cannot be set back (not Linux), growth is that of the process' whole life, so 0
    for work that stays under an earlier peak.
    """
    try:
        RESET.write_text(RESET_PEAK)
        before = _status("VmRSS")
        read = _high_water
    except OSError:
        before, read = _life_long(), _life_long
    peak = Peak()
    try:
        yield peak
    finally:
        peak.grown = max(0, read() - before)


def _high_water() -> int:
    return _status("VmHWM")


def _life_long() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _status(name: str) -> int:
    for line in STATUS.read_text().splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1]) * 1024
    raise OSError(f"{STATUS} has no {name}")
