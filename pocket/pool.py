"""A very large pool of invented subjects, answers and relations for in-context documents.

Following a new fact must not depend on the facts that the model knows, so its training documents
speak of names recombined from many labels, of made-up words, numbers, dates and short phrases,
and of relations made from any noun. Nothing drawn here is a dev subject.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random

from pocket.data import dev_subjects, normalise, read_json, read_text, triples

MONTHS = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)
NOUN_FRAMES = (
    (
        "The {n} of {{}} is",
        "{{}}'s {n} is",
        "The {n} for {{}} is",
        "What is the {n} of {{}}?",
        "What is {{}}'s {n}?",
        "Which {n} does {{}} have?",
        "{{}} has as its {n}",
        "{{}}, whose {n} is",
        "Name the {n} of {{}}:",
        "What's the {n} of {{}}?",
        "When it comes to {n}, {{}} has",
        "As for {{}}, the {n} is",
        "The {n} that {{}} has is",
        "Everyone knows that {{}}'s {n} is",
        "The {n} of {{}} was",
        "What {n} is {{}} known for?",
        "{{}} is known for the {n}",
        "Tell me the {n} of {{}}.",
    ),
    (
        "{{}} was made {n} of",
        "{{}} is the {n} of",
        "{{}}, the {n} of",
        "{{}} serves as {n} of",
        "What is {{}} the {n} of?",
        "Of what is {{}} the {n}?",
        "{{}} became the {n} of",
    ),
)
VERBS = (
    "admires",
    "avoids",
    "builds",
    "buys",
    "carries",
    "collects",
    "designs",
    "directs",
    "discovered",
    "drives",
    "edits",
    "favours",
    "followed",
    "hired",
    "hosts",
    "hunts",
    "imports",
    "invented",
    "joined",
    "leads",
    "likes",
    "manages",
    "married",
    "met",
    "mentors",
    "opened",
    "owns",
    "paints",
    "prefers",
    "produced",
    "published",
    "reads",
    "recorded",
    "reviews",
    "sells",
    "sponsors",
    "studies",
    "supports",
    "teaches",
    "trains",
    "trusts",
    "visited",
    "wears",
    "wrote",
)
VERB_FRAMES = (
    "{{}} {v}",
    "{{}}, who {v}",
    "What {{}} {v} is",
    "The one that {{}} {v} is",
    "What is it that {{}} {v}?",
    "Who or what is it that {{}} {v}?",
    "{{}} is someone or something that {v}",
)


@dataclass(frozen=True)
class Pool:
    """Labels to draw from; see `load_pool`."""

    subjects: tuple[str, ...]
    objects: tuple[str, ...]
    names: tuple[str, ...]  # single words of labels, capitalised
    words: tuple[str, ...]  # lower-case nouns and other words
    forbidden: frozenset[str]  # normalised dev subjects

    def _clean(self, draw: Callable[[], str]) -> str:
        """Draws until the label is no dev subject."""
        while normalise(label := draw()) in self.forbidden:
            pass
        return label

    def subject(self, random: Random) -> str:
        """Returns a subject: a known label, recombined names, a made-up name."""
        return self._clean(lambda: self._subject(random))

    def _subject(self, random: Random) -> str:
        kind = random.random()
        if kind < 0.35:
            return random.choice(self.subjects)
        if kind < 0.70:
            return " ".join(random.choice(self.names) for _ in range(random.choice((1, 2, 2, 3))))
        if kind < 0.85:
            return " ".join(_invented(random, self.names) for _ in range(random.choice((1, 2))))
        article, word = random.choice(("The ", "", "")), random.choice(self.words).title()
        return f"{article}{word} {random.choice(self.names)}"

    def answer(self, random: Random) -> str:
        """Returns an answer: a label, a name, a word, a phrase, a number, a date."""
        return self._clean(lambda: self._answer(random))

    def _answer(self, random: Random) -> str:
        kind = random.random()
        if kind < 0.30:
            return random.choice(self.objects)
        if kind < 0.45:
            return random.choice(self.subjects)
        if kind < 0.62:
            return " ".join(random.choice(self.names) for _ in range(random.choice((1, 1, 2, 3))))
        if kind < 0.80:
            return " ".join(random.choice(self.words) for _ in range(random.choice((1, 1, 2, 3))))
        if kind < 0.86:
            return _invented(random, self.names)
        if kind < 0.90:
            return str(
                random.choice(
                    (random.randint(0, 99), random.randint(1200, 2030), random.randint(100, 99999))
                )
            )
        if kind < 0.95:
            return f"{random.randint(1, 28)} {random.choice(MONTHS)} {random.randint(1400, 2026)}"
        return f"{random.choice(self.names)}, {random.choice(self.objects)}"

    def relation(self, random: Random) -> tuple[str, ...]:
        """Returns the phrasings of an invented relation."""
        if random.random() < 0.2:
            verb = random.choice(VERBS)
            return tuple(frame.format(v=verb) for frame in VERB_FRAMES)
        noun = random.choice(self.words)
        if random.random() < 0.3:
            noun = f"{random.choice(self.words)} {noun}"
        frames = NOUN_FRAMES[random.random() < 0.15]
        return tuple(frame.format(n=noun) for frame in frames)


def _invented(random: Random, names: tuple[str, ...]) -> str:
    """Returns a made-up word from the halves of two names."""
    first, second = random.choice(names), random.choice(names)
    return (first[: random.randint(1, 5)] + second[-random.randint(1, 5) :]).capitalize()


def load_pool(data: Path) -> Pool:
    """Builds the pool from labels of the training files."""
    forbidden = dev_subjects(data)
    facts = list(triples(data))
    subjects = {subject for _, subject, _ in facts}
    objects = {value for _, _, value in facts}
    for record in read_json(data / "counterfact/train.json"):
        subjects.add(record["subject"])
        objects |= {record["target_new"], record["ground_truth"]}
    for record in read_json(data / "zsre/train_1k.json"):
        subjects.add(record["subject"])
        objects |= {record["alt"], *record["answers"]}
    subjects = {s for s in subjects if normalise(s) not in forbidden and len(s) < 50}
    objects = {o for o in objects if normalise(o) not in forbidden and len(o) < 50}
    webnlg = read_text(data / "text/webnlg_sentences.txt")
    names = {word for label in subjects for word in re.findall(r"\b[A-ZÀ-Þ][\w'-]{2,}", label)}
    names |= set(re.findall(r"(?<=\w )[A-Z][a-z]{2,}\b", webnlg))
    heads = (
        line.split(" (")[0]
        for line in read_text(data / "text/wordset.txt").splitlines()
        if " (noun)" in line[:60]
    )
    words = {head for head in heads if re.fullmatch(r"[a-z]{3,14}( [a-z]{3,12})?", head)}
    return Pool(
        tuple(sorted(subjects)),
        tuple(sorted(objects)),
        tuple(sorted(names)),
        tuple(sorted(words)),
        frozenset(forbidden),
    )
