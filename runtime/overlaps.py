"""Which edits in force speak to the same question as another edit, with another answer.

Two edits overlap when the prompt of one, asked as a query, is in the scope of the other, and their
targets differ. It is the router's own judgement, by the namespace's own threshold, so it errs as
the router errs. What is in the scope of both, the later one answers (runtime/later.py). Exact
conflicts, the same subject and prompt, are the memory's business (memory/conflicts.py) and never
both in force.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from memory.conflicts import same_text
from memory.errors import NotFound
from memory.record import Candidate, Edit, Query, ScopeDecision, Vector
from memory.snapshot import MemorySnapshot
from memory.space import is_live
from runtime.scoping import REVERSED_FROM, ScopeStage, mention_of

REVERSED_MAX = 8  # Prompts of other edits that are asked of one edit, at most.


@dataclass(frozen=True, slots=True, kw_only=True)
class Overlap:
    """An edit in force that overlaps the one that was asked about."""

    edit: Edit  # The other one.
    score: float  # The classifier's, of the direction that passed.
    threshold: float
    reverse: bool = False  # The other one's prompt is in this one's scope, not this one's in its.


@dataclass(frozen=True, slots=True, kw_only=True)
class OverlapPair:
    """Two edits in force that overlap."""

    edit: Edit
    overlap: Overlap


class OverlapFinder:
    """Finds the overlaps of one edit. Thread-safe; changes nothing.

    Costs about what routing a query costs without encoding it, the vector of an edit in force being
    at hand, and a pair more for each other edit that is asked the other way round.
    """

    def __init__(self, scope: ScopeStage, *, reversed_max: int = REVERSED_MAX) -> None:
        self._scope = scope
        self._reversed_max = reversed_max

    def find(
        self,
        edit: Edit,
        snapshot: MemorySnapshot,
        *,
        among: Callable[[Edit], bool] = lambda _: True,
    ) -> list[Overlap]:
        """Returns what overlaps an edit, surest first; the edit may be in the snapshot or not yet.

        The edit's prompt is asked of the namespace as if neither the edit nor the one that it
        supersedes were there. Then those that name the same subject and were turned down, but not
        out of hand, are asked the other way round: their prompts, the likeliest first, of this edit
        alone. Others than those `among` are not told. None in a namespace that does not exist yet.
        """
        namespace = edit.namespace
        try:
            snapshot.space(namespace)
        except NotFound:
            return []
        stored = snapshot.vector(namespace, edit.id) if _stands(edit, snapshot) else None
        vector = self._scope.encode(edit.prompt) if stored is None else stored
        without = {edit.id} if edit.supersedes is None else {edit.id, edit.supersedes}
        decisions = self._scope.judge(
            namespace, Query(text=edit.prompt, vector=vector), snapshot, without=without
        )
        differing = sorted(
            (
                decision
                for decision in decisions
                if not same_text(decision.candidate.edit.target, edit.target)
                and among(decision.candidate.edit)
            ),
            key=lambda decision: -decision.score,
        )
        found = [_overlap(decision) for decision in differing if decision.accepted]
        left = [
            decision.candidate
            for decision in differing
            if REVERSED_FROM * decision.threshold <= decision.score < decision.threshold
        ]
        found += self._reversed(edit, vector, left, snapshot)
        return sorted(found, key=lambda overlap: (-overlap.score, overlap.edit.id))

    def _reversed(
        self, edit: Edit, vector: Vector, others: Sequence[Candidate], snapshot: MemorySnapshot
    ) -> Iterator[Overlap]:
        """Asks the prompts of other edits of this edit alone; yields those in its scope."""
        asked = 0
        for other in others:
            mention = mention_of(edit, other.edit.prompt)
            if not (mention or other.by_subject):
                continue
            if asked == self._reversed_max:
                return
            asked += 1
            told = snapshot.vector(edit.namespace, other.edit.id)
            if told is None:
                continue
            decision = self._scope.judge_prompt(other.edit, edit, (told, vector), mention)
            if decision.accepted:
                yield Overlap(
                    edit=other.edit,
                    score=decision.score,
                    threshold=decision.threshold,
                    reverse=True,
                )


def _overlap(decision: ScopeDecision) -> Overlap:
    return Overlap(edit=decision.candidate.edit, score=decision.score, threshold=decision.threshold)


def _stands(edit: Edit, snapshot: MemorySnapshot) -> bool:
    """Whether the memory holds the edit with this very prompt, so that its vector is the edit's."""
    held = snapshot.get(edit.namespace, edit.id)
    return held is not None and is_live(held) and held.prompt == edit.prompt
