"""An Encoder that keeps what it encoded in a file, so that training and reports can be repeated."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from memory.contracts import Encoder, Matrix
    from memory.record import Vector

ENCODED_AT_ONCE = 256


class CachedEncoder:
    """Implements Encoder over another one. Not thread-safe; for scripts.

    The file is an .npz of texts and vectors under the encoder's name, with its precision where that
    is not float32; `save` writes it.
    """

    def __init__(self, encoder: Encoder, path: Path | None, *, dtype: str = "float32") -> None:
        """Takes the encoder's `dtype`: vectors of two precisions are never mixed."""
        self._encoder = encoder
        self._kept_as = encoder.name if dtype == "float32" else f"{encoder.name} {dtype}"
        self._path = path
        self._known: dict[str, Vector] = {}
        if path is not None and path.exists():
            with np.load(path, allow_pickle=False) as held:
                if str(held["name"]) == self._kept_as:
                    vectors = held["vectors"]
                    self._known = {str(t): v for t, v in zip(held["texts"], vectors, strict=True)}

    @property
    def name(self) -> str:
        """The name of the encoder underneath."""
        return self._encoder.name

    @property
    def dimension(self) -> int:
        """The length d of a vector."""
        return self._encoder.dimension

    def encode(self, text: str) -> Vector:
        """Returns the unit vector of one text, shape (d,)."""
        vector: Vector = self.encode_many([text])[0]
        return vector

    def encode_many(self, texts: Sequence[str]) -> Matrix:
        """Returns the unit vectors of the texts, shape (n, d); each distinct one encoded once."""
        missing = [text for text in dict.fromkeys(texts) if text not in self._known]
        for start in range(0, len(missing), ENCODED_AT_ONCE):
            part = missing[start : start + ENCODED_AT_ONCE]
            self._known.update(zip(part, self._encoder.encode_many(part), strict=True))
        if not texts:
            return np.zeros((0, self.dimension), dtype=np.float32)
        return np.stack([self._known[text] for text in texts])

    def save(self) -> None:
        """Writes the file, if there is one. Changes it whole."""
        if self._path is None or not self._known:
            return
        texts = np.array(list(self._known))
        vectors = np.stack(list(self._known.values()))
        beside = self._path.with_suffix(".part.npz")
        np.savez(beside, name=self._kept_as, texts=texts, vectors=vectors)
        beside.replace(self._path)
