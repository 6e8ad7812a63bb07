"""How alike two texts are in what they ask, once the entity is taken out of them.

A sentence encoder's cosine is mostly about the entity: "Messi was born in" is 0.75 from "Messi
plays the sport of". Encoded as frames ("it was born in"), the relation is what is left. An edit's
frames are encoded once and kept; a query costs one encoding per distinct frame, and only when it
mentions a candidate's subject.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from memory.contracts import Encoder, Matrix
    from memory.record import Vector

FRAMES_KEPT_MAX = 20_000  # About 31 MB at 384 dimensions.


class FrameEncoder:
    """Encodes frames and keeps the most recent ones. Thread-safe."""

    def __init__(self, encoder: Encoder, *, kept_max: int = FRAMES_KEPT_MAX) -> None:
        self._encoder = encoder
        self._kept_max = kept_max
        self._kept: OrderedDict[str, Vector] = OrderedDict()
        self._lock = threading.Lock()

    def encode(self, frames: Sequence[str]) -> Matrix:
        """Returns the unit vectors of the frames, (n, d); those not seen lately in one batch."""
        found: dict[str, Vector] = {}
        with self._lock:
            for frame in frames:
                if frame in self._kept:
                    self._kept.move_to_end(frame)
                    found[frame] = self._kept[frame]
        missing = [frame for frame in dict.fromkeys(frames) if frame not in found]
        if missing:  # As edits are encoded: how many are missing must not change a vector.
            found.update(zip(missing, self._encoder.encode_many(missing), strict=True))
        self._keep({frame: found[frame] for frame in missing})
        return np.stack([found[frame] for frame in frames])

    def _keep(self, fresh: dict[str, Vector]) -> None:
        with self._lock:
            self._kept.update(fresh)
            while len(self._kept) > self._kept_max:
                self._kept.popitem(last=False)
