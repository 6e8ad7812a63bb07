"""Which model the counterfactual path gets, and that it is loaded only when it is wanted."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from memory.errors import StartupError
from runtime import build
from runtime.build import (
    BUNDLE,
    Runtime,
    build_runtime,
    check_path,
    counterfactual_model,
    default_path,
)
from runtime.config import POCKET_BASE, POCKET_COUNTERFACTUAL, Settings
from runtime.engine.seq2seq import Seq2SeqEngine
from runtime.engine.transformers_engine import TransformersEngine
from tests.hash_encoder import ClosableEncoder
from tests.tiny_models import save_tiny_model, save_tiny_t5


@pytest.fixture(autouse=True)
def _encoder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "MiniLmEncoder", lambda **_: ClosableEncoder())


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    save_tiny_model(folder / "base", "llama")
    save_tiny_model(folder / "other", "gpt2")
    save_tiny_t5(folder / "t5")
    return folder


def settings(folder: Path, models: Path, path: str, model: str | None = None) -> Settings:
    return Settings.model_validate(
        {
            "memory": {"directory": folder / "data"},
            "model": {"name": str(models / "base"), "device": "cpu", "threads": 1},
            "routing": {"classifier": "subject", "default_path": path},
            "counterfactual": {"model": model},
        }
    )


@pytest.fixture
def runtimes() -> Iterator[list[Runtime]]:
    built: list[Runtime] = []
    yield built
    for runtime in built:
        runtime.close()


def test_nothing_is_loaded_when_the_path_is_not_wanted(
    tmp_path: Path, models: Path, runtimes: list[Runtime]
) -> None:
    runtimes.append(build_runtime(settings(tmp_path, models, "in_context")))
    assert runtimes[0].counterfactual is None
    assert (runtimes[0].engine,) == runtimes[0].runner.engines


@pytest.mark.parametrize(("name", "kind"), [("other", TransformersEngine), ("t5", Seq2SeqEngine)])
def test_a_named_model_is_served_by_the_engine_of_its_kind_and_closed(
    tmp_path: Path, models: Path, name: str, kind: type
) -> None:
    runtime = build_runtime(settings(tmp_path, models, "auto", str(models / name)))
    engine = runtime.counterfactual
    assert engine is not None
    assert isinstance(engine, kind)
    assert (runtime.engine, engine) == runtime.runner.engines
    runtime.close()
    assert not engine.health().alive


def test_the_frozen_model_itself_can_be_named_and_is_loaded_once(
    tmp_path: Path, models: Path, runtimes: list[Runtime]
) -> None:
    runtimes.append(build_runtime(settings(tmp_path, models, "counterfactual", "base")))
    assert runtimes[0].counterfactual is None
    assert (runtimes[0].engine,) == runtimes[0].runner.engines


def test_a_missing_model_refuses_to_start_naming_the_setting(tmp_path: Path, models: Path) -> None:
    with pytest.raises(StartupError, match=r"counterfactual\.model is '/no/such/model'"):
        build_runtime(settings(tmp_path, models, "auto", "/no/such/model"))


def test_a_broken_model_closes_what_was_built(tmp_path: Path, models: Path) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "config.json").write_text('{"model_type": "llama"}')
    wanted = settings(tmp_path, models, "counterfactual", str(broken))
    with pytest.raises(StartupError, match=r"counterfactual\.model is .*broken"):
        build_runtime(wanted)
    build_runtime(settings(tmp_path, models, "in_context")).close()  # The data folder is free.


def test_the_pocket_model_stands_in_where_the_default_path_needs_one(
    tmp_path: Path, models: Path
) -> None:
    def model(path: str, named: str | None = None) -> str | None:
        return counterfactual_model(settings(tmp_path, models, path, named))

    assert POCKET_COUNTERFACTUAL == model("counterfactual")
    assert POCKET_COUNTERFACTUAL == model("auto")
    assert model("in_context") is None
    assert "some/model" == model("in_context", "some/model")


@pytest.mark.parametrize(
    ("model", "other", "expected"),
    [
        (POCKET_BASE, None, "auto"),
        (str(BUNDLE / "base"), str(BUNDLE / "counterfactual"), "auto"),
        (POCKET_BASE, "base", "in_context"),
        (POCKET_BASE, "google/flan-t5-small", "in_context"),
        ("pocket/nano", None, "in_context"),
        ("Qwen/Qwen2.5-1.5B-Instruct", POCKET_COUNTERFACTUAL, "in_context"),
    ],
)
def test_auto_is_the_default_with_the_two_models_that_ship_alone(
    model: str, other: str | None, expected: str
) -> None:
    found = Settings.model_validate(
        {"model": {"name": model}, "counterfactual": {"model": other}},
    )
    assert expected == default_path(found)
    implied = POCKET_COUNTERFACTUAL if expected == "auto" else None
    assert (other or implied) == counterfactual_model(found)


def test_a_named_path_wins_over_the_models(monkeypatch: pytest.MonkeyPatch) -> None:
    named = Settings.model_validate({"routing": {"default_path": "in_context"}})
    assert ("in_context", None) == (default_path(named), counterfactual_model(named))
    monkeypatch.setenv("ERRATA_ROUTING__DEFAULT_PATH", "counterfactual")
    assert "counterfactual" == default_path(Settings())


def test_without_the_small_model_of_the_bundle_the_frozen_one_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = tmp_path / "pocket"
    (bundle / "base").mkdir(parents=True)
    monkeypatch.setattr(build, "BUNDLE", bundle)
    monkeypatch.chdir(tmp_path)
    assert ("in_context", None) == (default_path(Settings()), counterfactual_model(Settings()))


def test_every_path_and_auto_may_be_the_default(tmp_path: Path, models: Path) -> None:
    for path in ("auto", "counterfactual", "in_context"):
        check_path(settings(tmp_path, models, path))
    with pytest.raises(StartupError, match="known are auto, counterfactual, in_context"):
        check_path(settings(tmp_path, models, "nowhere"))
