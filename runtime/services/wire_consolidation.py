"""Protobuf to what consolidation is asked, and its operations and editions to protobuf."""

from __future__ import annotations

import json
from typing import Any

import grpc
from google.longrunning import operations_pb2
from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2

from memory.errors import InvalidInput
from protos.errata.v1 import consolidation_pb2
from runtime.consolidation.edition import EditionRecord, EditionState, HeldEdit, Measure
from runtime.consolidation.inspection import Seen
from runtime.consolidation.operations import Estimate, JobRequest, Operation, State
from runtime.services.names import (
    format_edit,
    format_edition,
    format_namespace,
    parse_namespace,
)
from runtime.services.status import DOMAIN
from runtime.services.wire import time_to_pb
from runtime.services.wire_memory import read_filter

OPERATIONS = "operations/"
SETTINGS_MAX = 64
SETTING_CHARS_MAX = 4096
STATES = {
    EditionState.SOUND: consolidation_pb2.EDITION_STATE_SOUND,
    EditionState.DAMAGED: consolidation_pb2.EDITION_STATE_DAMAGED,
    EditionState.OTHER_WEIGHTS: consolidation_pb2.EDITION_STATE_OTHER_WEIGHTS,
    EditionState.REFUSED: consolidation_pb2.EDITION_STATE_REFUSED,
}
CODES = {
    "CANCELLED": grpc.StatusCode.CANCELLED,
    "STORAGE_FULL": grpc.StatusCode.RESOURCE_EXHAUSTED,
    "OUT_OF_MEMORY": grpc.StatusCode.RESOURCE_EXHAUSTED,
    "INTERNAL": grpc.StatusCode.INTERNAL,
}


def request_from_pb(request: consolidation_pb2.ConsolidateRequest) -> JobRequest:
    """Reads what a job is asked. Raises InvalidInput."""
    return JobRequest(
        namespace=parse_namespace(request.parent, field="parent"),
        editor=request.editor[:64],
        settings=_settings(request),
        edit_filter=read_filter(request.filter),
        activate=request.activate if request.HasField("activate") else True,
        validate_only=request.validate_only,
        request_id=request.request_id,
    )


def parse_operation(name: str) -> str:
    """Returns an operation's id. Raises InvalidInput."""
    if not name.startswith(OPERATIONS) or "/" in name.removeprefix(OPERATIONS):
        shown = ascii(name[:80])
        raise InvalidInput(f"name is {shown}; expected operations/{{operation}}", field="name")
    return name.removeprefix(OPERATIONS)


def operation_to_pb(
    operation: Operation, edition: consolidation_pb2.Edition | None = None
) -> operations_pb2.Operation:
    """Returns an operation; `edition` is what it made, where that is known."""
    message = operations_pb2.Operation(
        name=f"{OPERATIONS}{operation.id}",
        metadata=_packed(_metadata(operation)),
        done=operation.ended,
    )
    if operation.state is State.SUCCEEDED:
        response = consolidation_pb2.ConsolidateResponse(
            edition=edition,
            activated=operation.activated,
            sequence=operation.sequence,
            reused=operation.reused,
        )
        if operation.estimate is not None:
            response.estimate.CopyFrom(_estimate(operation.estimate))
        message.response.CopyFrom(_packed(response))
    elif operation.ended:
        message.error.CopyFrom(_error(operation))
    return message


def edition_to_pb(seen: Seen, *, whole: bool = True) -> consolidation_pb2.Edition:
    """Returns an edition; its edits only when `whole`."""
    record, namespace = seen.record, seen.record.namespace
    message = consolidation_pb2.Edition(
        name=format_edition(namespace, record.number),
        number=record.number,
        active=seen.active,
        editor=record.editor,
        settings_json=json.dumps(record.settings, ensure_ascii=False) if record.settings else "",
        edits=[_held(record, edit) for edit in record.edits] if whole else [],
        edits_taken=len(record.took),
        edits_left=len(record.left),
        metrics=[_metric(one) for one in record.measures],
        matrices=[
            consolidation_pb2.MatrixInfo(
                module=one.module, rows=one.rows, columns=one.columns, rank=one.rank
            )
            for one in record.matrices
        ],
        bytes=record.bytes,
        sha256=record.sha256,
        base_fingerprint=record.base_fingerprint,
        unusable_reason=seen.problem,
        state=STATES[seen.state],
        answers=seen.answers,
    )
    if record.created_at_s:
        message.create_time.CopyFrom(time_to_pb(record.created_at_s))
    return message


def _settings(request: consolidation_pb2.ConsolidateRequest) -> dict[str, Any]:
    if len(request.settings) > SETTINGS_MAX:
        raise InvalidInput(
            f"settings has {len(request.settings)} values; give at most {SETTINGS_MAX}",
            field="settings",
        )
    found: dict[str, Any] = {}
    for name, text in request.settings.items():
        try:
            found[name] = json.loads(text[:SETTING_CHARS_MAX])  # Cut JSON is no JSON.
        except ValueError as error:
            raise InvalidInput(
                f"settings.{name[:64]} is {text[:80]!a}; expected a JSON value such as 0.5, "
                'true, [3, 4] or "text"',
                field=f"settings.{name[:64]}",
            ) from error
    return found


def _metadata(operation: Operation) -> consolidation_pb2.ConsolidationMetadata:
    message = consolidation_pb2.ConsolidationMetadata(
        namespace=format_namespace(operation.request.namespace),
        stage=operation.stage.value,
        done=operation.done,
        total=operation.total,
        edits=operation.edits,
        editor=operation.request.editor,
        create_time=time_to_pb(operation.created_at_s),
        update_time=time_to_pb(operation.updated_at_s),
        restarts=operation.restarts,
        validate_only=operation.request.validate_only,
        metrics=[_metric(one) for one in operation.measures],
        edits_left_out=operation.left_out,
    )
    if operation.estimate is not None:
        message.estimate.CopyFrom(_estimate(operation.estimate))
    return message


def _estimate(estimate: Estimate) -> consolidation_pb2.Estimate:
    return consolidation_pb2.Estimate(
        edits=estimate.edits,
        memory_bytes=estimate.memory_bytes,
        memory_cap_bytes=estimate.memory_cap_bytes,
        edition_bytes=estimate.edition_bytes,
    )


def _error(operation: Operation) -> status_pb2.Status:
    code = CODES.get(operation.error_reason, grpc.StatusCode.FAILED_PRECONDITION)
    info = error_details_pb2.ErrorInfo(reason=operation.error_reason, domain=DOMAIN)
    return status_pb2.Status(code=code.value[0], message=operation.error, details=[_packed(info)])


def _held(record: EditionRecord, edit: HeldEdit) -> consolidation_pb2.HeldEdit:
    return consolidation_pb2.HeldEdit(
        edit=format_edit(record.namespace, edit.edit_id),
        revision=edit.revision,
        statement=f"{edit.prompt.rstrip()} {edit.target.strip()}",
        took=edit.took,
        reason=edit.reason,
    )


def _metric(measure: Measure) -> consolidation_pb2.Metric:
    return consolidation_pb2.Metric(
        name=measure.name,
        before=measure.before,
        after=measure.after,
        limit=measure.limit,
        passed=measure.passed,
        count=measure.count,
    )


def _packed(message: Any) -> any_pb2.Any:
    packed = any_pb2.Any()
    packed.Pack(message)
    return packed
