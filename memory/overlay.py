"""The memory with planned entries on top that are not committed yet. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

from memory.conflicts import conflict_key
from memory.record import Activation, Edit, EditId, Namespace
from memory.space import is_live
from memory.writes import EntryKind, LogEntry


class StateView(Protocol):
    """What a plan may ask of the memory."""

    def latest(self, namespace: Namespace, edit_id: EditId) -> Edit | None:
        """Returns the newest revision of an edit."""
        ...

    def holder(self, namespace: Namespace, key: bytes) -> EditId | None:
        """Returns the live edit that holds a conflict key."""
        ...

    def revision(self, namespace: Namespace, edit_id: EditId, revision: int) -> Edit | None:
        """Returns one revision of an edit."""
        ...

    def activations(self, namespace: Namespace) -> Sequence[Activation]:
        """Returns all activations of a namespace, oldest first."""
        ...


class Overlay:
    """A state with entries added on top that are not committed yet."""

    def __init__(self, base: StateView, sequence: int) -> None:
        self.sequence = sequence  # Of the last entry, planned ones included.
        self.entries: list[LogEntry] = []
        self._base = base
        self._edits: dict[tuple[Namespace, EditId], Edit] = {}
        self._holders: dict[tuple[Namespace, bytes], EditId | None] = {}
        self._activations: dict[Namespace, list[Activation]] = {}  # Planned ones.

    def latest(self, namespace: Namespace, edit_id: EditId) -> Edit | None:
        """Returns the newest revision of an edit, planned ones included."""
        found = self._edits.get((namespace, edit_id))
        return self._base.latest(namespace, edit_id) if found is None else found

    def holder(self, namespace: Namespace, key: bytes) -> EditId | None:
        """Returns the live edit that holds a conflict key, planned ones included."""
        if (namespace, key) in self._holders:
            return self._holders[namespace, key]
        return self._base.holder(namespace, key)

    def revision(self, namespace: Namespace, edit_id: EditId, revision: int) -> Edit | None:
        """Returns one revision of an edit, planned ones included."""
        for entry in self.entries:
            edit = entry.edit
            if edit is None or (edit.namespace, edit.id) != (namespace, edit_id):
                continue
            if edit.revision == revision:
                return edit
        return self._base.revision(namespace, edit_id, revision)

    def activations(self, namespace: Namespace) -> Sequence[Activation]:
        """Returns all activations of a namespace, planned ones included."""
        return [*self._base.activations(namespace), *self._activations.get(namespace, ())]

    def activate(self, activation: Activation, *, at_s: float, reason: str = "") -> Activation:
        """Plans the entry that gives a namespace an edition; returns it with its sequence."""
        self.sequence += 1
        activation = replace(activation, sequence=self.sequence, at_s=at_s)
        self.entries.append(
            LogEntry(
                sequence=self.sequence,
                kind=EntryKind.ACTIVATED,
                what=activation,
                at_s=at_s,
                reason=reason,
            )
        )
        self._activations.setdefault(activation.namespace, []).append(activation)
        return activation

    def add(self, kind: EntryKind, edit: Edit, *, at_s: float, reason: str = "") -> Edit:
        """Plans an entry: gives the edit the next sequence and its time; returns it."""
        previous = self.latest(edit.namespace, edit.id)
        self.sequence += 1
        edit = replace(
            edit,
            sequence=self.sequence,
            revision=1 if previous is None else previous.revision + 1,
            updated_at_s=at_s,
        )
        entry = LogEntry(
            sequence=self.sequence,
            kind=kind,
            what=edit,
            at_s=at_s,
            author=edit.author,
            reason=reason,
        )
        self.entries.append(entry)
        self._note(edit, previous)
        return edit

    def absorb(self, plan: Overlay) -> None:
        """Takes in the entries of a plan that was made on top of this one."""
        self.entries.extend(plan.entries)
        self._edits.update(plan._edits)
        self._holders.update(plan._holders)
        for namespace, made in plan._activations.items():
            self._activations.setdefault(namespace, []).extend(made)
        self.sequence = plan.sequence

    def _note(self, edit: Edit, previous: Edit | None) -> None:
        self._edits[edit.namespace, edit.id] = edit
        if previous is not None and is_live(previous):
            key = conflict_key(previous.subject, previous.prompt)
            if self.holder(edit.namespace, key) == edit.id:
                self._holders[edit.namespace, key] = None
        if is_live(edit):
            self._holders[edit.namespace, conflict_key(edit.subject, edit.prompt)] = edit.id
