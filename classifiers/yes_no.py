"""Yes-or-no questions made of clozes: "{} works as a" becomes "Does {} work as a {v}?". Pure."""

from __future__ import annotations

import re

VALUE = "{v}"  # The gap for what a claim says, as "{}" is that for its subject.
PAST = {
    "attended": "attend",
    "became": "become",
    "came": "come",
    "died": "die",
    "discovered": "discover",
    "established": "establish",
    "expired": "expire",
    "followed": "follow",
    "founded": "found",
    "grew": "grow",
    "hired": "hire",
    "invented": "invent",
    "joined": "join",
    "launched": "launch",
    "lost": "lose",
    "made": "make",
    "married": "marry",
    "met": "meet",
    "opened": "open",
    "passed": "pass",
    "produced": "produce",
    "published": "publish",
    "received": "receive",
    "recorded": "record",
    "spent": "spend",
    "started": "start",
    "studied": "study",
    "succumbed": "succumb",
    "took": "take",
    "visited": "visit",
    "went": "go",
    "wrote": "write",
}
PRESENT = {"has": "have", "does": "do", "goes": "go", "teaches": "teach", "studies": "study"}


def lower_first(text: str) -> str:
    """Returns a text without the capital of an opening function word; names keep theirs."""
    head = text.split(" ", 1)[0]
    return text[0].lower() + text[1:] if head in {"The", "In", "As", "On", "By", "A"} else text


def whether(cloze: str) -> str | None:
    """Returns a cloze's yes-or-no question with gaps for subject and value; None if unsure."""
    if not cloze or "," in cloze or cloze[-1] in ".:!?":
        return None
    ending = re.fullmatch(r"((?:The|\{\}'s) .+) (is|was)", cloze)
    if ending:
        return f"{ending[2].title()} {lower_first(ending[1])} {VALUE}?"
    opening = re.fullmatch(r"\{\} (\w+)( .+)?", cloze)
    if not opening:
        return None
    verb, rest = opening[1], opening[2] or ""
    if verb in {"is", "was", "are", "were", "can", "will"}:
        return f"{verb.title()} {{}}{rest} {VALUE}?"
    if verb in PAST:
        return f"Did {{}} {PAST[verb]}{rest} {VALUE}?"
    if verb in PRESENT or re.fullmatch(r"[a-z]+[^s]s", verb):
        return f"Does {{}} {PRESENT.get(verb, verb[:-1])}{rest} {VALUE}?"
    return None
