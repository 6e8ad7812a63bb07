"""From the arguments of a client's methods to protobuf requests; shared by both clients."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Any, Final, Literal, TypedDict, Unpack

from google.protobuf import field_mask_pb2, timestamp_pb2

from errata.results import EditFilter, EditRef, EditState, NewEdit
from protos.errata.v1 import inference_pb2, memory_pb2, resources_pb2

ConflictPolicy = Literal["fail", "skip", "supersede"]
EditsPolicy = Literal["auto", "off", "force"]
Prompt = str | Sequence[tuple[str, str]]
"""A bare prompt, or the turns of a chat as (role, content); the last one is the user's."""


class Unset(Enum):
    """The type of UNSET: "leave this field as it is", where None means "clear it"."""

    UNSET = "unset"


UNSET: Final = Unset.UNSET


class SamplingOptions(TypedDict, total=False):
    """How tokens are chosen; what is left out takes the server's default (greedy, 64 tokens)."""

    max_tokens: int
    temperature: float
    top_p: float
    top_k: int
    min_p: float
    repetition_penalty: float
    seed: int
    stop: Sequence[str]
    ignore_eos: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RoutingOptions:
    """How a request is routed; "" and None take the client's or the server's default."""

    namespace: str = ""
    policy: EditsPolicy = "auto"
    force: Sequence[EditRef] = ()  # Edits to use whatever the classifier says; implies "force".
    path: str = ""
    min_sequence: int = 0
    error_budget: float | None = None


class GenerateOptions(SamplingOptions, total=False):
    """What `generate` and `stream` take besides the prompt and the routing."""

    logprobs: int
    return_token_ids: bool
    request_id: str


def draw_request_id() -> str:
    """Returns a fresh request id."""
    return uuid.uuid4().hex


def namespace_name(namespace: str) -> str:
    """Returns the resource name of a namespace given by short or full name."""
    return namespace if namespace.startswith("namespaces/") else f"namespaces/{namespace}"


def edit_name(edit: EditRef, namespace: str) -> str:
    """Returns the resource name of an edit; a bare id is one of `namespace`."""
    given = edit if isinstance(edit, str) else edit.name
    return given if "/" in given else f"{namespace_name(namespace)}/edits/{given}"


def timestamp(when: datetime) -> timestamp_pb2.Timestamp:
    """Converts an aware datetime. Raises ValueError for one without a zone."""
    if when.tzinfo is None:
        raise ValueError(f"{when.isoformat()} has no time zone; give one, e.g. tzinfo=UTC")
    message = timestamp_pb2.Timestamp()
    message.FromDatetime(when)
    return message


def routing(options: RoutingOptions, *, namespace: str, min_sequence: int) -> inference_pb2.Routing:
    """Builds the routing; `namespace` and `min_sequence` are the client's own."""
    chosen = options.namespace or namespace
    policy = "force" if options.force else options.policy
    return inference_pb2.Routing(
        namespace=namespace_name(chosen),
        policy=f"EDITS_POLICY_{policy.upper()}",
        edits=[edit_name(edit, chosen) for edit in options.force],
        path=options.path,
        min_sequence=max(options.min_sequence, min_sequence),
        error_budget=options.error_budget,
    )


def _input(prompt: Prompt) -> dict[str, str | inference_pb2.Conversation]:
    if isinstance(prompt, str):
        return {"prompt": prompt}
    turns = [inference_pb2.Message(role=role, content=content) for role, content in prompt]
    return {"conversation": inference_pb2.Conversation(messages=turns)}


def generate(
    prompt: Prompt, route: inference_pb2.Routing, **options: Unpack[GenerateOptions]
) -> inference_pb2.GenerateRequest:
    """Builds a generation request. Raises TypeError for an option that there is none of."""
    known = SamplingOptions.__annotations__
    if unknown := sorted(options.keys() - GenerateOptions.__annotations__.keys()):
        raise TypeError(
            f"{', '.join(unknown)}: no option of a generation; known are "
            f"{', '.join(GenerateOptions.__annotations__)} "
            "(namespace, force, path and the like go into routing=RoutingOptions(...))"
        )
    sampling = {name: value for name, value in options.items() if name in known}
    return inference_pb2.GenerateRequest(
        **_input(prompt),  # type: ignore[arg-type]  # One of the two fields of the oneof.
        sampling=inference_pb2.Sampling(**sampling),  # type: ignore[arg-type]  # By their names.
        routing=route,
        request_id=options.get("request_id", ""),
        logprobs=options.get("logprobs"),
        return_token_ids=options.get("return_token_ids", False),
    )


def score(
    prompt: Prompt, continuations: Sequence[str], route: inference_pb2.Routing, request_id: str
) -> inference_pb2.ScoreRequest:
    """Builds a scoring request."""
    return inference_pb2.ScoreRequest(
        **_input(prompt),  # type: ignore[arg-type]
        continuations=continuations,
        routing=route,
        request_id=request_id,
    )


def explain(
    prompt: Prompt, route: inference_pb2.Routing, request_id: str
) -> inference_pb2.ExplainRouteRequest:
    """Builds a request for a route without a generation."""
    return inference_pb2.ExplainRouteRequest(
        **_input(prompt),  # type: ignore[arg-type]
        routing=route,
        request_id=request_id,
    )


def conflict_policy(policy: ConflictPolicy) -> Any:
    """Converts a conflict policy. Raises ValueError naming the known ones."""
    if policy not in ("fail", "skip", "supersede"):
        raise ValueError(f"on_conflict must be fail, skip or supersede, not {policy!r}")
    return resources_pb2.ConflictPolicy.Value(f"CONFLICT_POLICY_{policy.upper()}")


def new_edit(edit: NewEdit) -> resources_pb2.Edit:
    """Converts an edit to be created."""
    return resources_pb2.Edit(
        subject=edit.subject,
        prompt=edit.prompt,
        target=edit.target,
        former=edit.former,
        aliases=edit.aliases,
        author=edit.author,
        source=edit.source,
        labels=dict(edit.labels),
        expire_time=timestamp(edit.expires_at) if edit.expires_at else None,
    )


def create(
    edit: NewEdit,
    *,
    parent: str,
    on_conflict: ConflictPolicy,
    request_id: str,
    validate_only: bool,
    check_overlaps: bool | None = None,
) -> memory_pb2.CreateEditRequest:
    """Builds the creation of one edit."""
    return memory_pb2.CreateEditRequest(
        parent=namespace_name(parent),
        edit=new_edit(edit),
        edit_id=edit.edit_id,
        on_conflict=conflict_policy(on_conflict),
        request_id=request_id,
        validate_only=validate_only,
        check_overlaps=check_overlaps,  # type: ignore[arg-type]  # None: unset.
    )


def create_batch(
    edits: Iterable[NewEdit],
    *,
    parent: str,
    on_conflict: ConflictPolicy,
    request_id: str,
    validate_only: bool,
    check_overlaps: bool | None = None,
) -> memory_pb2.BatchCreateEditsRequest:
    """Builds the creation of all edits or none."""
    return memory_pb2.BatchCreateEditsRequest(
        parent=namespace_name(parent),
        requests=[
            memory_pb2.CreateEditRequest(edit=new_edit(edit), edit_id=edit.edit_id)
            for edit in edits
        ],
        on_conflict=conflict_policy(on_conflict),
        request_id=request_id,
        validate_only=validate_only,
        check_overlaps=check_overlaps,  # type: ignore[arg-type]  # None: unset.
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """What an update changes: UNSET leaves a field as it is, None clears it."""

    subject: str | Unset = UNSET
    prompt: str | Unset = UNSET
    target: str | Unset = UNSET
    former: str | Unset | None = UNSET
    aliases: Sequence[str] | Unset = UNSET
    author: str | Unset = UNSET
    source: str | Unset = UNSET
    labels: Mapping[str, str] | Unset = UNSET
    expires_at: datetime | Unset | None = UNSET

    def given(self) -> Iterator[tuple[str, object]]:
        """Yields the fields that change, by their names on the wire."""
        for name in self.__dataclass_fields__:
            value = getattr(self, name)
            if value is not UNSET:
                yield ("expire_time" if name == "expires_at" else name), value


def update(
    name: str,
    changes: Changes,
    *,
    etag: str,
    request_id: str,
    validate_only: bool,
    check_overlaps: bool | None = None,
) -> memory_pb2.UpdateEditRequest:
    """Builds an update whose mask names exactly what changes."""
    given = dict(changes.given())
    values = {
        key: timestamp(value) if isinstance(value, datetime) else value
        for key, value in given.items()
        if value is not None
    }
    return memory_pb2.UpdateEditRequest(
        edit=resources_pb2.Edit(name=name, etag=etag, **values),  # type: ignore[arg-type]
        update_mask=field_mask_pb2.FieldMask(paths=list(given)),
        request_id=request_id,
        validate_only=validate_only,
        check_overlaps=check_overlaps,  # type: ignore[arg-type]  # None: unset.
    )


def find_overlaps(*, parent: str, subject: str, everywhere: bool) -> memory_pb2.FindOverlapsRequest:
    """Builds a search for overlaps."""
    return memory_pb2.FindOverlapsRequest(
        parent=namespace_name(parent), subject=subject, everywhere=everywhere
    )


def edit_filter(wanted: EditFilter) -> memory_pb2.EditFilter:
    """Converts a filter. Raises ValueError for an unknown state."""
    states = [f"EDIT_STATE_{EditState(state).name}" for state in wanted.states]
    after, before = wanted.created_after, wanted.created_before
    return memory_pb2.EditFilter(
        states=states,
        subject=wanted.subject,
        text=wanted.text,
        labels=dict(wanted.labels),
        author=wanted.author,
        source=wanted.source,
        created_after=timestamp(after) if after else None,
        created_before=timestamp(before) if before else None,
    )


def json_line(edit: NewEdit) -> str:
    """Returns an edit as one line of Errata's JSONL."""
    given = {
        "subject": edit.subject,
        "prompt": edit.prompt,
        "target": edit.target,
        "former": edit.former,
        "aliases": list(edit.aliases),
        "author": edit.author,
        "source": edit.source,
        "labels": dict(edit.labels),
        "expires_at_s": edit.expires_at.timestamp() if edit.expires_at else None,
        "edit_id": edit.edit_id,
    }
    return json.dumps({key: value for key, value in given.items() if value})


@dataclass(slots=True)
class ImportSource:
    """Numbers the records of an import and keeps those that are not yet durable, for a resume."""

    unconfirmed: dict[int, memory_pb2.ImportRecord] = field(default_factory=dict)
    row: int = 0

    def confirm(self, durable_row: int) -> None:
        """Forgets the records up to `durable_row`."""
        for row in [row for row in self.unconfirmed if row <= durable_row]:
            del self.unconfirmed[row]

    def number(self, item: NewEdit | str) -> memory_pb2.ImportRecord:
        """Gives a record the next row and keeps it until it is confirmed."""
        self.row += 1
        record = memory_pb2.ImportRecord(row=self.row)
        if isinstance(item, str):
            record.json = item
        elif item.edit_id:
            record.json = json_line(item)  # Only our JSONL can name the id.
        else:
            record.edit.CopyFrom(new_edit(item))
        self.unconfirmed[self.row] = record
        return record
