"""Makes other forms of a name, for training: those of name_variants.py, and some that it misses."""

from __future__ import annotations

import re
from random import Random

from classifiers.name_variants import LETTERS_A_SLIP_ALONE, LETTERS_MIN, NUMERALS, fold_word
from classifiers.nicknames import NAMES_MEANT, SHORT_FORMS

_MIDDLE = (
    "James", "Maria", "Lee", "Anne", "Wilhelm", "Jean", "Marie", "John", "Ray", "Louise", "Karl",
    "Grace", "Antonio", "Mae", "Charles", "Ivanovich", "Elizabeth", "Kumar", "Henry", "Rose",
)  # fmt: skip
_TITLES_GIVEN = (
    "Sir", "Dr.", "Captain", "Lord", "Mr.", "Mrs.", "Professor", "Don", "Hon.", "Reverend",
    "Lieutenant", "General", "Colonel", "Rev.", "Lt.", "Senator",
)  # fmt: skip
_SPELLED = (("ks", "x"), ("y", "i"), ("k", "c"), ("ph", "f"), ("v", "w"), ("j", "y"), ("tt", "t"))


def vary_name(name: str, random: Random, *, person: bool) -> str | None:
    """Returns another form of a name, as people and registers use them; None if none comes up."""
    words = name.split()
    if any(mark in name for mark in '(),:"') or not all(word[0].isupper() for word in words):
        return None
    made: str | None
    if person and 2 <= len(words) <= 4:
        made = _person(words, random)
    elif words[0] == "The":
        made = " ".join(words[1:])
    elif joined := _joined_otherwise(name, random):
        made = joined
    else:
        made = _slipped(words[0], random) if len(words) == 1 else None
        if made and len(made) > 2 * LETTERS_A_SLIP_ALONE and random.random() < 0.4:
            made = _slipped(made, random)
    return made if made and made.casefold() != name.casefold() else None


def _person(words: list[str], random: Random) -> str:
    first, *middle, last = words
    forms = [
        f"{random.choice(_TITLES_GIVEN)} {' '.join(words)}",
        f"{last}, {' '.join([first, *middle])}",
        f"{last} {' '.join([first, *middle])}",
        " ".join([f"{first[0]}.", *middle, last]),
        " ".join([_respelled(first, random), *middle, last]),
        " ".join([first, *middle, _respelled(last, random)]),
    ]
    if middle:
        dotted = [f"{word[0]}." for word in middle]
        # The two that registers and encyclopedias differ in most come up most.
        forms += [f"{first} {last}"] * 3 + [" ".join([first, *dotted, last])] * 2
    else:
        initial, mark = random.choice("ABCDEGHJLMPRSTW"), random.choice((".", ""))
        forms += [f"{first} {initial}{mark} {last}"] * 3
        forms += [f"{first} {random.choice(_MIDDLE)} {last}"] * 3
    if "-" in last:
        forms += [" ".join([first, *middle, part]) for part in last.split("-")]
    initials = [word[0] for word in (first, *middle)]
    forms += [f"{last} {''.join(initials)}"] if first[0].casefold() not in NUMERALS else []
    forms += [f"{''.join(initials)} {last}"] if len(initials) > 1 else []
    forms += [" ".join([short, *middle, last]) for short in _other_given(first)] * 2
    whole = " ".join(words)
    forms += [other for other in (_joined_otherwise(whole, random), unaccented(whole)) if other] * 3
    return random.choice(forms)


def unaccented(name: str) -> str | None:
    """Returns the name as a keyboard without accents writes it; None where that is the same."""
    plain = "".join(
        fold_word(letter).capitalize() if letter.isupper() else fold_word(letter) for letter in name
    )
    return plain if plain != name else None


def _other_given(first: str) -> list[str]:
    """Returns a short form of a given name, or what it is short for, where one is known."""
    folded = fold_word(first)
    known = {*SHORT_FORMS.get(folded, ()), *NAMES_MEANT.get(folded, ())} - {folded}
    return [name.capitalize() for name in sorted(known)][:3]


def _joined_otherwise(name: str, random: Random) -> str | None:
    """Returns the name with a hyphen left out or parted, or a number joined or parted."""
    forms = [name.replace("-", "", 1), name.replace("-", " ", 1)] if "-" in name else []
    number = re.search(r"(?<=[^\W\d_])[ -]?(?=\d)", name)
    if number:
        at, end = number.span()
        forms += [name[:at] + mark + name[end:] for mark in ("", " ", "-")]
    forms = [form for form in forms if form != name]
    return random.choice(forms) if forms else None


def _slipped(word: str, random: Random) -> str | None:
    """Returns the word with two letters swapped, or one dropped or doubled, but for its first."""
    if len(word) <= LETTERS_MIN or not word.isalpha():
        return None
    at = random.randrange(1, len(word) - 1)
    swapped = f"{word[:at]}{word[at + 1]}{word[at]}{word[at + 2 :]}"
    return random.choice((swapped, word[:at] + word[at + 1 :], word[: at + 1] + word[at:]))


def _respelled(word: str, random: Random) -> str:
    """Returns the word with one sound written otherwise, where it has one of those known."""
    known = [pair for pair in _SPELLED if pair[0] in word[1:]]
    if not known:
        return word
    sound, other = random.choice(known)
    return word[0] + word[1:].replace(sound, other, 1)
