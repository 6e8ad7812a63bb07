"""Readers: the probes that each data set gives, and files that are bad in every way."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from evaluation.probes import Scope
from evaluation.readers.read import READERS, read_dataset
from memory.errors import InvalidInput
from tests.evaluation_kit import counterfact_row, write_json

ORIGINAL = {
    "case_id": 5,
    "requested_rewrite": {
        "prompt": "The mother tongue of {} is",
        "subject": "Ann Lee",
        "relation_id": "P103",
        "target_new": {"str": "Danish", "id": "Q1"},
        "target_true": {"str": "Dutch", "id": "Q2"},
    },
    "paraphrase_prompts": ["It rained. Ann Lee speaks", "Ann Lee grew up speaking"],
    "neighborhood_prompts": ["The mother tongue of Bob Roe is"],
    "attribute_prompts": ["The mother tongue of Cid Fay is"],
    "generation_prompts": ["Ann Lee was raised in", "Ann Lee's home"],
}
ZSRE = {
    "subject": "Ann Lee",
    "src": "What does Ann Lee speak?",
    "pred": "Dutch",
    "rephrase": "Which language is Ann Lee's?",
    "alt": "Danish",
    "answers": ["Dutch"],
    "loc": "nq question: who wrote hamlet",
    "loc_ans": "Shakespeare",
    "portability": {"New Question": "Where is Ann Lee's language from?", "New Answer": "Denmark"},
}
KNOWEDIT = {
    "subject": "Ann Lee",
    "prompt": "The mother tongue of Ann Lee is",
    "target_new": "Danish",
    "ground_truth": "Dutch",
    "portability": {
        "Reasoning": [{"prompt": "Ann Lee's tongue is from", "ground_truth": "Denmark"}],
        "Subject_Aliasing": [
            {"prompt": "The mother tongue of A. Lee is", "ground_truth": "Danish"},
            {"prompt": "The mother tongue of Ann Lee is", "ground_truth": "Danish"},
        ],
        "Logical_Generalization": [{"prompt": "Danes understand", "ground_truth": [["Ann", "A"]]}],
    },
    "locality": {
        "Relation_Specificity": [{"prompt": "Ann Lee was born in", "ground_truth": [["Oslo"]]}],
        "Forgetfulness": [{"prompt": "Ann Lee also speaks", "ground_truth": [["Thai"], ["Lao"]]}],
    },
}
MQUAKE = {
    "case_id": 1,
    "requested_rewrite": [
        {
            "prompt": "{} is a citizen of",
            "subject": "Ann Lee",
            "target_new": {"str": "Croatia"},
            "target_true": {"str": "Chad"},
            "question": "Which country is Ann Lee a citizen of?",
        },
        {
            "prompt": "The capital of {} is",
            "subject": "Croatia",
            "target_new": {"str": "Split"},
            "target_true": {"str": "Zagreb"},
            "question": "What is the capital of Croatia?",
        },
    ],
    "questions": ["Which city is the capital of Ann Lee's country?", "Capital of Ann Lee's land?"],
    "answer": "Ndjamena",
    "answer_alias": [],
    "new_answer": "Split",
    "new_answer_alias": ["Spalato"],
    "single_hops": [],
    "new_single_hops": [
        {"question": "Which country is Ann Lee a citizen of?", "answer": "Croatia",
         "answer_alias": []},
        {"question": "Who founded Split?", "answer": "Diocletian", "answer_alias": ["Diocles"]},
    ],
}  # fmt: skip


def kinds(dataset: str, row: dict[str, Any], tmp_path: Path) -> dict[str, int]:
    data = read_dataset(dataset, write_json(tmp_path / "data.json", [row]))
    assert () == data.problems
    return dict(Counter(probe.kind for record in data.records for probe in record.probes))


def probe(dataset: str, row: dict[str, Any], kind: str, tmp_path: Path) -> Any:
    (record,) = read_dataset(dataset, write_json(tmp_path / "data.json", [row])).records
    return next(probe for probe in record.probes if probe.kind == kind)


def test_counterfact_of_easyedit_gives_its_probes_and_ours(tmp_path: Path) -> None:
    assert dict.fromkeys(
        ("edit", "rephrase", "rephrase_cleaned", "neighbour", "distracting", "negation"), 1
    ) == kinds("counterfact", counterfact_row(0), tmp_path)
    cleaned = probe("counterfact", counterfact_row(0), "rephrase_cleaned", tmp_path)
    assert "Ann Lee speaks" == cleaned.prompt
    distracting = probe("counterfact", counterfact_row(0), "distracting", tmp_path)
    wanted = "The mother tongue of Ann Lee is Danish. The mother tongue of Zoe0 Poe0 is"
    assert (wanted, Scope.OUTSIDE) == (distracting.prompt, distracting.scope)
    # NS compares the neighbour's true answer with the edit's new one.
    assert (("Klingon",), "Danish") == (distracting.answers, distracting.former)


def test_the_original_counterfact_gives_all_its_prompts(tmp_path: Path) -> None:
    assert {
        "edit": 1,
        "rephrase": 2,
        "rephrase_cleaned": 2,
        "neighbour": 1,
        "distracting": 1,
        "attribute": 1,
        "generation": 2,
        "negation": 1,
    } == kinds("counterfact", ORIGINAL, tmp_path)
    asked = probe("counterfact", ORIGINAL, "edit", tmp_path)
    assert ("The mother tongue of Ann Lee is", ("Danish",), "Dutch") == (
        asked.prompt,
        asked.answers,
        asked.former,
    )


def test_zsre_loses_the_prefix_that_gives_its_far_questions_away(tmp_path: Path) -> None:
    assert dict.fromkeys(
        ("edit", "rephrase", "negation", "far", "portability_one_hop"), 1
    ) == kinds("zsre", ZSRE, tmp_path)
    assert "who wrote hamlet" == probe("zsre", ZSRE, "far", tmp_path).prompt
    denied = probe("zsre", ZSRE, "negation", tmp_path).prompt
    assert "Apart from Danish, what does Ann Lee speak?" == denied


def test_knowedit_s_kinds_keep_apart_and_the_edit_itself_is_no_alias(tmp_path: Path) -> None:
    assert {
        "edit": 1,
        "portability_reasoning": 1,
        "portability_subject_aliasing": 1,
        "portability_logical_generalization": 1,
        "same_subject": 1,
        "forgetfulness": 1,
        "negation": 1,
    } == kinds("knowedit", KNOWEDIT, tmp_path)
    assert ("Thai", "Lao") == probe("knowedit", KNOWEDIT, "forgetfulness", tmp_path).answers
    aliasing = probe("knowedit", KNOWEDIT, "portability_subject_aliasing", tmp_path)
    assert Scope.INSIDE is aliasing.scope


def test_mquake_keeps_the_edits_of_a_record_together(tmp_path: Path) -> None:
    assert {"edit": 2, "rephrase": 2, "portability_2_hop": 2, "other_hop": 1} == kinds(
        "mquake", MQUAKE, tmp_path
    )
    asked = probe("mquake", MQUAKE, "portability_2_hop", tmp_path)
    assert (("Split", "Spalato"), "multi-hop") == (asked.answers, asked.group)
    assert "Who founded Split?" == probe("mquake", MQUAKE, "other_hop", tmp_path).prompt


def test_one_object_a_line_reads_like_a_list(tmp_path: Path) -> None:
    rows = [counterfact_row(number) for number in range(3)]
    as_list = read_dataset("counterfact", write_json(tmp_path / "a.json", rows))
    lines = tmp_path / "b.jsonl"
    lines.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    assert as_list.records == read_dataset("counterfact", lines).records


@pytest.mark.parametrize(
    ("change", "kind", "said"),
    [
        ({"subject": None}, "missing field", '"subject" is missing'),
        ({"rephrase_prompt": ""}, "missing field", '"rephrase_prompt" is empty'),
        ({"target_new": 7}, "wrong type", "must be text, got int"),
        ({"locality_prompt": ["x"]}, "wrong type", "must be text, got list"),
        ({"ground_truth": None}, "missing field", "former answer"),
        ({"subject": "Nobody Else"}, "unusable", "does not mention the subject"),
        ({"prompt": "x" * 3000}, "unusable", "at most"),
        ({"rephrase_prompt": "x \ud800"}, "unusable", "half of a surrogate pair"),
    ],
)
def test_a_bad_row_is_reported_and_stops_no_other(
    tmp_path: Path, change: dict[str, object], kind: str, said: str
) -> None:
    rows = [counterfact_row(0), counterfact_row(1, **change), counterfact_row(2)]
    data = read_dataset("counterfact", write_json(tmp_path / "val.json", rows))
    assert ["0", "2"] == [record.case for record in data.records]
    (problem,) = data.problems
    assert (2, "1", kind) == (problem.row, problem.case, problem.kind)
    assert said in problem.reason


def test_duplicates_and_contradictions_are_told_apart_and_the_first_stands(tmp_path: Path) -> None:
    rows = [
        counterfact_row(0),
        counterfact_row(0, case_id=90),
        counterfact_row(0, case_id=91, target_new="Norse"),
        counterfact_row(0, case_id=92, rephrase_prompt="Ann Lee says"),
        "no object",
    ]
    data = read_dataset("counterfact", write_json(tmp_path / "val.json", rows))
    assert ["0", "92"] == [record.case for record in data.records]
    assert data.records[0].edits == data.records[1].edits  # The same fact asked otherwise.
    found = [(p.row, p.kind) for p in data.problems]
    assert [(5, "wrong type"), (2, "duplicate"), (3, "contradiction")] == sorted(
        found, key=lambda pair: pair[1], reverse=True
    )
    assert "row 1 says another answer" in next(
        p.reason for p in data.problems if p.kind == "contradiction"
    )


@pytest.mark.parametrize("name", sorted(READERS))
@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "is empty"),
        ("   \n", "is empty"),
        ("[]", "holds no record"),
        ("[{", "not valid JSON"),
        ('[{"a": 1}, 3]', "no usable"),
        ("plain text", "no usable"),
    ],
)
def test_a_file_without_one_record_is_refused_saying_why(
    tmp_path: Path, name: str, content: str, said: str
) -> None:
    file = tmp_path / "data.json"
    file.write_text(content, encoding="utf-8")
    with pytest.raises(InvalidInput, match=said):
        read_dataset(name, file)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="cannot be read"):
        read_dataset("zsre", tmp_path / "none.json")


def test_an_unknown_kind_of_knowedit_is_reported(tmp_path: Path) -> None:
    row = {**KNOWEDIT, "portability": {"Telepathy": []}}
    data = read_dataset("knowedit", write_json(tmp_path / "d.json", [KNOWEDIT, row]))
    assert ["unknown kind of probe 'Telepathy'" in data.problems[0].reason] == [True]
