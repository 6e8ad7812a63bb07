"""Facts and phrasings that ship: what else an edit's prompt could have been, and who else it fits.

From the prompt alone: where it is one of a relation's known phrasings with the subject put in, the
relation's other phrasings are its paraphrases and the relation's other subjects its neighbours.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

HOLE = "{}"
PERSONS = frozenset({"athlete", "artist"})  # Kinds of subjects that are persons as well.


@dataclass(frozen=True, slots=True, kw_only=True)
class Relation:
    """One relation: how it is phrased and of whom it is known."""

    name: str
    kind: str  # Of its subjects: person, company ...
    forms: tuple[str, ...]
    subjects: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PhraseBook:
    """All relations that are known; empty where no files ship."""

    relations: tuple[Relation, ...] = ()
    _by_form: dict[str, Relation] = field(default_factory=dict)

    @classmethod
    def load(cls, facts_file: str, relations_file: str) -> PhraseBook:
        """Reads the shipped files; none are given: an empty book. Raises OSError, ValueError."""
        if not facts_file or not relations_file:
            return cls()
        subjects: dict[str, dict[str, None]] = {}
        with Path(facts_file).open(encoding="utf-8") as lines:
            for line in lines:
                fact = json.loads(line)
                subjects.setdefault(fact["relation"], {})[fact["subject"]] = None
        said = json.loads(Path(relations_file).read_text(encoding="utf-8"))
        relations = tuple(
            Relation(
                name=name,
                kind=one["subject"],
                forms=(*one["cloze"], *one["question"]),
                subjects=tuple(subjects.get(name, ())),
            )
            for name, one in said.items()
        )
        return cls(relations, {form: one for one in relations for form in one.forms})

    def relation_of(self, subject: str, prompt: str) -> Relation | None:
        """Returns the relation that the prompt asks for, None when it is phrased otherwise."""
        return self._by_form.get(prompt.replace(subject, HOLE, 1))

    def paraphrases(self, subject: str, prompt: str) -> list[str]:
        """Returns the other phrasings of a prompt, in the book's order."""
        relation = self.relation_of(subject, prompt)
        forms = relation.forms if relation else ()
        return [text for form in forms if (text := form.replace(HOLE, subject)) != prompt]

    def neighbours(self, subject: str, prompt: str) -> Sequence[str]:
        """Returns other subjects that the prompt is true or false of."""
        relation = self.relation_of(subject, prompt)
        return relation.subjects if relation else ()

    def other_prompts(self, subject: str, prompt: str) -> dict[str, bool]:
        """Returns prompts about the subject in other relations of such subjects, one each.

        True are those whose answer the book has.
        """
        own = self.relation_of(subject, prompt)
        if own is None:
            return {}
        return {
            one.forms[0].replace(HOLE, subject): subject in one.subjects
            for one in self.relations
            if _kinds(one.kind) & _kinds(own.kind) and one.name != own.name
        }


def _kinds(said: str) -> set[str]:
    """Returns the kinds that a relation's subjects are of: "artist or work" names two."""
    named = set(said.split(" or "))
    return named | ({"person"} if named & PERSONS else set())
