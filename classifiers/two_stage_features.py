"""What the two stages see of a (query, candidate) pair: cheap columns first, then the judgement.

CHEAP are columns of classifiers/features.py that need no encoding, and one that tells a slip of the
finger from another name; JUDGED adds the cross-encoder's log-odds.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from classifiers.calibration import Floats
from classifiers.cross_pairs import MARK, edit_side
from classifiers.features import COLUMN, features, prepare_edit
from classifiers.mention import (
    Place,
    Text,
    find_subject,
    frame_of,
    missing_likeness,
    prepare,
)
from memory.conflicts import normalise
from memory.record import Candidate, Edit, Query

PLAIN = (
    "cosine", "cosine_gap", "rank_share", "mentioned", "mention_share", "mention_covered",
    "mention_inside_other", "subject_words", "words_before", "sentences_after",
    "tail_starts_with_pronoun", "other_names", "target_in_query", "former_in_query", "negated",
    "frame_jaccard", "prompt_covered", "query_covered", "frame_trigrams", "asks_alike",
    "length_ratio", "same_subject_others",
)  # fmt: skip
CHEAP = (*PLAIN, "missing_likeness")
JUDGED = (*CHEAP, "cross", "cross_gap")
CHEAP_RISING = (
    "mention_share", "mentioned", "frame_jaccard", "frame_trigrams", "missing_likeness",
)  # fmt: skip
FALLING = ("mention_covered", "mention_inside_other")
_COLUMNS = [COLUMN[name] for name in PLAIN]
_SHARE = PLAIN.index("mention_share")


def cheap_rows(query: Query, candidates: Sequence[Candidate]) -> Floats:
    """Returns the cheap columns, (n, len(CHEAP)). Raises nothing for any text."""
    plain = features(query, candidates, None)[:, _COLUMNS]
    likeness = np.floor(plain[:, _SHARE])  # 1 of whole mentions, 0 of none.
    partial = np.flatnonzero((plain[:, _SHARE] > 0) & (plain[:, _SHARE] < 1))
    if len(partial):
        text = prepare(query.text)
        for row in partial.tolist():
            likeness[row] = _missing_likeness(text, candidates[row].edit)
    table: Floats = np.column_stack([plain, likeness])
    return table


def _missing_likeness(text: Text, edit: Edit) -> float:
    """Returns how much the words of a name that are not there look like those beside it, 0 to 1."""
    found = []
    for surface in prepare_edit(edit).surfaces:
        place = find_subject(text, (surface,))
        if place is not None:
            found.append(missing_likeness(text, place, surface))
    return max(found, default=0.0)


def judged_rows(cheap: Floats, odds: Floats) -> Floats:
    """Adds the cross-encoder's log-odds (n,) to cheap rows (n, f); all of one query."""
    gap = odds.max(initial=-np.inf) - odds
    return np.column_stack([cheap, odds, gap])


def is_verbatim(query: Query, candidates: Sequence[Candidate]) -> npt.NDArray[np.bool_]:
    """Says which candidates' prompts are the query, as the memory compares texts, (n,)."""
    asked = normalise(query.text)
    return np.array([asked == normalise(c.edit.prompt) for c in candidates], dtype=bool)


def pair_texts(query: Query, candidates: Sequence[Candidate]) -> list[tuple[str, str] | None]:
    """Returns each candidate's pair for the cross-encoder; None where no subject is mentioned."""
    text = prepare(query.text)
    return [_pair(text, candidate.edit, candidate.mention) for candidate in candidates]


def pair_of(text: str, edit: Edit, mention: str) -> tuple[str, str] | None:
    """Returns the pair of one edit; `mention` is what the subject matcher found, if anything."""
    return _pair(prepare(text), edit, mention)


def _pair(text: Text, edit: Edit, mention: str) -> tuple[str, str] | None:
    surfaces = prepare_edit(edit).surfaces
    place = find_subject(text, surfaces, mention)
    if place is None:
        return None
    frame = frame_of(text, place, slot=MARK)
    return edit_side(_prompt_frame(edit, surfaces), edit.target), frame


def _prompt_frame(edit: Edit, surfaces: tuple[Text, ...]) -> str:
    """Returns the edit's prompt with its subject as MARK; all of it, its first sentence too."""
    at = edit.prompt.find(edit.subject)
    text = prepare(edit.prompt)
    whole = Text(text.text, text.words, text.folded, (0,))
    if at >= 0 and len(text.text) == len(edit.prompt):
        return frame_of(whole, Place(at, at + len(edit.subject), 1.0), slot=MARK)
    return frame_of(whole, find_subject(text, surfaces), slot=MARK)
