"""The estimate: an upper bound that grows with the edits, and never beyond the whole matrices."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from runtime.consolidation.estimate import (
    COLUMNS_EACH,
    LAYERS_TOUCHED,
    MIB,
    PROGRAM_BYTES,
    estimator,
)
from runtime.engine.contract import EngineInfo
from runtime.engine.loop import LoopLimits
from runtime.engine.transformers_engine import TransformersEngine
from tests.consolidation_kit import load_tiny
from tests.tiny_models import save_tiny_model

PEAKS_MIB = {500: 1554}


@pytest.fixture(scope="module")
def info(tmp_path_factory: pytest.TempPathFactory) -> EngineInfo:
    folder: Path = save_tiny_model(tmp_path_factory.mktemp("llama"), "llama")
    engine = TransformersEngine(load_tiny(folder), LoopLimits())
    engine.close()
    return engine.info


def test_more_edits_and_larger_models_take_more(info: EngineInfo) -> None:
    estimate = estimator(info, memory_cap_bytes=7)
    few, many = estimate(1), estimate(10_000)
    assert (1, 7) == (few.edits, few.memory_cap_bytes)
    assert few.memory_bytes < many.memory_bytes
    larger = replace(info, parameters=10 * info.parameters, width=8 * info.width)
    assert few.memory_bytes < estimator(larger, memory_cap_bytes=7)(1).memory_bytes


def test_the_pocket_models_jobs_stay_under_it(info: EngineInfo) -> None:
    """What `python -m evaluation.editors` measured, docs/editors.md; the program comes on top."""
    pocket = replace(info, parameters=10_600_000, width=256, vocab_size=16384)
    estimate = estimator(pocket, memory_cap_bytes=0)
    for edits, peak_mib in PEAKS_MIB.items():
        assert peak_mib * MIB + PROGRAM_BYTES < estimate(edits).memory_bytes


def test_what_refining_keeps_is_counted(info: EngineInfo, monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for tokens in (0, 1024):
        monkeypatch.setattr("runtime.consolidation.estimate.PASS_TOKENS", tokens)
        found.append(estimator(info, memory_cap_bytes=0)(1).memory_bytes)
    assert found[1] - found[0] >= 1024 * 4 * 10 * info.width  # Ten states of a token at least.


def test_an_edition_is_bounded_by_its_columns_and_by_the_whole_matrices(info: EngineInfo) -> None:
    large = estimator(replace(info, width=4096), memory_cap_bytes=0)
    inner = 4 * 4096
    assert LAYERS_TOUCHED * 4 * COLUMNS_EACH * (4096 + inner) == large(1).edition_bytes
    assert LAYERS_TOUCHED * 4 * 4096 * inner == large(10**6).edition_bytes
