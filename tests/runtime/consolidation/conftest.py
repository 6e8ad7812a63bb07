"""Tiny models of each family and a tiny corpus, made once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from runtime.engine.load import LoadedModel, load_model
from tests.tiny_models import Tiny, save_tiny_model


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], LoadedModel]:
    """Returns a function from a family to its loaded tiny model."""
    loaded: dict[str, LoadedModel] = {}

    def get(family: str) -> LoadedModel:
        if family not in loaded:
            folder = save_tiny_model(tmp_path_factory.mktemp(family), family)
            loaded[family] = load_model(str(folder), device="cpu")
        return loaded[family]

    return get


@pytest.fixture(scope="session")
def corpus_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of 60 short lines."""
    path = tmp_path_factory.mktemp("corpus") / "text.txt"
    words = ["the law", "in Ikaalinen", "declares", "French", "Spanish", "mother tongue", "naïve"]
    lines = [" ".join(words[(n * k) % 7] for k in range(1, 8)) + f" {n}" for n in range(60)]
    path.write_text("\n\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def deep(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    """Tiny models of four blocks, so that layers are left above the changed ones."""
    from tests import tiny_models

    loaded = {}

    def get(family: str) -> LoadedModel:
        if family not in loaded:
            folder = tmp_path_factory.mktemp(f"deep-{family}")
            name = "n_layer" if "n_layer" in tiny_models.FAMILIES[family] else "num_hidden_layers"
            with pytest.MonkeyPatch.context() as patch:
                patch.setitem(
                    tiny_models.FAMILIES, family, {**tiny_models.FAMILIES[family], name: 4}
                )
                save_tiny_model(folder, family)
            loaded[family] = load_model(str(folder), device="cpu")
        return loaded[family]

    return get
