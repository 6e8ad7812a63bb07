"""How names are compared in running text: one spelling, case rules, and where words end.

Pure functions on strings; knows nothing of keys, versions or edits.

Spelling: NFC, typographic apostrophes and hyphens as ASCII, any run of white space as one blank.
Case: a name is found in its own case. Its lower-case first letter may stand capitalised (sentence
starts). A text without any capital, or in capitals alone, says nothing about case: there a name of
several words or of LOOSE_LETTERS_MIN letters is found in any case. Names of one or two characters
are found in their own case only.
Words: a name does not begin or end inside a word. Letters, digits, combining marks and underscores
make words; apostrophes and hyphens end them ("Paris's", "Paris-based", "l'Italie" mention their
city or country). Scripts written without spaces (Han, Hiragana, Thai, ...) and Hangul, whose
particles hang on the name, have a boundary at every character; Katakana is a word of its own.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache

LOOSE_LETTERS_MIN = 4  # A single word this long is found in any case in a text without case.
STRICT_LETTERS_MAX = 2  # Names this short are found in their own case only.

_UNSPACED = (
    "\u0e00-\u0eff"  # Thai, Lao
    "\u0f00-\u0fff\u1000-\u109f"  # Tibetan, Myanmar
    "\u1780-\u17ff"  # Khmer
    "\u1100-\u11ff\u3130-\u318f\ua960-\ua97f\uac00-\ud7ff"  # Hangul
    "\u2e80-\u2fdf\u3005-\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"  # Han
    "\u3041-\u309f\u3100-\u312f\u31a0-\u31bf"  # Hiragana, Bopomofo
)
_KATAKANA = "\u30a1-\u30fa\u30fc-\u30ff\u31f0-\u31ff\uff66-\uff9f"
# A name's first token: a run of Katakana, a run of other letters, or one character.
TOKEN = re.compile(f"[{_KATAKANA}]+|[^\\W{_KATAKANA}{_UNSPACED}]+|\\S")
_IS_UNSPACED = re.compile(f"[{_UNSPACED}]")
_IS_KATAKANA = re.compile(f"[{_KATAKANA}]")
_SPELLING = str.maketrans(
    dict.fromkeys("\u2018\u2019\u02bc\u02b9\uff07", "'")
    | dict.fromkeys("\u2010\u2011\u2012\u2013\u2212\ufe63\uff0d", "-")
)
_ODD_SPACE = re.compile(r"\s\s|[^\S ]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """A text in one spelling, with the way back to its own characters."""

    original: str
    spelled: str  # NFC, one kind of apostrophe, hyphen and blank.
    folded: str  # `spelled` without case; as long as it.
    starts: (
        tuple[int, ...] | None
    )  # Place in `original` of each character of `spelled`; None: same.
    caseless: bool  # No capital, or capitals alone.

    def span(self, start: int, end: int) -> tuple[int, int]:
        """Turns a span of `spelled` into the span of `original` (end excluded)."""
        if self.starts is None:
            return start, end
        begin = self.starts[start]
        after = self.starts[end] if end < len(self.starts) else len(self.original)
        while after > begin and self.original[after - 1].isspace():
            after -= 1  # A blank that collapsed belongs to nobody.
        return begin, after


def read_text(original: str) -> Text:
    """Spells and folds a text for matching."""
    starts: tuple[int, ...] | None = None
    if original.isascii() or unicodedata.is_normalized("NFC", original):
        spelled = original
    else:
        spelled, starts = _composed(original)
    if _ODD_SPACE.search(spelled):
        spelled, starts = _one_blank(spelled, starts)
    if not spelled.isascii():
        spelled = spelled.translate(_SPELLING)
    return Text(
        original=original,
        spelled=spelled,
        folded=fold(spelled),
        starts=starts,
        caseless=spelled.islower() or spelled.isupper(),
    )


def spell(surface: str) -> str:
    """Returns a name in the one spelling, trimmed."""
    return read_text(surface).spelled.strip()


def fold(spelled: str) -> str:
    """Takes the case out, character by character, so that places stay."""
    folded = spelled.casefold()
    if len(folded) == len(spelled):
        return folded
    return "".join(map(_fold_character, spelled))


def is_boundary(spelled: str, place: int) -> bool:
    """Tells whether a name may begin or end between place - 1 and place."""
    if place in (0, len(spelled)):
        return True
    return _boundary_between(spelled[place - 1], spelled[place])


def case_agrees(name: str, found: str, *, caseless: bool) -> bool:
    """Tells whether `found`, equal to `name` but for case, counts as a mention of it."""
    if found == name:
        return True
    if len(name) <= STRICT_LETTERS_MAX:
        return False
    if caseless and (" " in name or len(name) >= LOOSE_LETTERS_MIN):
        return True
    return name[0].islower() and found[1:] == name[1:]


@lru_cache(maxsize=4096)
def _fold_character(character: str) -> str:
    folded = character.casefold()
    return folded if len(folded) == 1 else character


@lru_cache(maxsize=4096)
def _boundary_between(before: str, after: str) -> bool:
    if unicodedata.category(after).startswith("M"):
        return False
    if not (_in_word(before) and _in_word(after)):
        return True
    if _IS_UNSPACED.match(before) or _IS_UNSPACED.match(after):
        return True
    return bool(_IS_KATAKANA.match(before)) != bool(_IS_KATAKANA.match(after))


def _in_word(character: str) -> bool:
    return (
        character.isalnum() or character == "_" or unicodedata.category(character).startswith("M")
    )


def _composed(original: str) -> tuple[str, tuple[int, ...]]:
    """NFC by clusters, so that each character knows where its cluster began.

    A cluster ends where a starter does not compose with what is before it.
    """
    spelled: list[str] = []
    starts: list[int] = []
    begin, cluster = 0, ""
    for place, character in enumerate(original):
        alone = unicodedata.normalize("NFC", character)
        joined = unicodedata.normalize("NFC", cluster + character)
        if cluster and not unicodedata.combining(alone[0]) and joined == cluster + alone:
            spelled.append(cluster)
            starts.extend([begin] * len(cluster))
            begin, cluster = place, alone
        else:
            cluster = joined
    spelled.append(cluster)
    starts.extend([begin] * len(cluster))
    return "".join(spelled), tuple(starts)


def _one_blank(spelled: str, starts: tuple[int, ...] | None) -> tuple[str, tuple[int, ...]]:
    """Collapses runs of white space; a run's blank stands where the run began."""
    kept = [
        place
        for place, character in enumerate(spelled)
        if not (character.isspace() and place and spelled[place - 1].isspace())
    ]
    text = "".join(" " if spelled[place].isspace() else spelled[place] for place in kept)
    return text, tuple(place if starts is None else starts[place] for place in kept)
