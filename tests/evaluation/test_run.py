"""Whole runs over fakes: what is asked, what comes of it, and how a stopped run goes on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from evaluation.memory_method import HeldMemory
from evaluation.probes import Probe
from evaluation.readers.read import read_dataset
from evaluation.scopes import known_scopes
from memory.errors import ContextTooLong, InvalidInput
from runtime.query_runner import QueryRunner
from runtime.question import Explanation, Question
from tests.evaluation_kit import (
    counterfact_file,
    counterfact_row,
    options_for,
    run_with_fakes,
    value,
    write_json,
)


def lines(out: Path) -> list[dict[str, object]]:
    text = (out / "answers.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def test_a_model_that_follows_facts_behind_a_mention_is_measured_so(tmp_path: Path) -> None:
    file = counterfact_file(tmp_path)
    result = run_with_fakes(options_for(file, tmp_path / "out"))
    about = {"method": "in_context", "scope": "subject", "edits": 2}
    assert 1.0 == value(result, "reliability_exact", **about)
    assert 1.0 == value(result, "generalization_exact", **about)
    assert 1.0 == value(result, "router_recall_paraphrase", **about)
    assert 0.0 == value(result, "wrong_edit", **about)
    assert 0.0 == value(result, "false_route_neighbour", **about)
    assert 1.0 == value(result, "false_route_distracting", **about)
    assert 1.0 == value(result, "locality_neighbour", **about)
    assert 0.0 == value(result, "locality_distracting", **about)
    assert 0.5 == value(result, "locality_identical", **about)
    assert 1.0 == value(result, "es", **about)
    assert 1.0 == value(result, "negation_target", **about)
    assert 0.0 == value(result, "reliability_exact", method="none")


def test_every_record_is_probed_for_every_number_of_edits(tmp_path: Path) -> None:
    options = options_for(counterfact_file(tmp_path), tmp_path / "out", edits=(1, 2, 4))
    result = run_with_fakes(options)
    for edits, protocol in ((1, "single"), (2, "batch"), (4, "batch")):
        (row,) = [r for r in result.rows if r.metric == "reliability_exact" and r.edits == edits]
        assert (4, protocol, 1.0) == (row.n, row.protocol, row.value)


def test_all_baselines_run_beside_what_was_asked_for(tmp_path: Path) -> None:
    options = options_for(counterfact_file(tmp_path), tmp_path / "out", baselines=True)
    result = run_with_fakes(options)
    pairs = {(row.method, row.scope) for row in result.rows}
    assert {
        ("none", "-"),
        ("target", "exact"),
        ("target", "subject"),
        ("in_context", "subject"),
        ("in_context", "bm25"),
        ("in_context", "dense"),
    } <= pairs
    exact = {"method": "target", "scope": "exact"}
    assert 1.0 == value(result, "reliability_exact", **exact)
    assert 0.0 == value(result, "generalization_exact", **exact)
    assert 1.0 == value(result, "false_route_neighbour", method="in_context", scope="bm25")
    assert 1.0 == value(result, "false_route_neighbour", method="in_context", scope="dense")


def test_routes_alone_give_no_answers_and_the_same_routes(tmp_path: Path) -> None:
    file = counterfact_file(tmp_path)
    whole = run_with_fakes(options_for(file, tmp_path / "whole"))
    routes = run_with_fakes(options_for(file, tmp_path / "routes", generate=False))
    names = {row.metric for row in routes.rows}
    assert {"router_recall", "wrong_edit", "false_route_distracting"} <= names
    assert not any(name.endswith("_exact") or name.startswith("locality") for name in names)
    by_name = {row.metric: row.value for row in whole.rows if row.method == "in_context"}
    assert {r.metric: r.value for r in routes.rows}.items() <= by_name.items()


def test_fillers_fill_the_memory_and_are_counted_apart(tmp_path: Path) -> None:
    fillers = tmp_path / "fillers.jsonl"
    filler = {"subject": "rained", "prompt": "It rained. Ann Lee speaks of", "target": "cats"}
    fillers.write_text(json.dumps(filler) + "\n", encoding="utf-8")
    options = options_for(counterfact_file(tmp_path), tmp_path / "out", edits=(5,), fillers=fillers)
    result = run_with_fakes(options)
    filler_routes = value(result, "filler_route", edits=5)
    # On equal scores the nearer edit wins: Ann Lee's paraphrase goes to the filler.
    assert 0.0 < filler_routes
    assert 0.0 == value(result, "wrong_edit", edits=5)
    assert {64} == {len(row.fillers_sha256) for row in result.rows}


def test_too_few_edits_are_refused_before_anything_is_built(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="records and fillers give 4"):
        run_with_fakes(options_for(counterfact_file(tmp_path), tmp_path / "out", edits=(5,)))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"methods": ("telepathy",)}, "known are auto, in_context, target, none"),
        ({"scopes": ("telepathy",)}, f"known are {', '.join(known_scopes())}"),
        ({"dataset": "telepathy"}, "known are counterfact, zsre, knowedit, mquake"),
    ],
)
def test_unknown_names_are_refused_with_the_known_ones(
    tmp_path: Path, changes: dict[str, object], said: str
) -> None:
    with pytest.raises(InvalidInput, match=said):
        run_with_fakes(options_for(counterfact_file(tmp_path), tmp_path / "out", **changes))


class Stopped(Exception):
    """Ends a run in its middle, as a kill would."""


@pytest.mark.parametrize("answers", [1, 7, 30])
def test_a_stopped_run_goes_on_where_it_stopped(tmp_path: Path, answers: int) -> None:
    file = counterfact_file(tmp_path)
    whole = run_with_fakes(options_for(file, tmp_path / "whole", baselines=True))
    out, left = tmp_path / "out", [answers]

    def advance() -> None:
        left[0] -= 1
        if left[0] == 0:
            raise Stopped

    options = options_for(file, out, baselines=True, at_once=2)
    with pytest.raises(Stopped):
        run_with_fakes(options, advance)
    with (out / "answers.jsonl").open("a", encoding="utf-8") as journal:
        journal.write('{"key": "torn off in the mid')
    before = _whole_lines(out)
    resumed = run_with_fakes(options)
    after = lines(out)
    assert before == after[: len(before)]
    keys = [line["key"] for line in after]
    assert len(keys) == len(set(keys)) == len(lines(tmp_path / "whole"))
    assert _figures(whole) == _figures(resumed)


def _whole_lines(out: Path) -> list[dict[str, object]]:
    raw = (out / "answers.jsonl").read_bytes().splitlines(keepends=True)
    return [json.loads(line) for line in raw if line.endswith(b"\n")]


def _figures(result: object) -> list[tuple[object, ...]]:
    rows = result.rows  # type: ignore[attr-defined]
    return [(r.method, r.scope, r.edits, r.metric, r.value, r.low, r.high, r.n) for r in rows]


def test_a_finished_run_asks_nothing_again(tmp_path: Path) -> None:
    options = options_for(counterfact_file(tmp_path), tmp_path / "out")
    first = run_with_fakes(options)
    before = (tmp_path / "out" / "answers.jsonl").read_bytes()
    second = run_with_fakes(options)
    assert before == (tmp_path / "out" / "answers.jsonl").read_bytes()
    assert _figures(first) == _figures(second)


def test_other_settings_or_data_never_take_earlier_answers(tmp_path: Path) -> None:
    file, out = counterfact_file(tmp_path), tmp_path / "out"
    run_with_fakes(options_for(file, out))
    count = len(lines(out))
    run_with_fakes(options_for(file, out, max_tokens=3))
    assert 2 * count == len(lines(out))
    write_json(file, [counterfact_row(n, target_new="Norse") for n in range(4)])
    run_with_fakes(options_for(file, out))
    assert 3 * count == len(lines(out))


def test_answers_are_kept_beside_routes_that_were_asked_first(tmp_path: Path) -> None:
    file, out = counterfact_file(tmp_path), tmp_path / "out"
    run_with_fakes(options_for(file, out, generate=False))
    result = run_with_fakes(options_for(file, out))
    assert 1.0 == value(result, "reliability_exact", method="in_context")


def test_the_sequential_protocol_tells_immediate_from_final(tmp_path: Path) -> None:
    """The last edit is about everybody, so what was right at once is lost at the end."""
    rows = [counterfact_row(number) for number in range(3)]
    rows[2]["subject"] = "tongue"
    rows[2]["prompt"] = "The mother tongue is"
    file = write_json(tmp_path / "val.json", rows)
    result = run_with_fakes(
        options_for(file, tmp_path / "out", edits=(3,), protocol="sequential", kinds=("edit",))
    )
    immediate = value(result, "path_exact", protocol="sequential_immediate")
    assert 1.0 == immediate
    rows_of = {row.protocol: row.n for row in result.rows if row.metric == "router_recall"}
    assert {"sequential_immediate": 3, "sequential_final": 3} == {
        k: v for k, v in rows_of.items() if k != "none"
    }
    first = [
        o
        for block, of in result.outcomes.items()
        for o in of
        if o.case == "0" and block.protocol.startswith("sequential")
    ]
    hits = [len(o.asked.routed.hits) for o in first]
    assert hits == [1, 2]  # At once its own edit alone; at the end the last one too.


def test_search_questions_are_asked_once_for_each_number_of_edits(tmp_path: Path) -> None:
    far = tmp_path / "nq.jsonl"
    far.write_text('{"question": "who is Ann Lee"}\n{"question": "how far is up"}\n')
    result = run_with_fakes(
        options_for(counterfact_file(tmp_path), tmp_path / "out", edits=(1, 4), far=far)
    )
    for edits in (1, 4):
        (row,) = [r for r in result.rows if r.metric == "false_route_far" and r.edits == edits]
        assert 2 == row.n
    assert 0.5 == value(result, "false_route_far", edits=4)


def test_fluency_is_asked_of_every_method(tmp_path: Path) -> None:
    result = run_with_fakes(options_for(counterfact_file(tmp_path), tmp_path / "out", fluency=2))
    assert 0.0 == value(result, "fluency", method="none")  # One word has no bigrams.
    assert 0.0 == value(result, "fluency", method="in_context")


def test_a_kind_that_the_data_lack_is_refused_with_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"'rephrasing' has no probe.*rephrase"):
        run_with_fakes(
            options_for(counterfact_file(tmp_path), tmp_path / "out", kinds=("rephrasing",))
        )


def test_a_kind_that_only_later_records_have_is_timed_on_those(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    async def time_routing(*_: object, prompts: list[str], **__: object) -> tuple[float, ...]:
        asked.extend(prompts)
        return (1.0,)

    monkeypatch.setattr("evaluation.run.time_routing", time_routing)
    turns = {"turns": [{"case_id": 3, "messages": [["user", "And her age?"]], "follows": False}]}
    options = options_for(
        counterfact_file(tmp_path),
        tmp_path / "out",
        protocol="single",
        turns=write_json(tmp_path / "turns.json", turns),
        kinds=("turn_elsewhere",),
        latency=2,
    )
    run_with_fakes(options)
    assert {"And her age?"} == set(asked)


def test_a_finished_sequence_puts_nothing_into_force_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = options_for(
        counterfact_file(tmp_path), tmp_path / "out", edits=(4,), protocol="sequential", latency=0
    )
    first = run_with_fakes(options)

    def refuse(*_: object) -> None:
        raise AssertionError("edits were put into force again")

    monkeypatch.setattr("evaluation.memory_method.HeldMemory.add", refuse)
    assert _figures(first) == _figures(run_with_fakes(options))


@pytest.mark.parametrize("kind", ["neighbour", "edit"])
def test_a_probe_that_the_server_would_refuse_ends_no_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    asked = QueryRunner.explain
    prompts = {probe.prompt for _, probe in _probes(tmp_path) if probe.kind == kind}

    async def too_long(runner: QueryRunner, question: Question) -> Explanation:
        if question.prompt in prompts:
            raise ContextTooLong("too long", given=9, limit=8)
        return await asked(runner, question)

    monkeypatch.setattr(QueryRunner, "explain", too_long)
    result = run_with_fakes(options_for(counterfact_file(tmp_path), tmp_path / "out", edits=(4,)))
    found = {r.metric: r.value for r in result.rows if r.method == "in_context"}
    assert 0.0 < found["refused"] < 1.0
    # Out of scope it is in no other figure, in scope it is not answered.
    assert ("false_route_neighbour" in found) == (kind != "neighbour")
    assert (0.0 if kind == "edit" else 1.0) == found["reliability_exact"]


def test_a_probe_whose_answer_alone_is_refused_keeps_its_route(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def too_long(*_: object) -> None:
        raise ContextTooLong("too long", given=9, limit=8)

    monkeypatch.setattr(HeldMemory, "_answered", too_long)
    result = run_with_fakes(options_for(counterfact_file(tmp_path), tmp_path / "out", edits=(4,)))
    found = {r.metric: r.value for r in result.rows if r.method == "in_context"}
    assert (1.0, 1.0, 0.0) == tuple(
        found[name] for name in ("refused", "router_recall", "reliability_exact")
    )


def _probes(folder: Path) -> list[tuple[str, Probe]]:
    data = read_dataset("counterfact", counterfact_file(folder))
    return [(record.case, probe) for record in data.records for probe in record.probes]


def test_a_kind_of_records_that_are_not_probed_is_refused(tmp_path: Path) -> None:
    turns = {"turns": [{"case_id": 3, "messages": [["user", "And her age?"]], "follows": False}]}
    file = write_json(tmp_path / "turns.json", turns)
    options = options_for(
        counterfact_file(tmp_path), tmp_path / "out", turns=file, kinds=("turn_elsewhere",), limit=2
    )
    with pytest.raises(InvalidInput, match="has no probe"):
        run_with_fakes(options)
