"""Decides what a write does: from the memory as it is and a request to the entries to append.

Pure: nothing here writes, encodes or waits. Plans are made one after the other in the writer's
thread, each seeing those before it, so a conflict check is exact however many callers race.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from memory.conflicts import conflict_key, same_text
from memory.errors import AlreadyExists, EditConflict, EtagMismatch, NotFound, WrongState
from memory.overlay import Overlay, StateView
from memory.record import (
    ConflictPolicy,
    Edit,
    EditDraft,
    EditId,
    EditState,
    Namespace,
)
from memory.space import has_expired, is_live
from memory.validate import check_expiry
from memory.writes import UNSET, EntryKind, Unset, WriteOutcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """What a write answers: edits (new revisions or old) and what was done with each."""

    edits: tuple[Edit, ...] = ()
    outcomes: tuple[WriteOutcome, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Create:
    """Creates all of the drafts or none. The drafts are validated."""

    namespace: Namespace
    drafts: tuple[EditDraft, ...]
    on_conflict: ConflictPolicy
    batch: bool  # Whether errors name the draft's place.

    def plan(self, overlay: Overlay, now_s: float) -> Planned:
        """Raises EditConflict, AlreadyExists, InvalidInput."""
        made = [self._one(overlay, place, now_s) for place in range(len(self.drafts))]
        return Planned(
            edits=tuple(edit for edit, _ in made), outcomes=tuple(outcome for _, outcome in made)
        )

    def _one(self, overlay: Overlay, place: int, now_s: float) -> tuple[Edit, WriteOutcome]:
        draft = self.drafts[place]
        at = f"edits[{place}]" if self.batch else ""
        check_expiry(
            draft.expires_at_s, now_s=now_s, field=f"{at}.expires_at_s" if at else "expires_at_s"
        )
        existing = find_conflict(overlay, self.namespace, draft.subject, draft.prompt, now_s)
        if draft.edit_id is not None and overlay.latest(self.namespace, draft.edit_id) is not None:
            self._refuse_taken(draft, draft.edit_id, existing, at)
        edit_id = draft.edit_id or draw_id(now_s)
        edit = Edit(
            id=edit_id,
            namespace=self.namespace,
            subject=draft.subject,
            prompt=draft.prompt,
            target=draft.target,
            former=draft.former,
            aliases=draft.aliases,
            author=draft.author,
            source=draft.source,
            labels=draft.labels,
            created_at_s=now_s,
            expires_at_s=draft.expires_at_s,
        )
        if existing is None:
            return overlay.add(EntryKind.CREATED, edit, at_s=now_s), WriteOutcome.CREATED
        if self.on_conflict is ConflictPolicy.FAIL:
            raise conflict_error(existing, at=at)
        if same_text(existing.target, draft.target):
            return existing, WriteOutcome.UNCHANGED
        if self.on_conflict is ConflictPolicy.SKIP:
            return existing, WriteOutcome.SKIPPED
        former = replace(existing, state=EditState.SUPERSEDED, superseded_by=edit_id, edition=None)
        overlay.add(EntryKind.SUPERSEDED, former, at_s=now_s)
        edit = replace(edit, supersedes=existing.id)
        return overlay.add(EntryKind.CREATED, edit, at_s=now_s), WriteOutcome.SUPERSEDED

    def _refuse_taken(
        self, draft: EditDraft, edit_id: EditId, existing: Edit | None, at: str
    ) -> None:
        """Raises AlreadyExists, unless the id is taken by the very edit that would be kept.

        So a file with ids can be imported again with "skip".
        """
        if existing is not None and existing.id == edit_id:
            kept = self.on_conflict is ConflictPolicy.SKIP
            same = same_text(existing.target, draft.target)
            if kept or (same and self.on_conflict is ConflictPolicy.SUPERSEDE):
                return
        name = resource_name(self.namespace, edit_id)
        raise AlreadyExists(
            f"{f'{at}: ' if at else ''}{name} exists; choose another id, or update that edit",
            resource_type="edit",
            resource_name=name,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Update:
    """Gives a live edit the fields of `merged`, a validated draft of what it should be.

    `merged` was made from revision `revision`; when another write came between, the caller's
    `merge` makes it again from the newest.
    """

    namespace: Namespace
    edit_id: EditId
    etag: str
    merge: Merge

    def plan(self, overlay: Overlay, now_s: float) -> Planned:
        """Raises NotFound, EtagMismatch, WrongState, EditConflict, InvalidInput."""
        edit = find_edit(overlay, self.namespace, self.edit_id)
        check_etag(edit, self.etag)
        if not is_live(edit) or has_expired(edit, now_s):
            state = edit.state.value if not is_live(edit) else EditState.EXPIRED.value
            raise WrongState(
                f"{resource_name(self.namespace, self.edit_id)} is {state}; only an edit in force "
                "can be updated: restore it first"
            )
        draft = self.merge(edit)
        changed = replace(
            edit,
            subject=draft.subject,
            prompt=draft.prompt,
            target=draft.target,
            former=draft.former,
            aliases=draft.aliases,
            author=draft.author,
            source=draft.source,
            labels=draft.labels,
            expires_at_s=draft.expires_at_s,
        )
        if changed == edit:
            return Planned(edits=(edit,), outcomes=(WriteOutcome.UNCHANGED,))
        if changed.expires_at_s != edit.expires_at_s:
            check_expiry(changed.expires_at_s, now_s=now_s, field="expires_at_s")
        other = find_conflict(overlay, self.namespace, changed.subject, changed.prompt, now_s)
        if other is not None and other.id != edit.id:
            raise conflict_error(other)
        if says(changed) != says(edit):
            # The weights of its edition hold the old content; the new one is served from here.
            changed = replace(changed, state=EditState.ACTIVE, edition=None)
        written = overlay.add(EntryKind.UPDATED, changed, at_s=now_s)
        return Planned(edits=(written,), outcomes=(WriteOutcome.UPDATED,))


class Merge(Protocol):
    """Makes the draft that an edit should become; raises InvalidInput."""

    def __call__(self, edit: Edit) -> EditDraft:
        """Returns the validated draft. Changes nothing."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Retire:
    """Takes a live edit out of service."""

    namespace: Namespace
    edit_id: EditId
    etag: str
    reason: str

    def plan(self, overlay: Overlay, now_s: float) -> Planned:
        """Raises NotFound, EtagMismatch, WrongState."""
        edit = find_edit(overlay, self.namespace, self.edit_id)
        check_etag(edit, self.etag)
        if not is_live(edit):
            raise WrongState(
                f"{resource_name(self.namespace, self.edit_id)} is {edit.state.value}; only an "
                "edit in force can be retired"
            )
        retired = replace(edit, state=EditState.RETIRED, edition=None)
        written = overlay.add(EntryKind.RETIRED, retired, at_s=now_s, reason=self.reason)
        return Planned(edits=(written,), outcomes=(WriteOutcome.UPDATED,))


@dataclass(frozen=True, slots=True, kw_only=True)
class Restore:
    """Brings an edit back that is out of service."""

    namespace: Namespace
    edit_id: EditId
    etag: str
    reason: str
    expires_at_s: float | Unset | None

    def plan(self, overlay: Overlay, now_s: float) -> Planned:
        """Raises NotFound, EtagMismatch, WrongState, EditConflict, InvalidInput."""
        edit = find_edit(overlay, self.namespace, self.edit_id)
        check_etag(edit, self.etag)
        if is_live(edit) and not has_expired(edit, now_s):
            raise WrongState(
                f"{resource_name(self.namespace, self.edit_id)} is {edit.state.value}; there is "
                "nothing to restore"
            )
        expires_at_s = edit.expires_at_s if self.expires_at_s is UNSET else self.expires_at_s
        if self.expires_at_s is UNSET and has_expired(edit, now_s):
            expires_at_s = None  # Restored without a word about time: for good.
        check_expiry(expires_at_s, now_s=now_s, field="expires_at_s")
        other = find_conflict(overlay, self.namespace, edit.subject, edit.prompt, now_s)
        if other is not None:
            raise conflict_error(other)
        # The conflict check has put it down as expired when the log did not know yet.
        current = find_edit(overlay, self.namespace, self.edit_id)
        restored = replace(
            current,
            state=EditState.ACTIVE,
            superseded_by=None,
            edition=None,
            expires_at_s=expires_at_s,
        )
        written = overlay.add(EntryKind.RESTORED, restored, at_s=now_s, reason=self.reason)
        return Planned(edits=(written,), outcomes=(WriteOutcome.UPDATED,))


@dataclass(frozen=True, slots=True, kw_only=True)
class Expire:
    """Writes down that edits have expired; those that changed meanwhile are left alone."""

    due: Sequence[tuple[Namespace, EditId]] = field(default_factory=tuple)

    def plan(self, overlay: Overlay, now_s: float) -> Planned:
        """Raises nothing."""
        written = []
        for namespace, edit_id in self.due:
            edit = overlay.latest(namespace, edit_id)
            if edit is not None and is_live(edit) and has_expired(edit, now_s):
                written.append(expire(overlay, edit, now_s))
        return Planned(edits=tuple(written), outcomes=(WriteOutcome.UPDATED,) * len(written))


class Operation(Protocol):
    """A write that knows what it does to the memory."""

    def plan(self, overlay: Overlay, now_s: float) -> Planned:
        """Adds entries to the overlay, or raises and leaves it to be thrown away."""
        ...


def find_edit(view: StateView, namespace: Namespace, edit_id: EditId) -> Edit:
    """Returns an edit, or raises NotFound."""
    edit = view.latest(namespace, edit_id)
    if edit is None:
        raise missing_edit(namespace, edit_id)
    return edit


def missing_edit(namespace: Namespace, edit_id: str) -> NotFound:
    """Returns the error for an edit that is not there."""
    name = resource_name(namespace, edit_id)
    return NotFound(
        f"{name} does not exist; list the namespace to see what does",
        resource_type="edit",
        resource_name=name,
    )


def find_conflict(
    overlay: Overlay, namespace: Namespace, subject: str, prompt: str, now_s: float
) -> Edit | None:
    """Returns the edit in force with the same subject and prompt.

    One that has expired conflicts with nothing: it is put down as expired on the way.
    """
    holder = overlay.holder(namespace, conflict_key(subject, prompt))
    edit = None if holder is None else overlay.latest(namespace, holder)
    if edit is not None and has_expired(edit, now_s):
        expire(overlay, edit, now_s)
        return None
    return edit


def expire(overlay: Overlay, edit: Edit, now_s: float) -> Edit:
    """Plans the entry that says an edit has expired."""
    expired = replace(edit, state=EditState.EXPIRED, edition=None)
    return overlay.add(EntryKind.EXPIRED, expired, at_s=now_s)


def check_etag(edit: Edit, etag: str) -> None:
    """Raises EtagMismatch unless `etag` is empty or names the edit's newest revision."""
    if etag and etag != edit.etag:
        raise EtagMismatch(
            f"{resource_name(edit.namespace, edit.id)} has changed: its etag is {edit.etag} "
            f"(revision {edit.revision}), not {etag[:64]}; read it again and repeat the change"
        )


def conflict_error(existing: Edit, *, at: str = "") -> EditConflict:
    """Returns the error for a write that would put two edits in force for one fact."""
    name = resource_name(existing.namespace, existing.id)
    return EditConflict(
        f"{f'{at}: ' if at else ''}{name} has the same subject and prompt (its target is "
        f"{existing.target[:80]!r}); skip or supersede on conflict, or update that edit",
        conflicts=(name,),
    )


def resource_name(namespace: str, edit_id: str) -> str:
    """Returns an edit's full name."""
    return f"namespaces/{namespace}/edits/{edit_id}"


def draw_id(now_s: float) -> EditId:
    """Returns a new id: time first, so that ids sort by age; 64 random bits after it."""
    return EditId(f"e{int(now_s * 1000):012x}{secrets.token_hex(8)}")


def says(edit: Edit) -> tuple[object, ...]:
    """Returns what an edit states, apart from its provenance and lifetime."""
    return edit.subject, edit.prompt, edit.target, edit.aliases
