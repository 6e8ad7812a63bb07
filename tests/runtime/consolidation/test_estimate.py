"""The estimate: an upper bound that grows with the edits, and never beyond the whole matrices."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from runtime.consolidation.estimate import COLUMNS_EACH, LAYERS_TOUCHED, estimator
from runtime.engine.contract import EngineInfo
from runtime.engine.loop import LoopLimits
from runtime.engine.transformers_engine import TransformersEngine
from tests.consolidation_kit import load_tiny
from tests.tiny_models import save_tiny_model


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


def test_an_edition_is_bounded_by_its_columns_and_by_the_whole_matrices(info: EngineInfo) -> None:
    large = estimator(replace(info, width=4096), memory_cap_bytes=0)
    inner = 4 * 4096
    assert LAYERS_TOUCHED * 4 * COLUMNS_EACH * (4096 + inner) == large(1).edition_bytes
    assert LAYERS_TOUCHED * 4 * 4096 * inner == large(10**6).edition_bytes
