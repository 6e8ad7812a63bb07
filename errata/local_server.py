"""A server of one's own for a while: a subprocess on a free port, never left behind.

Used by `errata demo`. Knows how to start, to wait until it serves, and to end; asks nothing.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import select
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from memory.errors import StartupError

ANY_PORT = "127.0.0.1:0"
END_S = 10.0
LOG_LINES_SHOWN = 15
PR_SET_PDEATHSIG = 1  # prctl(2): the signal to get when the parent dies.


@contextmanager
def local_server(flags: Sequence[str], *, log: Path, start_s: float = 300.0) -> Iterator[str]:
    """Runs `errata serve` with `flags` on a free port; yields its address once it serves.

    Its log goes to `log`. Raises StartupError with the end of the log when it does not come up
    within `start_s`. The process has ended when this returns, whatever happened inside.
    """
    with _process(flags, log) as server:
        assert server.stdout is not None
        address = _ready_address(server.stdout, start_s)
        if not address:
            raise StartupError(f"The server did not start. Its last words:\n{_tail(log)}")
        yield address


@contextmanager
def _process(flags: Sequence[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "errata.cli", "serve", "--json", "--listen", ANY_PORT, *flags]
    with log.open("wb") as out:
        server = subprocess.Popen(  # noqa: S603  # Our own command.
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=out,
            cwd=Path(__file__).resolve().parent.parent,
            start_new_session=True,  # Ctrl-C is ours to handle.
            preexec_fn=_die_with_parent if sys.platform == "linux" else None,  # noqa: PLW1509
        )
    try:
        yield server
    finally:
        _end(server)


def _die_with_parent() -> None:
    """In the child: asks the kernel to end it when the parent dies, even by SIGKILL."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def _end(server: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        server.terminate()
    try:
        server.wait(END_S)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()
    assert server.stdout is not None
    server.stdout.close()


def _ready_address(stdout: IO[bytes], start_s: float) -> str:
    """Returns what the server's first line says; "" when it ended or the time is up."""
    readable, _, _ = select.select([stdout], [], [], start_s)
    line = stdout.readline() if readable else b""
    return str(json.loads(line)["address"]) if line.strip() else ""


def _tail(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    return "\n".join(lines[-LOG_LINES_SHOWN:])
