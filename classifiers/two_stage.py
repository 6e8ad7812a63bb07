"""The default scope classifier: cheap features decide the clear cases, a cross-encoder the rest.

Stage one scores every candidate by trees over features that cost no encoding. A candidate whose
subject is mentioned and whose score is not clearly low is in the grey band: its frame and the
query's are read together by the cross-encoder, for the PAIRS_MAX best at most. Stage two scores
those by trees over the same features and the judgement. Each stage has its own calibration.

Weights are a JSON file (trees, curves, thresholds by error budget with their counts) and the
cross-encoder's safetensors; `classifiers/train_two_stage.py` and `train_cross.py` write them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from classifiers.calibrated import threshold_within
from classifiers.calibration import Curve, Floats, ReliabilityBin, curve_from_record
from classifiers.cross_encoder import WEIGHTS_FILE as CROSS_FILE
from classifiers.cross_encoder import CrossEncoder
from classifiers.cross_pairs import MARK, edit_side
from classifiers.features import EDITS_KEPT_MAX
from classifiers.scope import Foreseen
from classifiers.trees import TreeEnsemble, ensemble_from_record
from classifiers.two_stage_features import (
    CHEAP,
    JUDGED,
    cheap_rows,
    is_verbatim,
    judged_rows,
    pair_of,
    pair_texts,
    prepare_rows,
)
from memory.conflicts import same_text
from memory.errors import StartupError
from memory.record import Candidate, Edit, Query

if TYPE_CHECKING:
    from memory.contracts import Encoder

WEIGHTS_FILE = Path(__file__).resolve().parent / "weights" / "two_stage_v1.json"
FORMAT = "errata-two-stage/1"
PAIRS_MAX = 4  # Pairs that the cross-encoder reads for one query, at most.
READINGS_KEPT_MAX = 4096  # Queries' pairs whose log-odds are kept, up to 1 kB a pair.


class PairJudge(Protocol):
    """What stage two needs of a cross-encoder."""

    version: str

    def judge(self, pairs: Sequence[tuple[str, str]]) -> Floats:
        """Returns log-odds (n,) that each (edit side, query frame) is in scope."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class TwoStageWeights:
    """What the file holds, read and checked."""

    first: TreeEnsemble
    first_curve: Curve
    second: TreeEnsemble
    second_curve: Curve
    grey_from: float  # Log-odds of stage one from which a mention is in the grey band.
    thresholds: tuple[tuple[float, float], ...]  # (error budget, score), by falling budget.
    budget_default: float
    reliability: tuple[ReliabilityBin, ...]
    encoder: str  # Whose cosines the trees were fitted to, without the dtype.
    cross: str  # The version of the cross-encoder that stage two was fitted to.
    version: str


class TwoStageClassifier:
    """Implements ScopeClassifier. Immutable but for the pairs it keeps; thread-safe."""

    name = "two-stage-v1"
    calibrated = True
    prepared_max = EDITS_KEPT_MAX

    def __init__(
        self, weights: TwoStageWeights, cross: PairJudge, *, pairs_max: int = PAIRS_MAX
    ) -> None:
        self._weights = weights
        self._pairs_max = pairs_max
        # By the pairs that were read together: alone, one's log-odds may end in other bits.
        self._read = lru_cache(READINGS_KEPT_MAX)(lambda pairs: cross.judge(pairs).tolist())

    @classmethod
    def load(
        cls, encoder: Encoder, path: Path = WEIGHTS_FILE, cross_path: Path = CROSS_FILE
    ) -> TwoStageClassifier:
        """Reads the weights. Raises StartupError when they are not usable or do not fit."""
        weights = load_weights(path)
        cross = CrossEncoder.load(cross_path)
        for what, wanted, given in (
            ("cosines of the encoder", weights.encoder, encoder.name),
            ("judgements of the cross-encoder", weights.cross, cross.version),
        ):
            if wanted != given:
                raise StartupError(
                    f"the scope classifier's weights {path} were fitted to {what} {wanted}, but "
                    f"{given} is in use; use the two that belong together, or fit again with "
                    "python -m classifiers.train_two_stage"
                )
        cross.judge([(edit_side(MARK, MARK), MARK)])  # The first one is slow; not in a query.
        return cls(weights, cross)

    @property
    def version(self) -> str:
        """A hash of both weights files."""
        return self._weights.version

    @property
    def reliability(self) -> tuple[ReliabilityBin, ...]:
        """The reliability diagram on the split that thresholds were chosen on."""
        return self._weights.reliability

    def prepare(self, edit: Edit) -> None:
        """Does what stage one needs of an edit alone."""
        prepare_rows(edit)

    def foresee(self, text: str, mentioned: Sequence[tuple[Edit, str]]) -> Foreseen:
        """Returns the cross-encoder's log-odds of the pairs that are probably in the grey band."""
        if not 0 < len(mentioned) <= self._pairs_max:
            return {}  # Of more, stage one chooses.
        if any(same_text(text, edit.prompt) for edit, _ in mentioned):
            return {}  # Verbatim: no pair will be read.
        pairs = [pair for edit, mention in mentioned if (pair := pair_of(text, edit, mention))]
        return dict(zip(pairs, self._read(tuple(pairs)), strict=True))

    def score(self, query: Query, candidates: Sequence[Candidate]) -> list[float]:
        """Returns the probability of "in scope" for each candidate, in their order."""
        return self.score_foreseen(query, candidates, dict)

    def score_foreseen(
        self, query: Query, candidates: Sequence[Candidate], foreseen: Callable[[], Foreseen]
    ) -> list[float]:
        """Scores with log-odds of some pairs at hand, or soon."""
        if not candidates:
            return []
        weights = self._weights
        cheap = cheap_rows(query, candidates)
        first = weights.first.score(cheap)
        scores = weights.first_curve.apply(first)
        verbatim = is_verbatim(query, candidates)
        if not verbatim.any():  # Where a prompt is the query, nobody else can be meant more.
            pairs = pair_texts(query, candidates, cheap)
            chosen = grey_band(first, pairs, weights.grey_from, self._pairs_max)
            if chosen:
                grey = [pair for place in chosen if (pair := pairs[place])]
                odds = self._odds(grey, foreseen())
                second = weights.second.score(judged_rows(cheap[chosen], odds))
                scores[chosen] = weights.second_curve.apply(second)
        scores[verbatim] = 1.0
        return [float(score) for score in np.clip(scores, 0.0, 1.0)]

    def _odds(self, pairs: Sequence[tuple[str, str]], foreseen: Foreseen) -> Floats:
        """Returns the log-odds (n,) of pairs; the cross-encoder reads those not foreseen."""
        unread = tuple(pair for pair in pairs if pair not in foreseen)
        known = {**foreseen, **dict(zip(unread, self._read(unread), strict=True))}
        return np.array([known[pair] for pair in pairs])

    def pairs_of(self, query: Query, candidates: Sequence[Candidate]) -> int:
        """Returns how many pairs the cross-encoder reads for a query; for reports."""
        if not candidates or is_verbatim(query, candidates).any():
            return 0
        cheap = cheap_rows(query, candidates)
        first = self._weights.first.score(cheap)
        pairs = pair_texts(query, candidates, cheap)
        return len(grey_band(first, pairs, self._weights.grey_from, self._pairs_max))

    @property
    def budget_default(self) -> float:
        """The error budget that `threshold()` keeps."""
        return self._weights.budget_default

    def threshold(self, error_budget: float | None = None) -> float:
        """Returns the score from which a candidate is a hit; see the contract."""
        budget = self._weights.budget_default if error_budget is None else error_budget
        return threshold_within(self._weights.thresholds, budget)


def grey_band(
    first: Floats, pairs: Sequence[object | None], grey_from: float, pairs_max: int
) -> list[int]:
    """Returns the places of the candidates to be judged, best first: mentioned and not clear."""
    grey = [
        place for place, pair in enumerate(pairs) if pair is not None and first[place] >= grey_from
    ]
    return sorted(grey, key=lambda place: (-first[place], place))[:pairs_max]


def load_weights(path: Path) -> TwoStageWeights:
    """Reads and checks a weights file. Raises StartupError saying what is wrong with it."""
    try:
        raw = path.read_bytes()
        record: Mapping[str, Any] = json.loads(raw)
        return _checked(record, hashlib.sha256(raw).hexdigest()[:16])
    except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
        raise StartupError(
            f"the scope classifier's weights {path} cannot be used ({error}); restore the file or "
            "fit it again with python -m classifiers.train_two_stage"
        ) from error


def _checked(record: Mapping[str, Any], digest: str) -> TwoStageWeights:
    if record["format"] != FORMAT:
        raise ValueError(f"its format is {record['format']!r}, expected {FORMAT!r}")
    if tuple(record["cheap"]) != CHEAP or tuple(record["judged"]) != JUDGED:
        raise ValueError("it was fitted to other features than this version computes")
    thresholds = ((float(t["budget"]), float(t["score"])) for t in record["thresholds"])
    return TwoStageWeights(
        first=ensemble_from_record(record["first"]),
        first_curve=curve_from_record(record["first_curve"]),
        second=ensemble_from_record(record["second"]),
        second_curve=curve_from_record(record["second_curve"]),
        grey_from=float(record["grey_from"]),
        thresholds=tuple(sorted(thresholds, reverse=True)),
        budget_default=float(record["budget_default"]),
        reliability=tuple(ReliabilityBin(**entry) for entry in record["reliability"]),
        encoder=str(record["encoder"]),
        cross=str(record["cross"]),
        version=f"{digest}+{record['cross']}",
    )
