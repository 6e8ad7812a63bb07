"""`errata doctor`: what a server needs, checked here and now, without one."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from errata.commands.options import AsJson
from errata.commands.outcome import FAILED, reported
from errata.commands.serve import Config, DataDir, Device, Listen, Model, read
from errata.show import Screen

MARKS = {"ok": ("ok  ", "green"), "note": ("note", "yellow"), "fail": ("FAIL", "bold red")}


def doctor(
    *,
    model: Model = None,
    device: Device = None,
    data_dir: DataDir = None,
    listen: Listen = None,
    config: Config = None,
    no_model: Annotated[
        bool, typer.Option("--no-model", help="Leaves out loading the model (the slow part).")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Checks versions, encoder, index, model, data directory and port; starts no server.

    Exit code 0 when a server would start, 1 when something fails.

    Examples:
      errata doctor
      errata doctor --model gpt2 --data-dir /var/lib/errata --json
    """
    screen = Screen.open(json=as_json)
    with reported(screen):
        settings = read(
            {
                "server": {"listen": listen},
                "model": {"name": model, "device": device},
                "memory": {"directory": data_dir},
            },
            config,
        )
        from errata.checks import CHECKS, Finding, run_check  # noqa: PLC0415  # torch.

        failed = 0
        for name, check in CHECKS.items():
            if name == "model" and no_model:
                continue
            began_s = time.monotonic()
            finding: Finding = run_check(check, settings)
            failed += finding.level == "fail"
            _tell(screen, name, finding.level, finding.text, time.monotonic() - began_s)
        if failed:
            screen.note(f"{failed} checks failed." if failed > 1 else "1 check failed.", "bold red")
            raise typer.Exit(FAILED)
        if not as_json:
            screen.note("A server would start: errata serve")


def _tell(screen: Screen, name: str, level: str, text: str, seconds: float) -> None:
    if screen.json:
        record = {"check": name, "level": level, "text": text, "seconds": seconds}
        screen.record(record)
        return
    from rich.text import Text  # noqa: PLC0415

    mark, style = MARKS[level]
    screen.line(Text(mark, style).append(f"  {name:<10} {text}", ""))
