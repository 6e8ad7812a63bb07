"""The computing process for real: killed, stuck, hungry, orphaned."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from memory.record import DEFAULT_NAMESPACE
from runtime.consolidation.operations import Stage, State
from tests.consolidation_kit import Bench, load_tiny, real_worker
from tests.readout_editor import ReadoutEditor
from tests.server_kit import wait_until
from tests.tiny_models import save_tiny_model

Open = Callable[..., Bench]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp("llama"), "llama")


@pytest.fixture
def opened(tmp_path: Path, model: Path) -> Iterator[Open]:
    benches: list[Bench] = []

    def make(editor: str, **more: Any) -> Bench:
        child = {editor: None}  # It has a table of its own.
        given = {"worker": real_worker(), "model": str(model), "editors": child, **more}
        benches.append(Bench(tmp_path, load_tiny(model), **given))
        return benches[-1]

    yield make
    for bench in benches:
        bench.close()


def children() -> set[int]:
    """The consolidation children that run now, of any test process."""
    found = set()
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if b"tests.consolidation_child" in path.read_bytes():
                found.add(int(path.parent.name))
        except OSError:
            continue
    return found


def own_children() -> set[int]:
    """Those that this process began: another suite may run beside this one."""
    return {child for child in children() if parent_of(child) == os.getpid()}


def parent_of(process: int) -> int | None:
    """The parent of a process; None when it has ended."""
    try:
        status = Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return None
    return int(status.rpartition(")")[2].split()[1])


@pytest.mark.slow
def test_a_process_that_crashes_is_begun_again_and_steps_back_behind_others(
    opened: Open,
) -> None:
    bench = opened("crash")
    bench.add(2)
    done = bench.run()
    assert (done.state, done.edition, done.restarts) == (State.SUCCEEDED, 1, 1), done.error
    assert bench.memory.snapshot().edition(DEFAULT_NAMESPACE) == 1


@pytest.mark.timeout(300)
def test_a_stuck_process_ends_when_the_job_is_cancelled(opened: Open) -> None:
    bench = opened("stuck")
    bench.add(1)
    running = bench.consolidator.submit(bench.request())
    # At the lowest priority a busy machine lets it wait; the limit is for one that hangs.
    wait_until(lambda: bench.operations.get(running.id).stage is Stage.SOLVING, 240)
    (child,) = own_children()
    assert os.getpriority(os.PRIO_PROCESS, child) == 19
    bench.consolidator.cancel(running.id)
    done = bench.wait(running)
    assert done.state is State.CANCELLED
    wait_until(lambda: child not in own_children(), 30)


@pytest.mark.slow
def test_a_process_that_wants_too_much_memory_says_so(opened: Open) -> None:
    bench = opened("hungry", memory_cap_bytes=2**31)
    bench.add(1)
    done = bench.run()
    assert done.state is State.FAILED
    assert "memory_mb" in done.error
    assert bench.store.numbers() == ()


@pytest.mark.slow
def test_a_killed_server_leaves_no_child_and_its_job_is_resumed(
    opened: Open, tmp_path: Path, model: Path
) -> None:
    before = children()
    server = subprocess.Popen(
        [sys.executable, "-m", "tests.consolidation_server", str(tmp_path), str(model)],
        stdout=subprocess.PIPE,
    )
    assert server.stdout is not None
    timer = threading.Timer(600, server.kill)
    timer.start()
    try:
        while server.stdout.readline().strip() != b"solving":
            assert server.poll() is None
    finally:
        timer.cancel()
    (child,) = children() - before
    os.kill(server.pid, signal.SIGKILL)
    server.wait()
    server.stdout.close()
    wait_until(lambda: child not in children(), 30)
    bench = opened("stuck", worker=None, editors={"stuck": ReadoutEditor})  # One that works.
    done = bench.wait(bench.operations.all()[0])
    assert (done.state, done.restarts) == (State.SUCCEEDED, 1), done.error
    assert bench.memory.snapshot().edition(DEFAULT_NAMESPACE) == 1
