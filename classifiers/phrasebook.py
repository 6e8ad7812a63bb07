"""The phrasings of relations that training pairs are made of, from several sources.

ParaRel's patterns, the pocket bundle's phrasings, patterns mined from SimpleQuestions, and our own.
A relation's key is its Wikidata number, R instead of P for the reverse direction, or EXTRA_PREFIX
and a noun where there is none. Relations are split by key: those of CounterFact are trained on; of
the others some fit calibration and thresholds, and some are held out for reports alone, but for a
few that are the counterpart of a trained one and would leave it half learned, or that people ask
for most (`trained`).
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from classifiers.question_mining import mine_patterns, read_questions

RELATIONS_FILE = Path(__file__).resolve().parent / "relations.json"
PHRASINGS_FILE = Path(__file__).resolve().parent / "phrasings.json"
WORDINGS_FOLDER = Path(__file__).resolve().parent / "wordings"  # More relations, by domain.
QUESTIONS = Path("questions/simplequestions_wikidata_train.txt")
EXTRA_PREFIX = "x:"  # Marks relations of our own list, which have no Wikidata number here.
TRAIN, FIT, TEST = "train", "fit", "test"


@dataclass(frozen=True, slots=True, kw_only=True)
class Phrasebook:
    """Phrasings ("{}" is the subject) by relation, relations by type of subject, and answers."""

    phrases: Mapping[str, tuple[str, ...]]
    relations_of: Mapping[str, tuple[str, ...]]  # By type of subject.
    answers: Mapping[str, tuple[str, ...]]
    alike: frozenset[frozenset[str]]  # Pairs of relations that one answer may serve.
    opposed: Mapping[str, tuple[str, ...]]  # By relation, those that it is easily taken for.
    inverse: tuple[
        tuple[str, ...], ...
    ]  # Groups that the order of words, or one word, tells apart.
    always_trained: frozenset[str]  # Relations of edits that are to be trained on.
    # Digests of machine-made paraphrases: those that follow from no edit, and those that may.
    astray: frozenset[str]
    unsettled: frozenset[str]

    def types_of(self, relation: str) -> tuple[str, ...]:
        """Returns the types of subject that have the relation."""
        return tuple(kind for kind, known in self.relations_of.items() if relation in known)

    def others(self, relation: str) -> list[str]:
        """Returns relations that such a subject has and that ask for something else."""
        types = self.types_of(relation)
        known = {other for kind in types[:1] for other in self.relations_of[kind]}
        return sorted(other for other in known if self.differ(relation, other))

    def differ(self, one: str, other: str) -> bool:
        """Whether the two relations ask for different things."""
        return one != other and frozenset((one, other)) not in self.alike

    def follows(self, wording: str, relation: str | None = None) -> bool | None:
        """Whether a machine-made paraphrase follows from its record's edit; None if it may.

        A wording that is listed as astray or unsettled follows from edits in a relation that it is
        a phrasing of: who works as a mayor may have been asked for an office as well as for a job.
        """
        if relation is not None and wording in self.phrases.get(relation, ()):
            return True
        digest = digest_of(wording)
        if digest in self.astray:
            return False
        return None if digest in self.unsettled else True

    def relation_by_phrase(self) -> dict[str, str]:
        """Returns the relation of each phrasing; of several, the last."""
        return {phrase: relation for relation, listed in self.phrases.items() for phrase in listed}

    def relations_by_phrase(self) -> dict[str, tuple[str, ...]]:
        """Returns the relations of each phrasing, most often one."""
        found: dict[str, tuple[str, ...]] = {}
        for relation, listed in self.phrases.items():
            for phrase in listed:
                found[phrase] = (*found.get(phrase, ()), relation)
        return found

    def part_of(self, relation: str) -> str:
        """Returns the split of a relation: TRAIN, FIT (one in ten) or TEST (one in ten)."""
        if relation in self.always_trained:
            return TRAIN
        key = int(hashlib.sha256(relation.encode()).hexdigest()[:8], 16) % 10
        return {0: FIT, 1: TEST}.get(key, TRAIN)

    def only(self, *parts: str) -> Phrasebook:
        """Returns the book with the relations of the given splits."""
        kept = {r: listed for r, listed in self.phrases.items() if self.part_of(r) in parts}
        return Phrasebook(
            phrases=kept,
            relations_of={
                kind: tuple(r for r in listed if r in kept)
                for kind, listed in self.relations_of.items()
            },
            answers=self.answers,
            alike=self.alike,
            opposed=self.opposed,
            inverse=tuple(
                group
                for group in (tuple(r for r in listed if r in kept) for listed in self.inverse)
                if len(group) > 1
            ),
            always_trained=self.always_trained,
            astray=self.astray,
            unsettled=self.unsettled,
        )


def digest_of(wording: str) -> str:
    """Returns what stands for a wording that is not ours to ship ({} is its subject)."""
    return hashlib.sha256(wording.encode("utf-8")).hexdigest()[:16]


def load_phrasebook(data: Path, bundle_relations: Path) -> Phrasebook:
    """Reads all sources into one book. `data` holds pararel/ and questions/."""
    own, more = _read(RELATIONS_FILE), _read(PHRASINGS_FILE)
    for path in sorted(WORDINGS_FOLDER.glob("*.json")):
        _merge(more, _read(path))
    numbers: Mapping[str, str] = more["numbers"]

    def key(name: str) -> str:
        return name if re.fullmatch(r"[PR]\d+", name) else numbers.get(name, EXTRA_PREFIX + name)

    phrases = _pararel(data / "pararel")
    counterfact = frozenset(phrases)
    reversed_names: Mapping[str, str] = more["reversed"]
    for name, entry in _read(bundle_relations).items():
        relation = reversed_names.get(name, entry["wikidata"])
        _add(phrases, relation, entry["cloze"] + entry["question"])
    answers: dict[str, list[str]] = {}
    relations_of: dict[str, list[str]] = {}
    for kind, wikidata in own["types"].items():
        relations_of[kind] = list(wikidata)
        for noun, known in own[kind].items():
            _add(phrases, key(noun), [t.replace("{r}", noun) for t in own["templates"]])
            answers.setdefault(key(noun), []).extend(known)
            relations_of[kind].append(key(noun))
    for name, known in more.get("answers", {}).items():
        answers.setdefault(key(name), []).extend(known)
    for kind, names in more["types"].items():
        relations_of.setdefault(kind, []).extend(key(name) for name in names)
    for name, listed in more["phrasings"].items():
        if not re.fullmatch(r"P\d+", name):
            _add(phrases, key(name), [t.replace("{r}", name) for t in own["templates"]])
        _add(phrases, key(name), listed)
    for relation, patterns in mine_patterns(read_questions(data / QUESTIONS)).items():
        if any(relation in listed for listed in relations_of.values()):
            _add(phrases, relation, patterns)
    alike = frozenset(
        pair for group in more["alike"] for pair in _pairs([key(name) for name in group])
    )
    return Phrasebook(
        phrases={relation: tuple(listed) for relation, listed in sorted(phrases.items())},
        relations_of={
            kind: tuple(dict.fromkeys(r for r in listed if r in phrases))
            for kind, listed in relations_of.items()
        },
        answers={relation: tuple(known) for relation, known in answers.items()},
        alike=alike,
        opposed=_opposed([[key(name) for name in group] for group in more["opposed"]], alike),
        inverse=tuple(tuple(key(name) for name in group) for group in more["inverse"]),
        always_trained=counterfact | {key(name) for name in more["trained"]},
        astray=frozenset(more["astray"]),
        unsettled=frozenset(more["unsettled"]),
    )


def _merge(book: dict[str, Any], more: Mapping[str, Any]) -> None:
    """Adds a file of WORDINGS_FOLDER to what PHRASINGS_FILE holds."""
    book["numbers"] |= more.get("numbers", {})
    for name in ("types", "phrasings", "answers"):
        known = book.setdefault(name, {})
        for key, listed in more.get(name, {}).items():
            known[key] = [*known.get(key, ()), *listed]
    for name in ("alike", "opposed", "inverse"):
        book[name] += more.get(name, [])


def _pararel(folder: Path) -> dict[str, list[str]]:
    """Reads the patterns that end with the object, so that the rest is a cloze."""
    phrases: dict[str, list[str]] = {}
    for path in sorted(folder.glob("P*.jsonl")):
        for line in path.read_text(encoding="utf-8").splitlines():
            pattern = json.loads(line)["pattern"].strip().rstrip(" .")
            if pattern.endswith("[Y]") and "[X]" in pattern:
                phrase = pattern.removesuffix("[Y]").strip().replace("[X]", "{}")
                phrases.setdefault(path.stem, []).append(phrase)
    return phrases


def _add(phrases: dict[str, list[str]], relation: str, listed: Sequence[str]) -> None:
    known = phrases.setdefault(relation, [])
    known += [phrase for phrase in dict.fromkeys(listed) if phrase not in known]


def _pairs(names: Sequence[str]) -> Iterator[frozenset[str]]:
    for first in names:
        for second in names:
            if first != second:
                yield frozenset((first, second))


def _opposed(
    groups: Sequence[Sequence[str]], alike: frozenset[frozenset[str]]
) -> dict[str, tuple[str, ...]]:
    """Returns, by relation, the others of its groups that no answer of it may serve."""
    found: dict[str, dict[str, None]] = {}
    for group in groups:
        for one in group:
            others = [o for o in group if o != one and frozenset((one, o)) not in alike]
            found.setdefault(one, {}).update(dict.fromkeys(others))
    return {relation: tuple(others) for relation, others in found.items()}


def _read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))
