"""What the two stages see of a (query, candidate) pair: cheap columns first, then the judgement.

CHEAP are columns of classifiers/features.py that need no encoding, and MENTION, which tell a slip
of the finger from another name, and the subject from somebody who is asked about after it; JUDGED
adds the cross-encoder's log-odds.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from classifiers.calibration import Floats
from classifiers.cross_pairs import MARK, edit_side
from classifiers.features import (
    COLUMN,
    EDITS_KEPT_MAX,
    features,
    prepare_edit,
    tail_beside,
)
from classifiers.mention import (
    Name,
    Place,
    Text,
    find_subject,
    frame_of,
    missing_likeness,
    missing_slips,
    number_differs,
    prepare,
    standing,
    tail_of,
    titled,
)
from classifiers.name_variants import SLIPS_MAX
from memory.conflicts import normalise
from memory.record import Candidate, Edit, Query

PLAIN = (
    "cosine", "cosine_gap", "rank_share", "mentioned", "mention_share", "mention_covered",
    "mention_inside_other", "subject_words", "words_before", "sentences_after",
    "tail_starts_with_pronoun", "other_names", "target_in_query", "former_in_query", "negated",
    "frame_jaccard", "prompt_covered", "query_covered", "frame_trigrams", "asks_alike",
    "length_ratio", "same_subject_others",
)  # fmt: skip
# Of mentions: how alike missing words are to those beside them, and by how many slips they differ;
# of what follows the mention's sentence and refers back by no pronoun, its words, and how much of
# what the edit's prompt asks stands there, which is then asked about somebody else; whether the
# whole name stands there, in this form or another; and whether a number makes it another name.
MENTION = (
    "missing_likeness", "missing_slips", "tail_words", "tail_asks", "name_variant",
    "number_differs",
)  # fmt: skip
CHEAP = (*PLAIN, *MENTION)
JUDGED = (*CHEAP, "cross", "cross_gap")
CHEAP_RISING = (
    "mention_share", "mentioned", "frame_jaccard", "frame_trigrams", "missing_likeness",
    "name_variant",
)  # fmt: skip
FALLING = (
    "mention_covered", "mention_inside_other", "missing_slips", "tail_asks", "number_differs",
)  # fmt: skip
_COLUMNS = [COLUMN[name] for name in PLAIN]
_SHARE = PLAIN.index("mention_share")
_SLIPS = MENTION.index("missing_slips")


def cheap_rows(query: Query, candidates: Sequence[Candidate]) -> Floats:
    """Returns the cheap columns, (n, len(CHEAP)). Raises nothing for any text."""
    plain = features(query, candidates, None)[:, _COLUMNS]
    mention = np.zeros((len(candidates), len(MENTION)))
    mention[:, _SLIPS] = SLIPS_MAX
    text = prepare(query.text)
    for row in np.flatnonzero(plain[:, _SHARE] > 0).tolist():
        mention[row] = _of_mention(text, candidates[row])
    return np.column_stack([plain, mention])


def _of_mention(text: Text, candidate: Candidate) -> tuple[float, ...]:
    """Returns the columns MENTION of a candidate that is mentioned, in part at least."""
    edit = prepare_edit(candidate.edit)
    place = find_subject(text, edit.surfaces, candidate.mention)
    if place is None:
        return 0.0, SLIPS_MAX, 0.0, 0.0, 0.0, 0.0
    likeness, slips = 1.0, 0
    if place.share < 1:
        found = [
            (missing_slips(text, at, surface), -missing_likeness(text, at, surface))
            for surface in edit.surfaces
            if (at := find_subject(text, (surface,))) is not None
        ]
        slips, unlikeness = min(found)
        likeness = -unlikeness
    tail = tail_of(text, place)
    words, asks = tail_beside(tail, edit.frame) if tail else (0, 0.0)
    whole = place.share == 1 or place.variant
    other = all(
        at is None or number_differs(text, at, surface)
        for surface in edit.surfaces
        for at in (find_subject(text, (surface,)),)
    )
    return likeness, float(slips), math.log1p(words), asks, float(whole), float(other)


def judged_rows(cheap: Floats, odds: Floats) -> Floats:
    """Adds the cross-encoder's log-odds (n,) to cheap rows (n, f); all of one query."""
    gap = odds.max(initial=-np.inf) - odds
    return np.column_stack([cheap, odds, gap])


def is_verbatim(query: Query, candidates: Sequence[Candidate]) -> npt.NDArray[np.bool_]:
    """Says which candidates' prompts are the query, as the memory compares texts, (n,)."""
    asked = normalise(query.text)
    return np.array([asked == _normalised(c.edit.prompt) for c in candidates], dtype=bool)


def prepare_rows(edit: Edit) -> None:
    """Does what `cheap_rows` and `is_verbatim` need of an edit alone; changes neither."""
    prepare_edit(edit)
    _normalised(edit.prompt)


@lru_cache(maxsize=EDITS_KEPT_MAX)
def _normalised(prompt: str) -> str:
    return normalise(prompt)


def pair_texts(
    query: Query, candidates: Sequence[Candidate], cheap: Floats
) -> list[tuple[str, str] | None]:
    """Returns each candidate's pair for the cross-encoder; None where no subject is mentioned.

    `cheap` are their rows, (n, len(CHEAP)).
    """
    text = prepare(query.text)
    return [
        _pair(text, candidate.edit, candidate.mention) if share > 0 else None
        for candidate, share in zip(candidates, cheap[:, _SHARE].tolist(), strict=True)
    ]


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


def _prompt_frame(edit: Edit, surfaces: tuple[Name, ...]) -> str:
    """Returns the edit's prompt with its subject as MARK; all of it, its first sentence too."""
    places = standing(edit.prompt, edit.subject)
    text = prepare(edit.prompt)
    whole = Text(text.text, text.folded, one_sentence=True)
    if places and len(text.text) == len(edit.prompt):
        place = titled(whole, Place(places[0], places[0] + len(edit.subject), 1.0))
        return frame_of(whole, place, slot=MARK)
    return frame_of(whole, find_subject(text, surfaces), slot=MARK)
