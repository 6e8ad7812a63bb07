"""The shipped facts, splits and demonstrations hold what they promise."""

from collections import Counter
from typing import Any

import pytest

from pocket.data import HERE, label_hash, read_json, read_jsonl
from pocket.make_demonstrations import KINDS
from pocket.make_splits import split_of
from pocket.standing import STANDING
from pocket.templates import load_relations


@pytest.fixture(scope="module")
def facts() -> list[dict[str, Any]]:
    return read_jsonl(HERE / "facts.jsonl")


@pytest.fixture(scope="module")
def splits() -> dict[str, Any]:
    found: dict[str, Any] = read_json(HERE / "splits.json")
    return found


def test_facts_are_many_and_single_valued(facts: list[dict[str, Any]]) -> None:
    assert len(facts) >= 3000
    assert len({fact["relation"] for fact in facts}) >= 22
    assert len({(fact["subject"], fact["relation"]) for fact in facts}) == len(facts)


def test_standing_examples_are_among_the_facts(facts: list[dict[str, Any]]) -> None:
    known = {(fact["subject"], fact["relation"], fact["object"]) for fact in facts}
    assert set(STANDING) <= known


def test_every_relation_has_phrasings_with_one_gap() -> None:
    for relation in load_relations().values():
        assert len(set(relation.phrasings)) >= 16
        assert all(phrasing.count("{}") == 1 for phrasing in relation.phrasings)


def test_splits_do_not_overlap_and_follow_their_rule(
    facts: list[dict[str, Any]], splits: dict[str, Any]
) -> None:
    parts = {name: set(keys) for name, keys in splits["subjects"].items()}
    assert not parts["dev"] & parts["fit"]
    assert not parts["dev"] & parts["train"]
    assert not parts["fit"] & parts["train"]
    for fact in facts:
        part = split_of(fact["subject"], parts["dev"])
        assert label_hash(fact["subject"]) in parts[part]
        assert (part == "dev") == (fact.get("split") == "dev")


def test_demonstrations_are_enough_and_name_no_dev_subject(splits: dict[str, Any]) -> None:
    lines = read_jsonl(HERE / "demonstrations.jsonl")
    counts = Counter(line["kind"] for line in lines)
    assert all(counts[kind] >= 200 for kind in KINDS)
    dev = set(splits["subjects"]["dev"])
    for line in lines:
        assert label_hash(line["subject"]) not in dev
        assert line["prompt"] == line["prompt"].rstrip()
        assert line["answer"] == line["answer"].strip()
        assert line["fact"].startswith(line["fact"].lstrip())
        if line["kind"] == "copy":
            assert line["fact"] == f"{line['prompt']} {line['answer']}"
