"""Documents that teach following a new fact in the context, and ignoring one about another thing.

A document states one to four new facts and asks one to three prompts. Three kinds of prompt, as
in IKE (arXiv 2305.12740): `copy` repeats the words of a new fact, `update` paraphrases them,
`retain` asks something else that the model knows, and gets its own true answer.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from pocket.data import read_json
from pocket.pool import Pool
from pocket.templates import (
    Relation,
    chat,
    fill,
    formatted,
    is_question,
    split_phrasings,
    styled,
)

Piece = tuple[str, float]  # text, and the weight of its tokens in the loss
END_MARK = "<|end|>"
LEDGER_SHARE = 0.2
CONTEST_SHARE = 0.3
LEDGER_FRAMES = ("{} is", "{}:", "{} -", "{} has", "{} goes with", "{} =")
QUERY_WEIGHT = 0.1  # a prompt's words: its subject repeats one of the context, which is worth
# learning; the words of new facts are noise and weigh nothing


@dataclass(frozen=True)
class NewFact:
    """One fact stated in a context; `relation` is a key that tells relations apart."""

    subject: str
    relation: str
    phrasings: tuple[str, ...]
    used: str
    target: str

    def line(self, random: Random) -> str:
        """Returns the context line that states it."""
        stop = "." if random.random() < 0.12 else ""
        return f"New Fact: {fill(self.used, self.subject)} {self.target}{stop}"


@dataclass(frozen=True)
class Families:
    """Phrasing families harvested from training records: (phrasings, an answer of the record)."""

    groups: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...]


def load_families(data: Path, forbidden: frozenset[str]) -> Families:
    """Groups the phrasings of CounterFact's and zsRE's training records by their first form."""
    phrasings: dict[str, set[str]] = defaultdict(set)
    answers: dict[str, set[str]] = defaultdict(set)
    for record in read_json(data / "counterfact/train.json"):
        subject = record["subject"]
        if subject.lower() in forbidden:
            continue
        key = record["prompt"].replace(subject, "{}")
        tail = subject + record["rephrase_prompt"].split(subject, 1)[-1]
        whole = record["rephrase_prompt"]
        clean = tail if ". " in whole.split(subject, 1)[0] else whole
        phrasings[key] |= {key, clean.replace(subject, "{}")}
        answers[key] |= {record["target_new"], record["ground_truth"]}
    for record in read_json(data / "zsre/train_1k.json"):
        subject = record["subject"]
        if subject.lower() in forbidden or subject not in record["rephrase"]:
            continue
        key = record["src"].replace(subject, "{}")
        phrasings[key] |= {key, record["rephrase"].replace(subject, "{}")}
        answers[key].add(record["alt"])
    groups = []
    for key in sorted(phrasings):
        kept = tuple(sorted(p for p in phrasings[key] if p.count("{}") == 1 and len(p) < 90))
        if len(kept) > 1:
            groups.append((kept, tuple(sorted(answers[key]))))
    return Families(tuple(groups))


@dataclass
class ContextMaker:
    """Draws in-context documents from the facts, the pool and the harvested families."""

    relations: dict[str, Relation]
    facts: list[dict[str, Any]]
    pool: Pool
    families: Families
    lead_ins: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        self.by_relation: dict[str, list[dict[str, Any]]] = defaultdict(list)
        self.by_subject: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for fact in self.facts:
            self.by_relation[fact["relation"]].append(fact)
            self.by_subject[fact["subject"]].append(fact)
        self.objects = {
            name: sorted({fact["object"] for fact in group})
            for name, group in self.by_relation.items()
        }
        self.many_sided = [f for f in self.facts if len(self.by_subject[f["subject"]]) > 1]

    def _own(self, random: Random, subject: str | None) -> NewFact:
        """Draws a counterfactual fact in one of our own relations."""
        fact = random.choice(self.facts)
        if random.random() < 0.5 and self.many_sided:
            fact = random.choice(self.many_sided)
        if subject in self.by_subject and random.random() < 0.5:
            fact = random.choice(self.by_subject[str(subject)])
        relation = fact["relation"]
        phrasings = self.relations[relation].phrasings
        target = random.choice(self.objects[relation])
        if random.random() < 0.45 or target == fact["object"]:
            target = self.pool.answer(random)
        known = random.random() < 0.55
        name = subject or (fact["subject"] if known else self.pool.subject(random))
        return NewFact(name, relation, phrasings, random.choice(phrasings), target)

    def new_fact(self, random: Random, subject: str | None = None) -> NewFact:
        """Draws a counterfactual fact, about `subject` where it is given."""
        draw = random.random()
        if draw < 0.30:
            return self._own(random, subject)
        name = subject or self.pool.subject(random)
        if subject is None and random.random() < 0.12:
            name = random.choice(self.facts)["subject"]
        target = self.pool.answer(random)
        if draw < 0.80 and self.families.groups:
            phrasings, answers = random.choice(self.families.groups)
            target = random.choice(answers) if random.random() < 0.4 else target
        else:
            phrasings = self.pool.relation(random)
        return NewFact(name, phrasings[0], phrasings, random.choice(phrasings), target)

    def facts_of_document(self, random: Random) -> list[NewFact]:
        """Draws one to four new facts that contradict neither each other nor themselves."""
        facts = [self.new_fact(random)]
        for _ in range(random.choices((0, 1, 2, 3), (50, 24, 16, 10))[0]):
            draw, first = random.random(), facts[0]
            if draw < 0.45:
                subject, target = self.pool.subject(random), self.pool.answer(random)
                used = random.choice(first.phrasings)
                other = NewFact(subject, first.relation, first.phrasings, used, target)
            elif draw < 0.80:
                other = self.new_fact(random, first.subject)
            else:
                other = self.new_fact(random)
            if all((other.subject, other.relation) != (f.subject, f.relation) for f in facts):
                facts.append(other)
        random.shuffle(facts)
        return facts

    def retained(self, facts: list[NewFact], random: Random) -> tuple[str, str] | None:
        """Draws a known fact that the new facts leave alone, as (prompt, true answer)."""
        changed = {(fact.subject, fact.relation) for fact in facts}
        near = [f for new in facts for f in self.by_subject.get(new.subject, ())]
        same = [
            f
            for new in facts
            if new.relation in self.by_relation
            for f in random.sample(self.by_relation[new.relation], 1)
        ]
        for group in random.sample((near, near, near, same), 4):
            options = [f for f in group if (f["subject"], f["relation"]) not in changed]
            if options:
                return self.known(random.choice(options), random)
        fact = random.choice(self.facts)
        if (fact["subject"], fact["relation"]) in changed:
            return None
        return self.known(fact, random)

    def known(self, fact: dict[str, Any], random: Random) -> tuple[str, str]:
        """Returns a known fact in a trained phrasing, as (prompt, answer)."""
        phrasings = self.relations[fact["relation"]].phrasings
        trained, _ = split_phrasings(fact["subject"], phrasings)
        return fill(random.choice(trained), fact["subject"]), fact["object"]

    def query(self, facts: list[NewFact], random: Random) -> tuple[str, str]:
        """Draws a prompt about the document's facts, as (prompt, answer)."""
        draw, fact = random.random(), random.choice(facts)
        if draw < 0.31 and (retained := self.retained(facts, random)) is not None:
            return retained
        if draw < 0.46:
            return fill(fact.used, fact.subject), fact.target
        others = [p for p in fact.phrasings if p != fact.used]
        if random.random() < 0.4:
            wanted = not is_question(fact.used)
            others = [p for p in others if is_question(p) == wanted] or others
        prompt = styled(fill(random.choice(others), fact.subject), random)
        if self.lead_ins and random.random() < 0.18:
            prompt = f"{random.choice(self.lead_ins)} {prompt}"
        return prompt, fact.target

    def block(self, random: Random) -> list[Piece]:
        """Returns one new fact with one prompt and its answer, without the end mark."""
        facts = [self.new_fact(random)]
        prompt, answer = self.query(facts, random)
        return [(f"{facts[0].line(random)}\nPrompt: {prompt}", 0.0), (f" {answer}", 1.0)]

    def ledger(self, random: Random) -> list[Piece]:
        """Returns three to six short facts in one relation, each asked once.

        The densest lesson in finding a subject's line and copying what follows it. In one of our
        own relations lines and prompts are paraphrases of each other, and some subjects are known:
        there the new fact must win over the old one, and a known subject that is not named in the
        lines keeps its own answer, as a named one does in its other relations.
        """
        fact = random.choice(self.facts)
        same = self.by_relation[fact["relation"]]
        own = random.random() < 0.55
        if own:
            phrasings = self.relations[fact["relation"]].phrasings
        else:
            group = random.choice((self.new_fact(random).phrasings, LEDGER_FRAMES))
            phrasings = (random.choice(group),)
        subjects = [self.pool.subject(random) for _ in range(random.randint(1, 3))]
        many = [f for f in same if len(self.by_subject[f["subject"]]) > 1]
        known = random.sample(same, min(len(same), random.randint(0, 1)))
        known += random.sample(many, min(len(many), 1))
        subjects += [other["subject"] for other in known]
        in_kind, objects = random.random() < 0.5, self.objects[fact["relation"]]
        answers = {
            subject: random.choice(objects) if in_kind else self.pool.answer(random)
            for subject in subjects
        }
        order = random.sample(list(answers), len(answers))
        lines = "".join(
            f"New Fact: {fill(random.choice(phrasings), subject)} {answers[subject]}\n"
            for subject in order
        )
        asked = [(fill(random.choice(phrasings), subject), answers[subject]) for subject in answers]
        spared = random.choice(same)
        if own and spared["subject"] not in answers and random.random() < 0.5:
            asked.append(self.known(spared, random))
        sides = [
            f
            for other in known
            for f in self.by_subject[other["subject"]]
            if f["relation"] != fact["relation"]
        ]
        if own and sides and random.random() < 0.7:
            asked.append(self.known(random.choice(sides), random))
        random.shuffle(asked)
        pieces: list[Piece] = [(lines, 0.0)]
        for prompt, answer in asked:
            pieces += [(f"Prompt: {prompt}", 0.0), (f" {answer}{END_MARK}", 1.0)]
        return pieces

    def contest(self, random: Random) -> list[Piece]:
        """Returns one new fact that contradicts memory, asked beside what it leaves alone.

        The new answer must win over the known one in every phrasing, and every other fact about
        the same subject, and a neighbour's in the same relation, must stay as known.
        """
        fact = random.choice(self.many_sided if random.random() < 0.7 else self.facts)
        subject, phrasings = fact["subject"], self.relations[fact["relation"]].phrasings
        target = random.choice(self.objects[fact["relation"]])
        if target == fact["object"] or random.random() < 0.35:
            target = self.pool.answer(random)
        new = NewFact(subject, fact["relation"], phrasings, random.choice(phrasings), target)
        asked = [
            (styled(fill(random.choice(phrasings), subject), random), target)
            for _ in range(random.randint(1, 2))
        ]
        sides = [f for f in self.by_subject[subject] if f["relation"] != fact["relation"]]
        kept = random.sample(sides, min(len(sides), 2))
        near = random.choice(self.by_relation[fact["relation"]])
        if random.random() < 0.2 and near["subject"] != subject:
            kept.append(near)
        asked += [self.known(other, random) for other in kept]
        random.shuffle(asked)
        line = new.line(random)
        in_chat = random.random() < 0.2
        pieces: list[Piece] = [] if in_chat else [(f"{line}\n", 0.0)]
        for turn, (prompt, answer) in enumerate(asked):
            shown = chat(prompt, [line] if turn == 0 else []) if in_chat else f"Prompt: {prompt}"
            pieces += [(shown, 0.0), (f" {answer}{END_MARK}", 1.0)]
        return pieces

    def document(self, random: Random) -> list[Piece]:
        """Returns an in-context document as pieces of text with weights."""
        pieces: list[Piece] = []
        draw = random.random()
        if draw < LEDGER_SHARE:
            return self.ledger(random)
        if draw < LEDGER_SHARE + CONTEST_SHARE:
            return self.contest(random)
        if random.random() < 0.06:
            for _ in range(random.randint(2, 7)):
                pieces += [*self.block(random), ("\n\n", 0.0)]
        facts = self.facts_of_document(random)
        lines = [fact.line(random) for fact in facts]
        in_chat = not pieces and random.random() < 0.15
        if not in_chat:
            pieces.append(("\n".join(lines) + "\n", 0.0))
        for turn in range(random.choice((1, 2, 3, 4))):
            prompt, answer = self.query(facts, random)
            if in_chat:
                pieces.append(
                    (chat(prompt, lines if turn == 0 else []), 0.0 if turn == 0 else QUERY_WEIGHT)
                )
            else:
                shown = formatted(prompt, random) if random.random() < 0.15 else prompt
                pieces.append((f"Prompt: {shown}", QUERY_WEIGHT))
            pieces.append((f" {answer}{END_MARK}", 1.0))
        return pieces
