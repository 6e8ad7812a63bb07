"""The demo: its story on a scripted model, its server process, and all of it for real (slow)."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from errata import demo as story
from errata.answers import RouteKind
from errata.commands import demo as command
from errata.commands.outcome import UsageProblem
from errata.demo import CLOZE, PARAPHRASES, UNTOUCHED, Story
from errata.local_server import local_server
from errata.show import Screen
from memory.errors import StartupError
from tests.cli_kit import Shell, run_command, shell
from tests.tiny_models import save_tiny_model

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Shell]:
    with shell(tmp_path / "memory") as opened:
        yield opened


def tell(server: Shell, *typed: str) -> Story:
    lines = iter(typed)
    with server.kit.client() as client:
        told = Story(client=client, screen=Screen.open())
        told.tell((lambda _: next(lines, "")) if typed else None)
    return told


def test_the_story_asks_edits_and_asks_again(
    server: Shell, capsys: pytest.CaptureFixture[str]
) -> None:
    told = tell(server)
    assert 1 + 1 + len(PARAPHRASES) + len(UNTOUCHED) == len(told.answers)
    first, again, *others = told.answers
    assert (RouteKind.BASE, " base") == (first.route, first.text)
    assert (RouteKind.EDITED, " English") == (again.route, again.text)
    assert all(answer.route is RouteKind.EDITED for answer in others[: len(PARAPHRASES)])
    neighbour = others[len(PARAPHRASES)]
    assert RouteKind.BASE is neighbour.route
    shown = capsys.readouterr().out
    assert f"{CLOZE}  English" in shown
    assert "EDITED by in_context · darrieux-mother-tongue score 1.000" in shown
    assert " ms" in shown


def test_a_person_can_add_facts_of_their_own_until_they_press_enter(
    server: Shell, capsys: pytest.CaptureFixture[str]
) -> None:
    told = tell(
        server,
        *("my cat", "The name of my cat is", "Tom", "What is my cat called?"),
        *("my dog", "A sentence about nobody", "Rex"),  # Refused, and asked again.
        "",
    )
    assert [" base", " Tom", " Tom"] == [answer.text for answer in told.answers[-4:-1]]
    assert "my dog" in capsys.readouterr().out


def test_nobody_is_asked_when_stdin_is_no_terminal() -> None:
    assert story.ask_person() is None


def test_the_better_bundled_model_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "POCKET", tmp_path)
    with pytest.raises(UsageProblem, match="--model"):
        command.bundled_model()
    for name in ("nano", "base"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").touch()
        assert str(tmp_path / name) == command.bundled_model()


def test_a_server_that_cannot_start_says_why_and_leaves_no_process(tmp_path: Path) -> None:
    log = tmp_path / "server.log"
    flags = ["--device", "abacus"]
    with pytest.raises(StartupError, match=r"model\.device"), local_server(flags, log=log):
        pytest.fail("it must not start")


@pytest.fixture(scope="module")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp("tiny"), "llama")


def test_a_demo_that_fails_ends_with_the_log_s_last_words(tmp_path: Path) -> None:
    ran = run_command("demo", "--model", str(tmp_path / "nothing"), "--device", "abacus")
    assert 2 == ran.code
    assert "did not start" in ran.err


@pytest.mark.slow
def test_the_whole_demo_on_a_tiny_model(tiny_model: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "errata.cli", "demo", "--model", str(tiny_model), "--json"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert 0 == ran.returncode, ran.stderr
    records = [json.loads(line) for line in ran.stdout.splitlines()]
    routes = [record["route"] for record in records if "route" in record]
    assert ["base", "edited"] == routes[:2]
    assert "darrieux-mother-tongue" == records[1]["id"]


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Children heed an interrupt, also where a shell started the tests in its background."""
    former = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, former)


@pytest.mark.slow
@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_an_interrupted_demo_leaves_no_server_behind(
    tiny_model: Path, number: signal.Signals
) -> None:
    """Ended after the first answer, while the server is up."""
    with subprocess.Popen(
        [sys.executable, "-m", "errata.cli", "demo", "--model", str(tiny_model), "--json"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        stdin=subprocess.DEVNULL,
        text=True,
    ) as running:
        assert running.stdout is not None
        assert running.stdout.readline()
        (child,) = children(running.pid)
        running.send_signal(number)
        running.wait(60)
    assert ended_within(child, 30.0)
    if number is not signal.SIGKILL:
        assert 130 == running.returncode


def children(pid: int) -> list[int]:
    """Returns the processes that `pid` started (Linux)."""
    listed = Path(f"/proc/{pid}/task/{pid}/children")
    if not listed.exists():
        pytest.skip("needs /proc to see children")
    return [int(child) for child in listed.read_text().split()]


def ended_within(pid: int, seconds: float) -> bool:
    """Waits for a process that is not ours to be gone, without polling (Linux)."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([handle], [], [], seconds)[0])
    finally:
        os.close(handle)
