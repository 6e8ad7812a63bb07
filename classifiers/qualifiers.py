"""Questions that one word tells apart: the monthly or the annual price, the head of which ward.

An edit may carry such a qualifier itself ("The head of cardiology at {} is"), which a query has to
share; where it carries none, one in the query ("the first head of {}") asks for something else.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from random import Random
from typing import Any

QUALIFIERS_FILE = Path(__file__).resolve().parent / "qualifiers.json"
BARE_TOLD_SHARE = 0.2  # Of edits in groups whose bare noun asks for something else.
OTHER_NOUN_SHARE, BARE_ASKED_SHARE = 0.25, 0.2  # Of what is out of scope of a qualified edit.
HARMLESS_SHARE, ALONE_SHARE = 0.25, 0.2
HOURS = ("8 am", "9:30", "noon", "4 pm", "10:15", "May 2", "14 June 2026", "every half hour")


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Words that tell a noun's things apart, and nouns they qualify; lists hold synonyms."""

    form: str  # Where the words stand: "before" the noun, "after" it, or the noun "of" them.
    answers: str  # What such an edit's target is: a "person", an "amount" or a "time".
    bare: bool  # Whether the noun alone asks for something else.
    alone: bool  # Whether it asks for the same.
    values: tuple[tuple[str, ...], ...]
    nouns: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Qualified:
    """What an edit says of a noun, with a qualifier or, where `value` is None, without."""

    group: Group
    noun: tuple[str, ...]
    value: tuple[str, ...] | None
    target: str

    def asked_loosely(self, random: Random) -> str:
        """Returns a phrase that asks for it, now and then by the noun alone where that will do."""
        if self.group.alone and random.random() < ALONE_SHARE:
            return _said(self.group, self.noun, None, random)
        return self.asked(random)

    def asked(self, random: Random) -> str:
        """Returns a phrase, with "{}" for the subject, that tells it or asks for it."""
        noun = self.noun
        if self.value is None and random.random() < HARMLESS_SHARE:
            noun = (f"{random.choice(_read()['harmless'])} {random.choice(noun)}",)
        return _said(self.group, noun, self.value, random)

    def other(self, random: Random) -> Qualified:
        """Returns what a query about the same subject may mean instead: mostly one word differs."""
        group, drawn = self.group, random.random()
        if self.value is not None and group.bare and drawn < BARE_ASKED_SHARE:
            return replace(self, value=None)
        if self.value is not None and drawn > 1 - OTHER_NOUN_SHARE:
            return replace(self, noun=random.choice([n for n in group.nouns if n != self.noun]))
        return replace(self, value=random.choice([v for v in group.values if v != self.value]))


def qualified(part: str, names: Sequence[str], random: Random) -> Qualified:
    """Draws what an edit says.

    `part` is a split, TRAIN, FIT or TEST of phrasebook.py; `names` are targets where people or the
    like are asked for.
    """
    group = random.choice(groups()[part])
    bare = group.bare and random.random() < BARE_TOLD_SHARE
    return Qualified(
        group=group,
        noun=random.choice(group.nouns),
        value=None if bare else random.choice(group.values),
        target=_answer(group.answers, names, random),
    )


def _said(
    group: Group, noun: tuple[str, ...], value: tuple[str, ...] | None, random: Random
) -> str:
    forms = forms_of("bare" if value is None else group.form)
    text = random.choice(forms).replace("{n}", random.choice(noun))
    if value is not None:
        chosen = random.choice(value)
        text = text.replace("{Q}", chosen[0].upper() + chosen[1:]).replace("{q}", chosen)
    return text[0].upper() + text[1:] if random.random() < 0.5 else text  # Gaps have no case.


def _answer(kind: str, names: Sequence[str], random: Random) -> str:
    if kind == "time":
        return random.choice(HOURS)
    if kind == "amount" and random.random() < 0.8:
        number = random.choice((random.randint(2, 99), random.randint(100, 90_000)))
        return random.choice(("{}", "${}", "{} kg", "{} hours", "{} euros", "{}%")).format(number)
    return random.choice(names)


@lru_cache(maxsize=1)
def groups() -> dict[str, tuple[Group, ...]]:
    """Returns the groups by the split of relations (phrasebook.py) that they belong to."""
    found: dict[str, list[Group]] = {}
    for entry in _read()["groups"]:
        group = Group(
            form=entry["form"], answers=entry["answers"],
            bare=entry["bare"], alone=entry.get("alone", False),
            values=_synonyms(entry["values"]), nouns=_synonyms(entry["nouns"]),
        )  # fmt: skip
        found.setdefault(entry.get("part", "train"), []).append(group)
    return {part: tuple(listed) for part, listed in found.items()}


def forms_of(name: str) -> tuple[str, ...]:
    """Returns the forms of sentences with a qualifier "before", "after", "of" a noun, or "bare"."""
    read = _read()
    return tuple(read["bare_forms"] if name == "bare" else read["forms"][name])


def _synonyms(listed: Sequence[str | list[str]]) -> tuple[tuple[str, ...], ...]:
    return tuple((one,) if isinstance(one, str) else tuple(one) for one in listed)


@lru_cache(maxsize=1)
def _read() -> Any:
    return json.loads(QUALIFIERS_FILE.read_text(encoding="utf-8"))
