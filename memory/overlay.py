"""The memory with planned entries on top that are not committed yet. Pure."""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol

from memory.conflicts import conflict_key
from memory.record import Edit, EditId, Namespace
from memory.snapshot import is_live
from memory.writes import EntryKind, LogEntry


class StateView(Protocol):
    """What a plan may ask of the memory."""

    def latest(self, namespace: Namespace, edit_id: EditId) -> Edit | None:
        """Returns the newest revision of an edit."""
        ...

    def holder(self, namespace: Namespace, key: bytes) -> EditId | None:
        """Returns the live edit that holds a conflict key."""
        ...


class Overlay:
    """A state with entries added on top that are not committed yet."""

    def __init__(self, base: StateView, sequence: int) -> None:
        self.sequence = sequence  # Of the last entry, planned ones included.
        self.entries: list[LogEntry] = []
        self._base = base
        self._edits: dict[tuple[Namespace, EditId], Edit] = {}
        self._holders: dict[tuple[Namespace, bytes], EditId | None] = {}

    def latest(self, namespace: Namespace, edit_id: EditId) -> Edit | None:
        """Returns the newest revision of an edit, planned ones included."""
        found = self._edits.get((namespace, edit_id))
        return self._base.latest(namespace, edit_id) if found is None else found

    def holder(self, namespace: Namespace, key: bytes) -> EditId | None:
        """Returns the live edit that holds a conflict key, planned ones included."""
        if (namespace, key) in self._holders:
            return self._holders[namespace, key]
        return self._base.holder(namespace, key)

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
            edit=edit,
            at_s=at_s,
            author=edit.author,
            reason=reason,
        )
        self._note(entry, previous)
        return edit

    def absorb(self, plan: Overlay) -> None:
        """Takes in the entries of a plan that was made on top of this one."""
        self.entries.extend(plan.entries)
        self._edits.update(plan._edits)
        self._holders.update(plan._holders)
        self.sequence = plan.sequence

    def _note(self, entry: LogEntry, previous: Edit | None) -> None:
        edit = entry.edit
        self.entries.append(entry)
        self._edits[edit.namespace, edit.id] = edit
        if previous is not None and is_live(previous):
            key = conflict_key(previous.subject, previous.prompt)
            if self.holder(edit.namespace, key) == edit.id:
                self._holders[edit.namespace, key] = None
        if is_live(edit):
            self._holders[edit.namespace, conflict_key(edit.subject, edit.prompt)] = edit.id
