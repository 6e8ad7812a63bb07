"""Protobuf to what the memory is asked, and its answers to protobuf."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from memory.conflicts import normalise
from memory.errors import InvalidInput
from memory.paging import EditFilter
from memory.record import Activation, Candidate, ConflictPolicy, EditState
from memory.status import MemoryStatus, NamespaceStatus
from memory.writes import EditChanges, LogEntry, WriteOutcome, WriteResult
from protos.errata.v1 import memory_pb2, resources_pb2
from runtime.engine.contract import EngineInfo
from runtime.services.names import format_edit, format_namespace
from runtime.services.wire import (
    draft_from_pb,
    edit_to_pb,
    enum_from_pb,
    enum_to_pb,
    state_from_pb,
    time_from_pb,
    time_to_pb,
)

MASK_FIELDS = (
    "subject",
    "prompt",
    "target",
    "former",
    "aliases",
    "author",
    "source",
    "labels",
    "expire_time",
)
TO_WIRE = {"expires_at_s": "expire_time"}  # Fields whose name differs.
FILTER_CHARS_MAX = 2048


@contextmanager
def fields_under(prefix: str) -> Iterator[None]:
    """Gives the fields that the memory names in errors the path that they have on the wire."""
    try:
        yield
    except InvalidInput as error:
        error.field = _wire_field(error.field, prefix)
        raise


def _wire_field(field: str, prefix: str) -> str:
    """Names a field as the wire does: edits[3].expires_at_s is requests[3].edit.expire_time."""
    head, bracket, rest = field.partition("].")
    if bracket and head.startswith("edits["):
        return f"requests{head.removeprefix('edits')}].{_wire_field(rest, 'edit.')}"
    name = TO_WIRE.get(field, field)
    if name == "edit_id":
        return name
    known = name.partition("[")[0] in MASK_FIELDS
    return f"{prefix}{name}" if known else name


def conflict_policy(number: int) -> ConflictPolicy:
    """Reads a conflict policy; unspecified is FAIL."""
    return enum_from_pb(
        resources_pb2.ConflictPolicy,
        number,
        "CONFLICT_POLICY_",
        ConflictPolicy,
        ConflictPolicy.FAIL,
    )


def read_changes(request: memory_pb2.UpdateEditRequest) -> EditChanges:
    """Reads what an update changes. Raises InvalidInput for an unknown path or an empty mask."""
    edit = request.edit
    paths = _mask_paths(request)
    draft = draft_from_pb(edit, field="edit.")
    values: dict[str, Any] = {}
    for path in paths:
        name = "expires_at_s" if path == "expire_time" else path
        values[name] = getattr(draft, name)
    return EditChanges(**values)


def _mask_paths(request: memory_pb2.UpdateEditRequest) -> tuple[str, ...]:
    paths = tuple(request.update_mask.paths)
    if not paths:
        paths = tuple(field.name for field, _ in request.edit.ListFields())
        paths = tuple(path for path in paths if path in MASK_FIELDS)
        if not paths:
            raise InvalidInput(
                "nothing to update: set a field, or name those to clear in update_mask",
                field="update_mask",
            )
    if paths == ("*",):
        return MASK_FIELDS
    for path in paths:
        if path not in MASK_FIELDS:
            raise InvalidInput(
                f"update_mask names {path[:80]!a}; known paths are {', '.join(MASK_FIELDS)}, "
                'or "*" alone',
                field="update_mask",
            )
    return paths


def read_filter(message: memory_pb2.EditFilter) -> EditFilter:
    """Reads which edits are asked for. Raises InvalidInput."""
    field = "filter"
    check_subject(message.subject, field=f"{field}.subject")
    for name in ("text", "author", "source"):
        if len(getattr(message, name)) > FILTER_CHARS_MAX:
            raise InvalidInput(
                f"{field}.{name} has {len(getattr(message, name))} characters; give at most "
                f"{FILTER_CHARS_MAX}",
                field=f"{field}.{name}",
            )
    states = tuple(
        state_from_pb(number, field=f"{field}.states[{place}]")
        for place, number in enumerate(message.states)
    )
    return EditFilter(
        states=tuple(dict.fromkeys(states)),
        subject=message.subject,
        text_contains=message.text,
        labels=tuple(sorted(message.labels.items())),
        author=message.author,
        source=message.source,
        created_after_s=_optional_time(message, "created_after"),
        created_before_s=_optional_time(message, "created_before"),
    )


def check_subject(subject: str, *, field: str) -> None:
    """Checks a subject to filter by. Raises InvalidInput for one that is long or has no word."""
    if len(subject) > FILTER_CHARS_MAX:
        raise InvalidInput(
            f"{field} has {len(subject)} characters; give at most {FILTER_CHARS_MAX}", field=field
        )
    if subject and not normalise(subject):
        raise InvalidInput(f"{field} is only punctuation; give at least one word", field=field)


def _optional_time(message: Any, name: str) -> float | None:
    if not message.HasField(name):
        return None
    return time_from_pb(getattr(message, name), field=f"filter.{name}")


def outcome_to_pb(outcome: WriteOutcome) -> memory_pb2.WriteOutcome:
    """Returns what a write did with an edit."""
    number: memory_pb2.WriteOutcome = enum_to_pb(memory_pb2.WriteOutcome, outcome, "WRITE_OUTCOME_")
    return number


def written_to_pb(result: WriteResult) -> memory_pb2.WriteEditResponse:
    """Returns the answer to a single write."""
    return memory_pb2.WriteEditResponse(
        edit=edit_to_pb(result.edits[0]),
        outcome=outcome_to_pb(result.outcomes[0]),
        sequence=result.sequence,
        replayed=result.replayed,
    )


def batch_to_pb(result: WriteResult) -> memory_pb2.BatchCreateEditsResponse:
    """Returns the answer to a batch."""
    return memory_pb2.BatchCreateEditsResponse(
        edits=[edit_to_pb(edit) for edit in result.edits],
        outcomes=[outcome_to_pb(outcome) for outcome in result.outcomes],
        sequence=result.sequence,
        replayed=result.replayed,
    )


def results_to_pb(candidates: Sequence[Candidate]) -> list[memory_pb2.SearchResult]:
    """Returns the results of a search, best first."""
    return [
        memory_pb2.SearchResult(
            edit=edit_to_pb(candidate.edit), cosine=candidate.cosine, mention=candidate.mention
        )
        for candidate in candidates
    ]


def change_to_pb(entry: LogEntry) -> memory_pb2.WatchEditsResponse:
    """Returns a log entry as a watch sends it."""
    message = memory_pb2.WatchEditsResponse(
        sequence=entry.sequence,
        kind=enum_to_pb(memory_pb2.ChangeKind, entry.kind, "CHANGE_KIND_"),
        time=time_to_pb(entry.at_s),
        reason=entry.reason,
    )
    if entry.edit is not None:
        message.edit.CopyFrom(edit_to_pb(entry.edit))
    if entry.activation is not None:
        message.activation.CopyFrom(activation_to_pb(entry.activation))
    return message


def activation_to_pb(activation: Activation) -> memory_pb2.EditionActivation:
    """Returns an activation as a watch sends it."""
    namespace = activation.namespace
    return memory_pb2.EditionActivation(
        namespace=format_namespace(namespace),
        edition=activation.edition,
        took=[format_edit(namespace, edit_id) for edit_id, _ in activation.took],
        left=[format_edit(namespace, edit_id) for edit_id, _ in activation.left],
        automatic=activation.automatic,
    )


def namespace_status_to_pb(
    status: NamespaceStatus, *, active: int, answering: int, problem: str
) -> memory_pb2.NamespaceStatus:
    """Returns the sizes of one namespace, and which editions are active and answering there."""
    counts = {state.value: status.edits.get(state, 0) for state in EditState}
    return memory_pb2.NamespaceStatus(
        name=format_namespace(status.name),
        index_kind=status.index_kind,
        index_bytes=status.index_bytes,
        edition=active,
        answering_edition=answering,
        edition_problem=problem,
        **counts,
    )


def model_to_pb(info: EngineInfo, *, running: int, waiting: int) -> memory_pb2.ModelStatus:
    """Returns what model is served and how busy it is."""
    return memory_pb2.ModelStatus(
        model=info.model,
        model_type=info.model_type,
        parameters=info.parameters,
        context_tokens=info.context_tokens,
        dtype=info.dtype,
        device=info.device,
        chat=info.chat,
        fingerprint=info.fingerprint,
        running=running,
        waiting=waiting,
    )


def memory_status_to_pb(status: MemoryStatus) -> memory_pb2.MemoryStatus:
    """Returns size and health of the memory; namespaces and model are the servicer's to add."""
    return memory_pb2.MemoryStatus(
        sequence=status.sequence,
        encoder=status.encoder,
        log_bytes=status.log_bytes,
        read_only_reason=status.read_only,
    )
