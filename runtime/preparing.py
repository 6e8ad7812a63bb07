"""Prepares edits for the classifier before queries have them for candidates, on its own thread.

Else the first query that has an edit for a candidate computes what the edit's texts yield, some 50
microseconds each of some 17. After a start the last edits of the log are prepared, as many as the
classifier keeps; then each edit as it is written. What is not prepared yet, or no more, a query
prepares itself: nothing waits for this thread, and no score depends on it.

It is Python, so whoever needs the interpreter waits while it works: hence it works in slices of
SLICE_S, and rests REST times as long. Its priority is left alone: a thread that the system sets
back while it holds the interpreter keeps all others waiting.
"""

from __future__ import annotations

import logging
import threading
import time

from classifiers.scope import Preparing
from memory.edit_memory import EditMemory
from memory.space import is_live
from memory.writes import LogEntry

logger = logging.getLogger(__name__)

SLICE_S = 0.0005
REST = 4
REST_MAX_S = 0.1  # After an edit that took longer than a slice.


class EditPreparer:
    """Follows a memory until it is closed."""

    def __init__(self, memory: EditMemory, classifier: Preparing) -> None:
        self._memory = memory
        self._classifier = classifier
        self._stop = threading.Event()
        self._news = threading.Condition()
        self._done = 0  # The sequence up to which entries were looked at.
        self._thread = threading.Thread(target=self._run, name="errata-prepare", daemon=True)
        self._thread.start()

    def wait_for(self, sequence: int, timeout_s: float) -> bool:
        """Waits until the edits of the log up to `sequence` are prepared; says whether they are."""
        with self._news:
            return self._news.wait_for(lambda: self._done >= sequence, timeout=timeout_s)

    def close(self) -> None:
        """Ends the thread after the edit that it is at. May be called twice."""
        self._memory.end_watch(self._stop)
        self._thread.join()

    def _run(self) -> None:
        try:
            self._follow()
        except Exception:
            logger.exception("edits are prepared by the queries that find them from now on")

    def _follow(self) -> None:
        first = self._memory.snapshot().sequence - self._classifier.prepared_max + 1
        began = time.perf_counter()
        for entry in self._memory.watch(max(1, first), stop=self._stop):
            try:
                self._prepare(entry)
            except Exception:  # Of this edit alone: the query that finds it meets the same.
                logger.exception("log entry %d could not be prepared ahead", entry.sequence)
            with self._news:
                self._done = entry.sequence
                self._news.notify_all()
            worked = time.perf_counter() - began
            if worked >= SLICE_S:
                self._stop.wait(min(REST * worked, REST_MAX_S))
                began = time.perf_counter()

    def _prepare(self, entry: LogEntry) -> None:
        """Prepares what is in force now of the edit that an entry changed, if anything."""
        snapshot = self._memory.snapshot()
        if (
            entry.edit is None
            or snapshot.sequence - entry.sequence >= self._classifier.prepared_max
        ):
            return  # Later edits would push it out.
        edit = snapshot.get(entry.namespace, entry.edit.id)
        if edit is not None and is_live(edit):
            self._classifier.prepare(edit)
