"""The report's fixtures label what they should; fillers fill, and are counted apart."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from classifiers.encoding_cache import CachedEncoder
from classifiers.phrasebook import TEST
from classifiers.subject_rule import SubjectRule
from evaluation.scope_fixtures import (
    Fixture,
    Probe,
    counterfact_fixture,
    filler_edits,
    held_out_relations,
    knowedit_fixture,
)
from evaluation.scope_report import evaluate, print_rows, twin_test, worst
from memory.record import Candidate, EditDraft, Query
from tests.hash_encoder import HashEncoder
from tests.phrasebooks import small_book

RECORDS = [
    {
        "case_id": 7, "subject": "Ada Lovelace", "prompt": "The mother tongue of Ada Lovelace is",
        "target_new": "Greek", "ground_truth": "English",
        "rephrase_prompt": "It rained. Ada Lovelace grew up speaking",
        "locality_prompt": "The mother tongue of Kurt is", "locality_ground_truth": "German",
    }
]  # fmt: skip


def test_counterfact_asks_the_edit_its_paraphrase_and_its_neighbour(tmp_path: Path) -> None:
    (tmp_path / "counterfact").mkdir()
    (tmp_path / "counterfact/val.json").write_text(json.dumps(RECORDS), encoding="utf-8")
    fixture = counterfact_fixture(tmp_path)
    scope = {probe.text: probe.in_scope for probe in fixture.probes}
    assert scope == {
        "The mother tongue of Ada Lovelace is": True,
        "It rained. Ada Lovelace grew up speaking": True,
        "Ada Lovelace grew up speaking": True,
        "The mother tongue of Kurt is": False,
        "The mother tongue of Ada Lovelace is Greek. The mother tongue of Kurt is": False,
    }
    # The hand labels are of another file, so none of them is taken for this one.
    assert not any("follow" in probe.kind for probe in fixture.probes)


def test_knowedit_labels_aliases_in_and_other_relations_out(tmp_path: Path) -> None:
    (tmp_path / "knowedit").mkdir()
    record = {
        "subject": "Ada Lovelace", "prompt": "The gender of Ada Lovelace is", "target_new": "male",
        "portability": {"Subject_Aliasing": [{"prompt": "The gender of Ada is"}]},
        "locality": {
            "Relation_Specificity": [{"prompt": "The father of Ada Lovelace is"}],
            "Forgetfulness": [{"prompt": "The gender of Ada Lovelace, which is not male, is"}],
        },
    }  # fmt: skip
    path = tmp_path / "knowedit/wiki_recent_train.json"
    path.write_text(json.dumps([record]), encoding="utf-8")
    probes = knowedit_fixture(tmp_path, "wiki_recent").probes
    assert [probe.in_scope for probe in probes] == [True, True, False, False]


def test_held_out_relations_are_held_out(tmp_path: Path) -> None:
    book = small_book(tmp_path)
    edit = EditDraft(
        subject="Ada Lovelace", prompt="The mother tongue of Ada Lovelace is", target="Greek"
    )
    fixture = held_out_relations([edit] * 20, book, seed=0)
    assert len(fixture.edits) == 20
    held = {p for relation in book.only(TEST).phrases for p in book.phrases[relation]}
    for made in fixture.edits:
        assert made.prompt.replace("Ada Lovelace", "{}") in held
    for probe in fixture.probes:
        assert probe.home is not None
        assert fixture.edits[probe.home].prompt != probe.text
        if probe.in_scope:
            assert probe.text.replace("Ada Lovelace", "{}") in held


def test_fillers_leave_out_subjects_seen_or_taken(tmp_path: Path) -> None:
    (tmp_path / "lama").mkdir()
    template = {"relation": "P19", "template": "[X] was born in [Y] ."}
    (tmp_path / "lama/relations.jsonl").write_text(json.dumps(template) + "\n", encoding="utf-8")
    facts = [{"sub_label": f"S{n}", "obj_label": f"city {n}"} for n in range(9)]
    lines = "\n".join(json.dumps(fact) for fact in facts)
    (tmp_path / "lama/P19.jsonl").write_text(lines + "\n", encoding="utf-8")
    made = filler_edits(tmp_path, lambda s: s == "S1", frozenset({"S2"}), seed=0)
    assert {edit.subject for edit in made} == {f"S{n}" for n in (0, 3, 4, 5, 6, 7, 8)}
    assert all(edit.prompt == f"{edit.subject} was born in" for edit in made)


class Everything:
    """Takes the candidate with the longest subject, always."""

    name, version, calibrated = "everything", "1", False

    def score(self, query: Query, candidates: Sequence[Candidate]) -> list[float]:
        del query
        return [len(candidate.edit.subject) / 100 for candidate in candidates]

    def threshold(self, error_budget: float | None = None) -> float:
        del error_budget
        return 0.0


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("Ada was born in", True),
        ("Where was Ada born?", True),
        ("Which country is Ada from?", False),  # Though one answer may serve both.
        ("Where did Ada die?", False),
        ("Where was Kurt born?", False),
        ("Ada came from", False),
        ("Kurt was born in Brno. Where was Ada born?", True),
        ("Ada was born in Rome. Where was Kurt born?", False),
    ],
)
def test_a_twin_asks_for_the_same_of_the_same_subject(
    text: str, same: bool, tmp_path: Path
) -> None:
    book = replace(
        small_book(tmp_path),
        phrases={
            "P19": ("{} was born in", "Where was {} born?"),
            "P20": ("Where did {} die?",),
            "P27": ("Which country is {} from?",),
        },
        alike=frozenset({frozenset({"P19", "P27"})}),
    )
    draft = EditDraft(subject="Ada", prompt="Ada was born in", target="Rome")
    assert same is twin_test(book)(draft, text)
    assert (text == draft.prompt) is twin_test(None)(draft, text)


def test_rates_count_right_wrong_and_filler_answers(capsys: pytest.CaptureFixture[str]) -> None:
    edits = tuple(
        EditDraft(subject=s, prompt=f"{s} was born in", target="Rome") for s in ("Ada", "Kurt")
    )
    probes = (
        Probe(kind="asked", text="Where was Ada born?", home=0, in_scope=True),
        Probe(kind="asked", text="Where was Kurt born?", home=1, in_scope=True),
        Probe(kind="else", text="Who won?", home=None, in_scope=False),
    )
    filler = EditDraft(subject="A very long name", prompt="A very long name is", target="x")
    found = list(
        evaluate(
            Fixture(name="made", edits=edits, probes=probes),
            [SubjectRule(), Everything()],
            CachedEncoder(HashEncoder(), None),
            fillers=[filler], size=3, limit=10, seed=0,
        )
    )  # fmt: skip
    made = [row for row, _ in found]
    rule_asked, all_asked, rule_else, all_else = made
    assert (rule_asked["recall"], rule_asked["wrong_edit"]) == (1.0, 0.0)
    assert (all_asked["recall"], all_asked["wrong_edit"], all_asked["by_filler"]) == (0.0, 1.0, 2)
    assert (rule_else["false_route"], all_else["false_route"]) == (0.0, 1.0)
    print_rows(made)
    shown = capsys.readouterr().out
    assert "made: asked *" in shown
    assert "100.0 [" in shown
    missed = worst(found[1][1], in_scope=True, count=1)
    assert missed == ["0.030 at home, 0.160 best | Where was Ada born? | A very long name is x"]
    assert worst(found[0][1], in_scope=True, count=5) == []
    assert len(worst(found[3][1], in_scope=False, count=5)) == 1
