"""Protobuf to what the client returns of editions and operations, and requests to protobuf."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from google.longrunning import operations_pb2
from google.protobuf import timestamp_pb2

from errata import requests
from errata.edition_results import (
    Activated,
    Edition,
    EditionState,
    Estimate,
    HeldEdit,
    Matrix,
    Metric,
    Operation,
    OperationState,
)
from errata.failures import from_status
from errata.results import EditFilter
from protos.errata.v1 import consolidation_pb2

OPERATIONS = "operations/"
CANCELLED_CODE = 1
STATES = {
    consolidation_pb2.EDITION_STATE_DAMAGED: EditionState.DAMAGED,
    consolidation_pb2.EDITION_STATE_OTHER_WEIGHTS: EditionState.OTHER_WEIGHTS,
    consolidation_pb2.EDITION_STATE_REFUSED: EditionState.REFUSED,
}


def consolidate_request(
    namespace: str,
    *,
    edit_filter: EditFilter | None,
    editor: str,
    settings: Mapping[str, Any] | None,
    activate: bool,
    validate_only: bool,
    request_id: str,
) -> consolidation_pb2.ConsolidateRequest:
    """Returns the request for a job."""
    message = consolidation_pb2.ConsolidateRequest(
        parent=requests.namespace_name(namespace),
        editor=editor,
        settings={name: json.dumps(value) for name, value in (settings or {}).items()},
        activate=activate,
        validate_only=validate_only,
        request_id=request_id,
    )
    if edit_filter is not None:
        message.filter.CopyFrom(requests.edit_filter(edit_filter))
    return message


def edition_name(edition: int | str | Edition, namespace: str) -> str:
    """Returns the resource name of an edition given by number, name, or as it was answered."""
    given = edition.name if isinstance(edition, Edition) else str(edition)
    return given if "/" in given else f"{requests.namespace_name(namespace)}/editions/{given}"


def operation_name(operation: str | Operation) -> str:
    """Returns the resource name of an operation given by id, name, or as it was answered."""
    given = operation if isinstance(operation, str) else operation.id
    return given if given.startswith(OPERATIONS) else OPERATIONS + given


def operation(message: operations_pb2.Operation) -> Operation:
    """Converts an operation with its metadata and its end."""
    metadata = consolidation_pb2.ConsolidationMetadata()
    message.metadata.Unpack(metadata)
    response = consolidation_pb2.ConsolidateResponse()
    state, error = OperationState.RUNNING, None
    if message.HasField("error"):
        cancelled = message.error.code == CANCELLED_CODE
        state = OperationState.CANCELLED if cancelled else OperationState.FAILED
        error = from_status(message.error)
    elif message.done:
        state = OperationState.SUCCEEDED
        message.response.Unpack(response)
    return Operation(
        id=message.name.removeprefix(OPERATIONS),
        state=state,
        namespace=metadata.namespace.rpartition("/")[2],
        stage=metadata.stage,
        done=metadata.done,
        total=metadata.total,
        edits=metadata.edits,
        editor=metadata.editor,
        restarts=metadata.restarts,
        created_at=_time(metadata.create_time),
        updated_at=_time(metadata.update_time),
        validate_only=metadata.validate_only,
        metrics=tuple(_metric(one) for one in metadata.metrics),
        edits_left_out=metadata.edits_left_out,
        estimate=_estimate(metadata.estimate) if metadata.HasField("estimate") else None,
        edition=edition(response.edition) if response.HasField("edition") else None,
        reused=response.reused,
        activated=response.activated,
        sequence=response.sequence,
        error=error,
    )


def edition(message: consolidation_pb2.Edition) -> Edition:
    """Converts an edition."""
    return Edition(
        name=message.name,
        number=message.number,
        active=message.active,
        created_at=_time(message.create_time) if message.HasField("create_time") else None,
        editor=message.editor,
        settings=json.loads(message.settings_json) if message.settings_json else {},
        edits=tuple(
            HeldEdit(
                edit=held.edit,
                revision=held.revision,
                statement=held.statement,
                took=held.took,
                reason=held.reason,
            )
            for held in message.edits
        ),
        edits_taken=message.edits_taken,
        edits_left=message.edits_left,
        metrics=tuple(_metric(one) for one in message.metrics),
        matrices=tuple(
            Matrix(module=one.module, rows=one.rows, columns=one.columns, rank=one.rank)
            for one in message.matrices
        ),
        bytes=message.bytes,
        sha256=message.sha256,
        base_fingerprint=message.base_fingerprint,
        unusable_reason=message.unusable_reason,
        state=STATES.get(message.state, EditionState.SOUND),
        answers=message.answers,
    )


def activated(message: consolidation_pb2.ActivateEditionResponse) -> Activated:
    """Converts the answer to an activation."""
    return Activated(
        edition=edition(message.edition),
        sequence=message.sequence,
        edits_changed=message.edits_changed,
    )


def _metric(message: consolidation_pb2.Metric) -> Metric:
    return Metric(
        name=message.name,
        before=message.before if message.HasField("before") else None,
        after=message.after if message.HasField("after") else None,
        limit=message.limit,
        passed=message.passed,
        count=message.count,
    )


def _estimate(message: consolidation_pb2.Estimate) -> Estimate:
    return Estimate(
        edits=message.edits,
        memory_bytes=message.memory_bytes,
        memory_cap_bytes=message.memory_cap_bytes,
        edition_bytes=message.edition_bytes,
    )


def _time(message: timestamp_pb2.Timestamp) -> datetime:
    return message.ToDatetime(tzinfo=UTC)
