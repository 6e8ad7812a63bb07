"""From cases to labelled rows for the two stages: retrieval and frames as serving does them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

import numpy as np
import numpy.typing as npt
from rich.progress import track

from classifiers.calibration import Curve, Floats
from classifiers.cross_encoder import CrossEncoder
from classifiers.labelled import label_of
from classifiers.retrieval import RetrievalPool
from classifiers.training_pairs import Case, PoolEdit
from classifiers.trees import TreeEnsemble
from classifiers.two_stage import grey_band
from classifiers.two_stage_features import cheap_rows, judged_rows, pair_texts
from memory.record import Query

POOL_SIZES = (1, 10, 100, 1000, 10_000)
CANDIDATES_MAX = 12
JUDGED_AT_ONCE = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """The pairs of one split, all candidates of a case one after another."""

    cheap: Floats  # (n, f)
    labels: Floats  # (n,): 1, 0, or NaN where it is not known.
    numbers: npt.NDArray[np.int64]  # (n,): indexes into `cases`, rising.
    pairs: tuple[tuple[str, str] | None, ...]  # (n,)
    cases: tuple[Case, ...]

    @property
    def known(self) -> npt.NDArray[np.bool_]:
        """Says which labels are known, (n,)."""
        return ~np.isnan(self.labels)

    @property
    def weights(self) -> Floats:
        """Weighs rows (n,) so that a case with many candidates does not drown the others."""
        counts = Counter(self.numbers.tolist())
        return np.array([counts[number] ** -0.5 for number in self.numbers.tolist()])

    def spans(self) -> list[tuple[int, int]]:
        """Returns where each case's rows begin and end; cases without candidates are left out."""
        edges = np.flatnonzero(np.diff(self.numbers)) + 1
        ends = [*edges.tolist(), len(self.numbers)]
        return list(zip([0, *edges.tolist()], ends, strict=True)) if len(self.numbers) else []


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """The rows of a split that reached the cross-encoder."""

    places: npt.NDArray[np.int64]  # (m,): indexes into Rows.
    rows: Floats  # (m, f + 2)


def collect(
    cases: Sequence[Case],
    pool: Sequence[PoolEdit],
    retrieval: RetrievalPool,
    random: Random,
    differ: Callable[[str, str], bool],
) -> Rows:
    """Retrieves candidates for each case from memories of several sizes, and labels them."""
    vectors = retrieval.encode([case.text for case in cases])
    cheap, labels, numbers, pairs = [], [], [], []
    for number, case in enumerate(track(cases, "cases")):
        query = Query(text=case.text, vector=vectors[number])
        size = random.choice(POOL_SIZES)
        found = retrieval.candidates(query, home=case.home, size=size, k=CANDIDATES_MAX)
        near = [candidate for _, candidate in found]
        cheap.append(cheap_rows(query, near))
        pairs += pair_texts(query, near, cheap[-1])
        for index, _ in found:
            label = label_of(case, index, pool, differ)
            labels.append(np.nan if label is None else float(label))
            numbers.append(number)
    return Rows(
        cheap=np.concatenate(cheap),
        labels=np.array(labels),
        numbers=np.array(numbers, dtype=np.int64),
        pairs=tuple(pairs),
        cases=tuple(cases),
    )


def judge(
    rows: Rows, first: Floats, grey_from: float, pairs_max: int, cross: CrossEncoder
) -> Judged:
    """Judges the pairs in the grey band, as serving would; `first` (n,) are stage one's odds."""
    chosen: list[list[int]] = []
    for begin, end in rows.spans():
        band = grey_band(first[begin:end], rows.pairs[begin:end], grey_from, pairs_max)
        if band:
            chosen.append([begin + place for place in band])
    places = [place for listed in chosen for place in listed]
    odds = _judged([pair for place in places if (pair := rows.pairs[place])], cross)
    parts, at = [], 0
    for listed in chosen:
        parts.append(judged_rows(rows.cheap[listed], odds[at : at + len(listed)]))
        at += len(listed)
    return Judged(places=np.array(places, dtype=np.int64), rows=np.concatenate(parts))


def _judged(pairs: Sequence[tuple[str, str]], cross: CrossEncoder) -> Floats:
    """Judges many pairs, each distinct one once, by length."""
    distinct = sorted(set(pairs), key=lambda pair: len(pair[0]) + len(pair[1]))
    known: dict[tuple[str, str], float] = {}
    for at in track(range(0, len(distinct), JUDGED_AT_ONCE), "judging"):
        part = distinct[at : at + JUDGED_AT_ONCE]
        known.update(zip(part, cross.judge(part).tolist(), strict=True))
    return np.array([known[pair] for pair in pairs])


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """Fitted trees with their calibration."""

    trees: TreeEnsemble
    curve: Curve

    def probabilities(self, rows: Floats) -> Floats:
        """Maps rows (n, f) to probabilities (n,)."""
        return self.curve.apply(self.trees.score(rows))


def final_scores(rows: Rows, judged: Judged, first: Stage, second: Stage) -> Floats:
    """Returns the probability (n,) that serving would give each row."""
    scores = first.probabilities(rows.cheap)
    scores[judged.places] = second.probabilities(judged.rows)
    return scores
