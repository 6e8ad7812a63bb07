"""From the client's values to JSON: the shape that `--json` prints, one object a line.

Keys are the field names of `errata/results.py`; edits also carry `id` and `namespace`. Times are
ISO 8601 in UTC, states and kinds are lower-case words.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from enum import Enum

from errata.answers import Answer, Explanation, ScoredEdit, Scores
from errata.results import Edit, ImportProgress, Written

Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]


def to_record(value: object) -> dict[str, Json]:
    """Returns the JSON object of one of the client's values."""
    if isinstance(value, Answer | Explanation | Scores):
        return _with_flat_provenance(value)
    record = _to_json(value)
    if not isinstance(record, dict):
        raise TypeError(f"{type(value).__name__} is no record")
    return record


def to_line(value: object) -> str:
    """Returns a value, or a mapping of values, as one line of JSON without the line end."""
    record = _to_json(value) if isinstance(value, Mapping) else to_record(value)
    return json.dumps(record, ensure_ascii=False, allow_nan=False)


def _with_flat_provenance(value: Answer | Explanation | Scores) -> dict[str, Json]:
    """Puts route, edits and sequence next to the text, where a reader looks for them."""
    record = _plain(value)
    provenance = record.pop("provenance")
    assert isinstance(provenance, dict)
    return {**record, **{key: item for key, item in provenance.items() if key not in record}}


def _plain(value: object) -> dict[str, Json]:
    assert is_dataclass(value)
    return {field.name: _to_json(getattr(value, field.name)) for field in fields(value)}


def _to_json(value: object) -> Json:
    match value:
        case Enum():
            return str(value.value)
        case None | bool() | int() | str():
            return value
        case float():
            return round(value, 6)
        case datetime():
            return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
        case Written():
            return {**_plain(value.edit), **_ids(value.edit), **_write(value)}
        case Edit() | ScoredEdit():
            return {**_ids(value), **_plain(value)}
        case ImportProgress():
            return {key: item for key, item in _plain(value).items() if key != "errors"}
        case Mapping():
            return {str(key): _to_json(item) for key, item in value.items()}
        case list() | tuple():
            return [_to_json(item) for item in value]
        case _ if is_dataclass(value):
            return _plain(value)
    raise TypeError(f"{type(value).__name__} has no JSON form here")


def _ids(value: Edit | ScoredEdit) -> dict[str, Json]:
    if isinstance(value, ScoredEdit):
        return {"id": value.id}
    return {"id": value.id, "namespace": value.namespace}


def _write(value: Written) -> dict[str, Json]:
    return {
        "outcome": str(value.outcome.value),
        "sequence": value.sequence,
        "replayed": value.replayed,
        "overlaps": _to_json(value.overlaps),
        "overlaps_checked": value.overlaps_checked,
    }
