"""From cases to labelled rows: retrieval as in serving, features, and frames for the network."""

from __future__ import annotations

import operator
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from random import Random

import numpy as np
import numpy.typing as npt

from classifiers.calibration import Floats
from classifiers.features import COLUMN, features, frame_texts
from classifiers.relation import FrameEncoder
from classifiers.relation_net import Array, RelationNet
from classifiers.retrieval import RetrievalPool
from classifiers.training_pairs import Case, PoolEdit
from memory.record import Query

POOL_SIZES = (1, 10, 100, 1000, 4000)
CANDIDATES_MAX = 8

FrameTriple = tuple[str, str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Labelled:
    """The pairs of one split: rows (n, f), labels (n,), and of each its case and frames."""

    rows: Floats
    labels: Floats
    numbers: npt.NDArray[np.int64]  # (n,): indexes into `cases`.
    frames: tuple[FrameTriple | None, ...]  # (n,)
    cases: tuple[Case, ...]

    @property
    def weights(self) -> Floats:
        """Weighs rows (n,) so that a case with many candidates does not drown the others."""
        counts = Counter(self.numbers.tolist())
        return np.array([counts[number] ** -0.5 for number in self.numbers.tolist()])

    @property
    def framed(self) -> npt.NDArray[np.bool_]:
        """Says which rows have frames, (n,)."""
        return np.array([triple is not None for triple in self.frames])


def label_pairs(
    cases: Sequence[Case],
    pool: Sequence[PoolEdit],
    retrieval: RetrievalPool,
    frames: FrameEncoder,
    random: Random,
) -> Labelled:
    """Retrieves candidates for each case as serving would, and labels them."""
    vectors = retrieval.encode([case.text for case in cases])
    queries = [Query(text=c.text, vector=v) for c, v in zip(cases, vectors, strict=True)]
    found = [
        retrieval.candidates(
            query, home=case.home, size=random.choice(POOL_SIZES), k=CANDIDATES_MAX
        )
        for case, query in zip(cases, queries, strict=True)
    ]
    near = [[candidate for _, candidate in listed] for listed in found]
    triples = [frame_texts(query, listed) for query, listed in zip(queries, near, strict=True)]
    frames.encode([text for listed in triples for triple in listed if triple for text in triple])
    rows, labels, numbers, kept = [], [], [], []
    for number, query in enumerate(queries):
        table = features(query, near[number], frames)
        for row, (index, _), triple in zip(table, found[number], triples[number], strict=True):
            label = label_of(cases[number], index, pool)
            if label is not None:
                rows.append(row)
                labels.append(float(label))
                numbers.append(number)
                kept.append(triple)
    return Labelled(
        rows=np.array(rows),
        labels=np.array(labels),
        numbers=np.array(numbers, dtype=np.int64),
        frames=tuple(kept),
        cases=tuple(cases),
    )


def label_of(
    case: Case,
    index: int,
    pool: Sequence[PoolEdit],
    differ: Callable[[str, str], bool] = operator.ne,
) -> bool | None:
    """Says whether the edit is in scope of the case's query; None where it is not known.

    `differ` says of two relations whether they ask for different things.
    """
    if index == case.home:
        return case.in_scope
    edit = pool[index]
    if edit.subject.casefold() not in case.text.casefold():
        return False
    if edit.subject != case.subject:
        return False if case.subject else None
    if case.relation is None or edit.relation is None:
        return None
    if edit.relation == case.relation:
        return True
    return False if differ(edit.relation, case.relation) else None


def frame_vectors(split: Labelled, frames: FrameEncoder) -> Array:
    """Returns the vectors of the framed rows' triples, (m, 3, d)."""
    texts = [text for triple in split.frames if triple for text in triple]
    return frames.encode(texts).reshape(len(texts) // 3, 3, -1)


def with_judgement(split: Labelled, judged: Array) -> Labelled:
    """Returns the split with the network's columns filled from `judged` (m,) of framed rows."""
    rows = split.rows.copy()
    framed = split.framed
    rows[framed, COLUMN["relation_match"]] = judged
    best: dict[int, float] = {}
    for number, odds in zip(split.numbers[framed].tolist(), judged.tolist(), strict=True):
        best[number] = max(best.get(number, -np.inf), odds)
    tops = np.array([best[number] for number in split.numbers[framed].tolist()])
    rows[framed, COLUMN["relation_gap"]] = tops - judged
    return replace(split, rows=rows)


def judged_by(split: Labelled, frames: FrameEncoder, net: RelationNet) -> Labelled:
    """Returns the split with the network's columns filled by `net`."""
    vectors = frame_vectors(split, frames)
    return with_judgement(split, net.judge(vectors[:, 0], vectors[:, 1], vectors[:, 2]))
