"""Fillers, search questions, labels and conversations: read, or refused with what is wrong."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from evaluation.extras import read_far, read_fillers, read_labels, shipped, with_turns
from evaluation.fluency import ngram_entropy
from evaluation.probes import Scope
from evaluation.readers.read import read_dataset
from memory.errors import InvalidInput
from tests.evaluation_kit import counterfact_file, options_for, run_with_fakes, value, write_json


def test_fillers_come_in_any_format_each_once_and_bad_rows_are_left_out(tmp_path: Path) -> None:
    good = {"subject": "Al", "prompt": "Al is", "target": "x"}
    lines = [good, good, {"subject": "Al"}, {**good, "prompt": "Nobody is"}]
    file = tmp_path / "more.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    (filler,) = read_fillers(file)
    assert str(filler.edit_id).startswith("f-")
    file.write_text(json.dumps(lines[3]) + "\n", encoding="utf-8")
    with pytest.raises(InvalidInput, match="no edit"):
        read_fillers(file)


@pytest.mark.parametrize(
    "content", ['{"query": "x"}', "plain", "[1]", '{"question": 3}', "", '{"question": " "}']
)
def test_a_file_of_no_questions_is_refused(tmp_path: Path, content: str) -> None:
    file = tmp_path / "nq.jsonl"
    file.write_text(content + "\n", encoding="utf-8")
    with pytest.raises(InvalidInput, match="question"):
        read_far(file)


def test_a_separator_of_lines_within_a_question_ends_no_row(tmp_path: Path) -> None:
    far = tmp_path / "far.jsonl"
    far.write_text('{"question": "who\u2028is it"}\n', encoding="utf-8")
    assert ["who\u2028is it"] == [probe.prompt for probe in read_far(far)]


def labels(data: Any, **changes: Any) -> dict[str, Any]:
    rows = [{"case_id": 0, "follows": True}, {"case_id": 1, "follows": False}]
    return {"file_sha256": data.sha256, "labels": rows, **changes}


def test_labels_are_only_taken_for_the_file_that_was_labelled(tmp_path: Path) -> None:
    data = read_dataset("counterfact", counterfact_file(tmp_path))
    file = write_json(tmp_path / "labels.json", labels(data))
    assert {"0": True, "1": False} == read_labels(file, data)
    for changes, said in (
        ({"file_sha256": "0" * 64}, "name the labels of this file"),
        ({"labels": [{"case_id": 0}]}, "expected"),
        ({"labels": [{"case_id": 0, "follows": "yes"}]}, "no boolean"),
    ):
        wrong = write_json(tmp_path / "wrong.json", labels(data, **changes))
        with pytest.raises(InvalidInput, match=said):
            read_labels(wrong, data)


def test_the_project_s_own_labels_are_not_taken_for_another_file(tmp_path: Path) -> None:
    data = read_dataset("counterfact", counterfact_file(tmp_path))
    assert shipped(data, "labels") is None


def test_labelled_paraphrases_reach_the_table(tmp_path: Path) -> None:
    file = counterfact_file(tmp_path)
    data = read_dataset("counterfact", file)
    marked = write_json(tmp_path / "labels.json", labels(data))
    result = run_with_fakes(options_for(file, tmp_path / "out", labels=marked))
    about = {"method": "in_context"}
    assert 1.0 == value(result, "generalization_follows_exact", **about)
    found = [r for r in result.rows if r.metric == "router_recall_paraphrase_follows"]
    assert [1, 1] == [row.n for row in found]  # Without edits, and with them.


def test_conversations_join_the_records_that_they_are_about(tmp_path: Path) -> None:
    data = read_dataset("counterfact", counterfact_file(tmp_path))
    talk = [["user", "Who is Ann Lee?"], ["assistant", "A person."]]
    turns = {
        "turns": [
            {"case_id": 0, "messages": [*talk, ["user", "And her tongue?"]], "follows": True},
            {"case_id": 0, "messages": [*talk, ["user", "And her age?"]], "follows": False},
            {"case_id": 99, "messages": [["user", "x"]], "follows": True},
        ]
    }
    added = with_turns(data, write_json(tmp_path / "turns.json", turns))
    found = [p for p in added.records[0].probes if p.kind.startswith("turn")]
    assert [("turn", Scope.INSIDE), ("turn_elsewhere", Scope.OUTSIDE)] == [
        (p.kind, p.scope) for p in found
    ]
    assert ("And her tongue?", ("Danish",), 3) == (
        found[0].prompt,
        found[0].answers,
        len(found[0].messages),
    )
    result = run_with_fakes(
        options_for(
            counterfact_file(tmp_path), tmp_path / "out", turns=tmp_path / "turns.json", edits=(4,)
        )
    )
    assert "router_recall_turn" in {row.metric for row in result.rows}
    assert "false_route_turn" in {row.metric for row in result.rows}


@pytest.mark.parametrize(
    "turns",
    [
        [],
        {"turns": 3},
        {"turns": [{"case_id": 0}]},
        {"turns": [{"case_id": 0, "messages": []}]},
        {"turns": [{"case_id": 0, "messages": [["user", "x"]], "follows": "false"}]},
    ],
)
def test_a_file_of_no_conversations_is_refused(tmp_path: Path, turns: object) -> None:
    data = read_dataset("counterfact", counterfact_file(tmp_path))
    with pytest.raises(InvalidInput, match=r"expected|no boolean"):
        with_turns(data, write_json(tmp_path / "turns.json", turns))


@pytest.mark.parametrize("read", [read_far, read_fillers])
def test_a_file_that_is_not_there_is_refused(
    tmp_path: Path, read: Callable[[Path], object]
) -> None:
    with pytest.raises(InvalidInput, match=r"cannot be read|no such file"):
        read(tmp_path / "none.jsonl")


def test_the_entropy_of_ngrams_is_the_published_one() -> None:
    """Four words, all different: log2(3) bits of bigrams, log2(2) of trigrams, weighted."""
    expected = (2 / 3 * 1.5849625007211562 + 4 / 3 * 1.0) / 2
    assert pytest.approx(expected) == ngram_entropy("a b c d")
    assert 0.0 == ngram_entropy("a a a a")
    assert 0.0 == ngram_entropy("")
