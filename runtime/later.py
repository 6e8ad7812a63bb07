"""Which edits in scope have been corrected since, in other words.

Two edits in force may overlap (runtime/overlaps.py), that is, answer one question: "The CEO of Acme
is" Jane, and later "Acme is led by" Tom. Under the memory's exact rule they are no conflict
(memory/conflicts.py), and score alone would say which of them answers, now the one and now the
other. Here the later one counts for what is in the scope of both, except where the earlier one's
very prompt is asked and is not the later one's too: an edit that is in force answers its own words.
Nor does a later one count that is itself in scope by a narrow margin, where the earlier is surer,
and overlaps that one by a narrow margin too: such two may be two questions after all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from threading import Lock

from memory.conflicts import same_text
from memory.record import Edit, EditId, Namespace, ScopeDecision
from memory.snapshot import MemorySnapshot

COMPARED_MAX = 4  # Edits in scope of one query that are compared with each other, the best ones.
EVEN_ODDS = 0.5  # The score from which on a later edit, or an overlap of two, is beyond doubt.
KEPT_MAX = 32_768  # Pairs of edits whose judgement is remembered.

_Pair = tuple[Namespace, EditId, int, EditId, int]  # Ids and revisions, the earlier one's first.
OverlapJudge = Callable[[Edit, Edit, MemorySnapshot], float]
"""Scores that an edit and a later one answer one question, 0 where they do not; targets differ."""


class LaterCorrections:
    """Finds the edits in scope that a later one speaks for. Thread-safe.

    A pair costs one or two judgements the first time, and nothing after that.
    """

    def __init__(self, overlap: OverlapJudge) -> None:
        """Takes what judges; it must judge by the edits alone, as what it says is kept."""
        self._overlap = overlap
        self._lock = Lock()
        self._known: dict[_Pair, float] = {}

    def find(
        self,
        namespace: Namespace,
        text: str,
        decisions: Sequence[ScopeDecision],
        snapshot: MemorySnapshot,
    ) -> dict[EditId, EditId]:
        """Returns, by corrected edit, the later one; mostly empty.

        `text` is the query as it is read, `decisions` are all candidates in any order.
        """
        accepted = [decision for decision in decisions if decision.accepted]
        if len(accepted) < 2:
            return {}
        accepted = sorted(accepted, key=lambda decision: -decision.score)[:COMPARED_MAX]
        edits = [decision.candidate.edit for decision in accepted]
        scores = {decision.candidate.edit.id: decision.score for decision in accepted}
        said = {edit.id: snapshot.said_at(namespace, edit.id) for edit in edits}
        edits.sort(key=lambda edit: -said[edit.id])
        corrected: dict[EditId, EditId] = {}
        for place, earlier in enumerate(edits):
            own = same_text(text, earlier.prompt)
            for later in edits[:place]:
                # Subjects may differ where the prompt does not: {Acme} Corp and {Acme Corp}.
                if own and not same_text(text, later.prompt):
                    continue
                if said[later.id] <= said[earlier.id]:
                    continue
                sure = scores[later.id] >= min(EVEN_ODDS, scores[earlier.id])
                overlap = self._overlap_of(earlier, later, snapshot)
                if overlap > 0 and (sure or overlap >= EVEN_ODDS):
                    corrected[earlier.id] = later.id
                    break
        return corrected

    def _overlap_of(self, earlier: Edit, later: Edit, snapshot: MemorySnapshot) -> float:
        if same_text(earlier.target, later.target):
            return 0.0
        pair = (earlier.namespace, earlier.id, earlier.revision, later.id, later.revision)
        with self._lock:
            known = self._known.get(pair)
        if known is None:
            known = self._overlap(earlier, later, snapshot)
            with self._lock:
                while len(self._known) >= KEPT_MAX:
                    del self._known[next(iter(self._known))]
                self._known[pair] = known
        return known
