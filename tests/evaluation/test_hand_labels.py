"""Hand labels: the shipped file is whole, and a damaged one is refused."""

import json
from pathlib import Path

import pytest

from evaluation.hand_labels import LABELS_FILE, HandLabels, WhyNot, load_hand_labels
from memory.errors import InvalidInput


@pytest.fixture(scope="module")
def shipped() -> HandLabels:
    return load_hand_labels()


def test_three_hundred_records_are_labelled_once_each(shipped: HandLabels) -> None:
    assert 300 == len(shipped.labels)
    assert "counterfact" == shipped.dataset
    assert 64 == len(shipped.file_sha256)


def test_a_reason_stands_exactly_where_a_paraphrase_does_not_follow(shipped: HandLabels) -> None:
    assert all((label.why is None) == label.follows for label in shipped.labels.values())
    assert set(WhyNot) == {label.why for label in shipped.labels.values() if label.why}


def test_the_file_holds_ids_and_no_sentences_of_the_data_set() -> None:
    rows = json.loads(LABELS_FILE.read_text(encoding="utf-8"))["labels"]
    assert {frozenset({"case_id", "follows", "why"})} == {frozenset(row) for row in rows}
    assert all(isinstance(row["case_id"], int) for row in rows)


def test_a_record_outside_the_sample_has_no_label(shipped: HandLabels) -> None:
    assert shipped.follows("no such case") is None
    assert {True, False} == {shipped.follows(case) for case in shipped.labels}


ROW = {"case_id": 1, "follows": True, "why": ""}


@pytest.mark.parametrize(
    "rows",
    [
        [ROW, ROW],
        [{**ROW, "follows": False}],
        [{**ROW, "why": "ambiguous"}],
        [{**ROW, "follows": False, "why": "no such reason"}],
        [{**ROW, "follows": "yes"}],
        [{"case_id": 1}],
        None,
    ],
)
def test_a_damaged_file_is_refused(tmp_path: Path, rows: object) -> None:
    file = tmp_path / "labels.json"
    page = {"dataset": "d", "file_sha256": "0", "seed": 1, "rule": "r", "labels": rows}
    file.write_text(json.dumps(page), encoding="utf-8")
    with pytest.raises(InvalidInput, match="hand labels"):
        load_hand_labels(file)
