"""`errata demo`: a real server for a minute, and the whole story on it."""

from __future__ import annotations

import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Annotated, NoReturn

import typer

from errata.commands.options import AsJson
from errata.commands.outcome import UsageProblem, reported
from errata.show import Screen

POCKET = Path(__file__).resolve().parent.parent.parent / "pocket"
BUNDLED = ("base", "nano")  # The better one first.


def demo(
    *,
    model: Annotated[
        str,
        typer.Option(
            "--model",
            metavar="NAME_OR_FOLDER",
            help="Another model than the one that ships with Errata.",
        ),
    ] = "",
    device: Annotated[
        str, typer.Option("--device", metavar="auto|cpu|cuda|mps", help="Where it computes.")
    ] = "auto",
    no_input: Annotated[
        bool, typer.Option("--no-input", help="Does not ask for a fact of your own.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Serves, asks, edits, asks again, and shows which way each answer went.

    Takes a free port and a temporary memory and leaves nothing behind. On a terminal you may
    type a fact of your own.

    Examples:
      errata demo
      errata demo --model Qwen/Qwen2.5-0.5B
    """
    screen = Screen.open(json=as_json)
    began_s = time.monotonic()
    with reported(screen), _ended_by_signals(), tempfile.TemporaryDirectory() as folder:
        from errata.client import Client  # noqa: PLC0415  # gRPC: not for `--help`.
        from errata.demo import Story, ask_person, closing  # noqa: PLC0415
        from errata.local_server import local_server  # noqa: PLC0415

        chosen = model or bundled_model()
        flags = ["--model", chosen, "--device", device, "--data-dir", f"{folder}/memory"]
        waiting = screen.err.status(f"Starting a server with {_short(chosen)} ...")
        waiting.start()
        try:
            with local_server(flags, log=Path(folder, "server.log")) as address:
                waiting.stop()
                if not as_json:
                    took_s = time.monotonic() - began_s
                    screen.line(
                        f"A server with {_short(chosen)} is up on {address} after {took_s:.1f} s."
                    )
                with Client(address) as client:
                    Story(client=client, screen=screen).tell(None if no_input else ask_person())
        finally:
            waiting.stop()
        if not as_json:
            screen.line()
            screen.out.print(closing(time.monotonic() - began_s))


def bundled_model() -> str:
    """Returns the folder of the best model that ships. Raises UsageProblem when there is none."""
    for name in BUNDLED:
        if (POCKET / name / "config.json").is_file():
            return str(POCKET / name)
    raise UsageProblem(
        f"There is no model in {POCKET}. Name one with --model: a hub name or a folder."
    )


def _short(model: str) -> str:
    folder = Path(model)
    return f"pocket/{folder.name}" if folder.parent == POCKET else model


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """Makes SIGTERM and a closed terminal end the demo like Ctrl-C, so that it cleans up."""

    def interrupt(_number: int, _frame: FrameType | None) -> NoReturn:
        raise KeyboardInterrupt

    former = {
        number: signal.signal(number, interrupt) for number in (signal.SIGTERM, signal.SIGHUP)
    }
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
