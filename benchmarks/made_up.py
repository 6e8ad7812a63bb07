"""Made-up edits for benchmarks: people who do not exist, in a dozen relations, by a fixed seed.

`JitteredEncoder` stands in for the sentence encoder where 100,000 edits would take minutes to
encode: real vectors of some hundred real prompts, each edit's own by a small rotation that its text
seeds. Queries are encoded by the real encoder. Every table that uses it says so.
"""

from __future__ import annotations

import random
import zlib
from collections.abc import Iterator, Sequence

import numpy as np

from memory.contracts import Encoder, Matrix
from memory.record import EditDraft, Vector

SYLLABLES = [
    "ba",
    "be",
    "bo",
    "da",
    "de",
    "do",
    "fa",
    "fe",
    "fi",
    "ga",
    "ge",
    "gi",
    "ka",
    "ke",
    "ki",
    "la",
    "le",
    "li",
    "lo",
    "ma",
    "me",
    "mi",
    "mo",
    "na",
    "ne",
    "ni",
    "no",
    "pa",
    "pe",
    "po",
    "ra",
    "re",
    "ri",
    "ro",
    "sa",
    "se",
    "si",
    "so",
    "ta",
    "te",
    "ti",
    "to",
    "va",
    "ve",
    "vi",
    "vo",
    "za",
    "ze",
    "zo",
]
RELATIONS = (
    ("The mother tongue of {} is", ("French", "Danish", "Korean", "Tamil", "Basque")),
    ("{} was born in", ("Oslo", "Lima", "Accra", "Hanoi", "Turin", "Quito")),
    ("{} plays the sport of", ("tennis", "rugby", "chess", "judo", "polo")),
    ("{} works for", ("Siemens", "Nokia", "Fiat", "Sanyo", "Philips")),
    ("The capital of {} is", ("Malmo", "Ghent", "Porto", "Bergen", "Cork")),
    ("{} is a citizen of", ("Chile", "Kenya", "Nepal", "Malta", "Laos")),
    ("{} was written by", ("Ada Voss", "Iva Lund", "Omar Reyes", "Tess Holm")),
    ("The headquarters of {} is in", ("Zagreb", "Leeds", "Dakar", "Kyoto", "Perth")),
    ("{} died in", ("Rouen", "Tampa", "Varna", "Busan", "Split")),
    ("{} plays the instrument", ("oboe", "cello", "harp", "banjo", "lute")),
    ("The religion of {} is", ("Jainism", "Shinto", "Sikhism", "Judaism")),
    ("{} was developed by", ("Atari", "Sega", "Intel", "Ericsson", "Xerox")),
)
ENCODED = 600
JITTER = 0.35  # Length of the random part that is added to a unit vector before normalising.


def names(seed: int = 0) -> Iterator[str]:
    """Yields names without end, each once."""
    source = random.Random(seed)
    seen: set[str] = set()
    while True:
        first, last = (
            "".join(source.choices(SYLLABLES, k=source.randint(2, 4))).capitalize()
            for _ in range(2)
        )
        name = f"{first} {last}"
        if name not in seen:
            seen.add(name)
            yield name


def edits(count: int, seed: int = 0) -> Iterator[EditDraft]:
    """Yields `count` drafts about different subjects."""
    source = random.Random(seed)
    for name, _ in zip(names(seed), range(count), strict=False):
        template, targets = source.choice(RELATIONS)
        yield EditDraft(subject=name, prompt=template.format(name), target=source.choice(targets))


def encoded_edits() -> list[EditDraft]:
    """Returns drafts, of other people, whose vectors `JitteredEncoder` leaves real."""
    return list(edits(ENCODED, seed=7))


def questions(count: int, drafts: Sequence[EditDraft], seed: int = 1) -> list[str]:
    """Queries in equal parts in scope, near scope (unknown subject) and far away."""
    source = random.Random(seed)
    strangers = names(seed + 1000)
    far = ("how do i boil an egg", "what is the tallest tree", "who won the cup last year")
    asked = []
    for number in range(count):
        template, _ = source.choice(RELATIONS)
        asked.append(
            (
                source.choice(drafts).prompt,
                template.format(next(strangers)),
                f"{source.choice(far)} {number}",
            )[number % 3]
        )
    return asked


def named_questions(count: int, drafts: Sequence[EditDraft], seed: int = 1) -> list[str]:
    """Queries that each name an edited subject and are no edit's prompt: all cost a pair."""
    source = random.Random(seed)
    asked = []
    for number in range(count):
        template, _ = source.choice(RELATIONS)
        asked.append(f"{template.format(source.choice(drafts).subject)} (question {number})")
    return asked


class JitteredEncoder:
    """Wraps the real encoder: bulk texts get jittered copies of real vectors, single ones real."""

    def __init__(self, real: Encoder) -> None:
        self._real = real
        prompts = [draft.prompt for draft in encoded_edits()]
        self._seeds = real.encode_many(prompts)
        self._known = dict(zip(prompts, self._seeds, strict=True))

    @property
    def name(self) -> str:
        """Never the real encoder's name: these vectors must not be mixed with real ones."""
        return f"jittered-{self._real.name}"

    @property
    def dimension(self) -> int:
        """The real encoder's."""
        return self._real.dimension

    def encode(self, text: str) -> Vector:
        """The real vector."""
        return self._real.encode(text)

    def encode_many(self, texts: Sequence[str]) -> Matrix:
        """Jittered vectors (n, d), the same for a text; real ones of `encoded_edits` and of one."""
        if len(texts) == 1:
            return self._real.encode_many(texts)
        found = np.empty((len(texts), self.dimension), dtype=np.float32)
        for row, text in enumerate(texts):
            if text in self._known:
                found[row] = self._known[text]
                continue
            digest = zlib.crc32(text.encode())
            noise = np.random.default_rng(digest).standard_normal(self.dimension, dtype=np.float32)
            vector = self._seeds[digest % len(self._seeds)] + JITTER * noise / np.linalg.norm(noise)
            found[row] = vector / np.linalg.norm(vector)
        return found
