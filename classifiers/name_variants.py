"""Other forms of one name: with or without middle names, initials, another spelling, a title.

"S. Manley" and "Sharon Ann Manley" may be Sharon Manley; "Sharon Stone" is not, and "George H. W.
Bush" is not George W. Bush; of a name of one word, a slip of the finger or two make such a form.
`variant_span` finds one in a text, `vary_name` makes one for training. That two forms agree does
not prove that one person is meant: how likely it is, is for the classifier to learn.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise
from random import Random

SLIPS_MAX = 4  # So many and more make another word.
JOINERS = frozenset({"of", "the", "and", "de", "la", "von", "van", "di", "da", "del", "in"})
TITLES = frozenset(
    {
        "mr", "mrs", "ms", "miss", "dr", "prof", "professor", "sir", "dame", "lord", "lady", "hon",
        "rev", "reverend", "captain", "major", "colonel", "general", "admiral", "president",
        "senator", "governor", "judge", "count", "baron", "don", "sheikh", "coach", "bishop",
    }
)  # fmt: skip
INSERTED_MAX = 2  # Middle names that a form may have and the name has not.
SAME_LETTERS_MIN = 3  # One end of the name, at least, stands there letter by letter, so long.
_LETTERS_A_SLIP, _LETTERS_MIN = 4, 5  # Of a word in another spelling: one slip in so many letters.
_LETTERS_A_SLIP_ALONE = 5  # The same of a name of one word, which no other word confirms.
_BETWEEN = re.compile(r"[\s.\-'\u2019]*")
_REVERSED = re.compile(r",\s*")
_MIDDLE = (
    "James", "Maria", "Lee", "Anne", "Wilhelm", "Jean", "Marie", "John", "Ray", "Louise", "Karl",
    "Grace", "Antonio", "Mae", "Charles", "Ivanovich", "Elizabeth", "Kumar", "Henry", "Rose",
)  # fmt: skip
_TITLES_GIVEN = ("Sir", "Dr.", "Captain", "Lord", "Mr.", "Mrs.", "Professor", "Don", "Hon.")
_SPELLED = (("ks", "x"), ("y", "i"), ("k", "c"), ("ph", "f"), ("v", "w"), ("j", "y"), ("tt", "t"))


def slips(one: str, other: str) -> int:
    """Returns how many letters are swapped, dropped, added or changed between two words, capped.

    The optimal string alignment distance, Boytsov 2011 (ACM JEA 16), section 2.1.
    """
    if abs(len(one) - len(other)) >= SLIPS_MAX:
        return SLIPS_MAX
    before: list[int] = []
    row = list(range(len(other) + 1))
    for at, letter in enumerate(one, start=1):
        before, last, row = row, before, [at]
        for place, against in enumerate(other, start=1):
            cost = min(before[place] + 1, row[-1] + 1, before[place - 1] + (letter != against))
            if min(at, place) > 1 and letter == other[place - 2] and one[at - 2] == against:
                cost = min(cost, last[place - 2] + 1)
            row.append(cost)
    return min(row[-1], SLIPS_MAX)


def variant_span(
    text: str, words: Sequence[tuple[int, int]], folded: Sequence[str], name: Sequence[str]
) -> tuple[int, int] | None:
    """Returns the first and last word, as indexes, of the last form of `name` in a text, or None.

    `words` are the text's words as character offsets, `folded` the same casefolded; `name` holds
    the name's words, casefolded. Its first and its last word must stand there, one of them letter
    by letter; between them only words of the name or, where the name has no middle, new ones. Of a
    name of one word, a word is found that one slip makes of it, or two in ten letters.
    """
    content = [word for word in name if word not in JOINERS]
    if len(content) < 2:
        return _one_word_span(folded, content)
    ends = content[0], content[-1]
    if ends[0] not in folded and ends[1] not in folded:
        return None  # The quick way out, for most.
    longest = max(len(name), 2 + INSERTED_MAX)
    for last in range(len(folded) - 1, 0, -1):
        if _is_reversed(text, words, folded, ends, last):
            return last - 1, last
        if not _same(folded[last], ends[1], initials=False):
            continue
        for first in range(last - 1, max(-1, last - longest - 1), -1):
            if (
                _same(folded[first], ends[0])
                and _stands(folded, ends, first, last)
                and _agree(text, words[first : last + 1], folded[first : last + 1], content[1:-1])
            ):
                return first, last
    return None


def _one_word_span(folded: Sequence[str], content: Sequence[str]) -> tuple[int, int] | None:
    """Returns where a name of one word stands in another spelling, or None."""
    for place in range(len(folded) - 1, -1, -1):
        if any(_is_misspelled(folded[place], word) for word in content):
            return place, place
    return None


def _is_misspelled(one: str, word: str) -> bool:
    return (
        one != word
        and one[0] == word[0]
        and min(len(one), len(word)) >= _LETTERS_MIN
        and one.isalpha()
        and word.isalpha()
        and slips(one, word) * _LETTERS_A_SLIP_ALONE <= min(len(one), len(word))
    )


def _stands(folded: Sequence[str], ends: tuple[str, str], first: int, last: int) -> bool:
    return any(
        folded[at] == end and len(end) >= SAME_LETTERS_MIN
        for at, end in zip((first, last), ends, strict=True)
    )


def _is_reversed(
    text: str, words: Sequence[tuple[int, int]], folded: Sequence[str], ends: tuple[str, str],
    last: int,
) -> bool:  # fmt: skip
    """Whether "Manley, Sharon" ends at the word `last`."""
    return (folded[last], folded[last - 1]) == ends and bool(
        _REVERSED.fullmatch(text, words[last - 1][1], words[last][0])
    )


def _agree(
    text: str, words: Sequence[tuple[int, int]], folded: Sequence[str], middle: Sequence[str]
) -> bool:
    """Whether what stands between the first and the last of `words` goes with a name's middle."""
    if any(not _BETWEEN.fullmatch(text, one[1], other[0]) for one, other in pairwise(words)):
        return False
    given = [at for at in range(1, len(words) - 1) if folded[at] not in JOINERS - {"and"}]
    if middle:
        return all(any(_same(folded[at], word) for word in middle) for at in given)
    return len(given) <= INSERTED_MAX and all(text[words[at][0]].isupper() for at in given)


def _same(one: str, other: str, *, initials: bool = True) -> bool:
    """Whether two words may be one: equal, an initial of the other, or spelled a little otherwise.

    A number is no other spelling of another number. At a name's end an initial may be a possessive
    "s" or a Roman numeral, so there it is none.
    """
    if one == other:
        return True
    if one[0] != other[0] or not (one.isalpha() and other.isalpha()):
        return False
    length = min(len(one), len(other))
    if length == 1:
        return initials
    return length >= _LETTERS_MIN and slips(one, other) * _LETTERS_A_SLIP <= length


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
    else:
        made = _slipped(words[0], random) if len(words) == 1 else None
        if made and len(made) > 2 * _LETTERS_A_SLIP_ALONE and random.random() < 0.4:
            made = _slipped(made, random)
    return made if made and made.casefold() != name.casefold() else None


def _person(words: list[str], random: Random) -> str:
    first, *middle, last = words
    forms = [
        f"{random.choice(_TITLES_GIVEN)} {' '.join(words)}",
        f"{last}, {' '.join([first, *middle])}",
        " ".join([f"{first[0]}.", *middle, last]),
        " ".join([_respelled(first, random), *middle, last]),
        " ".join([first, *middle, _respelled(last, random)]),
    ]
    if middle:
        initials = [f"{word[0]}." for word in middle]
        # The two that registers and encyclopedias differ in most come up most.
        forms += [f"{first} {last}"] * 3 + [" ".join([first, *initials, last])] * 2
    else:
        initial, mark = random.choice("ABCDEGHJLMPRSTW"), random.choice((".", ""))
        forms += [f"{first} {initial}{mark} {last}"] * 3
        forms += [f"{first} {random.choice(_MIDDLE)} {last}"] * 3
    if "-" in last:
        forms += [" ".join([first, *middle, part]) for part in last.split("-")]
    return random.choice(forms)


def _slipped(word: str, random: Random) -> str | None:
    """Returns the word with two letters swapped, or one dropped or doubled, but for its first."""
    if len(word) <= _LETTERS_MIN or not word.isalpha():
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
