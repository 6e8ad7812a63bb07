"""Prompts that an edit must leave alone: of whom the corpus speaks, else of well known names."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from memory.record import EditId
from runtime.consolidation.contract import Fact
from runtime.consolidation.contrasts import NAMES, for_the_gate, other_sentences, other_subjects
from runtime.consolidation.corpus import FactSentences, Joined, TextFile

FACT = Fact(
    edit_id=EditId("e0"),
    revision=1,
    subject="Ann Lee",
    prompt="The mother tongue of Ann Lee is",
    target="Danish",
    paraphrases=("Ann Lee grew up speaking",),
)


@pytest.fixture
def corpus(tmp_path: Path) -> FactSentences:
    """Three people's mother tongues and one city's country."""
    rows = [("Ann Lee", "tongue"), ("Bob Roe", "tongue"), ("Cid Fay", "tongue"), ("Oslo", "land")]
    facts = tmp_path / "facts.jsonl"
    facts.write_text(
        "".join(
            json.dumps({"subject": subject, "relation": relation, "object": "x"}) + "\n"
            for subject, relation in rows
        ),
        "utf-8",
    )
    forms = {
        "tongue": {"cloze": ["The mother tongue of {} is"], "question": ["What does {} speak?"]},
        "land": {"cloze": ["{} lies in"], "question": []},
    }
    relations = tmp_path / "relations.json"
    relations.write_text(json.dumps(forms), "utf-8")
    return FactSentences(facts, relations)


def test_the_corpus_names_subjects_of_the_same_phrasing(
    corpus: FactSentences, tmp_path: Path
) -> None:
    people = ("Ann Lee", "Bob Roe", "Cid Fay")
    assert people == tuple(corpus.subjects_of("The mother tongue of Zoe is", "Zoe"))
    assert people == tuple(corpus.subjects_of("What does Zoe speak?", "Zoe"))
    assert () == tuple(corpus.subjects_of("Zoe is a native of", "Zoe"))
    text = TextFile(tmp_path / "facts.jsonl")
    assert () == tuple(text.subjects_of("The mother tongue of Zoe is", "Zoe"))
    joined = Joined((text, corpus))
    assert people == tuple(joined.subjects_of("The mother tongue of Zoe is", "Zoe"))


def test_known_subjects_come_first_and_the_edited_one_never() -> None:
    known = ("ann lee", "Bob Roe", "Dee Poe", "Hal Moe")
    assert [for_the_gate(name) for name in known[1:]] == [True, False, False]
    texts = other_subjects(FACT, 2, 0, known)
    assert 4 == len(texts)  # Two for each of its two prompts.
    assert {"Dee Poe", "Hal Moe"} == {
        name for name in ("Dee Poe", "Hal Moe") for text in texts[:2] if name in text
    }
    assert not [text for text in texts if "ann lee" in text.casefold() or "Bob Roe" in text]
    assert all(any(name in text for name in NAMES) for text in texts[2:])
    for number, text in enumerate(texts):
        end = ("is", "speaking")[number % 2]
        assert text.endswith(end)


def test_the_draw_is_the_seed_s_and_no_subject_comes_twice() -> None:
    texts = other_subjects(FACT, 5, 3)
    assert texts == other_subjects(FACT, 5, 3)
    assert texts != other_subjects(FACT, 5, 4)
    assert len(texts) == len(set(texts)) == 10
    assert [] == other_subjects(FACT, 0, 3)


def test_other_sentences_keep_the_subject_and_leave_the_edit_out() -> None:
    texts = other_sentences(FACT, 14, 0)
    assert all("Ann Lee" in text for text in texts)
    assert not {FACT.prompt, *FACT.paraphrases} & set(texts)


def test_names_that_are_edited_too_or_the_gates_are_never_kept() -> None:
    texts = other_subjects(FACT, len(NAMES), 0, ("Dee Poe", "Hal Moe"), {"dee poe", "cairo"})
    said = [name for name in (*NAMES, "Dee Poe", "Hal Moe") if any(name in t for t in texts)]
    assert "Hal Moe" in said
    assert len(said) > 20
    assert not {"Dee Poe", "Cairo"} & set(said)
    assert not [name for name in said if for_the_gate(name)]
