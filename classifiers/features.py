"""The cheap features of (query, candidate) pairs, all candidates of a query at once.

FEATURES names the columns, in order; weights carry the same list, so that a model is never fed
other features than it was fitted to. A feature that does not apply is 0, with a flag beside it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from sys import intern

import numpy as np
import numpy.typing as npt

from classifiers.mention import (
    Name,
    Place,
    Text,
    find_subject,
    focus_of,
    folded_words,
    frame_of,
    is_covered,
    names_in,
    prepare,
    prepare_name,
    standing,
    titled,
)
from classifiers.relation import FrameEncoder
from classifiers.relation_net import RelationNet
from memory.record import Candidate, Edit, Query

Features = npt.NDArray[np.float64]  # (n candidates, len(FEATURES))

FEATURES = (
    "cosine",  # Of query and edit prompt.
    "cosine_gap",  # To the best candidate's cosine; 0 for the best.
    "rank_share",  # 1 / (1 + rank).
    "mentioned",  # The subject or an alias stands whole in the query.
    "mention_share",  # Of the subject's words that stand together; 1 when whole.
    "mention_covered",  # A capitalised word adjoins: probably a longer name.
    "mention_inside_other",  # Another candidate's mention contains this one.
    "subject_words",  # log1p.
    "words_before",  # log1p of the words in the query before the focus.
    "sentences_after",  # Sentences after the mention's.
    "tail_starts_with_pronoun",  # The sentence after the mention's goes on about it.
    "other_names",  # Capitalised words of the focus that the edit's prompt lacks.
    "target_in_query",
    "former_in_query",
    "negated",  # The query denies and the prompt does not, or the reverse.
    "frame_jaccard",  # Stemmed content words of the frames.
    "prompt_covered",  # Share of the prompt frame's content words that the query frame has.
    "query_covered",  # Share of the query frame's content words that the prompt frame has.
    "frame_trigrams",  # Dice coefficient of character trigrams of the frames.
    "asks_alike",  # 1 same question word, -1 different ones, 0 when either has none.
    "length_ratio",  # log of query frame words over prompt frame words.
    "has_frame",  # A mention was found, so the frame features below apply.
    "frame_cosine",  # Of query frame and prompt frame.
    "statement_cosine",  # Of query frame and the frame with the target filled in.
    "frame_cosine_gap",  # To the best frame cosine among the candidates.
    "relation_match",  # Log-odds by the relation network that both ask the same.
    "relation_gap",  # To the best relation_match among the candidates.
    "same_subject_others",  # log1p of other candidates with this mention.
)
COLUMN = {name: index for index, name in enumerate(FEATURES)}

_STOP = frozenset(
    {
        "a", "an", "the", "of", "to", "in", "on", "at", "by", "for", "with", "from", "and", "or",
        "as", "is", "was", "are", "were", "be", "been", "being", "has", "have", "had", "it", "its",
        "s", "that", "which", "who", "whom", "whose", "what", "when", "where", "how", "why", "does",
        "do", "did", "this", "these", "those", "he", "she", "they", "his", "her", "their", "them",
        "into", "not",
    }
)  # fmt: skip
_QUESTION = {
    "who": "who",
    "whom": "who",
    "whose": "who",
    "where": "where",
    "when": "when",
    "how": "how",
    "why": "why",
}
_DENIALS = frozenset({"not", "never", "no", "isn", "wasn", "doesn", "didn", "cannot", "without"})
_PRONOUNS = frozenset({"it", "its", "he", "she", "they", "his", "her", "their"})
_REFERRING = _PRONOUNS | {"him", "them", "theirs", "hers", "himself", "herself", "itself"}
_WORD = re.compile(r"\w+")
_SUFFIXES = ("ings", "ing", "ation", "ions", "ion", "ers", "er", "ors", "or", "ed", "es", "s", "e")
_STEM_LETTERS_MIN = 4
EDITS_KEPT_MAX = 32_768  # Prepared edits that are kept, some 3 kB each: 100 MB.
_SHORT_CHARS_MAX = 160  # Of all texts of an edit, which then takes 9 kB at most.
_LONG_KEPT_MAX = 1024  # Of longer ones, some 50 kB with 1,000 characters, 400 at the longest.
_FRAMES_KEPT_MAX = 4096  # Of edits, which share them: many prompts differ in the subject alone.
OTHER_NAMES_MAX = 5
SENTENCES_AFTER_MAX = 5


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame with what is compared of it."""

    text: str
    stems: frozenset[str]
    trigrams: frozenset[str]
    words: int
    asks: str
    denies: bool


@dataclass(frozen=True, slots=True)
class PreparedEdit:
    """What an edit's texts yield, once for all queries."""

    surfaces: tuple[Name, ...]
    frame: Frame
    statement: str  # The prompt frame with the target filled in.
    prompt_words: frozenset[str]
    target: tuple[str, ...]
    former: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Sighting:
    """One candidate's mention in the query and the frame around it."""

    edit: PreparedEdit
    place: Place | None
    frame: Frame

    @property
    def texts(self) -> tuple[str, str, str]:
        """What is encoded of a mention: the frames of query and prompt, and the statement."""
        return self.frame.text, self.edit.frame.text, self.edit.statement


def features(
    query: Query,
    candidates: Sequence[Candidate],
    frames: FrameEncoder | None,
    net: RelationNet | None = None,
) -> Features:
    """Returns the features of each candidate, (n, len(FEATURES)). Raises nothing for any text.

    Without a frame encoder the columns of frame vectors are 0, without a network its columns.
    """
    if not candidates:
        return np.zeros((0, len(FEATURES)))
    text = prepare(query.text)
    sightings = [_sight(text, candidate) for candidate in candidates]
    best = max(candidate.cosine for candidate in candidates)
    names: dict[Place | None, set[str]] = {}  # Most candidates are not mentioned: they share one.
    rows = [[0.0] * len(FEATURES) for _ in candidates]  # Lists: several times as fast to fill.
    for row, candidate, sighting in zip(rows, candidates, sightings, strict=True):
        place = sighting.place
        if place not in names:
            names[place] = names_in(text, focus_of(text, place), place)
        _fill(row, text, candidate, sighting, best)
        others = names[place] - sighting.edit.prompt_words
        row[COLUMN["other_names"]] = min(len(others), OTHER_NAMES_MAX)
        _fill_frame(row, sighting)
    table = np.array(rows)
    _fill_company(table, sightings)
    if frames is not None:
        _fill_vectors(table, sightings, frames, net)
    return table


def frame_texts(query: Query, candidates: Sequence[Candidate]) -> list[tuple[str, str, str] | None]:
    """Returns what `features` will have encoded for each candidate; None without a mention."""
    text = prepare(query.text)
    sightings = [_sight(text, candidate) for candidate in candidates]
    return [sighting.texts if sighting.place else None for sighting in sightings]


def prepare_edit(edit: Edit) -> PreparedEdit:
    """Returns what an edit's texts yield; kept for recent edits."""
    texts = edit.subject, edit.aliases, edit.prompt, edit.target, edit.former or ""
    chars = sum(map(len, texts)) + sum(map(len, edit.aliases))
    return _short(*texts) if chars <= _SHORT_CHARS_MAX else _long(*texts)


def _prepared(
    subject: str, aliases: tuple[str, ...], prompt: str, target: str, former: str
) -> PreparedEdit:
    surfaces = tuple(prepare_name(name) for name in (subject, *aliases))
    text = prepare(prompt)
    places = standing(prompt, subject) if len(text.text) == len(prompt) else []
    exact = (
        titled(text, Place(places[0], places[0] + len(subject), 1.0))
        if places
        else find_subject(text, surfaces)
    )
    # The whole prompt is the edit's focus: its first sentence asks as much as its last.
    whole = Text(text.text, text.folded, one_sentence=True)
    frame = frame_of(whole, exact)
    return PreparedEdit(
        surfaces=surfaces,
        frame=_told(frame),
        statement=f"{frame.rstrip()} {target.strip()}"[: 2 * 400],
        prompt_words=frozenset(text.folded),
        target=folded_words(target),
        former=folded_words(former),
    )


_short = lru_cache(maxsize=EDITS_KEPT_MAX)(_prepared)
_long = lru_cache(maxsize=_LONG_KEPT_MAX)(_prepared)


def tail_beside(tail: str, told: Frame) -> tuple[int, float]:
    """Says of what follows a mention's sentence: its words, and the share of `told` that it asks.

    Both are 0 where a pronoun refers back to the mention, or may. The share is that of the content
    words of an edit's frame; of one that has none ("it, in"), that of its character trigrams.
    """
    frame = _frame(tail)
    if not _REFERRING.isdisjoint(word.casefold() for word in _WORD.findall(tail)):
        return 0, 0.0
    mine, its = (frame.stems, told.stems) if told.stems else (frame.trigrams, told.trigrams)
    return frame.words, len(mine & its) / max(1, len(its))


def _sight(text: Text, candidate: Candidate) -> Sighting:
    edit = prepare_edit(candidate.edit)
    place = find_subject(text, edit.surfaces, candidate.mention)
    return Sighting(edit, place, _frame(frame_of(text, place)))


@lru_cache(maxsize=_FRAMES_KEPT_MAX)
def _told(text: str) -> Frame:
    return _compared(text)


@lru_cache(maxsize=256)
def _frame(text: str) -> Frame:
    return _compared(text)


def _compared(text: str) -> Frame:
    words = [word.casefold() for word in _WORD.findall(text)]
    folded = f" {' '.join(words)} "
    return Frame(
        text=text,
        # Copied from sets, which takes half the bytes of filling them one by one; few trigrams
        # are distinct, and edits share the strings.
        stems=frozenset({_stem(word) for word in words if word not in _STOP}),
        trigrams=frozenset({intern(folded[at : at + 3]) for at in range(len(folded) - 2)}),
        words=len(words),
        asks=next((_QUESTION[word] for word in words if word in _QUESTION), ""),
        denies=not _DENIALS.isdisjoint(words),
    )


def _fill(
    row: list[float], text: Text, candidate: Candidate, sighting: Sighting, best: float
) -> None:
    place, edit = sighting.place, sighting.edit
    row[COLUMN["cosine"]] = candidate.cosine
    row[COLUMN["cosine_gap"]] = best - candidate.cosine
    row[COLUMN["rank_share"]] = 1 / (1 + max(0, candidate.rank))
    row[COLUMN["target_in_query"]] = _contains(text.folded, edit.target)
    row[COLUMN["former_in_query"]] = _contains(text.folded, edit.former)
    if place is None:
        return
    row[COLUMN["mentioned"]] = float(place.share == 1.0)
    row[COLUMN["mention_share"]] = place.share
    row[COLUMN["mention_covered"]] = float(is_covered(text, place))
    row[COLUMN["subject_words"]] = math.log1p(len(edit.surfaces[0].folded))
    focus = focus_of(text, place)
    row[COLUMN["words_before"]] = math.log1p(sum(start < focus for start, _ in text.words))
    later = [start for start in text.starts if start > place.start]
    row[COLUMN["sentences_after"]] = min(len(later), SENTENCES_AFTER_MAX)
    if later:
        first = _WORD.search(text.text, later[0])
        row[COLUMN["tail_starts_with_pronoun"]] = float(
            first is not None and first.group().casefold() in _PRONOUNS
        )


def _fill_frame(row: list[float], sighting: Sighting) -> None:
    asked, told = sighting.frame, sighting.edit.frame
    shared = len(asked.stems & told.stems)
    either = len(asked.stems) + len(told.stems) - shared
    row[COLUMN["frame_jaccard"]] = shared / max(1, either)
    row[COLUMN["prompt_covered"]] = shared / max(1, len(told.stems))
    row[COLUMN["query_covered"]] = shared / max(1, len(asked.stems))
    both = len(asked.trigrams) + len(told.trigrams)
    row[COLUMN["frame_trigrams"]] = 2 * len(asked.trigrams & told.trigrams) / max(1, both)
    if asked.asks and told.asks:
        row[COLUMN["asks_alike"]] = 1.0 if asked.asks == told.asks else -1.0
    row[COLUMN["length_ratio"]] = math.log((1 + asked.words) / (1 + told.words))
    row[COLUMN["negated"]] = float(asked.denies != told.denies)


def _fill_company(table: Features, sightings: Sequence[Sighting]) -> None:
    places = [sighting.place for sighting in sightings]
    for row, place in enumerate(places):
        if place is None:
            continue
        same = sum(other is not None and other.end == place.end for other in places) - 1
        table[row, COLUMN["same_subject_others"]] = math.log1p(same)
        table[row, COLUMN["mention_inside_other"]] = float(
            any(other is not None and _inside(place, other) for other in places)
        )


def _fill_vectors(
    table: Features, sightings: Sequence[Sighting], frames: FrameEncoder, net: RelationNet | None
) -> None:
    rows = [row for row, sighting in enumerate(sightings) if sighting.place is not None]
    if not rows:
        return
    texts = [text for row in rows for text in sightings[row].texts]
    vectors = frames.encode(texts).reshape(len(rows), 3, -1)  # (rows, 3 kinds, d)
    asked, prompts, statements = vectors[:, 0], vectors[:, 1], vectors[:, 2]
    cosines = np.einsum("nd,nd->n", asked, prompts)
    table[rows, COLUMN["has_frame"]] = 1.0
    table[rows, COLUMN["frame_cosine"]] = cosines
    table[rows, COLUMN["statement_cosine"]] = np.einsum("nd,nd->n", asked, statements)
    table[rows, COLUMN["frame_cosine_gap"]] = cosines.max() - cosines
    if net is not None:
        match = net.judge(asked, prompts, statements)
        table[rows, COLUMN["relation_match"]] = match
        table[rows, COLUMN["relation_gap"]] = match.max() - match


def _inside(inner: Place, outer: Place) -> bool:
    return (
        outer.start <= inner.start
        and inner.end <= outer.end
        and outer.end - outer.start > inner.end - inner.start
    )


def _contains(words: tuple[str, ...], wanted: tuple[str, ...]) -> float:
    length = len(wanted)
    if not length or wanted[0] not in words:
        return 0.0
    starts = range(len(words) - length + 1)
    return float(any(words[start : start + length] == wanted for start in starts))


def _stem(word: str) -> str:
    if not word.endswith(_SUFFIXES):
        return word
    for suffix in _SUFFIXES:
        if word.endswith(suffix) and len(word) - len(suffix) >= _STEM_LETTERS_MIN:
            return word[: -len(suffix)]
    return word
