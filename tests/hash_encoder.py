"""An Encoder without weights: similar texts are near, everything is deterministic. No torch."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np

from memory.contracts import Matrix
from memory.record import Vector


class HashEncoder:
    """Sums signed unit axes chosen by the hashes of character trigrams and words."""

    def __init__(self, dimension: int = 64, name: str = "") -> None:
        self._dimension = dimension
        self._name = name or f"hash-{dimension}"
        self.encoded = 0  # Texts so far.

    @property
    def name(self) -> str:
        return self._name

    @property
    def dimension(self) -> int:
        return self._dimension

    def encode(self, text: str) -> Vector:
        self.encoded += 1
        vector = np.zeros(self._dimension, dtype=np.float32)
        words = text.lower().split()
        padded = " ".join(["", *words, ""])
        grams = [padded[place : place + 3] for place in range(max(1, len(padded) - 2))]
        for gram in (*grams, *words, *(" ".join(pair) for pair in pairwise(words))):
            code = zlib.crc32(f"{self._name}/{gram}".encode("utf-8", "surrogatepass"))
            vector[code % self._dimension] += 1.0 if code & 0x8000_0000 else -1.0
        length = float(np.linalg.norm(vector))
        if length == 0.0:
            vector[0] = length = 1.0
        return vector / np.float32(length)

    def encode_many(self, texts: Sequence[str]) -> Matrix:
        if not texts:
            return np.zeros((0, self._dimension), dtype=np.float32)
        return np.stack([self.encode(text) for text in texts])


class ClosableEncoder(HashEncoder):
    """A HashEncoder that is begun, waited for and closed as the real one is."""

    def __init__(self) -> None:
        super().__init__()
        self.awaited: list[str] = []
        self.closed = 0

    def begin(self, text: str) -> Callable[[], Vector]:
        def end() -> Vector:
            self.awaited.append(text)
            return self.encode(text)

        return end

    def close(self) -> None:
        self.closed += 1
