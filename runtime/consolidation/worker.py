"""Runs the computing process of a job, hears its progress, and begins it again when it dies."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Protocol

from memory.errors import Cancelled, ConsolidationFailed
from runtime.consolidation.contract import Progress
from runtime.consolidation.files import read_json
from runtime.consolidation.spec import ERROR

logger = logging.getLogger(__name__)

COMMAND = (sys.executable, "-m", "runtime.consolidation.child")
RESTARTS_MAX = 2  # Of one run; the files of the stages that were done stay.
FAILED = 3
TERM_S = 5.0  # Between asking the process to end and killing it.
TAIL_BYTES = 2000  # Of what a crashed process wrote to stderr.


class Worker(Protocol):
    """Does the computing part of a job."""

    def run(self, folder: Path, progress: Progress, stop: threading.Event) -> int:
        """Computes until the verdict is in the folder; returns how often it began again.

        Raises ConsolidationFailed, and Cancelled soon after `stop` is set.
        """
        ...


class ProcessWorker:
    """Computes in a child process."""

    def __init__(
        self,
        *,
        threads: int,
        command: Sequence[str] = COMMAND,
        environment: Mapping[str, str] | None = None,
        restarts_max: int = RESTARTS_MAX,
    ) -> None:
        self._command = tuple(command)
        self._threads = threads
        self._environment = environment or {}
        self._restarts_max = restarts_max

    def run(self, folder: Path, progress: Progress, stop: threading.Event) -> int:
        """Runs the process; see Worker."""
        for restarts in range(self._restarts_max + 1):
            (folder / ERROR).unlink(missing_ok=True)
            code, said = self._once(folder, progress, stop)
            if stop.is_set():
                raise Cancelled("the job was stopped")
            if code == 0:
                return restarts
            if code == FAILED:
                raise _failure(folder)
            logger.warning("the consolidation process ended with %d, beginning again", code)
        raise ConsolidationFailed(
            f"the consolidation process died {self._restarts_max + 1} times (last: {code}); "
            f"it said: {said[-500:].strip() or 'nothing'}"
        )

    def _once(self, folder: Path, progress: Progress, stop: threading.Event) -> tuple[int, str]:
        threads = str(self._threads)
        environment = {
            **os.environ,
            # Read when torch is loaded, before the job's own settings are.
            "OMP_NUM_THREADS": threads,
            "MKL_NUM_THREADS": threads,
            **self._environment,
        }
        with tempfile.TemporaryFile() as errors:
            process = subprocess.Popen(  # noqa: S603  # Our own module.
                [*self._command, str(folder)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=environment,
                text=False,
            )
            ended = threading.Event()
            watch = threading.Thread(
                target=_stop_when_told, args=(process, stop, ended), name="consolidation-stop"
            )
            watch.start()
            try:
                assert process.stdout is not None
                _hear(process.stdout, progress)
                code = process.wait()
            finally:
                ended.set()
                stop_process(process)
                watch.join()
                for pipe in (process.stdin, process.stdout):
                    if pipe is not None:
                        pipe.close()
            errors.seek(max(0, errors.seek(0, os.SEEK_END) - TAIL_BYTES))
            return code, errors.read().decode("utf-8", "replace")


def stop_process(process: subprocess.Popen[bytes]) -> None:
    """Ends a process that still runs; kills it when it does not listen."""
    if process.poll() is not None:
        return
    process.terminate()
    try:
        process.wait(TERM_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _hear(lines: IO[bytes], progress: Progress) -> None:
    for line in lines:
        try:
            said = json.loads(line)
            stage, done, total = str(said["stage"]), int(said["done"]), int(said["total"])
        except (ValueError, KeyError, TypeError):
            logger.debug("the consolidation process said %r", line[:200])
            continue
        progress(stage, done, total)


def _stop_when_told(
    process: subprocess.Popen[bytes], stop: threading.Event, ended: threading.Event
) -> None:
    """Ends the process when `stop` is set; `ended` ends the watch."""
    while not ended.is_set():
        if stop.wait(0.2):
            stop_process(process)
            return


def _failure(folder: Path) -> ConsolidationFailed:
    try:
        said = read_json(folder / ERROR) or {}
    except (OSError, ValueError):
        said = {}
    return ConsolidationFailed(said.get("message") or "the consolidation process gave no reason")
