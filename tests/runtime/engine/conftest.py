"""Engines of tiny models, loaded once for the session."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from runtime.engine.transformers_engine import TransformersEngine
from tests.tiny_models import load_reference, save_tiny_model


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Returns a function from a family to the folder of its tiny model."""
    folders: dict[str, Path] = {}

    def get(family: str) -> Path:
        if family not in folders:
            folders[family] = save_tiny_model(tmp_path_factory.mktemp(family), family)
        return folders[family]

    return get


@pytest.fixture(scope="session")
def tiny_engine(tiny_folder: Callable[[str], Path]) -> Iterator[TransformersEngine]:
    """The engine of a tiny Llama."""
    engine = TransformersEngine.load(str(tiny_folder("llama")), device="cpu")
    yield engine
    engine.close()


@pytest.fixture(scope="session")
def tiny_reference(tiny_folder: Callable[[str], Path]) -> Any:
    """The same tiny Llama in transformers alone."""
    return load_reference(tiny_folder("llama"))
