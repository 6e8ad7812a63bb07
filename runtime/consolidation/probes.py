"""The questions that an edition is asked before it may answer anybody, built from its edits.

What the editor was given and what it is asked are kept apart: of the phrasings that the book knows
for an edit, the even places go to the editor and the odd ones to the gate. What the editor was told
to leave as it is is asked as well, as probes of their own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from memory.conflicts import normalise
from runtime.consolidation.contract import Fact
from runtime.consolidation.contrasts import for_the_gate
from runtime.consolidation.phrasebook import PhraseBook
from runtime.consolidation.spec import ProbeSettings

GIVEN_MAX = 3  # Phrasings of the book that an editor gets for each edit.
CHATTER = (
    "It was a quiet morning in the office. ",
    "The second chapter begins where the first one ended. ",
    "Most of the guests had already left. ",
)
ABOUT = ("{} is known for", "Yesterday {} went to", "The opinion of {} about")


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One probe of an edit: a prompt, and the target that it should get (or should not)."""

    fact: int  # Place among the edits.
    prompt: str
    ships: bool = False  # The book has the answer, of the prompt's own subject.


@dataclass(frozen=True, slots=True, kw_only=True)
class Probes:
    """All probes of a gate."""

    paraphrases: tuple[Asked, ...]
    neighbours: tuple[Asked, ...]
    same_subject: tuple[Asked, ...]
    texts: tuple[str, ...]
    told: tuple[str, ...] = ()  # Prompts that the editor was told to leave as they are.


def given_paraphrases(book: PhraseBook, subject: str, prompt: str) -> list[str]:
    """Returns the phrasings of the book that an editor may learn from."""
    return book.paraphrases(subject, prompt)[0::2][:GIVEN_MAX]


def build_probes(
    facts: Sequence[Fact],
    book: PhraseBook,
    texts: Sequence[str],
    settings: ProbeSettings,
    told: Sequence[str] = (),
) -> Probes:
    """Returns the probes, the same for the same arguments.

    `texts` is running text to draw from; `told` is what the editor was told to leave as it is.
    """
    edited = {normalise(fact.subject) for fact in facts}
    least = -(-settings.per_kind_min // max(1, len(facts)))
    asked_of_each = (
        settings.paraphrases,
        max(settings.neighbours, least),
        max(settings.same_subject, least),
    )
    counts = [
        max(1, min(each, settings.per_kind_max // max(1, len(facts)))) for each in asked_of_each
    ]
    paraphrases, neighbours, same = [], [], []
    for place, fact in enumerate(facts):
        random = Random(f"{settings.seed} {fact.edit_id}")  # noqa: S311  # Probes, no secrets.
        asked = _paraphrases(fact, book, random, counts[0])
        paraphrases += [Asked(fact=place, prompt=prompt) for prompt in asked]
        asked = _neighbours(fact, facts, book, random, edited)[: counts[1]]
        neighbours += [Asked(fact=place, prompt=prompt) for prompt in asked]
        others = _same_subject(fact, facts, book, random)[: counts[2]]
        same += [Asked(fact=place, prompt=prompt, ships=ships) for prompt, ships in others]
    return Probes(
        paraphrases=tuple(paraphrases[: settings.per_kind_max]),
        neighbours=tuple(neighbours[: settings.per_kind_max]),
        same_subject=tuple(same[: settings.per_kind_max]),
        texts=tuple(_apart(texts, edited)[: settings.texts]),
        told=_told(told, settings),
    )


def _told(told: Sequence[str], settings: ProbeSettings) -> tuple[str, ...]:
    """A sample of the prompts, each once, in their order."""
    listed = list(dict.fromkeys(told))
    random = Random(f"{settings.seed} told")  # noqa: S311
    chosen = random.sample(range(len(listed)), min(settings.per_kind_max, len(listed)))
    return tuple(listed[place] for place in sorted(chosen))


def _paraphrases(fact: Fact, book: PhraseBook, random: Random, count: int) -> list[str]:
    """Held-out phrasings, then the prompt after sentences that have nothing to do with it."""
    held_out = [
        text
        for text in book.paraphrases(fact.subject, fact.prompt)[1::2]
        if text not in fact.paraphrases
    ]
    random.shuffle(held_out)
    chatter = random.sample(CHATTER, len(CHATTER))
    return [*held_out[: max(1, count - 1)], *(text + fact.prompt for text in chatter)][:count]


def _neighbours(
    fact: Fact, facts: Sequence[Fact], book: PhraseBook, random: Random, edited: set[str]
) -> list[str]:
    """The same prompt with other subjects, none of them edited."""
    known = list(book.neighbours(fact.subject, fact.prompt))
    if not known:
        known = [subject for one in book.relations for subject in one.subjects]
    random.shuffle(known)
    subjects = [subject for subject in known if normalise(subject) not in edited]
    subjects = [subject for subject in subjects if for_the_gate(subject)] or subjects
    if not subjects:  # Nothing ships for this language or field: swap the edits' own subjects.
        own = {one.subject for one in facts if one.prompt != fact.prompt} - {fact.subject}
        asked = {normalise(one.prompt) for one in facts}
        swapped = [fact.prompt.replace(fact.subject, subject) for subject in sorted(own)]
        return [prompt for prompt in swapped if normalise(prompt) not in asked]
    return [fact.prompt.replace(fact.subject, subject) for subject in subjects]


def _same_subject(
    fact: Fact, facts: Sequence[Fact], book: PhraseBook, random: Random
) -> list[tuple[str, bool]]:
    """Other prompts about the subject, none of them edited, and whether the answer ships.

    Those with an answer that ships come first.
    """
    edited = {normalise(one.prompt) for one in facts}
    known = list(book.other_prompts(fact.subject, fact.prompt).items())
    known = known or [(form.format(fact.subject), False) for form in ABOUT]
    random.shuffle(known)
    known.sort(key=lambda one: not one[1])
    return [one for one in known if normalise(one[0]) not in edited]


def _apart(texts: Sequence[str], edited: set[str]) -> list[str]:
    """The texts that speak of no edited subject: what an edit changes in them is no damage.

    Those alone that no editor sees, where there are any.
    """
    apart = [text for text in texts if not any(name in normalise(text) for name in edited)]
    return [text for text in apart if for_the_gate(text)] or apart
