"""The client's edits as lines of Errata's JSONL, the format that `errata import` reads."""

from __future__ import annotations

from datetime import datetime

from errata import results
from memory.record import Edit, EditId, EditState, Namespace
from memory.transfer import record_to_json


def edit_line(edit: results.Edit) -> str:
    """Returns one edit as one line of JSON without the line end."""
    return record_to_json(
        Edit(
            id=EditId(edit.id),
            namespace=Namespace(edit.namespace),
            subject=edit.subject,
            prompt=edit.prompt,
            target=edit.target,
            former=edit.former,
            aliases=edit.aliases,
            author=edit.author,
            source=edit.source,
            labels=tuple(sorted(edit.labels.items())),
            state=EditState(edit.state.value),
            revision=edit.revision,
            sequence=edit.sequence,
            created_at_s=_seconds(edit.created_at) or 0.0,
            updated_at_s=_seconds(edit.updated_at) or 0.0,
            expires_at_s=_seconds(edit.expires_at),
            supersedes=_id(edit.supersedes),
            superseded_by=_id(edit.superseded_by),
            edition=edit.edition,
        )
    )


def _seconds(moment: datetime | None) -> float | None:
    return moment.timestamp() if moment else None


def _id(name: str) -> EditId | None:
    return EditId(name.rpartition("/")[2]) if name else None
