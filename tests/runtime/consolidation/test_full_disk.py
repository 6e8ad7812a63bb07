"""The n-th write fails, for every n: the state is before or after, and the end is always told."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from memory.errors import ErrataError
from memory.record import DEFAULT_NAMESPACE
from runtime.consolidation import files
from runtime.consolidation.operations import State
from runtime.engine.load import LoadedModel
from tests.consolidation_kit import Bench, load_tiny
from tests.tiny_models import save_tiny_model

WRITES_MAX = 60


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    return load_tiny(save_tiny_model(tmp_path_factory.mktemp("llama"), "llama"))


@pytest.fixture
def bench(tmp_path: Path, loaded: LoadedModel) -> Iterator[Bench]:
    made = Bench(tmp_path, loaded)
    yield made
    made.close()


class Disk:
    """Counts writes; from the `full_at`-th on, `failing` of them are refused."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.full_at, self.failing, self.seen = WRITES_MAX, 0, 0
        self._write = files.write_durably
        for module in ("files", "store"):
            monkeypatch.setattr(f"runtime.consolidation.{module}.write_durably", self)

    def __call__(self, path: Path, content: bytes) -> None:
        self.seen += 1
        if self.full_at <= self.seen < self.full_at + self.failing:
            path.write_bytes(content[: len(content) // 2])  # What a full disk leaves.
            raise OSError(errno.ENOSPC, "No space left on device")
        self._write(path, content)

    def fill(self, full_at: int, failing: int) -> None:
        self.full_at, self.failing, self.seen = full_at, failing, 0


@pytest.mark.parametrize("failing", [1, 10_000], ids=["one-write", "every-write-from-then"])
def test_whichever_write_fails_nothing_is_half_done(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, failing: int
) -> None:
    disk = Disk(monkeypatch)
    before = bench.base_bits()
    bench.add(1)
    editions: list[int] = []
    for turn in range(1, WRITES_MAX):
        disk.fill(turn, failing)
        try:
            done: Any = bench.wait(bench.consolidator.submit(bench.request()))
        except (OSError, ErrataError):  # It did not even begin.
            assert disk.seen <= 2
            done = None
        seen, former = disk.seen, editions[-1] if editions else 0
        disk.fill(WRITES_MAX, 0)
        now = bench.memory.snapshot().edition(DEFAULT_NAMESPACE)
        if done is not None and done.state is State.SUCCEEDED:
            assert now == done.edition
        elif done is not None:
            assert done.state is State.FAILED
            assert done.error_reason == "STORAGE_FULL", done.error
            assert now == former
        assert now in {0, *bench.store.numbers()}
        for number in bench.store.numbers():
            bench.store.matrices(bench.store.record(number))  # Each is whole.
        editions.append(now)
        if seen < turn:
            break
    else:
        pytest.fail("the job never came through")
    assert editions[0] == 0
    assert editions[-1] > 0
    assert before == bench.base_bits()
