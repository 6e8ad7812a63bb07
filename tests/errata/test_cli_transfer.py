"""`errata import` and `export`: formats, refusals, interruptions, round trips."""

from __future__ import annotations

import csv
import itertools
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from errata import file_import
from memory.contracts import Matrix
from memory.readers.read import read_edits
from memory.record import Namespace
from tests import server_kit
from tests.cli_kit import CLOZE, Ran, run_command, shell
from tests.hash_encoder import HashEncoder

ROOT = Path(__file__).resolve().parent.parent.parent
Run = Callable[..., Ran]


def record(number: int, target: str = "Greek") -> dict[str, Any]:
    subject = f"Person {number}"
    prompt = f"The mother tongue of {subject} is"
    return {"subject": subject, "prompt": prompt, "target": target}


def write_jsonl(path: Path, records: Sequence[Any]) -> Path:
    lines = [item if isinstance(item, str) else json.dumps(item) for item in records]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def counterfact(nested: bool) -> list[dict[str, Any]]:
    subject, target, former = "Danielle Darrieux", "English", "French"
    if not nested:
        flat = {"subject": subject, "prompt": CLOZE, "target_new": target, "ground_truth": former}
        return [{"case_id": 0, **flat}]
    rewrite = {
        "prompt": "The mother tongue of {} is",
        "subject": subject,
        "target_new": {"str": target},
        "target_true": {"str": former},
    }
    return [{"case_id": 0, "requested_rewrite": rewrite}]


@pytest.mark.parametrize("nested", [False, True])
def test_both_counterfact_schemas_are_imported(run: Run, tmp_path: Path, nested: bool) -> None:
    file = tmp_path / "cf.json"
    file.write_text(json.dumps(counterfact(nested)), encoding="utf-8")
    assert "1 created" in run("import", str(file)).out
    (edit,) = run("edit", "list", "--json").records
    assert (CLOZE, "English", "French") == (edit["prompt"], edit["target"], edit["former"])
    assert " English\n" == run("generate", CLOZE).out


def test_zsre_csv_and_parquet_are_imported(run: Run, tmp_path: Path) -> None:
    zsre = [{"subject": "Person 1", "src": "What does Person 1 speak?", "alt": "Greek",
             "answers": ["Dutch"], "pred": "x"}]  # fmt: skip
    (tmp_path / "zsre.json").write_text(json.dumps(zsre), encoding="utf-8")
    with (tmp_path / "t.csv").open("w", newline="", encoding="utf-8") as file:
        header, row = ("subject", "question", "target"), ("Person 2", "Does Person 2 speak?", "Yes")
        csv.writer(file).writerows([header, row])
    parquet = pytest.importorskip("pyarrow.parquet")
    pyarrow = pytest.importorskip("pyarrow")
    parquet.write_table(pyarrow.Table.from_pylist([record(3)]), tmp_path / "t.parquet")
    for name in ("zsre.json", "t.csv", "t.parquet"):
        run("import", str(tmp_path / name))
    assert {"Person 1", "Person 2", "Person 3"} == {
        edit["subject"] for edit in run("edit", "list", "--json").records
    }


def test_refused_rows_are_reported_by_reason_and_stop_nothing(run: Run, tmp_path: Path) -> None:
    bad = [{**record(number), "target": ""} for number in (7, 8, 9, 10)]
    rows = [record(1), "{not json", *bad, {**record(2), "colour": "red"}, record(3)]
    file, report = write_jsonl(tmp_path / "edits.jsonl", rows), tmp_path / "refused.jsonl"
    ran = run("import", str(file), "--report", str(report), code=6)
    assert "2 created, 0 superseded, 0 skipped, 0 already imported, 6 refused" in ran.out
    assert "4 x target" in ran.err
    assert "(line 3, 4, 5, …)" in ran.err
    assert f"All of them are in {report}" in ran.err
    refused = [json.loads(line) for line in report.read_text(encoding="utf-8").splitlines()]
    assert [2, 3, 4, 5, 6, 7] == [row["line"] for row in refused]
    assert "{not json" == refused[0]["excerpt"]
    assert 2 == len(run("edit", "list", "--json").records)


def test_json_writes_refusals_and_a_summary(run: Run, tmp_path: Path) -> None:
    file = write_jsonl(tmp_path / "edits.jsonl", [record(1), "nonsense"])
    refused, summary = run("import", str(file), "--json", code=6).records
    assert ("refused", 2) == (refused["kind"], refused["line"])
    assert ("summary", 1, 1) == (summary["kind"], summary["created"], summary["refused"])
    assert summary["import_id"].startswith("file-")


def test_on_conflict_decides_about_edits_that_are_there(run: Run, tmp_path: Path) -> None:
    run("import", str(write_jsonl(tmp_path / "a.jsonl", [record(1)])))
    changed = write_jsonl(tmp_path / "b.jsonl", [record(1, "Latin")])
    assert "1 skipped" in run("import", str(changed)).out
    assert "conflict" in run("import", str(changed), "--on-conflict", "fail", code=6).err
    assert "1 superseded" in run("import", str(changed), "--on-conflict", "supersede").out
    (edit,) = run("edit", "list", "--json").records
    assert "Latin" == edit["target"]


def test_a_dry_run_imports_nothing(run: Run, tmp_path: Path) -> None:
    file = write_jsonl(tmp_path / "edits.jsonl", [record(1), {**record(2), "target": ""}])
    ran = run("import", str(file), "--dry-run", code=6)
    assert "Nothing was written" in ran.out
    run("edit", "list", code=4)  # Not even the namespace.


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("missing.jsonl", None, "no such file"),
        ("odd.bin", "odd", "cannot tell the format"),
        ("odd.json", '[{"colour": 1}]', "no known format"),
        ("odd.csv", "a,b\n1,2\n", "no column for subject"),
    ],
)
def test_a_file_that_cannot_be_read_is_wrong_input(
    run: Run, tmp_path: Path, name: str, text: str | None, message: str
) -> None:
    if text is not None:
        (tmp_path / name).write_text(text, encoding="utf-8")
    assert message in run("import", str(tmp_path / name), code=2).err


def test_the_same_file_again_is_already_imported(run: Run, tmp_path: Path) -> None:
    file = write_jsonl(tmp_path / "edits.jsonl", [record(1), record(2)])
    run("import", str(file))
    again = run("import", str(file))
    assert "0 created" in again.out
    assert "2 already imported" in again.out
    assert "--import-id" in again.err
    assert "2 skipped" in run("import", str(file), "--import-id", "once-more").out


def test_an_import_stopped_in_the_middle_resumes_without_duplicates(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C after every possible number of rows (a sample of them); then the same command."""
    rows = [record(number) for number in range(40)]

    def interrupted_after(count: int) -> Callable[..., Iterator[Any]]:
        def read(*given: Any) -> Iterator[Any]:
            yield from itertools.islice(read_edits(*given), count)
            raise KeyboardInterrupt

        return read

    file = write_jsonl(tmp_path / "edits.jsonl", rows)
    for count in (0, 1, 17, 39, 40):
        with monkeypatch.context() as patched:
            patched.setattr(file_import, "read_edits", interrupted_after(count))
            ran = run("import", str(file), code=130)
            assert f"errata import {file} --import-id file-" in ran.err
        assert count == len(
            run("edit", "list", "--limit", "0", "--json", code=None).out.splitlines()
        )
    assert "0 created" in run("import", str(file)).out
    found = run("edit", "list", "--limit", "0", "--json").records
    assert sorted(row["subject"] for row in rows) == sorted(edit["subject"] for edit in found)


class StallingEncoder(HashEncoder):
    """Encodes `free` texts, then waits for the gate."""

    gate = threading.Event()
    stalled = threading.Event()
    free = 150

    def encode_many(self, texts: Sequence[str]) -> Matrix:
        if self.encoded >= self.free:
            self.stalled.set()
            self.gate.wait(60.0)
        return super().encode_many(texts)

    def encode(self, text: str) -> Any:
        if self.encoded >= self.free:
            self.stalled.set()
            self.gate.wait(60.0)
        return super().encode(text)


# The command line, obeying SIGINT also where the tests run in the background, which ignores it.
# Not by a preexec_fn: a fork beside gRPC's threads may hang before the command begins.
INTERRUPTIBLE = """
import runpy, signal
signal.signal(signal.SIGINT, signal.default_int_handler)
runpy.run_module("errata.cli", run_name="__main__", alter_sys=True)
"""


def test_ctrl_c_ends_a_running_import_and_the_same_command_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process of its own, interrupted by a signal while the server is in the middle."""
    monkeypatch.setattr(server_kit, "HashEncoder", StallingEncoder)
    file = write_jsonl(tmp_path / "edits.jsonl", [record(number) for number in range(400)])
    with shell(tmp_path / "memory") as opened:
        address = {"ERRATA_ADDRESS": opened.kit.target}
        importing = subprocess.Popen(
            [sys.executable, "-c", INTERRUPTIBLE, "import", str(file)],
            cwd=ROOT,
            env={**os.environ, **address},
            stderr=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert StallingEncoder.stalled.wait(60.0)
        importing.send_signal(signal.SIGINT)
        out, err = importing.communicate(timeout=60.0)
        assert (130, "") == (importing.returncode, out)
        assert "To go on: the same command again" in err
        StallingEncoder.gate.set()
        taken = opened.kit.memory.snapshot().count(Namespace("default"))
        assert taken < 400
        ran = opened("import", str(file), "--json").record
        assert 400 == ran["created"] + ran["already_imported"] + ran["skipped"]
        found = opened("edit", "list", "--limit", "0", "--json").records
        assert 400 == len({edit["subject"] for edit in found}) == len(found)


@pytest.mark.slow
def test_100_000_edits_survive_a_killed_import_without_duplicates(tmp_path: Path) -> None:
    """The importing process is killed (SIGKILL) in the middle; the same command goes on."""
    count = 100_000
    file = write_jsonl(tmp_path / "edits.jsonl", [record(number) for number in range(count)])
    command = [sys.executable, "-m", "errata.cli", "import", str(file), "--json"]
    with shell(tmp_path / "memory") as opened:
        environment = {**os.environ, "ERRATA_ADDRESS": opened.kit.target}
        with subprocess.Popen(command, cwd=ROOT, env=environment) as importing:
            opened.kit.memory.wait_for(count // 3, 600.0)
            importing.kill()
        taken = opened.kit.memory.snapshot().count(Namespace("default"))
        assert count // 3 <= taken < count
        done = subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True
        )
        summary = json.loads(done.stdout)
        assert count == summary["created"] + summary["already_imported"]
        assert summary["already_imported"] >= count // 3
        names = opened("export").out.splitlines()
        assert count == len(names) == len({json.loads(line)["subject"] for line in names})


def test_a_server_that_goes_away_is_told_with_the_way_to_resume(tmp_path: Path) -> None:
    file = write_jsonl(tmp_path / "edits.jsonl", [record(1)])
    with shell(tmp_path / "memory") as opened:
        gone = opened.kit.target
    told = run_command("import", str(file), address=gone)
    assert 3 == told.code
    assert "--import-id" in told.err


def test_an_export_is_imported_as_the_same_edits(run: Run, tmp_path: Path) -> None:
    full = {**record(1), "former": "Dutch", "aliases": ["P1"], "author": "me", "source": "book",
            "labels": {"k": "v"}, "expires_at_s": 4102444800.5}  # fmt: skip
    run("import", str(write_jsonl(tmp_path / "a.jsonl", [full, record(2)])))
    exported = tmp_path / "out.jsonl"
    assert "2 edits written" in run("export", "--output", str(exported)).err
    assert run("export").out == exported.read_text(encoding="utf-8")
    run("import", str(exported), "--namespace", "copy-of-it")
    first, second = (
        [
            {key: edit[key] for key in (*full, "expires_at") if key in edit}
            for edit in sorted(
                run("edit", "list", "--json", *more).records, key=lambda edit: edit["subject"]
            )
        ]
        for more in ((), ("--namespace", "copy-of-it"))
    )
    assert first == second
    assert "2100-01-01T00:00:00.500000Z" == first[0]["expires_at"]


def test_export_filters_and_shows_history(run: Run, tmp_path: Path) -> None:
    run("edit", "add", "{Person 1} speaks", "Greek", "--id", "one1")
    run("edit", "add", "{Person 2} speaks", "Greek", "--label", "k=v")
    run("edit", "retire", "one1")
    assert ["Person 2"] == [line["subject"] for line in run("export").records]
    assert 1 == len(run("export", "--label", "k=v").records)
    assert ["Person 1"] == [e["subject"] for e in run("export", "--state", "retired").records]
    assert 3 == len(run("export", "--state", "all", "--history").records)


def test_an_export_that_fails_leaves_the_old_file_alone(run: Run, tmp_path: Path) -> None:
    kept = tmp_path / "kept.jsonl"
    kept.write_text("old\n", encoding="utf-8")
    run("export", "--output", str(kept), "--namespace", "nowhere", code=4)
    assert "old\n" == kept.read_text(encoding="utf-8")
    assert [kept] == list(tmp_path.iterdir())
    told = run("export", "--output", str(tmp_path / "no" / "folder.jsonl"), code=2)
    assert "cannot be written" in told.err
