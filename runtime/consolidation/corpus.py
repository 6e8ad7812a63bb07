"""Texts for the second moments: a file of running text, or sentences made from a list of facts.

Streamed: one text is in memory at a time. Knows nothing of models.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice, zip_longest
from pathlib import Path
from typing import Any, Protocol

from memory.errors import InvalidInput

HOLE = "{}"  # Stands for the subject in a phrasing.


class Corpus(Protocol):
    """Texts in a fixed order; the same object gives the same texts again."""

    @property
    def digest(self) -> str:
        """A hash of all that the texts depend on, 16 hex digits."""
        ...

    def texts(self, count: int, seed: int) -> Iterator[str]:
        """Yields `count` texts drawn from the seed, or all, in order, where there are fewer."""
        ...

    def subjects_of(self, prompt: str, subject: str) -> Sequence[str]:
        """Returns subjects of which the texts say what the prompt asks of its own; may be none."""
        ...


@dataclass(frozen=True, slots=True)
class TextFile:
    """The lines of a file of running text, empty ones left out; a long line is one text."""

    path: Path

    @property
    def digest(self) -> str:
        """Hash of the file's bytes. Raises InvalidInput when it cannot be read."""
        return _digest(self.path)

    def texts(self, count: int, seed: int) -> Iterator[str]:
        """Yields the drawn lines in the file's order."""
        with self.path.open(encoding="utf-8", errors="replace") as lines:
            total = sum(1 for line in lines if line.strip())
        chosen = _choose(total, count, seed)
        number = -1
        with self.path.open(encoding="utf-8", errors="replace") as lines:
            for line in lines:
                if line.strip():
                    number += 1
                    if number in chosen:
                        yield line.strip()

    def subjects_of(self, prompt: str, subject: str) -> Sequence[str]:
        """Returns none: running text names no subjects."""
        del prompt, subject
        return ()


@dataclass(frozen=True)
class FactSentences:
    """Sentences from a JSONL file of facts and a JSON file of their relations' phrasings.

    `facts` has `subject`, `relation`, `object` on each line; `relations` maps a relation to lists
    of phrasings in which `{}` stands for the subject and which the object completes.
    """

    facts: Path
    relations: Path

    @property
    def digest(self) -> str:
        """Hash of both files' bytes. Raises InvalidInput when one cannot be read."""
        return hashlib.blake2b(
            (_digest(self.facts) + _digest(self.relations)).encode(), digest_size=8
        ).hexdigest()

    def texts(self, count: int, seed: int) -> Iterator[str]:
        """Yields sentences: rounds over all facts, each round in another phrasing and order."""
        phrasings: dict[str, Any] = json.loads(self.relations.read_text(encoding="utf-8"))
        lines = self.facts.read_text(encoding="utf-8").splitlines()
        facts = [json.loads(line) for line in lines if line.strip()]
        draw = random.Random(seed)  # noqa: S311  # A corpus, not a secret.
        made = 0
        while facts and made < count:
            for fact in draw.sample(facts, min(len(facts), count - made)):
                forms = phrasings[fact["relation"]]
                form = draw.choice([*forms["cloze"], *forms["question"]])
                yield f"{form.replace(HOLE, fact['subject'])} {fact['object']}"
                made += 1

    def subjects_of(self, prompt: str, subject: str) -> Sequence[str]:
        """Returns the subjects of the relation that has this phrasing, in the file's order."""
        return self._subjects.get(prompt.replace(subject, HOLE), ())

    @cached_property
    def _subjects(self) -> dict[str, tuple[str, ...]]:
        """Subjects by phrasing."""
        found: dict[str, dict[str, None]] = {}
        for line in self.facts.read_text(encoding="utf-8").splitlines():
            if line.strip():
                fact = json.loads(line)
                found.setdefault(fact["relation"], {})[fact["subject"]] = None
        phrasings: dict[str, Any] = json.loads(self.relations.read_text(encoding="utf-8"))
        return {
            form: tuple(found.get(relation, ()))
            for relation, forms in phrasings.items()
            for form in (*forms["cloze"], *forms["question"])
        }


@dataclass(frozen=True, slots=True)
class Joined:
    """Several corpora as one, in equal parts."""

    parts: tuple[Corpus, ...]

    @property
    def digest(self) -> str:
        """Hash of the parts' hashes."""
        text = " ".join(part.digest for part in self.parts)
        return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()

    def texts(self, count: int, seed: int) -> Iterator[str]:
        """Yields the parts' texts in turn, so that a small sample holds all of them."""
        shares = [part.texts(-(-count // len(self.parts)), seed) for part in self.parts]
        turns = (text for turn in zip_longest(*shares) for text in turn if text is not None)
        yield from islice(turns, count)

    def subjects_of(self, prompt: str, subject: str) -> Sequence[str]:
        """Returns what the parts know."""
        return [name for part in self.parts for name in part.subjects_of(prompt, subject)]


def _choose(total: int, count: int, seed: int) -> set[int]:
    if count >= total:
        return set(range(total))
    return set(random.Random(seed).sample(range(total), count))  # noqa: S311


def _digest(path: Path) -> str:
    digest = hashlib.blake2b(digest_size=8)
    try:
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    except OSError as error:
        raise InvalidInput(
            f"the corpus {path} cannot be read: {error.strerror}; expected a text file",
            field="corpus",
        ) from error
    return digest.hexdigest()
