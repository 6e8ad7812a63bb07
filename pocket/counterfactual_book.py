"""New facts in the many relations of the router's phrasebook (classifiers/phrasebook.py).

Our own relations and the families of training records are some hundred; a user's edits are in any
relation. The phrasebook knows hundreds, in many wordings as people type them into a search box; the
weights that ship were trained when it knew 220, in 5,460 wordings.
Relations that it holds out for fitting and testing are held out here too, and so is one wording in
five of the others: what the model does with both is measured, not taught.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from random import Random

from classifiers.phrasebook import FIT, TEST, TRAIN, load_phrasebook
from pocket.counterfactual_forms import is_statement
from pocket.data import HERE
from pocket.in_context import ContextMaker, NewFact
from pocket.templates import is_question
from runtime.paths.forms import ASKS_WHETHER

ASKS = re.compile(r"(who|whom|whose|what|where|when|which|why|how)\b", re.IGNORECASE)
HELD_OUT = 5  # One wording in this many is never trained.


@dataclass(frozen=True)
class BookRelation:
    """One relation: its wordings with a gap `{}` for the subject, those held out, answers."""

    name: str
    phrasings: tuple[str, ...]
    held_out: tuple[str, ...]
    answers: tuple[str, ...]

    @property
    def stated(self) -> tuple[str, ...]:
        """Returns the wordings that state a fact when an answer follows."""
        return tuple(p for p in self.phrasings if is_statement(p))


def load_book(data: Path, *, trained: bool = True) -> tuple[BookRelation, ...]:
    """Reads the relations that are trained on, or those that are held out whole."""
    file = HERE / "relations.json"
    own = {
        entry["wikidata"]: name
        for name, entry in json.loads(file.read_text(encoding="utf-8")).items()
    }
    book = load_phrasebook(data, file)
    kept = book.only(TRAIN) if trained else book.only(FIT, TEST)
    found = []
    for key, phrases in kept.phrases.items():
        marked = [p for p in dict.fromkeys(map(with_mark, phrases)) if asks_for_a_value(p)]
        relation = BookRelation(
            name=own.get(key, key),
            phrasings=tuple(p for p in marked if not is_held_out(p)),
            held_out=tuple(p for p in marked if is_held_out(p)),
            answers=kept.answers.get(key, ()),
        )
        if len(relation.stated) > 1:
            found.append(relation)
    return tuple(found)


def with_mark(phrasing: str) -> str:
    """Returns what was typed into a search box with the mark of a question; others as they are."""
    searched = phrasing[:1].islower() or ASKS.match(phrasing)
    return f"{phrasing.rstrip(' .:')}?" if searched and "?" not in phrasing else phrasing


def asks_for_a_value(phrasing: str) -> bool:
    """Whether the subject's value is wanted, and no yes or no ("is {} male or female")."""
    return phrasing.count("{}") == 1 and not ASKS_WHETHER.match(phrasing)


def is_held_out(phrasing: str) -> bool:
    """Whether a wording is kept for measuring."""
    digest = hashlib.sha256(phrasing.encode("utf-8")).digest()
    return int.from_bytes(digest[:4], "big") % HELD_OUT == 0


def book_fact(book: tuple[BookRelation, ...], context: ContextMaker, random: Random) -> NewFact:
    """Draws a new fact in a relation of the book, about an invented or a known subject."""
    relation = random.choice(book)
    subject = context.pool.subject(random)
    if random.random() < 0.12:
        subject = random.choice(context.facts)["subject"]
    answers = relation.answers or tuple(context.objects.get(relation.name, ()))
    kind = bool(answers) and random.random() < 0.5
    target = random.choice(answers) if kind else context.pool.answer(random)
    asked = random.random() < 0.12
    stated = [p for p in relation.phrasings if is_question(p)] if asked else []
    used = random.choice(stated or relation.stated)
    return NewFact(subject, relation.name, relation.phrasings, used, target)
