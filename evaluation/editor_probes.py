"""Facts to write into weights and what is asked before and after: edits, phrasings, neighbours.

Read from a JSONL file of facts (`subject`, `relation`, `object`) and a JSON file of phrasings by
relation. All draws follow the seed. Knows nothing of editors.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

from memory.record import EditId
from runtime.consolidation.contract import Fact

ALL, TUNE, REPORT = "all", "tune", "report"


@dataclass(frozen=True, slots=True, kw_only=True)
class Triple:
    """One true fact."""

    subject: str
    relation: str
    object: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Probes:
    """Edits with what is asked about them."""

    facts: tuple[Fact, ...]
    paraphrases: tuple[
        tuple[str, str], ...
    ]  # (prompt, target): phrasings that no editor was given.
    neighbours: tuple[str, ...]  # Prompts: the same relation, another subject.
    same_subject: tuple[str, ...]  # Prompts: the same subject, another relation.
    used: frozenset[tuple[str, str]]  # (subject, relation) of all edits and probes.


def part_of(subject: str) -> str:
    """Returns whether a subject's facts are for choosing settings (a third of them) or figures."""
    digest = hashlib.blake2b(subject.encode(), digest_size=8).digest()
    return TUNE if int.from_bytes(digest) % 3 == 0 else REPORT


class FactBook:
    """Facts and the phrasings of their relations."""

    def __init__(self, facts: Path, relations: Path) -> None:
        raw = [json.loads(line) for line in facts.read_text(encoding="utf-8").splitlines() if line]
        self.triples = [
            Triple(subject=one["subject"], relation=one["relation"], object=one["object"])
            for one in raw
        ]
        forms = json.loads(relations.read_text(encoding="utf-8"))
        self.phrasings: dict[str, list[str]] = {
            name: [*form["cloze"], *form["question"]] for name, form in forms.items()
        }

    def ask(self, triple: Triple, number: int) -> str:
        """Returns the fact's prompt in one of its relation's phrasings, counted round."""
        forms = self.phrasings[triple.relation]
        return forms[number % len(forms)].replace("{}", triple.subject)

    def draw(
        self,
        count: int,
        *,
        seed: int,
        paraphrases: int,
        held_out: int,
        known: Callable[[Sequence[str]], list[str]],
        part: str = ALL,
    ) -> Probes:
        """Draws counterfactual edits of facts that the model knows, and their probes.

        Each edit has `paraphrases` further phrasings that the editor is given and `held_out` that
        it is not. `known` answers prompts; only facts answered truly are taken, as many as there
        are up to `count`. `part` names the subjects whose facts are edited; neighbours are of all.
        """
        random = Random(seed)
        eligible = [one for one in self.triples if part in (ALL, part_of(one.subject))]
        pool = random.sample(eligible, min(len(eligible), 2 * count + 40))
        objects: dict[str, list[str]] = defaultdict(list)
        for one in self.triples:
            objects[one.relation].append(one.object)
        answers = known([self.ask(one, 0) for one in pool])
        seen: set[tuple[str, str]] = set()
        facts: list[Fact] = []
        asked: list[tuple[str, str]] = []
        edited: list[Triple] = []
        for one, answer in zip(pool, answers, strict=True):
            others = [other for other in objects[one.relation] if other != one.object]
            if len(facts) == count or answer != one.object or not others:
                continue
            if (one.subject, one.relation) in seen:
                continue
            seen.add((one.subject, one.relation))
            target = random.choice(others)
            forms = random.sample(
                range(1, len(self.phrasings[one.relation])), paraphrases + held_out
            )
            given = tuple(self.ask(one, form) for form in forms[:paraphrases])
            facts.append(
                Fact(
                    edit_id=EditId(f"e{len(facts)}"),
                    revision=1,
                    subject=one.subject,
                    prompt=self.ask(one, 0),
                    target=target,
                    former=one.object,
                    paraphrases=given,
                )
            )
            asked += [(self.ask(one, form), target) for form in forms[paraphrases:]]
            edited.append(one)
        neighbours, same, used = self._around(edited, seen, random)
        return Probes(
            facts=tuple(facts),
            paraphrases=tuple(asked),
            neighbours=neighbours,
            same_subject=same,
            used=used,
        )

    def _around(
        self, edited: Sequence[Triple], seen: set[tuple[str, str]], random: Random
    ) -> tuple[tuple[str, ...], tuple[str, ...], frozenset[tuple[str, str]]]:
        """Returns prompts about neighbours (two an edit), about the same subjects, and all used."""
        by_relation: dict[str, list[Triple]] = defaultdict(list)
        by_subject: dict[str, list[Triple]] = defaultdict(list)
        for one in self.triples:
            if (one.subject, one.relation) not in seen:
                by_relation[one.relation].append(one)
                by_subject[one.subject].append(one)
        near = [
            other
            for one in edited
            for other in random.sample(
                by_relation[one.relation], min(2, len(by_relation[one.relation]))
            )
        ]
        near = list(dict.fromkeys(near))
        same = list(dict.fromkeys(other for one in edited for other in by_subject[one.subject]))
        used = seen | {(one.subject, one.relation) for one in [*near, *same]}
        return (
            tuple(self.ask(one, number) for number, one in enumerate(near)),
            tuple(self.ask(one, number) for number, one in enumerate(same)),
            frozenset(used),
        )
