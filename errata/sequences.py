"""Read your writes: remembers the highest sequence that a client wrote. Thread-safe."""

from __future__ import annotations

import threading


class SequenceTracker:
    """The highest sequence noted; always 0 when not enabled."""

    def __init__(self, *, enabled: bool = True) -> None:
        self._enabled = enabled
        self._lock = threading.Lock()
        self._seen = 0

    @property
    def seen(self) -> int:
        """The sequence that the client's next request must see."""
        return self._seen

    def note(self, sequence: int) -> None:
        """Remembers a write's sequence."""
        if self._enabled:
            with self._lock:
                self._seen = max(self._seen, sequence)
