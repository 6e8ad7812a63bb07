"""Protobuf to domain and back: edits, provenance and the words that both services share.

Nothing else in the runtime knows protobuf. What a request asks is read by `wire_inference.py` and
`wire_memory.py`; this file holds the nouns.
"""

from __future__ import annotations

import math
from enum import Enum
from typing import Any, TypeVar

from google.protobuf import timestamp_pb2

from memory.errors import InvalidInput
from memory.record import (
    Edit,
    EditDraft,
    EditId,
    EditState,
    ErrorBudget,
    Provenance,
    Rejection,
    ScopeDecision,
    StageTimings,
)
from protos.errata.v1 import resources_pb2
from runtime.services.limits import DEFAULT_LIMITS
from runtime.services.names import format_edit, format_namespace

E = TypeVar("E", bound=Enum)

NANOS = 1_000_000_000


def enum_to_pb(wrapper: Any, value: Enum, prefix: str) -> Any:
    """Returns the protobuf number of a domain enum's value, by its name."""
    return wrapper.Value(f"{prefix}{value.name}")


def enum_from_pb(wrapper: Any, number: int, prefix: str, kind: type[E], default: E) -> E:
    """Returns the domain value of a protobuf enum; unspecified and unknown numbers: `default`."""
    if number == 0 or number not in wrapper.values():
        return default
    return kind[str(wrapper.Name(number)).removeprefix(prefix)]


def time_to_pb(seconds: float) -> timestamp_pb2.Timestamp:
    """Returns the timestamp of seconds since the epoch, to the nanosecond."""
    whole = math.floor(seconds)
    nanos = round((seconds - whole) * NANOS)
    return timestamp_pb2.Timestamp(seconds=whole + nanos // NANOS, nanos=nanos % NANOS)


def time_from_pb(message: timestamp_pb2.Timestamp, *, field: str) -> float:
    """Returns seconds since the epoch. Raises InvalidInput for nanoseconds out of range."""
    if not 0 <= message.nanos < NANOS:
        raise InvalidInput(
            f"{field} has {message.nanos} nanoseconds; expected 0 to {NANOS - 1}", field=field
        )
    return message.seconds + message.nanos / NANOS


def edit_to_pb(edit: Edit) -> resources_pb2.Edit:
    """Returns an edit as it travels."""
    message = resources_pb2.Edit(
        name=format_edit(edit.namespace, edit.id),
        subject=edit.subject,
        prompt=edit.prompt,
        target=edit.target,
        former=edit.former,
        aliases=edit.aliases,
        author=edit.author,
        source=edit.source,
        labels=dict(edit.labels),
        state=enum_to_pb(resources_pb2.EditState, edit.state, "EDIT_STATE_"),
        revision=edit.revision,
        sequence=edit.sequence,
        create_time=time_to_pb(edit.created_at_s),
        update_time=time_to_pb(edit.updated_at_s),
        etag=edit.etag,
        supersedes=format_edit(edit.namespace, edit.supersedes) if edit.supersedes else "",
        superseded_by=format_edit(edit.namespace, edit.superseded_by) if edit.superseded_by else "",
        edition=edit.edition,
    )
    if edit.expires_at_s is not None:
        message.expire_time.CopyFrom(time_to_pb(edit.expires_at_s))
    return message


def draft_from_pb(message: resources_pb2.Edit, *, edit_id: str = "", field: str = "") -> EditDraft:
    """Reads what a caller may say of an edit; what is output only is not looked at.

    `field` is the path of the edit in the request, with its last dot, for messages.
    """
    expires_at_s = None
    if message.HasField("expire_time"):
        expires_at_s = time_from_pb(message.expire_time, field=f"{field}expire_time")
    return EditDraft(
        subject=message.subject,
        prompt=message.prompt,
        target=message.target,
        former=message.former if message.HasField("former") else None,
        aliases=tuple(message.aliases),
        author=message.author,
        source=message.source,
        labels=tuple(sorted(message.labels.items())),
        expires_at_s=expires_at_s,
        edit_id=EditId(edit_id) if edit_id else None,
    )


def state_from_pb(number: int, *, field: str) -> EditState:
    """Reads a state to filter by. Raises InvalidInput for one that is unspecified or unknown."""
    if number == 0 or number not in resources_pb2.EditState.values():
        known = ", ".join(state.name for state in EditState)
        raise InvalidInput(f"{field} is {number}; expected one of {known}", field=field)
    return EditState[resources_pb2.EditState.Name(number).removeprefix("EDIT_STATE_")]


def timings_to_pb(timings: StageTimings) -> resources_pb2.StageTimings:
    """Returns the timings by stage."""
    fields = StageTimings.__dataclass_fields__
    return resources_pb2.StageTimings(**{name: getattr(timings, name) for name in fields})


def provenance_to_pb(provenance: Provenance) -> resources_pb2.Provenance:
    """Returns where an answer came from; of the rejected candidates, the best ones."""
    route = provenance.route
    shown = route.rejections[: DEFAULT_LIMITS.rejected_shown_max]
    return resources_pb2.Provenance(
        request_id=provenance.request_id,
        namespace=format_namespace(provenance.namespace),
        route=enum_to_pb(resources_pb2.RouteKind, route.kind, "ROUTE_KIND_"),
        path=route.path,
        reason=route.reason,
        hits=[_scored_to_pb(hit) for hit in route.hits],
        rejected=[_rejection_to_pb(rejection) for rejection in shown],
        sequence=provenance.sequence,
        edition=provenance.edition,
        classifier=provenance.classifier,
        calibrated=provenance.calibrated,
        timings=timings_to_pb(provenance.timings),
        query_read_as=provenance.read_as,
        **_budget_to_pb(provenance.budget),
    )


def _budget_to_pb(budget: ErrorBudget | None) -> dict[str, Any]:
    if budget is None:
        return {}
    source = enum_to_pb(resources_pb2.BudgetSource, budget.source, "BUDGET_SOURCE_")
    return {"error_budget": budget.share, "budget_source": source}


def _scored_to_pb(decision: ScopeDecision) -> resources_pb2.ScoredEdit:
    candidate = decision.candidate
    return resources_pb2.ScoredEdit(
        edit=format_edit(candidate.edit.namespace, candidate.edit.id),
        revision=candidate.edit.revision,
        score=decision.score,
        threshold=decision.threshold,
        cosine=candidate.cosine,
        retrieval_rank=candidate.rank,
        mention=candidate.mention,
        statement=candidate.edit.statement,
    )


def _rejection_to_pb(rejection: Rejection) -> resources_pb2.ScoredEdit:
    message = _scored_to_pb(rejection.decision)
    message.reject_reason = enum_to_pb(
        resources_pb2.RejectReason, rejection.reason, "REJECT_REASON_"
    )
    return message
