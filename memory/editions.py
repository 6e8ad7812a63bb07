"""Which edition a namespace answers with: activation, and leaving one that says too much. Pure.

An edit is CONSOLIDATED exactly while the active edition of its namespace holds it. So whatever
takes an edit out of force (or changes what it says) also takes the namespace off every edition
that was computed from it, in the same transaction.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from memory.errors import WrongState
from memory.overlay import Overlay
from memory.plans import Planned, resource_name, says
from memory.record import EDITION_BASE, Activation, Edit, EditId, EditState, Namespace
from memory.space import has_expired, is_live
from memory.writes import EntryKind, WriteOutcome

NAMED_MAX = 5  # Edits that a message names.


@dataclass(frozen=True, slots=True, kw_only=True)
class ActivateEdition:
    """Gives a namespace an edition; edits that it holds become CONSOLIDATED, others ACTIVE."""

    activation: Activation
    reason: str

    def plan(self, overlay: Overlay, now_s: float) -> Planned:
        """Raises WrongState when the edition says what no longer holds."""
        wanted = self.activation
        stale = stale_contents(overlay, wanted, now_s)
        if stale:
            names = ", ".join(resource_name(wanted.namespace, name) for name in stale[:NAMED_MAX])
            more = f" and {len(stale) - NAMED_MAX} more" if len(stale) > NAMED_MAX else ""
            raise WrongState(
                f"edition {wanted.edition} was computed from edits that are no longer in force, "
                f"or say something else now: {names}{more}; consolidate again without them"
            )
        active = active_of(overlay, wanted.namespace)
        if _same(active, wanted):
            found = (overlay.latest(wanted.namespace, edit_id) for edit_id, _ in wanted.took)
            held = [edit for edit in found if edit is not None]
            return Planned(edits=tuple(held), outcomes=tuple(WriteOutcome.UNCHANGED for _ in held))
        edits = switch(overlay, wanted, now_s, reason=self.reason)
        return Planned(edits=tuple(edits), outcomes=tuple(WriteOutcome.UPDATED for _ in edits))


def leave_stale_editions(plan: Overlay, now_s: float) -> None:
    """Adds to a plan what it makes necessary: other editions for the namespaces it touches.

    The newest older edition that says nothing stale is activated, the model as published at worst.
    """
    touched: dict[Namespace, set[EditId]] = {}
    for entry in plan.entries:
        if entry.edit is not None:
            touched.setdefault(entry.edit.namespace, set()).add(entry.edit.id)
    for namespace, edit_ids in touched.items():
        active = active_of(plan, namespace)
        if active is None or active.edition == EDITION_BASE:
            continue
        concerned = replace(
            active,
            took=tuple(item for item in active.contents if item[0] in edit_ids),
            left=(),
        )
        stale = stale_contents(plan, concerned, now_s)
        if stale:
            name = resource_name(namespace, stale[0])
            reason = f"edition {active.edition} holds {name}, which is no longer in force"
            following = replace(_fallback(plan, active, now_s), automatic=True)
            switch(plan, following, now_s, reason=reason)


def active_of(overlay: Overlay, namespace: Namespace) -> Activation | None:
    """Returns the last activation of a namespace, None when there was none."""
    activations = overlay.activations(namespace)
    return activations[-1] if activations else None


def stale_contents(overlay: Overlay, activation: Activation, now_s: float) -> list[EditId]:
    """Returns the edits of an edition that are not in force or say something else by now."""
    return [
        edit_id
        for edit_id, revision in activation.contents
        if not _still_says(overlay, activation.namespace, edit_id, revision, now_s)
    ]


def switch(
    overlay: Overlay, activation: Activation, now_s: float, *, reason: str = ""
) -> list[Edit]:
    """Plans the activation and the new states of edits; returns those that changed."""
    namespace = activation.namespace
    former = active_of(overlay, namespace)
    overlay.activate(activation, at_s=now_s, reason=reason)
    kept = {edit_id for edit_id, _ in activation.took}
    changed: list[Edit] = []
    for edit_id, _ in former.took if former else ():
        edit = overlay.latest(namespace, edit_id)
        if edit is None or edit_id in kept or edit.state is not EditState.CONSOLIDATED:
            continue
        routed = replace(edit, state=EditState.ACTIVE, edition=None)
        changed.append(overlay.add(EntryKind.CONSOLIDATED, routed, at_s=now_s))
    for edit_id, _ in activation.took:
        edit = overlay.latest(namespace, edit_id)
        if edit is None:
            continue
        held = replace(edit, state=EditState.CONSOLIDATED, edition=activation.edition)
        if held != edit:
            changed.append(overlay.add(EntryKind.CONSOLIDATED, held, at_s=now_s))
    return changed


def _fallback(overlay: Overlay, active: Activation, now_s: float) -> Activation:
    """Returns the newest edition before the active one that says nothing stale."""
    known = {item.edition: item for item in overlay.activations(active.namespace)}
    for edition in sorted(known, reverse=True):
        older = EDITION_BASE < edition < active.edition
        if older and not stale_contents(overlay, known[edition], now_s):
            return known[edition]
    return Activation(namespace=active.namespace, edition=EDITION_BASE)


def _still_says(
    overlay: Overlay, namespace: Namespace, edit_id: EditId, revision: int, now_s: float
) -> bool:
    edit = overlay.latest(namespace, edit_id)
    then = overlay.revision(namespace, edit_id, revision)
    if edit is None or then is None or not is_live(edit) or has_expired(edit, now_s):
        return False
    return says(edit) == says(then)


def _same(active: Activation | None, wanted: Activation) -> bool:
    """Whether the wanted edition answers already, with the same contents."""
    if active is None:
        return wanted.edition == EDITION_BASE
    return (active.edition, active.took, active.left) == (
        wanted.edition,
        wanted.took,
        wanted.left,
    )
