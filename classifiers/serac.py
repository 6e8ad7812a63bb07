"""SERAC's two scope classifiers as published: baselines (Mitchell et al. 2022, 2206.06520).

*embed*: p = exp(-|f(edit) - f(query)|^2), where f is the sentence encoder and a trained linear map.
*cross*: a cross-encoder over "edit [SEP] query". Both know nothing of subjects or features, compare
with 0.5, and promise no budget. Departures: MiniLM instead of DistilBERT, of which the upper part
alone is trained; the target stands in full after the prompt (the reference code cuts the last
word); and only the candidates that retrieval proposes are scored, not the whole memory anew.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open

from classifiers.cross_encoder import CrossEncoder
from classifiers.relation import FrameEncoder
from classifiers.two_stage import PairJudge
from memory.errors import InvalidInput, StartupError
from memory.record import Candidate, Edit, Query

if TYPE_CHECKING:
    from memory.contracts import Encoder

EMBED_FILE = Path(__file__).resolve().parent / "weights" / "serac_embed_v1.safetensors"
CROSS_FILE = Path(__file__).resolve().parent / "weights" / "serac_cross_v1.safetensors"
EMBED_FORMAT = "errata-serac-embed/1"
THRESHOLD = 0.5  # As published, in both forms.


def edit_text(edit: Edit) -> str:
    """Returns what the classifiers see of an edit: prompt and target."""
    return edit.statement


class SeracEmbed:
    """Implements ScopeClassifier. Immutable but for the cache of encoded edits; thread-safe."""

    name = "serac-embed"
    calibrated = False

    def __init__(self, encoder: Encoder, projection: npt.NDArray[np.float32], version: str) -> None:
        """Takes the linear map, (d, k)."""
        self._edits = FrameEncoder(encoder)
        self._projection = projection
        self.version = version

    @classmethod
    def load(cls, encoder: Encoder, path: Path = EMBED_FILE) -> SeracEmbed:
        """Reads the linear map. Raises StartupError when it is damaged or for another encoder."""
        try:
            with safe_open(str(path), framework="np") as held:
                notes = held.metadata() or {}
                projection = held.get_tensor("projection").astype(np.float32)
            _check(notes, encoder.name)
        except (OSError, SafetensorError, KeyError, ValueError) as error:
            raise StartupError(
                f"the weights {path} cannot be used ({error}); restore the file, use the encoder "
                "it was trained for, or train it again with python -m classifiers.train_serac"
            ) from error
        return cls(encoder, projection, hashlib.sha256(path.read_bytes()).hexdigest()[:16])

    def score(self, query: Query, candidates: Sequence[Candidate]) -> list[float]:
        """Returns exp(-squared distance) of the mapped encodings, for each candidate."""
        if not candidates:
            return []
        told = self._edits.encode([edit_text(candidate.edit) for candidate in candidates])
        gaps = (told - query.vector) @ self._projection  # (n, k)
        return [float(p) for p in np.exp(-np.einsum("nk,nk->n", gaps, gaps))]

    def threshold(self, error_budget: float | None = None) -> float:
        """Returns 0.5; raises InvalidInput for any budget below 1, having no calibration."""
        return _published(self.name, error_budget)


class SeracCross:
    """Implements ScopeClassifier. Immutable; thread-safe."""

    name = "serac-cross"
    calibrated = False

    def __init__(self, cross: PairJudge) -> None:
        self._cross = cross
        self.version = cross.version

    @classmethod
    def load(cls, _: Encoder, path: Path = CROSS_FILE) -> SeracCross:
        """Reads the weights. Raises StartupError when they are damaged or do not fit."""
        return cls(CrossEncoder.load(path))

    def score(self, query: Query, candidates: Sequence[Candidate]) -> list[float]:
        """Returns the probability of "in scope" for each candidate, uncalibrated."""
        pairs = [(edit_text(candidate.edit), query.text) for candidate in candidates]
        odds = np.clip(self._cross.judge(pairs), -50.0, 50.0)
        return [float(p) for p in 1 / (1 + np.exp(-odds))]

    def threshold(self, error_budget: float | None = None) -> float:
        """Returns 0.5; raises InvalidInput for any budget below 1, having no calibration."""
        return _published(self.name, error_budget)


def _check(notes: Mapping[str, str], encoder: str) -> None:
    if notes.get("format") != EMBED_FORMAT:
        raise ValueError(f"its format is {notes.get('format')!r}, expected {EMBED_FORMAT!r}")
    if notes.get("encoder") != encoder:
        raise ValueError(
            f"it was trained for the encoder {notes.get('encoder')}, but {encoder} is in use"
        )


def _published(name: str, error_budget: float | None) -> float:
    if error_budget is not None and error_budget < 1.0:
        raise InvalidInput(
            f"{name} is not calibrated and keeps no error budget; leave error_budget out",
            field="error_budget",
        )
    return THRESHOLD
