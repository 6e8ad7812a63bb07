"""What an editor is told to keep: never another edit's subject, and said in what it hands over."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from memory.record import EditId
from runtime.consolidation.contract import Delta, Fact
from runtime.consolidation.contrasts import for_the_gate
from runtime.consolidation.corpus import FactSentences
from runtime.consolidation.hyperparameters import rule
from runtime.consolidation.spec import DELTA_RECORD, read_delta, write_delta
from runtime.consolidation.tokens import Codec
from runtime.consolidation.told import told_to_keep
from tests.tiny_models import Tiny

NAMES = [name for n in range(40) if not for_the_gate(name := f"Person {n}")][:8]
FACTS = tuple(
    Fact(
        edit_id=EditId(name),
        revision=1,
        subject=name,
        prompt=f"The mother tongue of {name} is",
        target="French",
    )
    for name in NAMES[:6]
)


@pytest.fixture
def corpus(tmp_path: Path) -> FactSentences:
    """Eight persons' mother tongues, none of them the gate's."""
    lines = [
        json.dumps({"subject": name, "relation": "tongue", "object": "Danish"}) for name in NAMES
    ]
    (tmp_path / "facts.jsonl").write_text("\n".join(lines) + "\n", "utf-8")
    forms = {"tongue": {"cloze": ["The mother tongue of {} is"], "question": []}}
    (tmp_path / "relations.json").write_text(json.dumps(forms), "utf-8")
    return FactSentences(tmp_path / "facts.jsonl", tmp_path / "relations.json")


def test_another_edited_subject_is_none_that_is_to_stay(tiny: Tiny, corpus: FactSentences) -> None:
    loaded = tiny("llama")
    how = replace(rule(8), contrast_subjects=4)
    told = told_to_keep(FACTS, loaded.model, Codec(loaded.tokenizer), corpus, how)
    assert [n // 4 for n in range(24)] == [place for place, _ in told]
    texts = [text for _, text in told]
    assert not {fact.prompt for fact in FACTS} & set(texts)
    free = {f"The mother tongue of {name} is" for name in NAMES[6:]}
    for place in range(6):
        assert free <= set(texts[4 * place : 4 * place + 4])


def test_few_facts_with_phrasings_keep_more_names(tiny: Tiny, corpus: FactSentences) -> None:
    loaded = tiny("llama")
    given = replace(FACTS[0], paraphrases=(f"{FACTS[0].subject} speaks",))
    how = replace(rule(8), contrast_subjects=1, few_facts=1, contrast_subjects_few=4)
    kept = [
        len(told_to_keep(facts, loaded.model, Codec(loaded.tokenizer), corpus, how))
        for facts in ((given,), (FACTS[0],), (given, FACTS[1]))
    ]
    assert [2 * 4, 1, 2 * 2 + 1] == kept  # Of two facts each gets half of what one keeps.


def test_what_was_told_is_read_back_and_missing_in_what_a_former_version_left(
    tmp_path: Path,
) -> None:
    write_delta(tmp_path, Delta(matrices=(), reports=(), settings={}, told=("a", "b")))
    found = read_delta(tmp_path)
    assert found is not None
    assert found.told == ("a", "b")
    record = json.loads((tmp_path / DELTA_RECORD).read_text("utf-8"))
    del record["told"]
    (tmp_path / DELTA_RECORD).write_text(json.dumps(record), "utf-8")
    former = read_delta(tmp_path)
    assert former is not None
    assert former.told == ()
