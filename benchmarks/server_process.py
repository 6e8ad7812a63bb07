"""A real server in a process of its own, as its users run it, for benchmarks that speak gRPC."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc

SERVER = Path(__file__).resolve().parent.parent / "server.py"
START_S_MAX = 180.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerProcess:
    """Where a started server answers, and what starting it took."""

    address: str
    start_seconds: float  # From the process's start to a channel that is ready.
    process: subprocess.Popen[bytes]


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def started_server(
    data_dir: Path, *, model: str, environment: Mapping[str, str] | None = None
) -> Iterator[ServerProcess]:
    """Starts server.py on a free port, waits until it answers, and ends it with SIGTERM."""
    address = f"127.0.0.1:{free_port()}"
    settings = {
        "ERRATA_SERVER__LISTEN": address,
        "ERRATA_SERVER__LOG_LEVEL": "error",
        "ERRATA_MEMORY__DIRECTORY": str(data_dir),
        "ERRATA_MODEL__NAME": model,
        **(environment or {}),
    }
    began = time.perf_counter()
    process = subprocess.Popen(  # noqa: S603  # Our own server.
        [sys.executable, str(SERVER)], env={**os.environ, **settings}
    )
    try:
        _wait_until_ready(address, process)
        yield ServerProcess(
            address=address, start_seconds=time.perf_counter() - began, process=process
        )
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=60)


def _wait_until_ready(address: str, process: subprocess.Popen[bytes]) -> None:
    """Waits for the port. Raises RuntimeError when the server ends or takes too long."""
    deadline = time.monotonic() + START_S_MAX
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"the server ended with {process.returncode} before it was ready")
        with grpc.insecure_channel(address) as channel:
            try:
                grpc.channel_ready_future(channel).result(timeout=0.2)
            except grpc.FutureTimeoutError:
                continue
            return
    raise RuntimeError(f"the server was not ready after {START_S_MAX:.0f} s")
