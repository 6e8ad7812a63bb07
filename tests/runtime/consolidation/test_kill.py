"""kill -9 of a real server in every stage of a job: the next start ends it as if nothing was."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from memory.record import DEFAULT_NAMESPACE, EditState
from runtime.consolidation.operations import State
from tests.consolidation_kit import Bench, load_tiny
from tests.readout_editor import ReadoutEditor
from tests.tiny_models import save_tiny_model

STAGES = ("selecting", "covariance", "targets", "solving", "gating", "writing", "activating")


def hashes(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


@pytest.mark.slow
@pytest.mark.parametrize("stage", STAGES)
def test_a_server_killed_in_any_stage_ends_its_job_after_the_restart(
    tmp_path: Path, stage: str
) -> None:
    model = save_tiny_model(tmp_path / "model", "llama")
    files = hashes(model)
    server = subprocess.Popen(
        [sys.executable, "-m", "tests.consolidation_server", str(tmp_path / "run"), str(model)],
        stdout=subprocess.PIPE,
        env={**os.environ, "HOLD_AT": stage, "EDITOR": "readout"},
    )
    assert server.stdout is not None
    try:
        for line in server.stdout:
            if line.decode().strip() == stage:
                break
    finally:
        server.kill()
        server.wait()
        server.stdout.close()
    bench = Bench(tmp_path / "run", load_tiny(model), editors={"readout": ReadoutEditor})
    before = bench.base_bits()
    try:
        done = bench.wait(bench.operations.all()[0])
        assert (State.SUCCEEDED, 1, True, 1) == (
            done.state,
            done.edition,
            done.activated,
            done.restarts,
        ), done.error
        assert 1 == bench.memory.snapshot().edition(DEFAULT_NAMESPACE)
        assert (1,) == bench.store.numbers()
        record = bench.store.record(1)
        bench.store.matrices(record)
        for held in record.edits:
            state = EditState.CONSOLIDATED if held.took else EditState.ACTIVE
            assert state is bench.memory.get(held.edit_id).state
        bench.editions.activate(DEFAULT_NAMESPACE, 0)
        assert before == bench.base_bits()
    finally:
        bench.close()
    assert files == hashes(model)
    assert [] == list((tmp_path / "run" / "data" / "editions").glob(".*"))
