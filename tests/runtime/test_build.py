"""Building the parts: names that must be known, settings that contradict, nothing left open."""

from __future__ import annotations

from pathlib import Path

import pytest

from memory.directory import DataDirectory
from memory.errors import StartupError
from runtime import build
from runtime.build import BUNDLE, build_runtime, model_folder, named
from runtime.config import Settings
from tests.fakes import FakeEngine
from tests.hash_encoder import ClosableEncoder


@pytest.fixture
def encoder(monkeypatch: pytest.MonkeyPatch) -> ClosableEncoder:
    made = ClosableEncoder()
    monkeypatch.setattr(build, "MiniLmEncoder", lambda **_: made)
    return made


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> FakeEngine:
    made = FakeEngine()

    class Loads:
        @staticmethod
        def load(*_: object, **__: object) -> FakeEngine:
            return made

    monkeypatch.setattr(build, "TransformersEngine", Loads)
    return made


def settings(folder: Path, **routing: object) -> Settings:
    given = {"classifier": "subject", **routing}
    return Settings.model_validate({"memory": {"directory": folder}, "routing": given})


def is_free(folder: Path) -> bool:
    DataDirectory.open(folder).close()
    return True


def test_a_name_that_is_not_known_is_refused_with_the_known_ones() -> None:
    assert 1 == named({"one": 1}, "one", "routing.classifier")
    with pytest.raises(StartupError, match=r"routing\.classifier is 'x'; known are one, two"):
        named({"two": 2, "one": 1}, "x", "routing.classifier")


@pytest.mark.parametrize("field", ["classifier", "default_path"])
def test_an_unknown_part_is_refused_before_anything_is_built(tmp_path: Path, field: str) -> None:
    folder = tmp_path / "data"
    with pytest.raises(StartupError, match=rf"routing\.{field} is 'bogus'"):
        build_runtime(settings(folder, **{field: "bogus"}))
    assert not folder.exists()


def test_the_bundle_is_found_wherever_the_process_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert str(BUNDLE / "nano") == model_folder("pocket/nano")
    assert "somebody/model" == model_folder("somebody/model")
    (tmp_path / "pocket" / "nano").mkdir(parents=True)
    assert "pocket/nano" == model_folder("pocket/nano")


def test_what_was_built_is_closed_when_the_model_fails(
    tmp_path: Path, encoder: ClosableEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Fails:
        @staticmethod
        def load(*_: object, **__: object) -> FakeEngine:
            raise StartupError("no such model")

    monkeypatch.setattr(build, "TransformersEngine", Fails)
    with pytest.raises(StartupError, match="no such model"):
        build_runtime(settings(tmp_path))
    assert 1 == encoder.closed
    assert is_free(tmp_path)


def test_a_part_that_fails_to_close_does_not_keep_the_others_open(
    tmp_path: Path, encoder: ClosableEncoder, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: float = 0.0) -> None:
        raise RuntimeError("stuck")

    runtime = build_runtime(settings(tmp_path))
    monkeypatch.setattr(engine, "close", fail)
    with pytest.raises(RuntimeError, match="stuck"):
        runtime.close()
    assert 1 == encoder.closed
    assert is_free(tmp_path)


@pytest.mark.usefixtures("engine")
def test_a_budget_that_the_classifier_cannot_keep_refuses_to_start(
    tmp_path: Path, encoder: ClosableEncoder
) -> None:
    with pytest.raises(StartupError, match=r"routing\.error_budget.*subject-rule"):
        build_runtime(settings(tmp_path, error_budget=0.01))
    assert 1 == encoder.closed
    assert is_free(tmp_path)


@pytest.mark.usefixtures("engine", "encoder")
def test_a_namespaces_budget_that_cannot_be_kept_is_refused_by_its_name(tmp_path: Path) -> None:
    with pytest.raises(StartupError, match=r"routing\.namespace_budgets\.medical is 0\.01"):
        build_runtime(settings(tmp_path, namespace_budgets={"medical": 0.01}))
    assert is_free(tmp_path)


@pytest.mark.parametrize(
    "given",
    [
        {"model": {"name": "./no-such-folder"}},
        {"counterfactual": {"model": "./no-such-folder"}},
    ],
)
def test_a_model_that_is_not_there_is_refused_before_anything_is_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: dict[str, object]
) -> None:
    def never(**_: object) -> ClosableEncoder:
        raise AssertionError("the encoder was loaded")

    monkeypatch.setattr(build, "MiniLmEncoder", never)
    folder = tmp_path / "data"
    made = Settings.model_validate({"memory": {"directory": folder}, **given})
    with pytest.raises(StartupError, match="no-such-folder"):
        build_runtime(made)
    assert not folder.exists()


def test_the_encoder_is_warm_before_the_first_query(
    tmp_path: Path, encoder: ClosableEncoder, engine: FakeEngine
) -> None:
    """Else a server that was restarted lets its first caller wait for seconds."""
    runtime = build_runtime(settings(tmp_path / "data", default_path="in_context"))
    try:
        assert engine.health().alive
        assert encoder.awaited == [build.WARM_UP]
    finally:
        runtime.close()
