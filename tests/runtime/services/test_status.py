"""The table from exception to status, row by row, and back through the client's reading of it."""

import base64
from urllib.parse import quote

import grpc
import pytest
from google.rpc import error_details_pb2
from hypothesis import given, settings
from hypothesis import strategies as st

from errata import errors as client_errors
from errata.failures import from_status
from memory import errors
from memory.errors import ErrataError
from runtime.services.status import DOMAIN, DeadlinePassed, code_of, rule_for, to_status

ROWS = [
    (errors.InvalidInput("m", field="a.b"), "INVALID_ARGUMENT", "FIELD_INVALID", "InvalidRequest"),
    (
        errors.ContextTooLong("m", given=9, limit=8),
        "INVALID_ARGUMENT",
        "CONTEXT_LENGTH_EXCEEDED",
        "InvalidRequest",
    ),
    (
        errors.NotFound("m", resource_type="edit", resource_name="n"),
        "NOT_FOUND",
        "EDIT_NOT_FOUND",
        "NotFound",
    ),
    (
        errors.NotFound("m", resource_type="namespace", resource_name="n"),
        "NOT_FOUND",
        "NAMESPACE_NOT_FOUND",
        "NotFound",
    ),
    (
        errors.AlreadyExists("m", resource_type="edit", resource_name="n"),
        "ALREADY_EXISTS",
        "EDIT_EXISTS",
        "AlreadyExists",
    ),
    (
        errors.EditConflict("m", conflicts=("n1", "n2")),
        "FAILED_PRECONDITION",
        "EDIT_CONFLICT",
        "EditConflict",
    ),
    (errors.WrongState("m"), "FAILED_PRECONDITION", "WRONG_STATE", "WrongState"),
    (errors.RequestIdReused("m"), "FAILED_PRECONDITION", "REQUEST_ID_REUSED", "WrongState"),
    (errors.EtagMismatch("m"), "ABORTED", "ETAG_MISMATCH", "EtagMismatch"),
    (errors.Overloaded("m", retry_after_s=2.5), "RESOURCE_EXHAUSTED", "OVERLOADED", "Overloaded"),
    (
        errors.Unavailable("m", reason="REPLICA_BEHIND"),
        "UNAVAILABLE",
        "REPLICA_BEHIND",
        "ServerUnavailable",
    ),
    (errors.StorageReadOnly("m"), "UNAVAILABLE", "STORAGE_READ_ONLY", "ServerUnavailable"),
    (
        errors.SequenceCompacted("m", oldest=7),
        "OUT_OF_RANGE",
        "SEQUENCE_COMPACTED",
        "SequenceCompacted",
    ),
    (DeadlinePassed("m"), "DEADLINE_EXCEEDED", "DEADLINE_EXCEEDED", "DeadlineExceeded"),
    (errors.EngineFailure("m"), "INTERNAL", "ENGINE_FAILED", "ServerFailure"),
]


@pytest.mark.parametrize(("error", "code", "reason", "client_class"), ROWS)
def test_each_error_has_its_code_its_reason_and_its_client_exception(
    error: ErrataError, code: str, reason: str, client_class: str
) -> None:
    status = to_status(error, error_id="e1")
    info = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(info)
    assert (code_of(status).name, info.reason, info.domain) == (code, reason, DOMAIN)
    seen = from_status(status)
    assert type(seen).__name__ == client_class
    assert (seen.message, seen.reason, seen.code) == ("m", reason, code)


def test_every_operating_error_that_can_reach_a_call_has_a_rule() -> None:
    startup = {errors.StartupError, *errors.StartupError.__subclasses__()}
    pending, missing = list(ErrataError.__subclasses__()), []
    while pending:
        cls = pending.pop()
        pending.extend(cls.__subclasses__())
        if cls not in startup and rule_for(cls.__new__(cls)) is None:
            missing.append(cls.__name__)
    assert missing == []


def test_details_say_which_field_which_resource_which_conflicts_and_when_to_retry() -> None:
    seen = [from_status(to_status(row[0])) for row in ROWS]
    assert [(v.field, v.description) for v in seen[0].violations] == [("a.b", "m")]
    assert seen[2].resource == "n"
    assert seen[5].conflicts == ("n1", "n2")
    assert seen[9].retry_after_s == 2.5


def test_a_context_error_carries_given_and_limit() -> None:
    info = error_details_pb2.ErrorInfo()
    to_status(ROWS[1][0]).details[0].Unpack(info)
    assert dict(info.metadata) == {"given": "9", "limit": "8"}


def test_a_fault_of_ours_shows_its_id_and_nothing_else() -> None:
    status = to_status(ZeroDivisionError("secret path /etc"), error_id="e42")
    assert status.code == grpc.StatusCode.INTERNAL.value[0]
    assert b"secret" not in status.SerializeToString()
    seen = from_status(status)
    assert isinstance(seen, client_errors.ServerFailure)
    assert (seen.reason, seen.error_id) == ("INTERNAL", "e42")


@given(
    text=st.text(min_size=0, max_size=100) | st.text("😀é\n", min_size=900, max_size=3000),
    count=st.integers(0, 50),
)
@settings(max_examples=50)
def test_a_status_fits_the_headers_whatever_the_message(text: str, count: int) -> None:
    conflict = errors.EditConflict(text + "\ud800", conflicts=("n" * 120,) * count)
    for error in (conflict, errors.InvalidInput(text, field="f")):
        status = to_status(error)
        encoded = quote(status.message) + base64.b64encode(status.SerializeToString()).decode()
        assert len(encoded) < 8000
