"""kill -9 under 16 concurrent writers: nothing acknowledged is lost.

    python -m pytest tests/memory/test_kill.py -m "slow or not slow" -s

runs all of it: 20 kills with 16 writers, and the control, in which the acknowledgement is moved
before the commit and the same harness must find a loss. Without -m: three kills and the control.
SIGKILL says nothing about a power failure: that is what synchronous=FULL is for.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from memory.plans import missing_edit
from memory.record import DEFAULT_NAMESPACE, EditId
from tests.memory_kit import draft, open_memory

ACKNOWLEDGED_MAX = 400  # Before a kill; the number is drawn anew for each.
CONTROL_ROUNDS_MAX = 24  # About every second kill finds a loss.


@dataclass
class Round:
    acknowledged: dict[str, str]  # Id to the name that the edit was written with.
    lost: list[str]
    unacknowledged: int  # Present though nobody was told.


def kill_and_reopen(directory: Path, turn: str, rng: random.Random, *flags: str) -> Round:
    """Lets a child write, kills it after a random number of acknowledgements, looks what is there.

    Raises AssertionError when what is there does not agree with itself.
    """
    command = [sys.executable, "-m", "tests.kill_child", str(directory), turn, *flags]
    acknowledged: dict[str, str] = {}
    wanted = rng.randrange(1, ACKNOWLEDGED_MAX)
    with subprocess.Popen(command, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        told = b""
        alive = True
        while some := os.read(child.stdout.fileno(), 65536):  # What is there, at once.
            told += some
            if alive and told.count(b"\n") >= wanted:
                os.kill(child.pid, signal.SIGKILL)
                alive = False
        assert child.wait() == -signal.SIGKILL
    for line in told.splitlines(keepends=True):
        _note(acknowledged, line)
    with open_memory(directory) as memory:
        snapshot = memory.snapshot()
        lost = [
            name for name in acknowledged if snapshot.get(DEFAULT_NAMESPACE, EditId(name)) is None
        ]
        assert memory.check_integrity(repair=False).problems == ()
        present = {
            edit.id
            for _, edit in snapshot.edits_from(DEFAULT_NAMESPACE, 0)
            if edit.subject.startswith(f"Person {turn} ")
        }
        for name, said in list(acknowledged.items())[:5]:
            if name not in lost:
                again = memory.create(draft(said), request_id=f"r {said}")
                assert again.replayed, missing_edit(DEFAULT_NAMESPACE, name)
                assert again.edits[0].id == name
    return Round(
        acknowledged=acknowledged, lost=lost, unacknowledged=len(present - acknowledged.keys())
    )


def _note(acknowledged: dict[str, str], line: bytes) -> None:
    if line.endswith(b"\n"):  # The kill may have cut the last line.
        edit_id, _, name = line.decode().strip().partition(" ")
        acknowledged[edit_id] = name


def kill_often(directory: Path, rounds: int) -> None:
    rng = random.Random(7)
    total = unacknowledged = 0
    for turn in range(rounds):
        done = kill_and_reopen(directory, str(turn), rng)
        assert done.lost == []
        total += len(done.acknowledged)
        unacknowledged += done.unacknowledged
    sys.stdout.write(
        f"{rounds} kills under 16 writers: {total} acknowledged, 0 lost, "
        f"{unacknowledged} present though not acknowledged\n"
    )


@pytest.mark.timeout(180)
def test_three_kills_lose_nothing_acknowledged(tmp_path: Path) -> None:
    kill_often(tmp_path / "data", 3)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_twenty_kills_lose_nothing_acknowledged(tmp_path: Path) -> None:
    kill_often(tmp_path / "data", 20)


@pytest.mark.timeout(180)
def test_the_harness_finds_the_loss_when_the_acknowledgement_comes_before_the_commit(
    tmp_path: Path,
) -> None:
    rng = random.Random(7)
    for turn in range(CONTROL_ROUNDS_MAX):
        directory = tmp_path / f"data-{turn}"
        done = kill_and_reopen(directory, str(turn), rng, "--acknowledge-early")
        if done.lost:
            told = f"{len(done.lost)} of {len(done.acknowledged)} lost in kill {turn + 1}"
            sys.stdout.write(f"control: {told}\n")
            return
    pytest.fail(f"no loss in {CONTROL_ROUNDS_MAX} kills: the harness cannot see one")
