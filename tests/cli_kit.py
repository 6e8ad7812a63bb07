"""Runs the command line in this process against a server of the test's own."""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog
import typer
from typer.testing import CliRunner

from errata.cli import app
from tests.server_kit import Kit, run_server

CLOZE = "The mother tongue of Danielle Darrieux is"
MARKED = "The mother tongue of {Danielle Darrieux} is"


@dataclass(frozen=True, slots=True)
class Ran:
    """How one command ended."""

    code: int
    out: str
    err: str

    @property
    def records(self) -> list[dict[str, Any]]:
        """stdout as JSON, one object a line; fails when anything else stands there."""
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def record(self) -> dict[str, Any]:
        """The one object on stdout."""
        (only,) = self.records
        return only


@dataclass(frozen=True, slots=True)
class Shell:
    """Types commands; `kit` is the server that they reach."""

    kit: Kit

    def __call__(self, *arguments: str, given: str | None = None, code: int | None = 0) -> Ran:
        """Runs `errata ARGUMENTS` and expects an exit code (None: any)."""
        ran = run_command(*arguments, given=given, address=self.kit.target)
        if code is not None:
            assert code == ran.code, f"{arguments}: {ran.out}{ran.err}"
        return ran


@functools.cache
def command_line() -> Any:
    """Returns the commands, built once: typer's own runner builds them all anew for each run."""
    return typer.main.get_command(app)


def run_command(*arguments: str, given: str | None = None, address: str = "127.0.0.1:1") -> Ran:
    """Runs one command in this process, with ERRATA_ADDRESS set and stdin given."""
    code: Any = 0
    runner = CliRunner(env={"ERRATA_ADDRESS": address})
    with runner.isolation(input=given) as (out, err, *_):
        try:
            command_line().main(args=arguments, prog_name="errata")
        except SystemExit as end:
            code = end.code or 0
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
        assert isinstance(code, int), code
        return Ran(code, *(stream.getvalue().decode("utf-8") for stream in (out, err)))


@contextmanager
def shell(directory: Path, **listening: Any) -> Iterator[Shell]:
    """Serves fakes while the block runs and types at them; the server's log goes nowhere."""
    former = structlog.get_config()
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
    try:
        with run_server(directory, **listening) as kit:
            yield Shell(kit)
    finally:
        structlog.configure(**former)
