"""The help texts: all there, with examples, quick, and true to the settings."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from errata.cli import app
from errata.commands import serve
from runtime.config import Settings
from tests.cli_kit import run_command

ROOT = Path(__file__).resolve().parent.parent.parent
SLOW_MODULES = ("torch", "transformers", "grpc", "google.protobuf", "numpy", "faiss", "pydantic")


def commands(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yields every command with its words."""
    for name, below in getattr(command, "commands", {}).items():
        if hasattr(below, "commands"):
            yield from commands(below, (*path, name))
        else:
            yield (*path, name), below


EVERY = sorted(commands(typer.main.get_command(app)), key=lambda pair: pair[0])
NAMES = [" ".join(words) for words, _ in EVERY]


def test_the_promised_commands_are_all_there() -> None:
    wanted = {"serve", "generate", "chat", "explain", "search", "import", "export", "watch"}
    wanted |= {"status", "doctor", "demo", "version", "eval", "locate"}
    wanted |= {"consolidate", "key"}
    wanted |= {f"editions {verb}" for verb in ("list", "show", "diff", "activate", "export")}
    wanted |= {f"operations {verb}" for verb in ("list", "show", "wait", "cancel")}
    verbs = ("add", "list", "show", "update", "retire", "restore", "history", "overlaps")
    wanted |= {f"edit {verb}" for verb in verbs}
    assert wanted == set(NAMES)


@pytest.mark.parametrize(("words", "command"), EVERY, ids=NAMES)
def test_every_command_says_what_it_does_with_examples_of_itself(
    words: tuple[str, ...], command: Any
) -> None:
    text = command.help
    assert text
    examples = [line for line in text.partition("\b\nExamples:\n")[2].splitlines() if line.strip()]
    assert examples
    assert any(" ".join(("errata", *words)) in line for line in examples)
    assert max(len(line) for line in examples) <= 78  # Not wrapped on the narrowest terminal.


@pytest.mark.parametrize(("words", "command"), EVERY, ids=NAMES)
def test_every_option_and_argument_has_a_help_text(words: tuple[str, ...], command: Any) -> None:
    assert [] == [f"{words} {p.name}" for p in command.params if not getattr(p, "help", None)]


@pytest.mark.parametrize(("words", "command"), EVERY, ids=NAMES)
def test_every_command_and_option_stands_in_the_manual(
    words: tuple[str, ...], command: Any
) -> None:
    manual = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    assert f"errata {' '.join(words)}" in manual
    long = [name for p in command.params for name in p.opts if name.startswith("--")]
    assert [] == [name for name in long if name != "--help" and name not in manual]


@pytest.mark.parametrize(
    "words", [(), ("edit",), ("editions",), *(words for words, _ in EVERY)], ids=str
)
def test_help_is_shown_without_a_server(words: tuple[str, ...]) -> None:
    ran = run_command(*words, "--help")
    assert 0 == ran.code
    assert "Usage" in ran.out
    assert "\b" not in ran.out


@pytest.mark.parametrize(("words", "command"), EVERY, ids=NAMES)
def test_a_default_that_a_help_text_tells_is_shown(words: tuple[str, ...], command: Any) -> None:
    shown = "".join(run_command(*words, "--help").out.replace("│", "").split())
    told = [re.search(r"\[default: (.*)\]", p.help or "") for p in command.params]
    wanted = ["".join(one[0].split()) for one in told if one]
    assert [] == [one for one in wanted if one not in shown]


def test_help_loads_neither_torch_nor_grpc() -> None:
    code = (
        "import sys; from errata.cli import app; from typer.testing import CliRunner; "
        "assert CliRunner().invoke(app, ['--help']).exit_code == 0; "
        f"print([name for name in {SLOW_MODULES!r} if name in sys.modules])"
    )
    ran = subprocess.run(  # Our own interpreter.
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True
    )
    assert "[]" == ran.stdout.strip()


def test_the_defaults_that_serve_tells_are_those_of_the_settings() -> None:
    settings = Settings()
    own = {
        "listen": settings.server.listen,
        "model": settings.model.name,
        "device": settings.model.device,
        "dtype": settings.model.dtype,
        "threads": settings.model.threads,
        "concurrent_max": settings.model.concurrent_max,
        "queue_max": settings.model.queue_max,
        "data_dir": settings.memory.directory,
        "classifier": settings.routing.classifier,
        "candidates": settings.routing.candidates,
        "drain": f"{settings.server.drain_s:g}",
        "log_format": settings.server.log_format,
        "log_level": settings.server.log_level,
        "reflection": "on" if settings.server.reflection else "off",
        "insecure": "on" if settings.server.insecure else "off",
    }
    command = dict(zip(NAMES, (c for _, c in EVERY), strict=True))["serve"]
    told = {p.name: re.search(r"\[default: (.*)\]", p.help or "") for p in command.params}
    assert {k: str(v) for k, v in own.items()} == {k: (told[k] or [""] * 2)[1] for k in own}


def test_every_flag_of_serve_reaches_its_setting() -> None:
    settings = serve.read(
        {"server": {"listen": "127.0.0.1:0", "drain_s": 3.5}, "model": {"name": "tiny"}}, None
    )
    assert ("127.0.0.1:0", 3.5, "tiny") == (
        settings.server.listen,
        settings.server.drain_s,
        settings.model.name,
    )
