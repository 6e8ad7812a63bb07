"""CounterFact in its two shapes, and the data sets that share them."""

from __future__ import annotations

import json
from pathlib import Path

from memory.readers.read import read_edits
from memory.readers.row import ReadEdit, RefusedRow, Row


def read(tmp_path: Path, *records: object) -> list[Row]:
    path = tmp_path / "edits.json"
    path.write_text(json.dumps(list(records)), encoding="utf-8")
    return list(read_edits(path, "counterfact"))


def edits(rows: list[Row]) -> list[ReadEdit]:
    found = [row for row in rows if isinstance(row, ReadEdit)]
    assert found == rows
    return found


def test_the_flat_shape_gives_prompt_target_former_and_case_id(tmp_path: Path) -> None:
    record = {
        "case_id": 7,
        "prompt": "The mother tongue of Danielle Darrieux is",
        "subject": "Danielle Darrieux",
        "target_new": " English",
        "ground_truth": "French",
        "rephrase_prompt": "Danielle Darrieux, a native",
    }
    (row,) = read(tmp_path, record)
    assert isinstance(row, ReadEdit)
    assert row.draft.prompt == "The mother tongue of Danielle Darrieux is"
    assert row.draft.target == "English"
    assert row.draft.former == "French"
    assert row.draft.labels == (("case_id", "7"),)


def test_the_original_shape_fills_the_subject_into_the_prompt(tmp_path: Path) -> None:
    rewrite = {
        "prompt": "{}, whose motto is '{}', is in",
        "relation_id": "P17",
        "target_new": {"str": "Chile", "id": "Q298"},
        "target_true": {"str": "Peru", "id": "Q419"},
        "subject": "Brace {} Town",
    }
    (row,) = read(tmp_path, {"case_id": 1, "requested_rewrite": rewrite})
    assert isinstance(row, ReadEdit)
    assert row.draft.prompt == "Brace {} Town, whose motto is '{}', is in"
    assert (row.draft.target, row.draft.former) == ("Chile", "Peru")
    assert row.draft.labels == (("case_id", "1"), ("relation_id", "P17"))


def test_a_record_with_several_rewrites_gives_several_edits_with_own_keys(tmp_path: Path) -> None:
    rewrites = [
        {"prompt": "{} is a citizen of", "subject": name, "target_new": {"str": "Chile"}}
        for name in ("Ada", "Bo")
    ]
    rows = edits(read(tmp_path, {"case_id": 1, "requested_rewrite": rewrites}))
    assert [row.draft.subject for row in rows] == ["Ada", "Bo"]
    assert len({row.row_key for row in rows}) == 2
    assert [row.line for row in rows] == [1, 1]


def test_former_answers_may_be_missing_or_nested_lists(tmp_path: Path) -> None:
    base: dict[str, object] = {"subject": "Ada", "prompt": "Ada lives in", "target_new": "Rome"}
    rows = edits(read(tmp_path, base, base | {"ground_truth": [["Oslo", "Kristiania"]]}))
    assert [row.draft.former for row in rows] == [None, "Oslo"]


def test_records_that_lack_a_field_are_refused_by_its_name(tmp_path: Path) -> None:
    rows = read(
        tmp_path,
        {"prompt": "x", "target_new": "y"},
        {"requested_rewrite": []},
        {"requested_rewrite": {"prompt": "{} is", "subject": "Ada"}},
        {"requested_rewrite": "text"},
        "text",
    )
    refused = [row for row in rows if isinstance(row, RefusedRow)]
    assert [row.line for row in refused] == [1, 2, 3, 4, 5]
    for row, field in zip(
        refused, ("subject", "empty", "target_new", "object", "object"), strict=True
    ):
        assert field in row.error
