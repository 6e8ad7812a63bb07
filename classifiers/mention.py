"""Where a query speaks of an edit's subject, and what it says around the mention. Text only.

The *focus* of a query is what follows from the sentence of the subject's last mention on; what was
said before is chatter. The *frame* is the focus with the subject replaced by SLOT: it holds the
relation that is asked about and nothing of the entity.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from functools import cached_property

from classifiers.name_variants import (
    ABBREVIATED,
    JOINERS,
    SLIPS_MAX,
    TITLES,
    fold_word,
    short_vowels,
    slips,
    untitled,
    variant_span,
)
from memory.surface import is_boundary

SLOT = "it"
TEXT_CHARS_MAX = 4000  # Of a longer query only the end is read: that is where it asks.
FRAME_CHARS_MAX = 400
PARTIAL_SHARE_MIN = 0.5  # Of the subject's words, to count as a partial mention.
PARTIAL_LETTERS_MIN = 3  # Shorter words alone are no partial mention.
BESIDE_WORDS = 3  # Beside a partial mention, where the rest of the name is looked for.

_WORD = re.compile(r"\w+")
_SENTENCE_END = re.compile(
    "[.!?][\"'\u201d\u2019)]*\\s+(?=[\"'\u201c\u2018(]?\\w)|\\n+"  # Straight and curly quotes.
)
_ABBREVIATION = re.compile(
    r"(?:\b[A-Z]|\b(?:St|Dr|Mr|Mrs|Ms|Jr|Sr|Mt|No|vs|Prof|Rev|Hon|Capt|Col|Gen|Lt|Sgt|Maj"
    r"|Inc|Ltd|Co|Corp|Bros|Ave|Ft))\.\s+$"
)
_NUMBER = re.compile(r"\d|^[ivxlcdm]+$")  # Of a folded word: digits in it, or a Roman numeral.
_ROMAN = re.compile(r"(?=..|[VX])X{0,3}(?:IX|IV|V?I{0,3})")  # To XXXIX; "I" is a person.
MISSPELLED_SHARE = 0.5  # What a misspelled word counts where no word of the name stands.
_NEXT_WORD = re.compile(r"[ -](\w+)")
_TITLE_BEFORE = re.compile(r"\b(\w+)(\.?)[ ]$")
UNACCENTED_MIN = 4  # Letters of a name of one word that is known without its accents.
TITLES_MAX, TITLE_CHARS_MAX = 2, 16
_LAST_WORD = re.compile(r"(\w+)[ -]$")


@dataclass(frozen=True)
class Text:
    """A text with its words folded; the rest is computed when it is first asked for."""

    text: str
    folded: tuple[str, ...]  # Words without case and accents.
    one_sentence: bool = False  # To be read as one, whatever ends in it.

    @cached_property
    def words(self) -> tuple[tuple[int, int], ...]:
        """Where the words stand, as character offsets [start, end)."""
        return tuple(match.span() for match in _WORD.finditer(self.text))

    @cached_property
    def starts(self) -> tuple[int, ...]:
        """Character offsets where sentences begin, 0 first."""
        return (0,) if self.one_sentence else _sentence_starts(self.text)

    @cached_property
    def content(self) -> frozenset[str]:
        """The folded words that are no JOINERS."""
        return frozenset(self.folded) - JOINERS

    @cached_property
    def initials(self) -> frozenset[str]:
        """The first letters of the folded words."""
        return frozenset(word[0] for word in self.folded)

    @cached_property
    def spellings(self) -> frozenset[str]:
        """The folded words, spelled-out umlauts as letters."""
        return frozenset(map(short_vowels, self.folded))


@dataclass(frozen=True, slots=True)
class Name:
    """A subject or an alias, prepared once to be looked for in texts."""

    text: str
    folded: tuple[str, ...]  # Its words without case and accents.
    content: frozenset[str]  # Those that are no JOINERS.
    initials: frozenset[str]  # The first letters of the words.
    core: frozenset[str]  # Spellings of the words that are no title and no joiner.
    letters: str  # The words without titles and blanks.


@dataclass(frozen=True, slots=True)
class Place:
    """The last mention of a subject in a text, as character offsets [start, end)."""

    start: int
    end: int
    share: float  # Of the subject's words that stand there; 1 for a whole mention only.
    variant: bool = False  # What stands there is another form of the name, not a part of it.


def prepare(text: str) -> Text:
    """Prepares a text; of one beyond TEXT_CHARS_MAX characters only the end is kept."""
    return Text(text[-TEXT_CHARS_MAX:], folded_words(text))


def prepare_name(text: str) -> Name:
    """Prepares a name; of one beyond TEXT_CHARS_MAX characters only the end is kept."""
    folded = folded_words(text)
    words = untitled(folded)
    return Name(
        text=text[-TEXT_CHARS_MAX:],
        folded=folded,
        content=frozenset(folded) - JOINERS,
        initials=frozenset([word[0] for word in folded]),
        core=frozenset([short_vowels(word) for word in words if word not in JOINERS]),
        letters="".join(words),
    )


def folded_words(text: str) -> tuple[str, ...]:
    """Returns the words of a text without case and accents; as in `prepare`, of its end alone."""
    text = text[-TEXT_CHARS_MAX:]
    if text.isascii():
        return tuple(_WORD.findall(text.lower()))
    return tuple(map(fold_word, _WORD.findall(text)))


def find_subject(query: Text, surfaces: tuple[Name, ...], mention: str = "") -> Place | None:
    """Returns the last and fullest mention of any of the surfaces, or None.

    `mention` is what the subject matcher found, if anything. Otherwise case does not matter, and
    where no surface stands whole, another form of it counts (classifiers/name_variants.py), and
    then a run of at least PARTIAL_SHARE_MIN of its words.
    """
    exact = standing(query.text, mention)
    if exact:
        return titled(query, Place(exact[-1], exact[-1] + len(mention), 1.0))
    places = [
        _find_whole(query, surface)
        or _find_variant(query, surface)
        or _find_partial(query, surface)
        for surface in surfaces
        if not _is_absent(query, surface)
    ]
    found = [place for place in places if place is not None]
    best = max(found, key=lambda place: (place.share, place.start), default=None)
    return None if best is None else titled(query, best)


def standing(text: str, name: str) -> list[int]:
    """Returns where a name stands exactly, inside longer words only if it stands nowhere else."""
    places, at = [], text.find(name) if name else -1
    while at >= 0:
        places.append(at)
        at = text.find(name, at + len(name))
    whole = [at for at in places if is_boundary(text, at) and is_boundary(text, at + len(name))]
    return whole or places


def _is_absent(query: Text, surface: Name) -> bool:
    """Whether a quick look shows that no form or part of a name stands there, as of most edits."""
    if not surface.core or not query.content.isdisjoint(surface.content):
        return False
    if not query.spellings.isdisjoint(surface.core):
        return False
    if len(surface.core) == 1:  # May be misspelled or parted, but not in its first letter.
        return surface.initials.isdisjoint(query.initials)
    return not surface.letters.startswith(query.folded)


def titled(query: Text, place: Place) -> Place:
    """Returns the place with the titles before it ("Lt. Col. Ann Lee"): they are of the mention.

    Of names of one word and of parts of names they are not: "Captain America" is not America. Nor
    is a common noun ("the major Ann Lee studied") or what ends the sentence before.
    """
    whole = place.share == 1 or place.variant
    if not whole or " " not in query.text[place.start : place.end]:
        return place
    start = place.start
    for _ in range(TITLES_MAX):
        before = _TITLE_BEFORE.search(query.text, max(0, start - TITLE_CHARS_MAX), start)
        if before is None or start in query.starts or not _is_title(*before.groups()):
            break
        start = before.start(1)
    return place if start == place.start else replace(place, start=start)


def _is_title(word: str, dot: str) -> bool:
    folded = word.casefold()
    return folded in ABBREVIATED or (folded in TITLES and word[0].isupper() and not dot)


def focus_of(query: Text, place: Place | None) -> int:
    """Returns where the focus begins, in characters; 0 without a mention."""
    if place is None:
        return 0
    return max(offset for offset in query.starts if offset <= place.start)


def frame_of(query: Text, place: Place | None, *, slot: str = SLOT) -> str:
    """Returns the frame around a mention, `slot` in its place; without one, the text itself."""
    if place is None:
        return query.text[:FRAME_CHARS_MAX]
    before, after = query.text[focus_of(query, place) : place.start], query.text[place.end :]
    return f"{before}{slot}{after}"[:FRAME_CHARS_MAX]


def is_covered(query: Text, place: Place) -> bool:
    """Whether the mention looks like part of a longer name: a capitalised word adjoins it.

    A title before a name of several words is part of its mention (`titled`).
    """
    after = _NEXT_WORD.match(query.text, place.end)
    if after and _is_name(after.group(1)):
        return True
    before = _LAST_WORD.search(query.text[max(0, place.start - 40) : place.start])
    if not before or not _is_name(before.group(1)):
        return False
    return place.start - len(before.group(0)) not in query.starts


def missing_likeness(query: Text, place: Place, surface: Name) -> float:
    """Returns how alike the words missing of a name are to the words beside its mention, 0 to 1.

    Near 1 for a slip of the finger ("Hristo Stoichhkov"), near 0 for another name that shares a
    word ("Hristo Botev") and for a name cut short. The mean over the missing words of each one's
    best match (Ratcliff and Obershelp's ratio); 1 where none is missing. A number is no slip of
    another one ("Gregory IX" and "Gregory X"): missing, it is like nothing.
    """
    missing, beside = _missing_and_beside(query, place, surface)
    if beside is None:
        return 0.0
    best = [
        max((SequenceMatcher(None, word, other).ratio() for other in beside), default=0.0)
        if not _NUMBER.search(word)
        else 0.0
        for word in missing
    ]
    return sum(best) / len(best) if best else 1.0


def missing_slips(query: Text, place: Place, surface: Name) -> int:
    """Returns how many slips of the finger would make a name of what stands there, capped.

    Of the missing word that needs most of them, to the nearest word beside the mention: 1 for
    "Stoichhkov", SLIPS_MAX for "Charger" and "Challenger", alike though they look. 0 where no word
    is missing; SLIPS_MAX for a name cut short, and where a number is missing.
    """
    missing, beside = _missing_and_beside(query, place, surface)
    if beside is None:
        return SLIPS_MAX
    worst = 0
    for word in missing:
        if _NUMBER.search(word):
            return SLIPS_MAX
        nearest = min((slips(word, other) for other in beside), default=SLIPS_MAX)
        # Of a short word a few slips leave nothing.
        worst = max(worst, nearest if 2 * nearest < len(word) else SLIPS_MAX)
    return worst


def number_differs(query: Text, place: Place, surface: Name) -> bool:
    """Whether a number makes another name of a mention: "Windows 8" of Windows 98 or of Windows.

    A number of the name that does not stand there, or one that follows and is not the name's.
    """
    wanted = {word for word in surface.folded if _NUMBER.search(word)}
    held = {
        folded
        for (start, _), folded in zip(query.words, query.folded, strict=True)
        if place.start <= start < place.end
    }
    if wanted - held:
        return True
    after = _NEXT_WORD.match(query.text, place.end)
    if after is None:
        return False
    word = after.group(1)
    is_number = any(map(str.isdigit, word)) or _ROMAN.fullmatch(word) is not None
    return is_number and word.casefold() not in wanted


def tail_of(query: Text, place: Place) -> str:
    """Returns what follows the sentence of a mention; "" where nothing does."""
    later = [start for start in query.starts if start > place.start]
    return query.text[later[0] :] if later else ""


def _missing_and_beside(
    query: Text, place: Place, surface: Name
) -> tuple[list[str], tuple[str, ...] | None]:
    """Returns the words of a name that a mention lacks, and those beside it; None if none stand."""
    inside = [
        index for index, (start, _) in enumerate(query.words) if place.start <= start < place.end
    ]
    if not inside:
        return [], None
    held = {query.folded[index] for index in inside}
    missing = [word for word in surface.folded if word not in held and word not in JOINERS]
    before = query.folded[max(0, inside[0] - BESIDE_WORDS) : inside[0]]
    # Of another form the words that stand for the missing ones are inside.
    other = [query.folded[index] for index in inside if query.folded[index] not in surface.folded]
    after = query.folded[inside[-1] + 1 : inside[-1] + 1 + BESIDE_WORDS]
    return missing, (*before, *other, *after)


def names_in(query: Text, focus: int, place: Place | None) -> set[str]:
    """Returns the folded capitalised words from `focus` on, sentence starts and mention aside."""
    found = set()
    for (start, end), folded in zip(query.words, query.folded, strict=True):
        if start < focus or start in query.starts:
            continue
        if place is not None and place.start <= start < place.end:
            continue
        if _is_name(query.text[start:end]):
            found.add(folded)
    return found


def _is_name(word: str) -> bool:
    return word[0].isupper() and word != "I"


def _find_whole(query: Text, surface: Name) -> Place | None:
    wanted, length = surface.folded, len(surface.folded)
    if not length:
        return None
    for first in range(len(query.folded) - length, -1, -1):
        if query.folded[first] != wanted[0] or query.folded[first : first + length] != wanted:
            continue
        start, end = query.words[first][0], query.words[first + length - 1][1]
        if length > 1 or _is_said(query.text, start, end, surface.text):
            return Place(start, end, 1.0)
    return None


def _is_said(text: str, start: int, end: int, name: str) -> bool:
    """Whether a word that is a name of one word but for accents is it: "the" is not "Th\u00e9"."""
    word = text[start:end]
    if word.casefold() in name.casefold():
        return True
    least = UNACCENTED_MIN if word[0].isupper() else UNACCENTED_MIN + 1
    return len(word) >= least and (word[0].isupper() or text.islower())


def _find_variant(query: Text, surface: Name) -> Place | None:
    span = variant_span(query.text, query.words, query.folded, surface.folded)
    if span is None:
        return None
    first, last = span
    content = surface.content
    held = len(content.intersection(query.folded[first : last + 1])) or MISSPELLED_SHARE
    share = held / (len(content) + 1)
    return Place(query.words[first][0], query.words[last][1], share, variant=True)


def _find_partial(query: Text, surface: Name) -> Place | None:
    content = surface.content
    present = [index for index, word in enumerate(query.folded) if word in content]
    if len(content) < 2 or not present:
        return None
    last = first = present[-1]
    while first > 0 and query.folded[first - 1] in content | JOINERS:
        first -= 1
    while query.folded[first] not in content:
        first += 1
    found = {query.folded[index] for index in range(first, last + 1)} & content
    long_enough = any(len(word) >= PARTIAL_LETTERS_MIN for word in found)
    if len(found) / len(content) < PARTIAL_SHARE_MIN or not long_enough:
        return None
    share = len(found) / (len(content) + 1)  # A partial mention never reaches 1.
    return Place(query.words[first][0], query.words[last][1], share)


def _sentence_starts(text: str) -> tuple[int, ...]:
    starts = [0]
    for match in _SENTENCE_END.finditer(text):
        end = match.end()
        if end < len(text) and not _ABBREVIATION.search(text[max(0, end - 8) : end]):
            starts.append(end)
    return tuple(starts)
