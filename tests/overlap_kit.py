"""What the tests of overlaps share: a classifier that anybody can follow, and a memory with it."""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from memory.edit_memory import EditMemory
from memory.record import DEFAULT_NAMESPACE, Candidate, Edit, EditDraft, Namespace, Query
from memory.writes import WriteResult
from runtime.overlap_scan import OverlapScan
from runtime.overlaps import OverlapFinder, OverlapPair
from runtime.scoping import ScopeStage
from tests.hash_encoder import HashEncoder
from tests.memory_kit import open_memory

QUESTIONS = {"boss": ("the boss of {} is", "{} is led by"), "seat": ("the seat of {} is",)}
BOSS, LED, SEAT = "The boss of {} is", "{} is led by", "The seat of {} is"


def fact(prompt: str, target: str, subject: str = "Acme", **fields: Any) -> EditDraft:
    """Makes a draft about a subject from a prompt with {} for it."""
    return EditDraft(subject=subject, prompt=prompt.format(subject), target=target, **fields)


class SameQuestion:
    """In scope: two prompts of QUESTIONS that ask the same of one subject."""

    name = "same-question"
    calibrated = True
    version = "1"

    def score(self, query: Query, candidates: Sequence[Candidate]) -> list[float]:
        return [0.9 if self._same(query.text, c.edit) else 0.1 for c in candidates]

    def threshold(self, error_budget: float | None = None) -> float:
        return 0.5 if error_budget is None else 1 - error_budget

    def _same(self, text: str, edit: Edit) -> bool:
        return any(
            {text.lower(), edit.prompt.lower()} <= {p.format(edit.subject).lower() for p in prompts}
            for prompts in QUESTIONS.values()
        )


class Whimsical(SameQuestion):
    """In scope as a hash of query and prompt says, which knows no symmetry."""

    def score(self, query: Query, candidates: Sequence[Candidate]) -> list[float]:
        asked = (f"{query.text}/{candidate.edit.prompt}" for candidate in candidates)
        return [0.9 if zlib.crc32(pair.encode()) % 2 else 0.2 for pair in asked]


class Overlapping:
    """A memory whose writes are looked at as a server does it."""

    def __init__(self, memory: EditMemory, classifier: SameQuestion, **settings: Any) -> None:
        self.memory = memory
        self.encoder = HashEncoder(dimension=16)
        given = {"candidates": 16, "error_budget": None, "namespace_budgets": {}, **settings}
        scope = ScopeStage(
            encoder=self.encoder, classifier=classifier, clock=time.perf_counter, **given
        )
        self.finder = OverlapFinder(scope)

    def add(self, draft: EditDraft, **options: Any) -> tuple[Edit, list[str]]:
        """Writes an edit; returns it with the targets of what overlaps it, surest first."""
        result: WriteResult = self.memory.create(draft, **options)
        return result.edits[0], self.targets(result.edits[0])

    def targets(self, edit: Edit) -> list[str]:
        found = self.finder.find(edit, self.memory.snapshot())
        return [overlap.edit.target for overlap in found]

    def pairs(self, namespace: str = DEFAULT_NAMESPACE, **options: Any) -> list[OverlapPair]:
        """Lists all pairs, an edit at a time."""
        scan = OverlapScan(self.finder, self.memory.snapshot, Namespace(namespace), **options)
        found: list[OverlapPair] = []
        while not scan.done:
            found += scan.step(0.0)
        return found


@contextmanager
def overlapping(
    folder: Path,
    classifier: SameQuestion | None = None,
    *,
    clock: Callable[[], float] | None = None,
    **settings: Any,
) -> Iterator[Overlapping]:
    """Opens a memory for overlaps to be found in."""
    with open_memory(folder, clock=clock) as memory:
        yield Overlapping(memory, classifier or SameQuestion(), **settings)
