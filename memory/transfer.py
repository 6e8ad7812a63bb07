"""Errata's own exchange format: one edit per line as a JSON object (JSONL, UTF-8).

    key             type               meaning
    subject         text, required     the entity that the fact is about
    prompt          text, required     a cloze that ends where the target begins, or a question
    target          text, required     the new answer
    former          text               the old answer
    aliases         list of text       other names of the subject
    author, source  text               provenance
    labels          object, text→text  free marks
    expires_at_s    number             seconds since the epoch (UTC)
    expires_at      text               the same as ISO 8601; without a zone it is UTC
    edit_id         text               the id to give it; the memory chooses one when absent

An export adds what the memory knows (namespace, state, revision, sequence, times, links). These
keys are read back only to refuse edits that are no longer in force; any other key is an error,
so that a misspelt one is never lost in silence.
"""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from typing import IO, TYPE_CHECKING

from memory.errors import InvalidInput
from memory.record import Edit, EditDraft, EditId, EditState

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

DRAFT_KEYS = (
    "subject",
    "prompt",
    "target",
    "former",
    "aliases",
    "author",
    "source",
    "labels",
    "expires_at_s",
    "expires_at",
    "edit_id",
)
MEMORY_KEYS = (
    "namespace",
    "state",
    "revision",
    "sequence",
    "created_at_s",
    "updated_at_s",
    "supersedes",
    "superseded_by",
    "edition",
)
STATES_IN_FORCE = (EditState.ACTIVE, EditState.CONSOLIDATED)


def draft_to_record(draft: EditDraft) -> dict[str, object]:
    """Returns the draft as a JSON object; fields at their defaults are left out."""
    record: dict[str, object] = {
        "subject": draft.subject,
        "prompt": draft.prompt,
        "target": draft.target,
    }
    optional: dict[str, object] = {
        "former": draft.former,
        "aliases": list(draft.aliases) or None,
        "author": draft.author or None,
        "source": draft.source or None,
        "labels": dict(draft.labels) or None,
        "expires_at_s": draft.expires_at_s,
        "edit_id": draft.edit_id,
    }
    return record | {key: value for key, value in optional.items() if value is not None}


def edit_to_record(edit: Edit) -> dict[str, object]:
    """Returns the edit as a JSON object: its draft's keys, then what the memory knows of it."""
    known: dict[str, object] = {
        "namespace": edit.namespace,
        "state": edit.state.value,
        "revision": edit.revision,
        "sequence": edit.sequence,
        "created_at_s": edit.created_at_s,
        "updated_at_s": edit.updated_at_s,
        "supersedes": edit.supersedes,
        "superseded_by": edit.superseded_by,
        "edition": edit.edition,
    }
    return draft_to_record(draft_of(edit)) | {k: v for k, v in known.items() if v is not None}


def draft_of(edit: Edit) -> EditDraft:
    """Returns the draft that would make this edit again, its id included."""
    return EditDraft(
        subject=edit.subject,
        prompt=edit.prompt,
        target=edit.target,
        former=edit.former,
        aliases=edit.aliases,
        author=edit.author,
        source=edit.source,
        labels=edit.labels,
        expires_at_s=edit.expires_at_s,
        edit_id=edit.id,
    )


def record_to_json(record: EditDraft | Edit) -> str:
    """Returns a draft or an edit as one line of the format, without the line end."""
    shaped = edit_to_record(record) if isinstance(record, Edit) else draft_to_record(record)
    return json.dumps(shaped, ensure_ascii=False)


def json_to_draft(line: str) -> EditDraft:
    """Reads one line of the format. Raises InvalidInput naming the field."""
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"not a JSON object: {error}") from error
    if not isinstance(record, dict):
        raise InvalidInput(f"expected a JSON object, got {type(record).__name__}")
    return record_to_draft(record)


def record_to_draft(record: Mapping[str, object]) -> EditDraft:
    """Reads one JSON object of the format. Raises InvalidInput naming the field."""
    _refuse_unknown_keys(record)
    _refuse_edits_not_in_force(record)
    edit_id = _optional_text(record, "edit_id")
    return EditDraft(
        subject=_text(record, "subject"),
        prompt=_text(record, "prompt"),
        target=_text(record, "target"),
        former=_optional_text(record, "former"),
        aliases=_texts(record, "aliases"),
        author=_optional_text(record, "author") or "",
        source=_optional_text(record, "source") or "",
        labels=_labels(record),
        expires_at_s=_expiry_s(record),
        edit_id=EditId(edit_id) if edit_id else None,
    )


def export_jsonl(edits: Iterable[Edit], out: IO[str]) -> int:
    """Writes the edits one a line as they come, keeping none; returns how many. Changes `out`."""
    count = 0
    for edit in edits:
        out.write(record_to_json(edit) + "\n")
        count += 1
    return count


def iso_to_epoch_s(text: str, field: str) -> float:
    """Returns an ISO 8601 time as seconds since the epoch; without a zone it is UTC."""
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError as error:
        raise InvalidInput(
            f'"{field}" must be an ISO 8601 time such as 2030-01-31T12:00:00Z, got "{text[:40]}"',
            field=field,
        ) from error
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _refuse_unknown_keys(record: Mapping[str, object]) -> None:
    unknown = [key for key in record if key not in DRAFT_KEYS and key not in MEMORY_KEYS]
    if unknown:
        shown = ", ".join(f'"{key[:40]}"' for key in unknown[:5])
        raise InvalidInput(
            f"unknown key {shown}; known are {', '.join(DRAFT_KEYS)}", field=unknown[0][:40]
        )


def _refuse_edits_not_in_force(record: Mapping[str, object]) -> None:
    state = record.get("state")
    if state is not None and state not in {known.value for known in STATES_IN_FORCE}:
        raise InvalidInput(
            f'the edit is "{state}"; only edits in force '
            f"({', '.join(known.value for known in STATES_IN_FORCE)}) can be imported",
            field="state",
        )


def _text(record: Mapping[str, object], key: str) -> str:
    value = _optional_text(record, key)
    if value is None:
        raise InvalidInput(f'the field "{key}" is missing', field=key)
    return value


def _optional_text(record: Mapping[str, object], key: str) -> str | None:
    value = record.get(key)
    if value is not None and not isinstance(value, str):
        raise InvalidInput(f'"{key}" must be text, got {type(value).__name__}', field=key)
    return value


def _texts(record: Mapping[str, object], key: str) -> tuple[str, ...]:
    value = record.get(key)
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise InvalidInput(f'"{key}" must be a list of texts', field=key)
    return tuple(value)


def _labels(record: Mapping[str, object]) -> tuple[tuple[str, str], ...]:
    value = record.get("labels")
    if value is None:
        return ()
    if not isinstance(value, dict) or not all(isinstance(item, str) for item in value.values()):
        raise InvalidInput('"labels" must be an object from text to text', field="labels")
    return tuple(value.items())


def _expiry_s(record: Mapping[str, object]) -> float | None:
    seconds, iso = record.get("expires_at_s"), _optional_text(record, "expires_at")
    if seconds is not None and iso is not None:
        raise InvalidInput('give "expires_at_s" or "expires_at", not both', field="expires_at")
    if iso is not None:
        return iso_to_epoch_s(iso, "expires_at")
    if seconds is None:
        return None
    is_number = isinstance(seconds, int | float) and not isinstance(seconds, bool)
    if not is_number or not _is_finite(seconds):
        raise InvalidInput(
            '"expires_at_s" must be a number of seconds since the epoch', field="expires_at_s"
        )
    return float(seconds)  # type: ignore[arg-type]  # Checked to be a number just above.


def _is_finite(number: object) -> bool:
    try:
        return math.isfinite(number)  # type: ignore[arg-type]  # Called with numbers only.
    except OverflowError:  # An integer beyond the range of a double.
        return False
