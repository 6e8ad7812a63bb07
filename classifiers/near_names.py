"""Finds real names that share words with a subject and mean somebody else.

Memories fill with them ("Dodge Charger" beside "Dodge Challenger", "Hamilton" in "Hamilton
Mountain"), and made-up ones ("Dodge Lovelace") are no match for them: training needs the real ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from random import Random
from typing import Any

from classifiers.mention import Text, find_subject, prepare, prepare_name
from classifiers.name_variants import slips
from classifiers.phrasebook import Phrasebook

WORD_TEXTS_MAX = 400  # A word of more texts than these says nothing: they are not looked at.
TRIED_MAX = 40


class NearTexts:
    """Texts by their words; finds those that hold a part of a name, and not the whole."""

    def __init__(self, texts: Iterable[str]) -> None:
        self._texts: list[Text] = [prepare(text) for text in dict.fromkeys(texts)]
        self._by_word: dict[str, list[int]] = {}
        for number, text in enumerate(self._texts):
            for word in set(text.folded):
                self._by_word.setdefault(word, []).append(number)
        self._by_start: dict[tuple[str, int], list[str]] = {}
        for word in self._by_word:
            self._by_start.setdefault((word[0], len(word)), []).append(word)

    def _one_slip_away(self, name: tuple[str, ...]) -> list[str]:
        """Returns the known words that one slip makes of a name of one word; else none."""
        if len(name) != 1:
            return []
        word = name[0]
        near = (
            other
            for length in (len(word) - 1, len(word), len(word) + 1)
            for other in self._by_start.get((word[0], length), ())
        )
        return [other for other in near if slips(word, other) == 1]

    def near(self, name: str, random: Random, count: int) -> list[str]:
        """Returns at most `count` texts in which a part of the name is mentioned."""
        wanted = prepare_name(name)
        numbers: set[int] = set()
        for word in {*wanted.folded, *self._one_slip_away(wanted.folded)}:
            held = self._by_word.get(word, [])
            numbers.update(held if len(held) <= WORD_TEXTS_MAX else [])
        tried = random.sample(sorted(numbers), min(TRIED_MAX, len(numbers)))
        found = []
        for number in tried:
            place = find_subject(self._texts[number], (wanted,))
            if place is not None and place.share < 1:
                found.append(self._texts[number].text)
                if len(found) == count:
                    break
        return found


def neighbour_names(records: Sequence[Mapping[str, Any]], book: Phrasebook) -> list[str]:
    """Returns whom CounterFact's neighbour prompts are about, where a phrasing gives it away."""
    by_phrase = book.relation_by_phrase()
    found = []
    for record in records:
        relation = by_phrase.get(record["prompt"].replace(record["subject"], "{}").strip())
        asked = record["locality_prompt"].strip()
        # The phrasing that leaves least to the name: "{}, who works as" before "{} works as".
        fitting = [
            name
            for before, after in (p.split("{}") for p in book.phrases.get(relation or "", ()))
            if (name := asked.removeprefix(before).removesuffix(after))
            and len(name) + len(before) + len(after) == len(asked)
        ]
        if fitting:
            found.append(min(fitting, key=len).strip())
    return found
