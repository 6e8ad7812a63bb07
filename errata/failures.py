"""From a failed gRPC call to an exception of `errata/errors.py`: reads status and details."""

from __future__ import annotations

from typing import Any, Protocol

import grpc
from google.rpc import error_details_pb2, status_pb2

from errata.errors import (
    AlreadyExists,
    Cancelled,
    ClientError,
    ConsolidationRunning,
    DeadlineExceeded,
    EditConflict,
    EtagMismatch,
    FieldViolation,
    InvalidRequest,
    NotFound,
    Overloaded,
    PermissionDenied,
    SequenceCompacted,
    ServerFailure,
    ServerUnavailable,
    Unauthenticated,
    WrongState,
)

STATUS_DETAILS_KEY = "grpc-status-details-bin"

BY_CODE: dict[grpc.StatusCode, type[ClientError]] = {
    grpc.StatusCode.INVALID_ARGUMENT: InvalidRequest,
    grpc.StatusCode.NOT_FOUND: NotFound,
    grpc.StatusCode.ALREADY_EXISTS: AlreadyExists,
    grpc.StatusCode.FAILED_PRECONDITION: WrongState,
    grpc.StatusCode.ABORTED: EtagMismatch,
    grpc.StatusCode.UNAUTHENTICATED: Unauthenticated,
    grpc.StatusCode.PERMISSION_DENIED: PermissionDenied,
    grpc.StatusCode.RESOURCE_EXHAUSTED: Overloaded,
    grpc.StatusCode.UNAVAILABLE: ServerUnavailable,
    grpc.StatusCode.DEADLINE_EXCEEDED: DeadlineExceeded,
    grpc.StatusCode.CANCELLED: Cancelled,
    grpc.StatusCode.OUT_OF_RANGE: SequenceCompacted,
}

BY_REASON: dict[str, type[ClientError]] = {
    "EDIT_CONFLICT": EditConflict,
    "CONSOLIDATION_RUNNING": ConsolidationRunning,
}
"""Reasons that say more than their code."""


class FailedCall(Protocol):
    """What sync and asyncio errors of gRPC have in common."""

    def code(self) -> grpc.StatusCode:
        """Returns the status code."""
        ...

    def details(self) -> str | None:
        """Returns the message."""
        ...


def to_client_error(failed: FailedCall, *, target: str) -> ClientError:
    """Turns a failed call into the exception to raise; `target` is the address, for the message."""
    code, message = failed.code(), failed.details() or ""
    status = _read_status(failed)
    if status is None:
        return _from_bare_status(code, message, target)
    return from_status(status, code)


def from_status(status: status_pb2.Status, code: grpc.StatusCode | None = None) -> ClientError:
    """Turns a google.rpc.Status into the exception it stands for."""
    code = code or _code_of(status.code)
    info = _unpack(status, error_details_pb2.ErrorInfo)
    resource = _unpack(status, error_details_pb2.ResourceInfo)
    retry = _unpack(status, error_details_pb2.RetryInfo)
    request = _unpack(status, error_details_pb2.RequestInfo)
    bad = _unpack(status, error_details_pb2.BadRequest)
    blocked = _unpack(status, error_details_pb2.PreconditionFailure)
    reason = info.reason if info else ""
    cls = BY_REASON.get(reason) or BY_CODE.get(code, ServerFailure)
    return cls(
        status.message,
        code=code.name,
        reason=reason,
        violations=tuple(
            FieldViolation(v.field, v.description) for v in (bad.field_violations if bad else ())
        ),
        conflicts=tuple(v.subject for v in (blocked.violations if blocked else ())),
        resource=_resource(resource, info),
        retry_after_s=retry.retry_delay.ToTimedelta().total_seconds() if retry else None,
        error_id=request.request_id if request and cls is ServerFailure else "",
    )


def _resource(resource: Any, info: Any) -> str:
    """Returns what the failure is about: a resource, or the operation that is in the way."""
    if resource:
        return str(resource.resource_name)
    return str(info.metadata.get("operation", "")) if info else ""


def _from_bare_status(code: grpc.StatusCode, message: str, target: str) -> ClientError:
    """A failure without details comes from gRPC itself: no connection, a timeout, a size limit."""
    if code is grpc.StatusCode.UNAVAILABLE:
        message = f"no server answers at {target} (start one with `errata serve`): {message}"
    elif code is grpc.StatusCode.DEADLINE_EXCEEDED:
        message = f"{target} did not answer in time"
    cls = BY_CODE.get(code, ServerFailure)
    if code is grpc.StatusCode.RESOURCE_EXHAUSTED and "larger than max" in message:
        cls, message = InvalidRequest, f"the message is too large: {message}"
    return cls(message or code.name, code=code.name)


def _read_status(failed: FailedCall) -> status_pb2.Status | None:
    read = getattr(failed, "trailing_metadata", None)
    for key, value in (read() if read else None) or ():
        if key == STATUS_DETAILS_KEY and isinstance(value, bytes):
            return status_pb2.Status.FromString(value)
    return None


def _unpack(status: status_pb2.Status, cls: type[Any]) -> Any:
    for detail in status.details:
        if detail.Is(cls.DESCRIPTOR):
            message = cls()
            detail.Unpack(message)
            return message
    return None


def _code_of(number: int) -> grpc.StatusCode:
    return next((code for code in grpc.StatusCode if code.value[0] == number), _UNKNOWN)


_UNKNOWN = grpc.StatusCode.UNKNOWN
