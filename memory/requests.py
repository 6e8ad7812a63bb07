"""From a caller's request to the writer's job: validation, the request's digest, encoding ahead.

Runs in the caller's thread, so that many callers validate and encode at once and the writer does
neither.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, cast

from memory.conflicts import conflict_key, same_text
from memory.contracts import Encoder
from memory.editions import ActivateEdition
from memory.errors import InvalidInput
from memory.limits import MemoryLimits
from memory.overlay import StateView
from memory.plans import Create, Restore, Retire, Update
from memory.record import (
    EDITION_BASE,
    Activation,
    ConflictPolicy,
    Edit,
    EditDraft,
    EditId,
    Namespace,
)
from memory.validate import check_text, validate_draft, validate_edit_id, validate_namespace
from memory.writer import Job, RequestKey
from memory.writes import EditChanges, Unset


@dataclass(frozen=True, slots=True, kw_only=True)
class MergeChanges:
    """Applies an update's changes to whatever revision is the newest when its turn comes."""

    changes: EditChanges
    limits: MemoryLimits

    def __call__(self, edit: Edit) -> EditDraft:
        """Returns the validated draft of what the edit should be. Raises InvalidInput."""
        draft = EditDraft(
            subject=edit.subject,
            prompt=edit.prompt,
            target=edit.target,
            former=edit.former,
            aliases=edit.aliases,
            author=edit.author,
            source=edit.source,
            labels=edit.labels,
            expires_at_s=edit.expires_at_s,
        )
        given = cast("dict[str, Any]", self.changes.given())
        return validate_draft(replace(draft, **given), limits=self.limits)


class RequestMaker:
    """Makes jobs. `state` is asked for the state as of now; reading it takes no lock."""

    def __init__(
        self, limits: MemoryLimits, encoder: Encoder, state: Callable[[], StateView]
    ) -> None:
        self._limits = limits
        self._encoder = encoder
        self._state = state

    def create(
        self,
        drafts: tuple[EditDraft, ...],
        *,
        namespace: Namespace,
        request_id: str,
        on_conflict: ConflictPolicy,
        validate_only: bool,
        batch: bool,
    ) -> Job:
        """Returns the job that creates the drafts. Raises InvalidInput."""
        validate_namespace(namespace)
        if not 1 <= len(drafts) <= self._limits.batch_edits_max:
            raise InvalidInput(
                f"the batch has {len(drafts)} edits; give 1 to {self._limits.batch_edits_max}",
                field="edits",
            )
        checked = tuple(
            validate_draft(draft, limits=self._limits, field=f"edits[{place}]" if batch else "")
            for place, draft in enumerate(drafts)
        )
        operation = Create(
            namespace=namespace, drafts=checked, on_conflict=on_conflict, batch=batch
        )
        key = self._key(namespace, request_id, "create", checked, on_conflict, batch)
        return Job(operation=operation, request=key, validate_only=validate_only)

    def update(
        self,
        edit_id: EditId,
        changes: EditChanges,
        *,
        namespace: Namespace,
        etag: str,
        request_id: str,
        validate_only: bool,
    ) -> Job:
        """Returns the job that updates an edit. Raises InvalidInput."""
        self._check_name(namespace, edit_id)
        merge = MergeChanges(changes=changes, limits=self._limits)
        operation = Update(namespace=namespace, edit_id=edit_id, etag=etag, merge=merge)
        key = self._key(namespace, request_id, "update", edit_id, etag, changes)
        return Job(operation=operation, request=key, validate_only=validate_only)

    def retire(
        self,
        edit_id: EditId,
        *,
        namespace: Namespace,
        reason: str,
        etag: str,
        request_id: str,
        validate_only: bool,
    ) -> Job:
        """Returns the job that retires an edit. Raises InvalidInput."""
        self._check_name(namespace, edit_id)
        said = self._check_reason(reason)
        operation = Retire(namespace=namespace, edit_id=edit_id, etag=etag, reason=said)
        key = self._key(namespace, request_id, "retire", edit_id, etag, said)
        return Job(operation=operation, request=key, validate_only=validate_only)

    def restore(
        self,
        edit_id: EditId,
        *,
        namespace: Namespace,
        reason: str,
        etag: str,
        request_id: str,
        validate_only: bool,
        expires_at_s: float | Unset | None,
    ) -> Job:
        """Returns the job that restores an edit. Raises InvalidInput."""
        self._check_name(namespace, edit_id)
        said = self._check_reason(reason)
        operation = Restore(
            namespace=namespace,
            edit_id=edit_id,
            etag=etag,
            reason=said,
            expires_at_s=expires_at_s,
        )
        key = self._key(namespace, request_id, "restore", edit_id, etag, said, expires_at_s)
        return Job(operation=operation, request=key, validate_only=validate_only)

    def activate(self, activation: Activation, *, reason: str, request_id: str) -> Job:
        """Returns the job that gives a namespace an edition. Raises InvalidInput."""
        validate_namespace(activation.namespace)
        if activation.edition < EDITION_BASE:
            raise InvalidInput(
                f"edition is {activation.edition}; give 0, the model as published, or more",
                field="edition",
            )
        if activation.edition == EDITION_BASE and activation.contents:
            raise InvalidInput("edition 0 holds no edits", field="edition")
        said = self._check_reason(reason)
        operation = ActivateEdition(activation=activation, reason=said)
        key = self._key(activation.namespace, request_id, "activate", activation.edition, said)
        return Job(operation=operation, request=key)

    def encode_ahead(self, job: Job) -> None:
        """Encodes the prompts that the job will need as far as can be told now.

        What the writer finds missing it encodes itself, so a wrong guess costs time only. Prompts
        of drafts that will be skipped or refused are left out: importing a file again is cheap.
        """
        if job.validate_only:
            return
        prompts = list(dict.fromkeys(self._prompts(job)))
        if prompts:
            job.vectors.update(zip(prompts, self._encoder.encode_many(prompts), strict=True))

    def _prompts(self, job: Job) -> list[str]:
        state = self._state()
        operation = job.operation
        if isinstance(operation, Create):
            return [
                draft.prompt for draft in operation.drafts if _will_enter(state, operation, draft)
            ]
        if isinstance(operation, Update):
            edit = state.latest(operation.namespace, operation.edit_id)
            changes = operation.merge
            if edit is None or not isinstance(changes, MergeChanges):
                return []
            if not {"prompt", "subject", "aliases"} & set(changes.changes.given()):
                return []
            return [changes(edit).prompt]
        if isinstance(operation, Restore):
            edit = state.latest(operation.namespace, operation.edit_id)
            return [] if edit is None else [edit.prompt]
        return []

    def _check_name(self, namespace: Namespace, edit_id: EditId) -> None:
        validate_namespace(namespace)
        validate_edit_id(edit_id)

    def _check_reason(self, reason: str) -> str:
        return check_text(reason, field="reason", chars_max=self._limits.reason_chars_max)

    def _key(self, namespace: Namespace, request_id: str, *content: object) -> RequestKey | None:
        """Returns the request's key with the digest of its content, None without an id."""
        if not request_id:
            return None
        checked = check_text(
            request_id, field="request_id", chars_max=self._limits.request_id_chars_max
        )
        if checked != request_id:
            raise InvalidInput("request_id has blanks around it; take them off", field="request_id")
        # All of the content are frozen dataclasses, enums, tuples and scalars: repr is exact.
        digest = hashlib.sha256(repr(content).encode("utf-8", "surrogatepass")).digest()
        return RequestKey(namespace=namespace, request_id=request_id, digest=digest)


def _will_enter(state: StateView, operation: Create, draft: EditDraft) -> bool:
    """Whether a draft will probably be created: nothing in force is in its way."""
    key = conflict_key(draft.subject, draft.prompt)
    holder = state.holder(operation.namespace, key)
    existing = None if holder is None else state.latest(operation.namespace, holder)
    if existing is None:
        return True
    supersedes = operation.on_conflict is ConflictPolicy.SUPERSEDE
    return supersedes and not same_text(existing.target, draft.target)
