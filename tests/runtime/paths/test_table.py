"""The table of paths: names, engines and editions."""

from __future__ import annotations

import pytest

from memory.errors import InvalidInput
from runtime.paths.contract import BASE_MODEL, COUNTERFACTUAL_MODEL, Path
from runtime.paths.counterfactual import CounterfactualPath
from runtime.paths.in_context import InContextPath
from runtime.paths.table import PathTable
from tests.fakes import FakeEngine

BASE, OTHER = FakeEngine(), FakeEngine()


def table(default: str = "in_context", *, on_base: bool = False) -> PathTable:
    path = CounterfactualPath(BASE, model=BASE_MODEL) if on_base else CounterfactualPath(OTHER)
    models = {BASE_MODEL: BASE} if on_base else {BASE_MODEL: BASE, COUNTERFACTUAL_MODEL: OTHER}
    paths: dict[str, Path] = {"in_context": InContextPath(BASE), "counterfactual": path}
    return PathTable(paths, models, default=default)


def test_auto_is_known_where_there_is_something_to_choose_from() -> None:
    assert ["auto", "counterfactual", "in_context"] == table().names
    alone = PathTable({"in_context": InContextPath(BASE)}, {BASE_MODEL: BASE}, default="in_context")
    assert ["in_context"] == alone.names
    with pytest.raises(InvalidInput, match=r"known paths are in_context\. Start .*--path auto"):
        alone.path("auto")
    with pytest.raises(InvalidInput, match=r"known paths are in_context\.$"):
        alone.path("by_magic")
    with pytest.raises(InvalidInput, match="default path is 'auto'"):
        PathTable({"in_context": InContextPath(BASE)}, {BASE_MODEL: BASE}, default="auto")


def test_an_unset_path_is_the_default() -> None:
    assert "counterfactual" == table("counterfactual").path("").name
    assert "in_context" == table("counterfactual").path("in_context").name
    assert table("auto").is_auto("")
    assert not table("auto").is_auto("in_context")


def test_each_path_decodes_on_its_own_engine_and_base_on_the_frozen_one() -> None:
    paths = table()
    assert OTHER is paths.engine_of("counterfactual")
    assert BASE is paths.engine_of("in_context")
    assert BASE is paths.engine_of("base")
    assert (BASE, OTHER) == paths.engines


def test_only_the_frozen_model_has_editions() -> None:
    assert (0, 3, 3) == tuple(
        table().edition_of(path, 3) for path in ("counterfactual", "in_context", "base")
    )
    assert 3 == table(on_base=True).edition_of("counterfactual", 3)


def test_the_frozen_model_as_counterfactual_is_one_engine() -> None:
    paths = table(on_base=True)
    assert (BASE,) == paths.engines
    assert BASE is paths.engine_of("counterfactual")
