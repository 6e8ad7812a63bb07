"""Edits that a request names itself (policy FORCE), as decisions that pass."""

from __future__ import annotations

from memory.errors import InvalidInput, NotFound, WrongState
from memory.record import Candidate, Edit, EditId, EditState, Namespace, ScopeDecision
from memory.snapshot import MemorySnapshot
from runtime.question import Routing

SERVED_STATES = (EditState.ACTIVE, EditState.CONSOLIDATED)


def forced_decisions(
    routing: Routing, snapshot: MemorySnapshot, *, edits_max: int
) -> list[ScopeDecision]:
    """Returns the named edits in their order, all in scope.

    Raises InvalidInput (none, or more than `edits_max`), NotFound, WrongState (one not served).
    """
    if not 1 <= len(routing.edits) <= edits_max:
        raise InvalidInput(
            f"FORCE names {len(routing.edits)} edits; name 1 to {edits_max}.",
            field="routing.edits",
        )
    decisions = []
    for place, edit_id in enumerate(routing.edits):
        edit = _served_edit(snapshot, routing.namespace, edit_id)
        candidate = Candidate(edit=edit, cosine=0.0, rank=place, by_vector=False, by_subject=False)
        decisions.append(ScopeDecision(candidate=candidate, score=1.0, threshold=0.0))
    return decisions


def _served_edit(snapshot: MemorySnapshot, namespace: Namespace, edit_id: EditId) -> Edit:
    name = f"namespaces/{namespace}/edits/{edit_id}"
    edit = snapshot.get(namespace, edit_id)
    if edit is None:
        raise NotFound(
            f"There is no edit {name}; list the edits of the namespace to see what there is.",
            resource_type="edit",
            resource_name=name,
        )
    if edit.state not in SERVED_STATES:
        raise WrongState(f"{name} is {edit.state.value} and cannot be forced; restore it first.")
    return edit
