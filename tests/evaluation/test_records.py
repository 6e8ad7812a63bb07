"""CounterFact records: probes, cleaned paraphrases, and files that are something else."""

import json
from pathlib import Path

import pytest

from evaluation.records import clean_rephrase, read_counterfact
from memory.errors import InvalidInput

RECORD = {
    "case_id": 7,
    "subject": "Ann Lee",
    "prompt": "The mother tongue of Ann Lee is",
    "target_new": "Danish",
    "ground_truth": "Dutch",
    "rephrase_prompt": "The shop closed in 1990. Ann Lee speaks",
    "locality_prompt": "The mother tongue of Bob Roe is",
    "locality_ground_truth": "Dutch",
}


def write(path: Path, payload: object) -> Path:
    path.write_text(json.dumps(payload), encoding="utf-8")
    return path


def test_the_unrelated_sentence_before_a_paraphrase_is_cut() -> None:
    assert "Ann Lee speaks" == clean_rephrase(str(RECORD["rephrase_prompt"]), "Ann Lee")
    assert "In Oslo, Ann Lee spoke" == clean_rephrase(
        "It rained! In Oslo, Ann Lee spoke", "Ann Lee"
    )
    assert "She speaks" == clean_rephrase("She speaks", "Ann Lee")
    assert "Ann Lee speaks" == clean_rephrase("Ann Lee speaks", "Ann Lee")


def test_records_are_read_in_order_and_misfits_left_out(tmp_path: Path) -> None:
    foreign = {**RECORD, "subject": "Somebody Else"}
    second = {**RECORD, "case_id": 8, "prompt": "Ann Lee spoke"}
    again = {**RECORD, "case_id": 9}
    file = write(tmp_path / "val.json", [RECORD, foreign, second, again])
    assert ["7", "8"] == [record.case for record in read_counterfact(file)]
    assert 1 == len(read_counterfact(file, limit=1))


@pytest.mark.parametrize("payload", [{"a": 1}, [{"subject": "only"}], ["text"]])
def test_another_file_is_refused_saying_what_was_expected(tmp_path: Path, payload: object) -> None:
    with pytest.raises(InvalidInput):
        read_counterfact(write(tmp_path / "other.json", payload))


def test_a_file_that_is_no_json_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "val.json"
    file.write_text("{", encoding="utf-8")
    with pytest.raises(InvalidInput, match="JSON"):
        read_counterfact(file)
