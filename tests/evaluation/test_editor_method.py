"""Editors of weights in the harness: on a tiny model, through the engine, with their costs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from evaluation.editor_method import EditorLab, EditorMethod, costs_as_rates
from evaluation.options import Options
from evaluation.result import Progress, Result
from evaluation.run import run
from memory.errors import InvalidInput
from memory.record import EditDraft, EditId
from runtime.build import Runtime
from runtime.config import Settings, read_settings
from runtime.consolidation.contract import Delta
from runtime.engine.contract import Sampling
from runtime.engine.transformers_engine import TransformersEngine
from tests.evaluation_kit import counterfact_file, fake_runtime, options_for, value
from tests.fakes import FakeEngine
from tests.tiny_models import save_tiny_model

LEARN = {
    "layers": [0],
    "rome_layer": 0,
    "fact_token": "prompt_last",
    "prefixes": 0,
    "covariance_samples": 40,
    "covariance_weight": 0.1,
    "steps": 40,
    "learning_rate": 0.5,
    "weight_decay": 0.0,
    "kl_factor": 0.0,
    "clamp_factor": 50.0,
    "rome_clamp_factor": 50.0,
}
Build = Callable[[Settings], Runtime]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model's folder."""
    return save_tiny_model(tmp_path_factory.mktemp("tiny"), "llama")


@pytest.fixture
def build(model: Path) -> Iterator[Build]:
    """Makes runtimes of fakes around a real engine."""
    engines: list[TransformersEngine] = []

    def make(settings: Settings) -> Runtime:
        engine = TransformersEngine.load(str(model), device="cpu", dtype="fp32", threads=1)
        engines.append(engine)
        made = fake_runtime(settings, engine=engine)
        made.encoder.close = lambda: None  # type: ignore[method-assign]  # Hashes hold nothing.
        return made

    yield make
    for engine in engines:
        engine.close()


def options(model: Path, folder: Path, **changes: Any) -> Options:
    corpus = folder / "corpus.txt"
    corpus.write_text("\n".join(f"The law of {n} is {n * n}." for n in range(60)), "utf-8")
    given: dict[str, Any] = {
        "methods": ("memit",),
        "edits": (3,),
        "limit": 3,
        "kinds": ("edit", "neighbour"),
        "max_tokens": 6,
        "editor_settings": LEARN,
        "settings": {
            "model": {"name": str(model), "dtype": "fp32"},
            "consolidation": {"corpus": str(corpus)},
            "routing": {"classifier": "subject"},
        },
    }
    out = changes.pop("out", folder / "out")
    return options_for(counterfact_file(folder), out, **{**given, **changes})


def ran(given: Options, build: Build) -> Result:
    return run(given, Progress(begin=lambda *_: None, advance=lambda: None), build=build)


def answers(out: Path, protocol: str) -> dict[str, Any]:
    rows = [json.loads(line) for line in (out / "answers.jsonl").read_text("utf-8").splitlines()]
    return {
        row["prompt"]: row["said"]["token_ids"]
        for row in rows
        if row["protocol"] == protocol and row["kind"] == "edit" and row["method"] == "memit"
    }


def test_edits_in_the_weights_are_answered_and_cost_is_told(
    model: Path, build: Build, tmp_path: Path
) -> None:
    result = ran(options(model, tmp_path), build)
    about = {"method": "memit", "scope": "-", "edits": 3, "protocol": "batch"}
    before = value(result, "reliability_token", method="none")
    assert value(result, "reliability_token", **about) > before
    assert 1.0 == value(result, "es", **about)
    assert 0.0 < value(result, "perplexity_ratio", **about) != 1.0
    assert 0.0 < value(result, "seconds_per_edit", **about)
    assert 0.0 <= value(result, "peak_bytes", **about)
    routed = {row.metric for row in result.rows if row.method == "memit"}
    assert not [name for name in routed if "route" in name]


def test_a_second_run_computes_no_edition_again(
    model: Path, build: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = ran(options(model, tmp_path), build)
    (tmp_path / "out" / "answers.jsonl").unlink()

    def refuse(*_: object) -> Delta:
        raise AssertionError("an edition was computed again")

    monkeypatch.setattr("runtime.consolidation.memit.MemitEditor.compute", refuse)
    again = ran(options(model, tmp_path), build)
    for metric in ("reliability_token", "seconds_per_edit", "perplexity_ratio", "peak_bytes"):
        about = {"method": "memit", "edits": 3}
        assert value(first, metric, **about) == value(again, metric, **about)


def test_the_last_edition_of_a_sequence_is_that_of_the_batch_but_not_of_the_stack(
    model: Path, build: Build, tmp_path: Path
) -> None:
    given = {"kinds": ("edit",), "step": 2}
    for protocol in ("batch", "sequential", "stacked"):
        ran(options(model, tmp_path, protocol=protocol, out=tmp_path / protocol, **given), build)
    batch = answers(tmp_path / "batch", "batch")
    assert 3 == len(batch)
    assert batch == answers(tmp_path / "sequential", "sequential_final")
    assert 3 == len(answers(tmp_path / "stacked", "stacked_final"))
    computed = [
        len(list((tmp_path / name / "editions").glob("*/cost.json")))
        for name in ("batch", "sequential", "stacked")
    ]
    assert [1, 2, 0] == computed


def drafts(count: int) -> list[EditDraft]:
    names = ("Ann Lee", "Bob Roe", "Cid Fay")[:count]
    return [
        EditDraft(
            subject=name,
            prompt=f"The tongue of {name} is",
            target="Danish",
            edit_id=EditId(f"e-{place}"),
        )
        for place, name in enumerate(names)
    ]


def lab_of(model: Path, build: Build, folder: Path, **changes: Any) -> EditorLab:
    corpus = folder / "corpus.txt"
    corpus.write_text("\n".join(f"The law of {n} is {n * n}." for n in range(60)), "utf-8")
    flags: dict[str, dict[str, Any]] = {
        "model": {"name": str(model), "dtype": "fp32"},
        "memory": {"directory": folder / "memory"},
        "consolidation": {"corpus": str(corpus)},
    }
    return EditorLab(build(read_settings(flags)), folder / "editions", {**LEARN, **changes})


def test_a_stacked_change_is_computed_on_what_the_former_one_left(
    model: Path, build: Build, tmp_path: Path
) -> None:
    lab = lab_of(model, build, tmp_path)
    first = lab.stack("memit", [], drafts(1))
    alone = lab.compute("memit", drafts(1))
    assert alone.delta.reports == first.delta.reports
    both = lab.stack("memit", [first], drafts(3)[1:])
    assert (3, 3) == (both.cost.edits, len(both.delta.reports))
    assert both.cost.seconds > first.cost.seconds
    other = lab.compute("memit", drafts(3))
    ours, theirs = (lab.parameters(one.delta) for one in (both, other))
    assert ours.keys() == theirs.keys()
    assert all(not (ours[name] == theirs[name]).all() for name in ours)
    model_now = lab.loaded.model
    assert all((model_now.get_parameter(n) != ours[n]).any() for n in ours)


def test_stacked_answers_of_other_steps_are_not_the_same(
    model: Path, build: Build, tmp_path: Path
) -> None:
    lab = lab_of(model, build, tmp_path)
    made = [
        EditorMethod(lab, "memit", sampling=Sampling(), stacks=stacks, step=step).fingerprint
        for stacks in (True, False)
        for step in (1, 2)
    ]
    assert made[0] != made[1]
    assert made[2] == made[3]


def test_an_edit_whose_prompt_lacks_its_subject_is_left_out(
    model: Path, build: Build, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    lab = lab_of(model, build, tmp_path)
    odd = EditDraft(subject="Zoe", prompt="Who is that?", target="Ann", edit_id=EditId("e-9"))
    made = lab.compute("rome", [*drafts(1), odd])
    assert ["e-0"] == [report.edit_id for report in made.delta.reports]
    assert "1 of 2 edits are not written" in caplog.text


def test_unknown_editors_and_settings_are_refused(
    model: Path, build: Build, tmp_path: Path
) -> None:
    lab = lab_of(model, build, tmp_path, telepathy=1)
    with pytest.raises(InvalidInput, match="telepathy"):
        lab.compute("memit", drafts(1))
    with pytest.raises(InvalidInput, match="known are memit"):
        EditorMethod(lab, "telepathy", sampling=Sampling())


def test_an_engine_without_editions_is_refused(model: Path, build: Build, tmp_path: Path) -> None:
    lab = lab_of(model, build, tmp_path)
    method = EditorMethod(lab, "memit", sampling=Sampling())
    object.__setattr__(lab.runtime, "engine", FakeEngine())
    with pytest.raises(InvalidInput, match="keeps no editions"):
        method.hold(drafts(1))


def test_only_editors_stack(tmp_path: Path, model: Path, build: Build) -> None:
    given = options(model, tmp_path, methods=("in_context", "memit"), protocol="stacked")
    with pytest.raises(InvalidInput, match="only editors stack"):
        ran(given, build)


def test_a_cost_becomes_three_figures(model: Path, build: Build, tmp_path: Path) -> None:
    lab = lab_of(model, build, tmp_path)
    cost = lab.compute("memit", drafts(2)).cost
    assert [1, 1, 1] == [made.n for made in costs_as_rates([cost])]
    assert cost.seconds / 2 == costs_as_rates([cost])[1].value
