"""What a call can fail with, as the caller sees it; each class is one thing to do about it.

    ClientError
    ├── InvalidRequest     a field is wrong: see `violations`
    ├── NotFound           no such namespace or edit
    ├── AlreadyExists      the edit id is taken
    ├── EditConflict       an active edit says something about the same prompt: see `conflicts`
    ├── WrongState         the edit exists but its state does not allow this
    ├── Unauthenticated    no key was sent, or one that the server does not know
    ├── PermissionDenied   the key is not good for this call
    ├── EtagMismatch       somebody changed the edit first: read it again
    ├── ConsolidationRunning  a job runs already: wait for it, or cancel it
    ├── Overloaded         a queue is full: wait `retry_after_s`, then try again
    ├── ServerUnavailable  no server, or it is loading, draining, behind, or read-only
    ├── DeadlineExceeded   no answer within the timeout
    ├── Cancelled          the call was cancelled
    ├── SequenceCompacted  a watch asks for entries that are gone
    └── ServerFailure      a fault of the server's; `error_id` finds it in its log

`reason` is machine-readable (UPPER_SNAKE); `str()` is for people. Which status becomes which class
is decided in `errata/failures.py`.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FieldViolation:
    """One wrong field: its path ("sampling.top_p") and what is wrong with it."""

    field: str
    description: str


class ClientError(Exception):
    """Base of all errors that a client raises for a call.

    `code` is the gRPC status name ("NOT_FOUND"); `reason` may be "" when the failure did not
    come from an Errata server (a proxy, a refused connection).
    """

    def __init__(
        self,
        message: str,
        *,
        code: str = "UNKNOWN",
        reason: str = "",
        violations: tuple[FieldViolation, ...] = (),
        conflicts: tuple[str, ...] = (),
        resource: str = "",
        retry_after_s: float | None = None,
        error_id: str = "",
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.reason = reason
        self.violations = violations
        self.conflicts = conflicts
        self.resource = resource
        self.retry_after_s = retry_after_s
        self.error_id = error_id

    def __str__(self) -> str:
        """Reads as "message [REASON]", with the error id when there is one."""
        parts = [part for part in (self.reason or self.code, self.error_id) if part]
        return f"{self.message} [{', '.join(parts)}]"


class InvalidRequest(ClientError):
    """A field of the request is wrong; `violations` say which and why."""


class NotFound(ClientError):
    """No such namespace or edit; `resource` names it."""


class AlreadyExists(ClientError):
    """The edit id is taken; `resource` names the edit that has it."""


class EditConflict(ClientError):
    """Active edits have the same subject and prompt; `conflicts` names them."""


class WrongState(ClientError):
    """The thing exists but its state does not allow this."""


class Unauthenticated(ClientError):
    """The server wants a key: none was sent, or one that it does not know."""


class PermissionDenied(ClientError):
    """The key that was sent is not good for this call; the message names the scope it lacks."""


class EtagMismatch(ClientError):
    """Somebody else changed the edit first; read it again and retry."""


class ConsolidationRunning(ClientError):
    """A consolidation runs already; `resource` names its operation."""


class Overloaded(ClientError):
    """A queue of the server is full; retry after `retry_after_s` seconds."""


class ServerUnavailable(ClientError):
    """No server answers, or it is loading, draining, behind the sequence, or read-only."""


class DeadlineExceeded(ClientError):
    """No answer came within the timeout."""


class Cancelled(ClientError):
    """The call was cancelled before it ended."""


class SequenceCompacted(ClientError):
    """A watch asks for log entries that are gone."""


class ServerFailure(ClientError):
    """A fault of the server's; its log has the details under `error_id`."""
