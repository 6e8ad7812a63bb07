"""consolidate and editions: the whole life of an edition as it is typed, on a tiny engine."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace

import pytest
import typer

from errata.client import Client
from errata.commands import consolidate, jobs
from errata.commands.outcome import UsageProblem
from errata.edition_results import Operation
from memory.record import DEFAULT_NAMESPACE
from runtime.consolidation.spec import GateLimits
from runtime.engine.load import LoadedModel
from tests.cli_kit import Ran, run_command
from tests.consolidation_kit import OPEN_GATE, load_tiny
from tests.consolidation_service_kit import Served, served
from tests.tiny_models import save_tiny_model

SET = ("--set", "covariance_samples=8", "--set", "covariance_weight=1.0")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp("llama"), "llama")


@pytest.fixture(scope="module")
def loaded(model: Path) -> LoadedModel:
    return load_tiny(model)


@pytest.fixture
def serve(tmp_path: Path, loaded: LoadedModel) -> Iterator[Callable[..., Served]]:
    with ExitStack() as stack:
        yield lambda **more: stack.enter_context(served(tmp_path, loaded, **more))


def shell(kit: Served) -> Callable[..., Ran]:
    """Returns what types a command at the server and expects it to end well."""

    def typed(*arguments: str, code: int = 0, given: str | None = None) -> Ran:
        ran = run_command(*arguments, address=kit.target, given=given)
        assert code == ran.code, f"{arguments}: {ran.out}{ran.err}"
        return ran

    return typed


def test_the_life_of_an_edition_as_people_type_it(
    serve: Callable[..., Served], tmp_path: Path, model: Path
) -> None:
    kit = serve()
    edits = kit.bench.add(2)
    run = shell(kit)
    told = run("consolidate", "--validate-only").out
    assert "edits    2\n" in told
    assert "only estimated" in run("operations", "list").out
    estimated = run("operations", "list", "--json").record["id"]
    assert "memory" in run("operations", "show", estimated).out
    run("consolidate", "--validate-only")
    assert "1 more: errata operations list" in run("operations", "list", "--limit", "1").err
    assert "No job is remembered" in run("operations", "list", "--namespace", "nowhere").err
    assert kit.bench.store.numbers() == ()
    ran = run("consolidate", *SET)
    head, *rows = ran.out.splitlines()
    assert head.split("\t") == ["MEASURE", "BEFORE", "AFTER", "ASKED FOR", "PROBES", "PASSED"]
    assert rows[0].startswith("reliability\t0.000\t1.000\t>= 0\t2\tyes")
    assert "Edition 1 holds 2 of 2 edits in 1 matrix of rank" in ran.out
    assert "Job consolidate-" in ran.err
    assert "errata editions activate 0" in ran.err
    again = run("consolidate", *SET)
    assert "made from the same edits in the same way; it is used again" in again.out
    assert "edition 1, used again, activated" in run("operations", "list").out
    kit.bench.add(1)
    run("consolidate", *SET, "--no-activate")
    listed = [line.split("\t") for line in run("editions", "list").out.splitlines()]
    assert [row[:2] for row in listed[1:]] == [["2", ""], ["1", "active"], ["0", ""]]
    shown = run("editions", "show", "1").out
    for edit in edits:
        assert f"{edit.id}\tyes\t" in shown
    assert "holds no edits" in run("editions", "show", "0").out
    changed = run("editions", "diff", "1", "2").out
    assert "only in\t2\t" in changed
    assert "Both hold the same edits." in run("editions", "diff", "1", "1").out
    assert "only in\t2\t" in run("editions", "diff", "2").out
    alone = run("editions", "diff", "1")
    assert "Edition 1 is the active one; compared with 0" in alone.err
    assert 2 == alone.out.count("only in\t1\t")
    assert "Edition 2 answers namespace default" in run("editions", "activate", "2").out
    undone = run("editions", "activate", "0", "--reason", "just to see")
    assert "the model as published" in undone.out
    assert kit.bench.memory.snapshot().edition(DEFAULT_NAMESPACE) == 0
    assert "name a second edition" in run("editions", "diff", "0", code=2).err
    out = tmp_path / "exported"
    here = ("--data-dir", str(tmp_path / "data"), "--model", str(model))
    assert "a checkpoint" in run("editions", "export", "1", str(out), *here).out
    assert (out / "model.safetensors").is_file()
    assert "is there already" in run("editions", "export", "1", str(out), *here, code=2).err
    other = str(tmp_path / "adapter")
    lora = ("editions", "export", "2", other, *here, "--format", "lora")
    assert "has rank" in run(*lora, "--rank-max", "1", code=2).err
    assert "LoRA, rank" in run(*lora).out
    run("editions", "export", "0", str(tmp_path / "none"), *here, code=2)
    assert "known: " in run("editions", "export", "9", str(tmp_path / "none"), *here, code=2).err


def test_programs_get_one_object_for_each_thing(serve: Callable[..., Served]) -> None:
    kit = serve()
    kit.bench.add(2)
    run = shell(kit)
    job = run("consolidate", *SET, "--json").record
    assert ("succeeded", True, None) == (job["state"], job["activated"], job["error"])
    assert job["edition"]["number"] == 1
    assert {"name", "before", "after", "limit", "passed", "count"} == set(job["metrics"][0])
    assert [1, 0] == [one["number"] for one in run("editions", "list", "--json").records]
    edition = run("editions", "show", "1", "--json").record
    assert {True} == {held["took"] for held in edition["edits"]}
    difference = run("editions", "diff", "0", "1", "--json").record
    assert ([], 2) == (difference["removed"], len(difference["added"]))
    done = run("editions", "activate", "0", "--json").record
    assert (0, 2) == (done["edition"]["number"], done["edits_changed"])
    missing = run("editions", "show", "7", "--json", code=4).err
    assert "EDITION_NOT_FOUND" == json.loads(missing)["error"]["reason"]


def test_a_refused_edition_ends_with_the_gate_s_table_and_4(serve: Callable[..., Served]) -> None:
    kit = serve(gate=GateLimits(took_min=1.0, perplexity_ratio_max=1e-6))
    kit.bench.add(1)
    run = shell(kit)
    ran = run("consolidate", *SET, code=4)
    assert "perplexity_ratio\t-\t" in ran.out
    assert "\tNO\n" in ran.out
    assert "the gate refuses the edition" in ran.err
    assert "Nothing was activated" in ran.err
    failed = run("operations", "list", "--json").record
    assert ("failed", "gating") == (failed["state"], failed["stage"])
    shown = run("operations", "show", failed["id"]).out
    assert "the gate refuses the edition: " in shown
    assert "\tNO\n" in shown
    run("operations", "wait", failed["id"], code=4)
    told = run("consolidate", *SET, "--json", code=4).record
    assert ("failed", "CONSOLIDATION_FAILED") == (told["state"], told["error"]["reason"])
    assert not next(one for one in told["metrics"] if one["name"] == "perplexity_ratio")["passed"]


class Hold:
    """Holds a job at its targets until it is let on."""

    def __init__(self) -> None:
        self.reached, self.go_on = threading.Event(), threading.Event()

    def __call__(self, stage: str) -> None:
        if stage == "targets" and not self.reached.is_set():
            self.reached.set()
            assert self.go_on.wait(60)


def test_a_job_is_left_running_followed_refused_a_rival_and_cancelled(
    serve: Callable[..., Served],
) -> None:
    hold = Hold()
    kit = serve(on_stage=hold)
    kit.bench.add(1)
    run = shell(kit)
    assert "No consolidation runs" in run("consolidate", "--resume", "running", code=2).err
    begun = run("consolidate", *SET, "--detach", "--json").record
    assert hold.reached.wait(60)
    listed = run("operations", "list").out.splitlines()[1].split("\t")
    assert [begun["id"], "running", "targets"] == listed[:3]
    assert 1 == run("operations", "show", "running", "--json").record["edits"]
    shown = run("operations", "show", "running")
    assert "finding targets" in shown.out
    assert f"errata operations cancel {begun['id']}" in shown.err
    rival = run("consolidate", *SET, code=4).err
    assert f"errata operations wait {begun['id']}" in rival
    run("consolidate", "--resume", "running", "--cancel", "running", code=2)
    hold.go_on.set()
    assert "Edition 1 holds" in run("consolidate", "--resume", begun["id"]).out
    assert "Edition 1 holds" in run("operations", "wait", begun["id"]).out
    shown = run("operations", "show", begun["id"])
    assert "edition 1, activated" in shown.out
    assert "reliability\t0.000\t1.000" in shown.out
    assert "has succeeded already" in run("consolidate", "--cancel", begun["id"], code=2).err
    assert "errata operations list" in run("consolidate", "--cancel", "nonsense", code=4).err
    assert "a new one" in run("consolidate", "--resume", begun["id"], "--detach", code=2).err
    hold.reached.clear()
    hold.go_on.clear()
    kit.bench.add(1)
    run("consolidate", *SET, "--detach")
    assert hold.reached.wait(60)
    threading.Timer(0.3, hold.go_on.set).start()
    assert "Cancelled; nothing was changed." in run("operations", "cancel", "running").err
    assert kit.bench.store.numbers() == (1,)


@pytest.mark.parametrize("answer", ["y", "n", "Ctrl-C"])
def test_an_interrupted_command_asks_what_shall_become_of_the_job(
    serve: Callable[..., Served], monkeypatch: pytest.MonkeyPatch, answer: str
) -> None:
    hold = Hold()
    kit = serve(on_stage=hold)
    kit.bench.add(1)
    interrupts = [KeyboardInterrupt]
    wait = Client.wait_operation

    def interrupted(self: Client, operation: str, **more: object) -> Operation:
        if interrupts:
            assert hold.reached.wait(60)
            raise interrupts.pop()
        hold.go_on.set()
        return wait(self, operation)

    monkeypatch.setattr(Client, "wait_operation", interrupted)
    there = SimpleNamespace(stdin=SimpleNamespace(isatty=lambda: True))
    monkeypatch.setattr(jobs, "sys", there)

    def confirm(*_: object, **__: object) -> bool:
        if answer == "Ctrl-C":
            raise typer.Abort
        return answer == "y"

    monkeypatch.setattr(typer, "confirm", confirm)
    ran = shell(kit)("consolidate", *SET, code=0 if answer == "y" else 130)
    hold.go_on.set()
    (operation,) = kit.bench.operations.all()
    ended = kit.bench.wait(operation)
    assert ended.state.value == ("cancelled" if answer == "y" else "succeeded")
    told = "Cancelled" if answer == "y" else f"--resume {operation.id} follows it"
    assert told in ran.err


def test_a_damaged_edition_is_shown_and_what_answers_instead(
    tmp_path: Path, loaded: LoadedModel
) -> None:
    def damage(kit: Served, file: str) -> None:
        path = kit.bench.store.path(1) / file
        path.write_bytes(path.read_bytes()[:-1] + b"?")

    with served(tmp_path, loaded) as kit:
        kit.bench.add(1)
        run = shell(kit)
        run("consolidate", *SET)
        kit.bench.add(1)
        run("consolidate", *SET, "--no-activate")
        assert {"sound"} == {one["state"] for one in run("editions", "list", "--json").records}
        assert "unusable" not in run("status").out
        damage(kit, "matrices.safetensors")
        listed = run("editions", "list")
        assert "1\tactive, damaged\t" in listed.out
        assert "Edition 1 is loaded and answers namespace default until" in listed.err
        told = run("status")
        assert "\t1 (unusable; 1 answers)\t" in told.out
        assert "matrices.safetensors cannot be used (its SHA-256 is" in told.err
        assert "consolidate again" in told.err
    with served(tmp_path, loaded) as kit:
        run = shell(kit)
        listed = run("editions", "list")
        assert "Edition 0, the model as published, answers namespace default" in listed.err
        assert "errata editions activate N" in run("status").err
        two, one, base = run("editions", "list", "--json").records
        assert ("sound", False, False) == (two["state"], two["active"], two["answers"])
        assert ("damaged", True, False) == (one["state"], one["active"], one["answers"])
        assert ("sound", False, True) == (base["state"], base["active"], base["answers"])
        assert run("generate", "The language of Person 0 is", "--json").record["edition"] == 0
        damage(kit, "edition.json")
        shown = run("editions", "show", "1")
        assert "edition.json cannot be used (" in shown.out
        assert "MEASURE" not in shown.out
        assert "edition.json cannot be used (" in run("editions", "activate", "1", code=4).err
        shutil.rmtree(kit.bench.store.path(1))
        assert "its folder 1 is missing" in run("editions", "list").out
        run("editions", "activate", "2")
        assert "answers" not in run("editions", "list").err
        run("editions", "show", "1", code=4)


def test_filters_select_and_settings_are_read(serve: Callable[..., Served]) -> None:
    kit = serve(gate=OPEN_GATE)
    first, _ = kit.bench.add(2)
    run = shell(kit)
    assert "edits    1\n" in run("consolidate", "--validate-only", "-s", first.subject).out
    assert "nothing to write" in run("consolidate", "--author", "nobody", code=4).err
    assert "known are readout" in run("consolidate", "--editor", "rone", code=2).err
    assert {"layers": [3, 4], "columns": "mean"} == consolidate.parse_settings(
        ["layers=[3,4]", "columns=mean"]
    )
    with pytest.raises(UsageProblem, match="NAME=VALUE"):
        consolidate.parse_settings(["layers"])
