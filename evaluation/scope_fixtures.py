"""What the scope report asks: data sets as edits with probes, and edits to fill a memory with.

All from development files, which no classifier was fitted to. Fillers are facts of a file that no
trainer of a classifier read, about subjects that no trainer saw.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from classifiers.phrasebook import TEST, Phrasebook
from evaluation.hand_labels import load_hand_labels
from evaluation.records import ProbedEdit, read_counterfact
from memory.errors import InvalidInput
from memory.readers.read import read_edits
from memory.readers.row import ReadEdit
from memory.record import EditDraft

NQ_PREFIX = "nq question: "


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """A query, the edit it was made from, and whether that edit's scope holds it."""

    kind: str
    text: str
    home: int | None
    in_scope: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Fixture:
    """One data set: its edits and the probes made of them."""

    name: str
    edits: tuple[EditDraft, ...]
    probes: tuple[Probe, ...]


def counterfact_fixture(data: Path) -> Fixture:
    """CounterFact: paraphrases as given and by hand labels, neighbours, and distractions."""
    path = data / "counterfact/val.json"
    records = read_counterfact(path)
    edits = tuple(
        EditDraft(subject=r.subject, prompt=r.prompt, target=r.target, former=r.former)
        for r in records
    )
    probes = [
        Probe(kind=kind, text=text, home=home, in_scope=in_scope)
        for home, r in enumerate(records)
        for kind, text, in_scope in (
            ("edit prompt", r.prompt, True),
            ("paraphrase as given", r.rephrase, True),
            ("paraphrase cleaned", r.rephrase_cleaned, True),
            ("neighbour", r.neighbour, False),
            ("neighbour after the edit", f"{r.prompt} {r.target}. {r.neighbour}", False),
        )
    ]
    probes += _labelled(path, records)
    return Fixture(name="counterfact", edits=edits, probes=tuple(probes))


def _labelled(path: Path, records: Sequence[ProbedEdit]) -> Iterator[Probe]:
    """Yields the hand-labelled paraphrases, when the file is the one that was labelled."""
    labels = load_hand_labels()
    if hashlib.sha256(path.read_bytes()).hexdigest() != labels.file_sha256:
        return
    for home, record in enumerate(records):
        follows = labels.follows(record.case)
        if follows is not None:
            kind = "paraphrase that follows" if follows else "paraphrase that does not follow"
            yield Probe(kind=kind, text=record.rephrase, home=home, in_scope=follows)


def zsre_fixture(data: Path) -> Fixture:
    """zsRE: rephrased questions, and unrelated search questions."""
    path = data / "zsre/dev.json"
    edits = _edits(path, "zsre")
    probes = []
    for home, record in enumerate(_json(path)):
        unrelated = record["loc"].removeprefix(NQ_PREFIX)
        probes += [
            Probe(kind="edit prompt", text=record["src"], home=home, in_scope=True),
            Probe(kind="paraphrase as given", text=record["rephrase"], home=home, in_scope=True),
            Probe(kind="unrelated question", text=unrelated, home=home, in_scope=False),
        ]
    return Fixture(name="zsre", edits=edits, probes=tuple(probes))


def knowedit_fixture(data: Path, name: str) -> Fixture:
    """KnowEdit: the same subject under an alias, and asked for another relation or answer."""
    path = data / f"knowedit/{name}_train.json"
    edits = _edits(path, "counterfact")
    probes = []
    for home, record in enumerate(_json(path)):
        probes.append(Probe(kind="edit prompt", text=record["prompt"], home=home, in_scope=True))
        for group, key, kind, in_scope in (
            ("portability", "Subject_Aliasing", "subject by another name", True),
            ("locality", "Relation_Specificity", "same subject, other relation", False),
            ("locality", "Forgetfulness", "any answer but the target", False),
        ):
            for probe in (record.get(group) or {}).get(key, []):
                if probe["prompt"] != record["prompt"]:
                    text = probe["prompt"]
                    probes.append(Probe(kind=kind, text=text, home=home, in_scope=in_scope))
    return Fixture(name=f"knowedit {name}", edits=edits, probes=tuple(probes))


def search_questions(data: Path, edits: tuple[EditDraft, ...]) -> Fixture:
    """Real search questions against CounterFact's edits: in no edit's scope."""
    probes = tuple(
        Probe(kind="search question", text=row["question"], home=None, in_scope=False)
        for row in _lines(data / "questions/nq_open_dev.jsonl")
    )
    return Fixture(name="nq open", edits=edits, probes=probes)


def held_out_relations(edits: Sequence[EditDraft], book: Phrasebook, seed: int) -> Fixture:
    """Edits of the given subjects in relations that no classifier was trained or fitted on.

    A subject's type is that of the relation in which its own edit stands. Other relations asked of
    it are of all splits; the wording is the phrasebook's.
    """
    random = Random(seed)  # Samples, no secrets.
    by_phrase = book.relation_by_phrase()
    held = book.only(TEST)
    made: list[EditDraft] = []
    probes: list[Probe] = []
    for edit in edits:
        types = book.types_of(by_phrase.get(edit.prompt.replace(edit.subject, "{}").strip(), ""))
        known = held.relations_of[types[0]] if types else ()
        if not known:
            continue
        relation = random.choice(known)
        others = [r for r in book.relations_of[types[0]] if book.differ(relation, r)]
        prompt, asked = random.sample(held.phrases[relation], 2)
        other = random.choice(book.phrases[random.choice(others)])
        for kind, phrase, in_scope in (
            ("other wording", asked, True),
            ("same subject, other relation", other, False),
        ):
            text = phrase.replace("{}", edit.subject)
            probes.append(Probe(kind=kind, text=text, home=len(made), in_scope=in_scope))
        filled = prompt.replace("{}", edit.subject)
        made.append(EditDraft(subject=edit.subject, prompt=filled, target=edit.target))
    return Fixture(name="held-out relations", edits=tuple(made), probes=tuple(probes))


def filler_edits(
    data: Path, seen: Callable[[str], bool], taken: frozenset[str], *, seed: int
) -> list[EditDraft]:
    """Returns LAMA's facts, targets exchanged, of subjects neither `seen` nor `taken`; shuffled."""
    random = Random(seed)  # Samples, no secrets.
    templates = {row["relation"]: row["template"] for row in _lines(data / "lama/relations.jsonl")}
    made: dict[str, EditDraft] = {}
    for path in sorted((data / "lama").glob("P*.jsonl")):
        template = templates[path.stem].replace("[Y]", "").rstrip(" .")
        facts = [(row["sub_label"], row["obj_label"]) for row in _lines(path)]
        for subject, target in facts:
            prompt = template.replace("[X]", subject)
            if subject in taken or seen(subject) or subject not in prompt:
                continue
            other = random.choice(facts)[1]
            made[prompt] = EditDraft(
                subject=subject,
                prompt=prompt,
                target=other if other != target else random.choice(facts)[1],
            )
    listed = list(made.values())
    random.shuffle(listed)
    return listed


def _edits(path: Path, format_name: str) -> tuple[EditDraft, ...]:
    """Reads a file in which every record is one edit, so that probes find theirs by position."""
    rows = list(read_edits(path, format_name))
    refused = [row for row in rows if not isinstance(row, ReadEdit)]
    if refused:
        raise InvalidInput(f"{path}: record {refused[0].line} is no edit", field="data")
    return tuple(row.draft for row in rows if isinstance(row, ReadEdit))


def _lines(path: Path) -> list[Any]:
    lines = path.read_text(encoding="utf-8").split("\n")
    return [json.loads(line) for line in lines if line.strip()]


def _json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))
