"""The exceptions of Errata; each cause has a class, each message says what to do.

    ErrataError
    ├── InvalidInput            a field is wrong: what was given, what was expected
    │   └── ContextTooLong      the prompt does not fit the model's context
    ├── NotFound                no such namespace, edit, edition or operation
    ├── AlreadyExists           the id is taken
    ├── EditConflict            an active edit has the same subject and prompt
    ├── WrongState              the thing exists but its state does not allow this
    │   ├── RequestIdReused     the request_id stands for another content
    │   └── EditionUnusable     an edition is damaged, or of other weights
    ├── Unauthenticated         no key, or one that is not known
    ├── PermissionDenied        the key is not good for this method
    ├── EtagMismatch            somebody else changed it first; read it again
    ├── Overloaded              a bounded queue or quota is full; retry later
    ├── Unavailable             draining, loading, behind a sequence, or read-only
    │   └── StorageReadOnly     the log cannot be written (disk full, failed fsync)
    ├── SequenceCompacted       a watch asks for entries that are gone
    ├── EngineFailure           the model failed on one request
    ├── ConsolidationRunning    a job runs already; one at a time for each model
    ├── Cancelled               somebody stopped it
    ├── ConsolidationFailed     an editor found no usable change of the weights
    └── StartupError            the process must not start; says why
        ├── DataDirectoryError  foreign, corrupt or newer data directory
        ├── DataDirectoryLocked another server holds the data directory
        └── ModelLoadError      the model cannot be loaded

`reason` is the machine-readable name (UPPER_SNAKE) that goes on the wire; the table from class to
gRPC status is in runtime/services/status.py alone.
"""

from __future__ import annotations

from typing import ClassVar


class ErrataError(Exception):
    """Base of all operating errors."""

    reason: ClassVar[str] = "INTERNAL"


class InvalidInput(ErrataError):
    """A field of the request is wrong. Recoverable by the caller.

    `field` is the path of the field ("sampling.top_p", "edits[3].target"), or "" when the
    request as a whole is wrong.
    """

    reason = "FIELD_INVALID"

    def __init__(self, message: str, *, field: str = "") -> None:
        super().__init__(message)
        self.field = field


class ContextTooLong(InvalidInput):
    """The prompt and the tokens asked for do not fit the model's context."""

    reason = "CONTEXT_LENGTH_EXCEEDED"

    def __init__(self, message: str, *, given: int, limit: int, field: str = "prompt") -> None:
        super().__init__(message, field=field)
        self.given = given
        self.limit = limit


class NotFound(ErrataError):
    """No such namespace, edit, edition or operation."""

    reason = "NOT_FOUND"

    def __init__(self, message: str, *, resource_type: str, resource_name: str) -> None:
        super().__init__(message)
        self.resource_type = resource_type
        self.resource_name = resource_name


class AlreadyExists(ErrataError):
    """The id is taken."""

    reason = "EDIT_EXISTS"

    def __init__(self, message: str, *, resource_type: str, resource_name: str) -> None:
        super().__init__(message)
        self.resource_type = resource_type
        self.resource_name = resource_name


class EditConflict(ErrataError):
    """Active edits have the same normalised subject and prompt, and the policy was to fail.

    `conflicts` holds their resource names.
    """

    reason = "EDIT_CONFLICT"

    def __init__(self, message: str, *, conflicts: tuple[str, ...]) -> None:
        super().__init__(message)
        self.conflicts = conflicts


class WrongState(ErrataError):
    """The thing exists but its state does not allow the operation."""

    reason = "WRONG_STATE"


class RequestIdReused(WrongState):
    """The request_id was used before with another content."""

    reason = "REQUEST_ID_REUSED"


class EditionUnusable(WrongState):
    """An edition is damaged, or was computed for other weights."""

    reason = "EDITION_UNUSABLE"


class Unauthenticated(ErrataError):
    """The caller sent no key, or one that the server does not know."""

    reason = "KEY_UNKNOWN"


class PermissionDenied(ErrataError):
    """The caller's key is not good for this method."""

    reason = "SCOPE_MISSING"


class EtagMismatch(ErrataError):
    """Somebody else changed the edit first; read it again and retry."""

    reason = "ETAG_MISMATCH"


class Overloaded(ErrataError):
    """A bounded queue or a quota is full. Recoverable: retry after `retry_after_s` seconds."""

    reason = "OVERLOADED"

    def __init__(self, message: str, *, retry_after_s: float = 1.0) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class Unavailable(ErrataError):
    """Not now: draining, loading, or behind the sequence that was asked for."""

    reason = "UNAVAILABLE"

    def __init__(
        self, message: str, *, reason: str = "UNAVAILABLE", retry_after_s: float = 1.0
    ) -> None:
        super().__init__(message)
        self.reason = reason  # type: ignore[misc]  # An instance may be more precise.
        self.retry_after_s = retry_after_s


class StorageReadOnly(Unavailable):
    """The log cannot be written (disk full, failed fsync); reads go on."""

    def __init__(self, message: str, *, retry_after_s: float = 5.0) -> None:
        super().__init__(message, reason="STORAGE_READ_ONLY", retry_after_s=retry_after_s)


class SequenceCompacted(ErrataError):
    """A watch or page asks for log entries that are gone; `oldest` is the first one kept."""

    reason = "SEQUENCE_COMPACTED"

    def __init__(self, message: str, *, oldest: int) -> None:
        super().__init__(message)
        self.oldest = oldest


class EngineFailure(ErrataError):
    """The model failed on one request; other requests go on."""

    reason = "ENGINE_FAILED"


class ConsolidationFailed(ErrataError):
    """An editor found no usable change: a singular solve, NaN, a fact without its subject.

    Nothing was changed. The message names facts and layer.
    """

    reason = "CONSOLIDATION_FAILED"


class ConsolidationRunning(ErrataError):
    """A consolidation runs already; `operation` is the name of its operation."""

    reason = "CONSOLIDATION_RUNNING"

    def __init__(self, message: str, *, operation: str) -> None:
        super().__init__(message)
        self.operation = operation


class Cancelled(ErrataError):
    """Somebody stopped it before it was done."""

    reason = "CANCELLED"


class StartupError(ErrataError):
    """The process must not start. Unrecoverable without the operator."""

    reason = "STARTUP_FAILED"


class DataDirectoryError(StartupError):
    """The data directory is foreign, corrupt, or of a newer format."""

    reason = "DATA_DIRECTORY_INVALID"


class DataDirectoryLocked(StartupError):
    """Another server holds the data directory."""

    reason = "DATA_DIRECTORY_LOCKED"


class ModelLoadError(StartupError):
    """The model cannot be loaded."""

    reason = "MODEL_LOAD_FAILED"
