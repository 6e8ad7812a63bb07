"""One probe with what came of it, judged: the raw material of every metric and figure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from evaluation.method import REFUSED, Asked
from evaluation.metrics import exact
from evaluation.probes import Probe, Scope
from memory.conflicts import same_text
from memory.record import EditDraft, EditId


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One answer, judged."""

    case: str  # Of the record; "" for a question that belongs to none.
    probe: Probe
    asked: Asked
    right: bool  # The best hit is an edit that the probe is about.
    filler: bool  # The best hit only fills the memory.
    covered: bool  # Out of its own edit's scope, but some other edit in memory is about it.
    follows: bool | None  # The label of a paraphrase; None: not labelled.
    same_fact: bool = False  # The best hit is about the fact that a neighbour asks for.
    best: str  # The statement of the best candidate, hit or not; "" when there was none.
    best_is_own: bool = False  # The best candidate, hit or not, is the record's own edit.
    seconds: float  # Wall time that this answer took of the run.

    @property
    def kind(self) -> str:
        """The probe's kind."""
        return self.probe.kind

    @property
    def refused(self) -> bool:
        """Whether the server would refuse to answer it: the model's context is too short."""
        said = self.asked.said
        return self.unrouted or (said is not None and said.finish == REFUSED)

    @property
    def unrouted(self) -> bool:
        """Whether it was refused before it was known where it goes."""
        return self.asked.routed.path == REFUSED

    @property
    def edited(self) -> bool:
        """Whether it was routed to an edit."""
        return self.asked.routed.edited

    @property
    def wrong(self) -> bool:
        """Whether it was routed to an edit of the data that it is not about."""
        return self.edited and not self.right and not self.filler

    @property
    def wrong_fact(self) -> bool:
        """Whether it was wrong, and the edit is not about the very fact that the probe asks for."""
        return self.wrong and not self.same_fact

    @property
    def exact(self) -> bool:
        """Whether the whole answer is one of the right ones; False when nothing was said."""
        said = self.asked.said
        return said is not None and any(exact(said.text, name) for name in self.probe.answers)


def is_right(
    asked: Asked, probe: Probe, own: frozenset[EditId], edits: Mapping[EditId, EditDraft]
) -> bool:
    """Whether the best hit is about the probe.

    It is the record's own edit (for a probe that does not lie outside it), one that says the same
    of the same subject in other words, or one whose prompt is the very probe.
    """
    if not asked.routed.hits:
        return False
    hit = EditId(asked.routed.hits[0][0])
    edit = edits.get(hit)
    if edit is not None and same_text(edit.prompt, probe.prompt):
        return True
    if probe.scope is Scope.OUTSIDE:
        return False
    if hit in own:
        return True
    return edit is not None and any(
        name in edits
        and same_text(edits[name].subject, edit.subject)
        and same_text(edits[name].target, edit.target)
        for name in own
    )
