"""The bytes of a log entry: one JSON object, fields at their defaults left out.

JSON, not a binary format, because the log is the history and must stay readable without this
program. Written once and hashed as written; never made again from what was read.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from memory.record import Activation, Edit, EditId, EditState, Namespace
from memory.writes import EntryKind, LogEntry

DEFAULTS: Mapping[str, object] = {
    name: field.default for name, field in Edit.__dataclass_fields__.items()
}
STATES = {state.value: state for state in EditState}
KINDS = {kind.value: kind for kind in EntryKind}


def encode_entry(entry: LogEntry) -> bytes:
    """Returns the payload of an entry. The sequence is the row's, not the payload's."""
    record: dict[str, object] = {"kind": entry.kind.value, "at_s": entry.at_s}
    if isinstance(entry.what, Edit):
        record["edit"] = _edit_fields(entry.what)
    else:
        record["activation"] = _activation_fields(entry.what)
    if entry.reason:
        record["reason"] = entry.reason
    return json.dumps(record, ensure_ascii=False, separators=(",", ":")).encode()


def decode_entry(sequence: int, payload: bytes) -> LogEntry:
    """Returns the entry of a payload. Raises ValueError when it is not one."""
    try:
        record: dict[str, Any] = json.loads(payload)
        if record["kind"] == EntryKind.ACTIVATED.value:
            return _decode_activation(sequence, record)
        fields: dict[str, Any] = record["edit"]
        if "state" in fields:
            fields["state"] = STATES[fields["state"]]
        if "aliases" in fields:
            fields["aliases"] = tuple(fields["aliases"])
        if "labels" in fields:
            fields["labels"] = tuple((key, value) for key, value in fields["labels"])
        edit = Edit(sequence=sequence, **fields)
        return LogEntry(
            sequence=sequence,
            kind=KINDS[record["kind"]],
            what=edit,
            at_s=record["at_s"],
            author=edit.author,
            reason=record.get("reason", ""),
        )
    except (KeyError, TypeError) as error:
        raise ValueError(f"entry {sequence} is not a log entry: {error!r}") from error


def _edit_fields(edit: Edit) -> dict[str, object]:
    fields: dict[str, object] = {}
    for name, default in DEFAULTS.items():
        value = getattr(edit, name)
        if name != "sequence" and value != default:
            fields[name] = value.value if name == "state" else value
    return fields


def _activation_fields(activation: Activation) -> dict[str, object]:
    return {
        "namespace": activation.namespace,
        "edition": activation.edition,
        "took": activation.took,
        "left": activation.left,
        "automatic": activation.automatic,
    }


def _decode_activation(sequence: int, record: dict[str, Any]) -> LogEntry:
    fields = record["activation"]
    activation = Activation(
        namespace=Namespace(fields["namespace"]),
        edition=fields["edition"],
        took=tuple((EditId(name), revision) for name, revision in fields["took"]),
        left=tuple((EditId(name), revision) for name, revision in fields["left"]),
        automatic=fields["automatic"],
        sequence=sequence,
        at_s=record["at_s"],
    )
    return LogEntry(
        sequence=sequence,
        kind=EntryKind.ACTIVATED,
        what=activation,
        at_s=activation.at_s,
        reason=record.get("reason", ""),
    )
