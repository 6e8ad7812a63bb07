"""`errata eval` as a user meets it: a tiny model, every file that it writes, a kill half-way."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.cli_kit import Ran, run_command
from tests.evaluation_kit import counterfact_file, counterfact_row, write_json
from tests.tiny_models import save_tiny_model

ROOT = Path(__file__).resolve().parent.parent.parent
KEYS = {
    "dataset",
    "file_sha256",
    "model",
    "method",
    "scope",
    "edits",
    "protocol",
    "metric",
    "value",
    "low",
    "high",
    "n",
    "seconds",
    "fillers_sha256",
}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp("model"), "llama")


def arguments(model: Path, file: Path, out: Path, *more: str) -> list[str]:
    return [
        *("eval", "counterfact", str(file), "--out", str(out), "--model", str(model)),
        *("--counterfactual", "base", "--threads", "1", "--device", "cpu", "--edits", "3"),
        *("--method", "in_context,counterfactual", "--scope", "subject", "--max-tokens", "6"),
        *("--latency", "3", "--reference", "20", "--no-baselines", *more),
    ]


@pytest.fixture(scope="module")
def ran(model: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Ran, Path]:
    folder = tmp_path_factory.mktemp("eval")
    rows = [*(counterfact_row(number) for number in range(3)), counterfact_row(1), {"case_id": 7}]
    file = write_json(folder / "val.json", rows)
    return run_command(*arguments(model, file, folder / "out", "--json")), folder / "out"


def test_it_succeeds_and_its_rows_stand_on_stdout_and_in_the_file(ran: tuple[Ran, Path]) -> None:
    done, out = ran
    assert 0 == done.code, done.err
    rows = [json.loads(line) for line in (out / "results.jsonl").read_text("utf-8").splitlines()]
    assert rows == done.records
    assert [KEYS] == [set(keys) for keys in {tuple(sorted(row)) for row in rows}]
    assert {"none", "in_context", "counterfactual", "-"} == {row["method"] for row in rows}
    assert all(row["low"] <= row["value"] <= row["high"] for row in rows)


def test_answers_without_an_edit_are_those_of_transformers_alone(ran: tuple[Ran, Path]) -> None:
    found = {
        (row["method"], row["metric"]): (row["value"], row["n"])
        for row in ran[0].records
        if row["metric"].startswith("base_identical")
    }
    assert {"none", "in_context", "counterfactual"} == {method for method, _ in found}
    assert [1.0] * 3 == [
        found[method, "base_identical_but_near_ties"][0]
        for method in ("none", "in_context", "counterfactual")
    ]
    assert found["none", "base_identical"][1] > found["in_context", "base_identical"][1] > 0


def test_routing_and_editing_are_timed(ran: tuple[Ran, Path]) -> None:
    timed = {row["metric"]: row["value"] for row in ran[0].records if row["protocol"] == "alone"}
    assert {"scope_ms_p50", "scope_ms_p99", "edit_ms", "edit_bytes"} == set(timed)
    assert 0 < timed["scope_ms_p50"] <= timed["scope_ms_p99"]


def test_rows_left_out_are_written_down(ran: tuple[Ran, Path]) -> None:
    lines = (ran[1] / "problems.jsonl").read_text("utf-8").splitlines()
    assert [(4, "duplicate"), (5, "missing field")] == [
        (found["row"], found["kind"]) for found in map(json.loads, lines)
    ]


def test_the_report_is_there(ran: tuple[Ran, Path]) -> None:
    assert "</html>" in (ran[1] / "report.html").read_text("utf-8")


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--edits", "many"], "expected numbers"),
        (["--edits", "0"], "1 or more"),
        (["--protocol", "magic"], "batch, "),
        (["--method", "telepathy"], "known are"),
        (["--kind", "edit,rephrasing"], "there are distracting, edit, "),
        (["--limit", "0"], "1 or more"),
    ],
)
def test_wrong_input_is_refused_with_what_was_expected(
    model: Path, tmp_path: Path, more: list[str], said: str
) -> None:
    done = run_command(*arguments(model, counterfact_file(tmp_path), tmp_path / "out"), *more)
    assert 2 == done.code
    assert said in done.err


def test_an_empty_file_is_refused(model: Path, tmp_path: Path) -> None:
    file = tmp_path / "val.json"
    file.touch()
    done = run_command(*arguments(model, file, tmp_path / "out"))
    assert (2, True) == (done.code, "is empty" in done.err)


@pytest.mark.slow
def test_a_killed_run_goes_on_and_ends_with_the_same_figures(model: Path, tmp_path: Path) -> None:
    file = counterfact_file(tmp_path, 8)
    more = ("--at-once", "2", "--json", "--any-code")  # Whoever edits meanwhile changes nothing.
    whole = run_command(*arguments(model, file, tmp_path / "whole", *more))
    out = tmp_path / "out"
    command = [sys.executable, "-m", "errata.cli", *arguments(model, file, out, *more)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    killed = 0
    for least in (5, 40):
        process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        while process.poll() is None and _lines(out) < least:
            time.sleep(0.02)  # Waits for another process to write.
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            killed += 1
        process.wait(60)
    before = _lines(out)
    done = run_command(*arguments(model, file, out, *more))
    keys = [
        json.loads(line)["key"] for line in (out / "answers.jsonl").read_text("utf-8").splitlines()
    ]
    assert (0, 0) == (whole.code, done.code)
    assert killed >= 1
    assert before < len(keys) == len(set(keys))
    assert _figures(whole) == _figures(done)


def _lines(out: Path) -> int:
    file = out / "answers.jsonl"
    return file.read_bytes().count(b"\n") if file.exists() else 0


def _figures(ran: Ran) -> list[tuple[object, ...]]:
    names = ("method", "scope", "edits", "protocol", "metric", "value", "low", "high", "n")
    timed = ("scope_ms", "edit_")
    return [
        tuple(row[name] for name in names)
        for row in ran.records
        if not row["metric"].startswith(timed)
    ]
