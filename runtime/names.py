"""Which names stand in a turn of a chat: edited subjects, and capitalised names besides. Text only.

A name that no edit knows matters as much as one that does: a pronoun that stands for it must not be
read as an older, edited subject. Function words at the head of a sentence, days, months, languages
and nationalities are no names unless an edit is about them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from memory.contracts import Mention


def word_set(text: str) -> frozenset[str]:
    """Returns the words of a text as a set."""
    return frozenset(text.split())


_WORD = re.compile(r"\w+(?:[-.&]\w+)*(?:['\u2019](?!s\b|re\b|ll\b|d\b|ve\b|m\b|t\b)\w+)*")
_SENTENCE_END = re.compile(r"[.!?:;]['\")\u201d\u2019]*\s+[\"'(\u201c\u2018]?$|\n\s*$")
_JOINERS = word_set("of the de la le du del della di da von van der den al bin ibn y e")
# Capitalised only because a sentence begins with them.
_OPENERS = word_set(
    """a about after again all also although am an and another any are as ask at be because before
    being both but by can compare could describe did do does done each either else even every
    everyone explain finally find first for from further give good great had has have he hello her
    here hers hey hi his how however i if in indeed into is it its just last later lately let list
    maybe me mention might mine more most much must my name neither never next no nobody none nope
    nor not nothing now of oh ok okay on once one only or other our perhaps please quite really
    right say see shall she should show since so some somebody someone something sorry still such
    suppose sure tell than thank thanks that the their them then there therefore these they thing
    think this those though thus to today tomorrow too under unfortunately until up us very was we
    well were what whatever when where whether which while who whom whose why will with without
    would write yeah yep yes yesterday yet you your"""
)
_TITLES = word_set("i mr mrs ms dr prof sir dame ceo cfo cto coo")  # Before names, not of them.
_ELIDED = re.compile(r"[dl]['\u2019][A-Z]")  # "d'Ornano"
_NEVER_NAMES = word_set(
    """monday tuesday wednesday thursday friday saturday sunday january february march april may
    june july august september october november december english french german spanish italian
    portuguese dutch danish swedish norwegian finnish icelandic russian ukrainian polish czech
    slovak hungarian romanian bulgarian serbian croatian greek turkish arabic hebrew persian hindi
    urdu bengali tamil telugu marathi chinese mandarin cantonese japanese korean vietnamese thai
    indonesian malay swahili latin irish welsh scottish catalan basque american british canadian
    australian indian brazilian mexican african european asian austrian swiss belgian estonian
    latvian lithuanian georgian armenian israeli egyptian argentine argentinian chilean
    catholic protestant christian muslim jewish buddhist hindu christianity islam judaism buddhism
    hinduism catholicism"""
)


FindKnown = Callable[[str], Sequence[Mention]]  # Finds the subjects of edits in a text.


@dataclass(frozen=True, slots=True, kw_only=True)
class Name:
    """A name as it stands in a text."""

    start: int
    end: int
    text: str
    keys: frozenset[int] = field(default_factory=frozenset)  # Of the edits about it; often none.


def names_in(text: str, find_known: FindKnown) -> list[Name]:
    """Returns the names in a text, in their order, none inside another.

    Where a known subject and a capitalised name overlap, the longer one counts ("York" in "New York
    Times" is not meant), except for a word that only heads the sentence.
    """
    known: dict[tuple[int, int], set[int]] = {}
    for found in find_known(text):
        if not found.covered:
            known.setdefault((found.start, found.end), set()).add(found.key)
    names = [
        Name(start=start, end=end, text=text[start:end], keys=frozenset(keys))
        for (start, end), keys in known.items()
    ]
    for start, end, heads in _capitalised(text):
        inside = [name for name in names if name.start < end and start < name.end]
        if any(name.start <= start and end <= name.end for name in inside):
            continue
        if heads and any(name.end == end and name.start > start for name in inside):
            continue  # "Compare Paris": the sentence's own first word.
        names = [name for name in names if name not in inside]
        names.append(Name(start=start, end=end, text=text[start:end]))
    return sorted(names, key=lambda name: name.start)


def _capitalised(text: str) -> list[tuple[int, int, bool]]:
    """Returns runs of capitalised words: start, end, and whether a sentence begins there."""
    if text.isupper():
        return []
    runs: list[tuple[int, int, bool]] = []
    start = end = -1
    heads = False
    pending = -1  # Joiners since the run's last capitalised word: the end before them.
    for word in _WORD.finditer(text):
        token, gap = word.group(), text[end if pending < 0 else pending : word.start()]
        adjoins = end >= 0 and (gap == " " or (gap == ". " and _abbreviates(text[start:end])))
        if adjoins and token.casefold() in _JOINERS and not token[0].isupper():
            pending = word.end()
            continue
        if adjoins and (_is_capitalised(token) or token.isdigit()):
            end, pending = word.end(), -1
            continue
        if end >= 0:
            runs.append((start, end, heads))
        start, end, pending, heads = -1, -1, -1, _heads_sentence(text, word.start())
        opens = heads and token.casefold() in _OPENERS
        if _is_capitalised(token) and not opens:
            start, end = word.start(), word.end()
    if end >= 0:
        runs.append((start, end, heads))
    return [run for run in runs if text[run[0] : run[1]].casefold() not in _NEVER_NAMES]


def _is_capitalised(token: str) -> bool:
    begins = token[0].isupper() or bool(_ELIDED.match(token))
    return begins and token.casefold() not in _TITLES


def _abbreviates(name: str) -> bool:
    """Whether a full stop after the name so far is part of it: "J. R. R. Tolkien", "St. Louis"."""
    last = name.rpartition(" ")[2]
    return len(last) == 1 or last in ("St", "Mt", "Ft")


def _heads_sentence(text: str, place: int) -> bool:
    before = text[max(0, place - 8) : place]
    heads = place <= 8 and not before.strip("\"'(\u201c\u2018 ")
    return heads or bool(_SENTENCE_END.search(before))
