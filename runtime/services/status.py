"""From exception to gRPC status: the one table from class to code and google.rpc details.

Everything that is not an ErrataError is INTERNAL: its trace goes to the log under an error id, and
the wire carries that id alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import grpc
from google.protobuf import any_pb2, duration_pb2
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from memory.errors import (
    AlreadyExists,
    Cancelled,
    ConsolidationFailed,
    ConsolidationRunning,
    ContextTooLong,
    EditConflict,
    EngineFailure,
    ErrataError,
    EtagMismatch,
    InvalidInput,
    NotFound,
    Overloaded,
    PermissionDenied,
    SequenceCompacted,
    Unauthenticated,
    Unavailable,
    WrongState,
)
from runtime.services.limits import DEFAULT_LIMITS

DOMAIN = "errata.dev"
DETAILS_KEY = "grpc-status-details-bin"


class DeadlinePassed(ErrataError):
    """The caller's deadline passed while the request was being worked on."""

    reason = "DEADLINE_EXCEEDED"


@dataclass(frozen=True, slots=True)
class Rule:
    """How one class of errors travels; `details` come after the ErrorInfo that all carry."""

    code: grpc.StatusCode
    details: Callable[[Any], Iterator[Message]]
    metadata: Callable[[Any], dict[str, str]]


def _no_details(_: ErrataError) -> Iterator[Message]:
    yield from ()


def _no_metadata(_: ErrataError) -> dict[str, str]:
    return {}


def _bad_field(error: InvalidInput) -> Iterator[Message]:
    violation = error_details_pb2.BadRequest.FieldViolation(
        field=error.field, description=_cut(str(error))
    )
    yield error_details_pb2.BadRequest(field_violations=[violation])


def _given_and_limit(error: ContextTooLong) -> dict[str, str]:
    return {"given": str(error.given), "limit": str(error.limit)}


def _resource(error: NotFound | AlreadyExists) -> Iterator[Message]:
    yield error_details_pb2.ResourceInfo(
        resource_type=error.resource_type,
        resource_name=_cut(error.resource_name),
    )


def _conflicts(error: EditConflict) -> Iterator[Message]:
    violations = [
        error_details_pb2.PreconditionFailure.Violation(
            type="EDIT_CONFLICT",
            subject=name,
            description="has the same normalised subject and prompt",
        )
        for name in error.conflicts[: DEFAULT_LIMITS.conflicts_shown_max]
    ]
    yield error_details_pb2.PreconditionFailure(violations=violations)


def _retry(error: Overloaded | Unavailable) -> Iterator[Message]:
    delay = duration_pb2.Duration()
    delay.FromNanoseconds(int(error.retry_after_s * 1e9))
    yield error_details_pb2.RetryInfo(retry_delay=delay)


def _operation(error: ConsolidationRunning) -> dict[str, str]:
    return {"operation": error.operation}


def _oldest(error: SequenceCompacted) -> dict[str, str]:
    return {"oldest": str(error.oldest)}


def _rule(
    code: grpc.StatusCode,
    details: Callable[[Any], Iterator[Message]] = _no_details,
    metadata: Callable[[Any], dict[str, str]] = _no_metadata,
) -> Rule:
    return Rule(code, details, metadata)


RULES: dict[type[ErrataError], Rule] = {
    ContextTooLong: _rule(grpc.StatusCode.INVALID_ARGUMENT, _bad_field, _given_and_limit),
    InvalidInput: _rule(grpc.StatusCode.INVALID_ARGUMENT, _bad_field),
    NotFound: _rule(grpc.StatusCode.NOT_FOUND, _resource),
    AlreadyExists: _rule(grpc.StatusCode.ALREADY_EXISTS, _resource),
    EditConflict: _rule(grpc.StatusCode.FAILED_PRECONDITION, _conflicts),
    WrongState: _rule(grpc.StatusCode.FAILED_PRECONDITION),
    Unauthenticated: _rule(grpc.StatusCode.UNAUTHENTICATED),
    PermissionDenied: _rule(grpc.StatusCode.PERMISSION_DENIED),
    EtagMismatch: _rule(grpc.StatusCode.ABORTED),
    ConsolidationRunning: _rule(grpc.StatusCode.ABORTED, _no_details, _operation),
    ConsolidationFailed: _rule(grpc.StatusCode.FAILED_PRECONDITION),
    Cancelled: _rule(grpc.StatusCode.CANCELLED),
    Overloaded: _rule(grpc.StatusCode.RESOURCE_EXHAUSTED, _retry),
    Unavailable: _rule(grpc.StatusCode.UNAVAILABLE, _retry),
    SequenceCompacted: _rule(grpc.StatusCode.OUT_OF_RANGE, _no_details, _oldest),
    DeadlinePassed: _rule(grpc.StatusCode.DEADLINE_EXCEEDED),
    EngineFailure: _rule(grpc.StatusCode.INTERNAL),
}
"""The nearest class in an error's method resolution order decides."""


def rule_for(error: BaseException) -> Rule | None:
    """Returns the rule of an operating error; None for a fault of ours."""
    return next((RULES[cls] for cls in type(error).__mro__ if cls in RULES), None)


def reason_of(error: BaseException) -> str:
    """Returns the machine-readable reason of an error."""
    if isinstance(error, NotFound):
        return f"{error.resource_type.upper()}_NOT_FOUND"
    return error.reason if isinstance(error, ErrataError) and rule_for(error) else "INTERNAL"


def to_status(error: BaseException, *, error_id: str = "") -> status_pb2.Status:
    """Returns the status to send for `error`; `error_id` names its line in the log."""
    rule = rule_for(error)
    if rule is None:
        message = f"The server failed on this request; its log has the cause under {error_id}."
        return _status(grpc.StatusCode.INTERNAL, message, _info("INTERNAL", {}), error_id)
    info = _info(reason_of(error), rule.metadata(error))
    shown = error_id if rule.code is grpc.StatusCode.INTERNAL else ""
    return _status(rule.code, _cut(str(error)), info, shown, *rule.details(error))


def code_of(status: status_pb2.Status) -> grpc.StatusCode:
    """Returns the code of a status as gRPC's enum."""
    return next(code for code in grpc.StatusCode if code.value[0] == status.code)


def _info(reason: str, metadata: dict[str, str]) -> error_details_pb2.ErrorInfo:
    return error_details_pb2.ErrorInfo(reason=reason, domain=DOMAIN, metadata=metadata)


def _status(
    code: grpc.StatusCode, message: str, info: Message, error_id: str, *details: Message
) -> status_pb2.Status:
    status = status_pb2.Status(code=code.value[0], message=message)
    if error_id:
        details = (*details, error_details_pb2.RequestInfo(request_id=error_id))
    for detail in (info, *details):
        packed = any_pb2.Any()
        packed.Pack(detail)
        status.details.append(packed)
    return status


def _cut(text: str) -> str:
    """Keeps a message within what headers carry, and free of lone surrogates."""
    raw = text.encode("utf-8", "backslashreplace")
    limit = DEFAULT_LIMITS.message_bytes_max
    if len(raw) <= limit:
        return raw.decode()
    return raw[: limit - 3].decode("utf-8", "ignore") + "…"
