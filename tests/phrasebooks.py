"""A small book of relations, as the real one is read from its files."""

from __future__ import annotations

import json
from pathlib import Path

from classifiers.phrasebook import Phrasebook, load_phrasebook

QUESTIONS = (
    ("P57", "who directed the film solaris"),
    ("P57", "who directed the film metropolis?"),
    ("P57", "Who directed the film alien"),
    ("P19", "where was ada lovelace born"),
    ("P19", "where was alan turing born?"),
    ("P19", "where was kurt godel born"),
)


def write_sources(folder: Path) -> Path:
    """Writes ParaRel, SimpleQuestions and the bundle's relations; returns the last one's file."""
    (folder / "pararel").mkdir()
    (folder / "questions").mkdir()
    lines = [{"pattern": "The mother tongue of [X] is [Y]."}, {"pattern": "[Y] is spoken by [X]."}]
    text = "\n".join(json.dumps(line) for line in lines)
    (folder / "pararel" / "P103.jsonl").write_text(text, encoding="utf-8")
    rows = "\n".join(f"Q1\t{relation}\tQ2\t{question}" for relation, question in QUESTIONS)
    path = folder / "questions" / "simplequestions_wikidata_train.txt"
    path.write_text(rows + "\n", encoding="utf-8")
    entry = {"wikidata": "P103", "cloze": ["{} grew up speaking"], "question": ["What is {}'s?"]}
    bundle = folder / "relations.json"
    bundle.write_text(json.dumps({"mother tongue": entry}), encoding="utf-8")
    return bundle


def small_book(folder: Path) -> Phrasebook:
    """Reads the book of `write_sources` with our own relations."""
    return load_phrasebook(folder, write_sources(folder))
