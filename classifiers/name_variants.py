"""Other forms of one name: with or without middle names, initials, a title, another spelling.

"S. Manley", "Manley S" and "Sharon Ann Manley" may be Sharon Manley, as "Pete Wright" may be Peter
Wright and "Qinying Yao" Qin-Ying Yao; "Sharon Stone" is not, and "George H. W. Bush" is not George
W. Bush; of a name of one word, a slip of the finger or two make such a form. `variant_span` finds
one in a text; name_making.py makes them for training. That two forms agree does not prove that one
person is meant: how likely it is, is for the classifier to learn.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from itertools import pairwise

from classifiers.nicknames import NAMES_MEANT

SLIPS_MAX = 4  # So many and more make another word.
SLIPPED_LETTERS_MAX = 40
JOINERS = frozenset({"of", "the", "and", "de", "la", "von", "van", "di", "da", "del", "in"})
# These stand also in lower case, and before a dot.
ABBREVIATED = frozenset(
    {"mr", "mrs", "ms", "dr", "prof", "hon", "rev", "capt", "col", "gen", "lt", "sgt", "maj"}
)
# Part of a name for some, never what tells two people apart.
TITLES = frozenset(
    {
        "mr", "mrs", "ms", "miss", "dr", "prof", "professor", "sir", "dame", "lord", "lady", "hon",
        "rev", "reverend", "captain", "capt", "major", "maj", "colonel", "col", "general", "gen",
        "lieutenant", "lt", "sergeant", "sgt", "commander", "brigadier", "marshal", "admiral",
        "president", "senator", "governor", "judge", "justice", "count", "baron", "don", "sheikh",
        "coach", "bishop", "archbishop", "cardinal", "rabbi", "pastor", "king", "queen", "prince",
        "princess",
    }
)  # fmt: skip
# Names of things begin with the others, too: "General Motors Company", "Prince Edward Island".
_OF_PEOPLE = frozenset(
    {
        "mr", "mrs", "ms", "dr", "prof", "professor", "sir", "dame", "hon", "rev", "reverend",
        "colonel", "lieutenant", "sergeant", "admiral", "senator", "governor", "bishop",
        "archbishop", "baron", "sheikh",
    }
)  # fmt: skip
INSERTED_MAX = 2  # Middle names that a form may have and the name has not.
SAME_LETTERS_MIN = 3  # One end of the name, at least, stands there letter by letter, so long.
_LETTERS_A_SLIP, LETTERS_MIN = 4, 5  # Of a word in another spelling: one slip in so many letters.
LETTERS_A_SLIP_ALONE = 5  # The same of a name of one word, which no other word confirms.
_BETWEEN = re.compile(r"[\s.\-'\u2019]*")
_REORDERED = re.compile(r",?\s*-?")
NUMERALS = frozenset("ivxlcdm")
_LISTED_MAX = 4  # Initials that stand together: "Tolkien JRR".
# Letters of a name that is found however its words are joined or parted; how much it is parted.
_JOINED_MIN, _JOINED_MAX, _PARTED_MAX = 5, 64, 3
# Letters that no decomposition takes apart.
_PLAIN = str.maketrans(
    {"\u00f8": "o", "\u0142": "l", "\u0111": "d", "\u00f0": "d", "\u0131": "i", "\u00e6": "ae",
     "\u0153": "oe", "\u00fe": "th"}
)  # fmt: skip
_AFTER_GREEK = "\u0400"
_UMLAUT = re.compile("(?<=[aou])e")


def fold_word(word: str) -> str:
    """Returns a word without case and accents, which keyboards lack: "jose" of "Jos\u00e9"."""
    folded = word.casefold()
    if folded.isascii():
        return folded
    kept, is_latin = [], False
    for letter in unicodedata.normalize("NFKD", folded.translate(_PLAIN)):
        if not unicodedata.combining(letter):
            is_latin = letter < _AFTER_GREEK
        elif is_latin:
            continue  # An accent; in other scripts a mark makes another letter.
        kept.append(letter)
    return unicodedata.normalize("NFC", "".join(kept))


def slips(one: str, other: str) -> int:
    """Returns how many letters are swapped, dropped, added or changed between two words, capped.

    The optimal string alignment distance, Boytsov 2011 (ACM JEA 16), section 2.1. Words of more
    than SLIPPED_LETTERS_MAX letters are the same or others: the work grows with the square.
    """
    if one == other:
        return 0
    longest = max(len(one), len(other))
    if longest > SLIPPED_LETTERS_MAX or abs(len(one) - len(other)) >= SLIPS_MAX:
        return SLIPS_MAX
    before: list[int] = []
    row = list(range(len(other) + 1))
    for at, letter in enumerate(one, start=1):
        if at > SLIPS_MAX and min(row) >= SLIPS_MAX:  # It only grows from here on.
            return SLIPS_MAX
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

    `words` are the text's words as character offsets, `folded` the same by `fold_word`; `name`
    holds the name's words, folded. Its first and its last word must stand there, one of them letter
    by letter; between them only words of the name or, where the name has no middle, new ones. Or
    its letters stand there with other blanks, or its family name with all initials ("Lee AB"). Of a
    name of one word, a word is found that one slip makes of it, or two in ten letters.
    """
    name = untitled(name)
    content = [word for word in name if word not in JOINERS]
    if len(content) < 2:
        return _one_word_span(folded, content) or _joined_span(text, words, folded, name)
    ends = {short_vowels(content[0]), short_vowels(content[-1])}
    if not ends.isdisjoint(map(short_vowels, folded)):  # Of most candidates neither is there.
        found = _form_span(text, words, folded, name, content)
        found = found or _listed_span(text, words, folded, name)
        if found:
            return found
    return _joined_span(text, words, folded, name)


def _form_span(
    text: str, words: Sequence[tuple[int, int]], folded: Sequence[str], name: Sequence[str],
    content: Sequence[str],
) -> tuple[int, int] | None:  # fmt: skip
    """Returns the last form that holds the name's ends, in either order, or None."""
    ends = content[0], content[-1]
    longest = max(len(name), 2 + INSERTED_MAX)
    for last in range(len(folded) - 1, 0, -1):
        first = last - len(content) + 1
        if first >= 0 and _is_reordered(
            text, words[first : last + 1], folded[first : last + 1], content
        ):
            return first, last
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


def untitled(name: Sequence[str]) -> Sequence[str]:
    """Returns a name's folded words without the titles before it, where two words are left."""
    while len(name) > 2 and name[0] in _OF_PEOPLE:
        name = name[1:]
    return name


def _listed_span(
    text: str, words: Sequence[tuple[int, int]], folded: Sequence[str], name: Sequence[str]
) -> tuple[int, int] | None:
    """Returns where the family name stands with all initials beside it, as registers list it.

    "Tolkien JRR", "JRR Tolkien" or "Tolkien, J. R. R.", in capitals; a lone initial stands after
    the name and is no Roman numeral.
    """
    for given in range(len(name) - 1, 0, -1):
        initials = "".join(word[0] for word in name[:given])
        family = tuple(name[given:])
        if len(initials) > _LISTED_MAX or initials in NUMERALS:
            continue
        for first in range(len(folded) - len(family), -1, -1):
            last = first + len(family) - 1
            if tuple(folded[first : last + 1]) != family:
                continue
            if first and given > 1 and _are_capitals(text, words[first - 1], initials):
                return first - 1, last
            for end in range(last + 1, min(len(folded), last + 1 + _LISTED_MAX)):
                spelled = "".join(folded[last + 1 : end + 1])
                if spelled == initials and all(
                    text[start:stop].isupper() for start, stop in words[last + 1 : end + 1]
                ):
                    return first, end
    return None


def _are_capitals(text: str, word: tuple[int, int], initials: str) -> bool:
    found = text[word[0] : word[1]]
    return found.isupper() and fold_word(found) == initials


def _joined_span(
    text: str, words: Sequence[tuple[int, int]], folded: Sequence[str], name: Sequence[str]
) -> tuple[int, int] | None:
    """Returns where the name's letters stand with other blanks or hyphens ("X-200", "X200")."""
    letters = "".join(name)
    if not _JOINED_MIN <= len(letters) <= _JOINED_MAX:
        return None
    for first in range(len(folded) - 1, -1, -1):
        spelled, last = folded[first], first
        if not letters.startswith(spelled):
            continue
        while len(spelled) < len(letters) and last + 1 < len(folded):
            more = spelled + folded[last + 1]
            apart = not _BETWEEN.fullmatch(text, words[last][1], words[last + 1][0])
            if apart or not letters.startswith(more) or last - first >= len(name) + _PARTED_MAX:
                break
            last, spelled = last + 1, more
        if spelled == letters and last - first + 1 != len(name):
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
        and min(len(one), len(word)) >= LETTERS_MIN
        and one.isalpha()
        and word.isalpha()
        and slips(one, word) * LETTERS_A_SLIP_ALONE <= min(len(one), len(word))
    )


def _stands(folded: Sequence[str], ends: tuple[str, str], first: int, last: int) -> bool:
    return any(
        len(end) >= SAME_LETTERS_MIN and _UMLAUT.sub("", folded[at]) == _UMLAUT.sub("", end)
        for at, end in zip((first, last), ends, strict=True)
    )


def _is_reordered(
    text: str, words: Sequence[tuple[int, int]], folded: Sequence[str], content: Sequence[str]
) -> bool:
    """Whether the name's words stand there in another order: "Manley, Sharon", "Orban Viktor"."""
    return (
        folded[0] != content[0]
        and sorted(folded) == sorted(content)
        and all(_REORDERED.fullmatch(text, one[1], other[0]) for one, other in pairwise(words))
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
    """Whether two words may be one: equal, an initial, a short form, or spelled a little otherwise.

    A number is no other spelling of another number. At a name's end an initial may be a possessive
    "s" or a Roman numeral, so there it is none.
    """
    if one == other:
        return True
    if not (one.isalpha() and other.isalpha()):
        return False
    if one[0] != other[0]:
        return _is_short(one, other)
    length = min(len(one), len(other))
    if length == 1:
        return initials
    if short_vowels(one) == short_vowels(other) or _is_short(one, other):
        return True
    return length >= LETTERS_MIN and slips(one, other) * _LETTERS_A_SLIP <= length


def short_vowels(word: str) -> str:
    """Returns a word with "ae", "oe" and "ue" as the letters that an umlaut is folded to."""
    return _UMLAUT.sub("", word) if "e" in word else word  # Most of the time is the call's.


def _is_short(one: str, other: str) -> bool:
    """Whether one given name is a short form of the other ("Bill" of William), or both of one."""
    meant = NAMES_MEANT.get(one)
    return meant is not None and not meant.isdisjoint(NAMES_MEANT.get(other, ()))
