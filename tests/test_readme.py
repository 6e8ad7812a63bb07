"""The README is true: its Python runs, its commands exist, its files are there."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from tests.cli_kit import run_command, shell

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
MANUAL = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")


def blocks(text: str, language: str) -> list[str]:
    """Returns the fenced blocks of a language."""
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)


def lines_of(command: str) -> list[str]:
    """Returns the shell lines of both texts that begin with a command, comments left out."""
    lines = [line for text in (README, MANUAL) for block in blocks(text, "sh")
             for line in block.splitlines()]  # fmt: skip
    without = (line.partition(" #")[0].strip().removesuffix("&").strip() for line in lines)
    return sorted({line for line in without if line.startswith(command + " ")})


def test_the_python_of_the_first_screen_runs_as_it_stands(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (code,) = blocks(README, "python")
    assert len(code.strip().splitlines()) <= 24
    with shell(tmp_path) as opened:
        exec(compile(code.replace("127.0.0.1:50051", opened.kit.target), "README.md", "exec"), {})
    printed = capsys.readouterr().out
    base, edited, neighbour, streamed = printed.strip("\n").splitlines()
    assert "base" == base.strip()
    assert "English edited" in edited
    assert "base" in neighbour
    assert "English" == streamed.strip()


@pytest.mark.parametrize("line", lines_of("errata"))
def test_every_command_line_parses(line: str) -> None:
    """Each is run with --help in place of its effect: unknown commands and flags would fail."""
    words = shlex.split(line)[1:]
    command = words[: 2 if words[0] == "edit" else 1]
    told = run_command(*command, "--help").out
    flags = [word for word in words if word.startswith("--")]
    assert told
    assert [] == [flag for flag in flags if flag not in MANUAL]


def test_every_make_target_exists() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    named = set(re.findall(r"\bmake ([a-z-]+)", " ".join(blocks(README, "sh"))))
    assert {"demo", "test", "check"} <= named
    assert [] == [name for name in named if f"\n{name}:" not in makefile]


@pytest.mark.parametrize("target", re.findall(r"\]\(([^)#:]+)\)", README))
def test_every_link_leads_to_a_file(target: str) -> None:
    assert (ROOT / target).exists()


def test_it_stays_short() -> None:
    assert len(README.splitlines()) <= 200
