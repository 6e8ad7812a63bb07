"""What the client gives back about edits and the server: plain frozen values, no protobuf.

Times are datetimes in UTC. Answers and routes are in errata/answers.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from errata.sizes import ModelStatus, NamespaceStatus


class EditState(StrEnum):
    """What an edit is now."""

    ACTIVE = "active"
    SUPERSEDED = "superseded"
    RETIRED = "retired"
    EXPIRED = "expired"
    CONSOLIDATED = "consolidated"


class Outcome(StrEnum):
    """What a write did."""

    CREATED = "created"
    SKIPPED = "skipped"
    SUPERSEDED = "superseded"
    UNCHANGED = "unchanged"
    UPDATED = "updated"


class ChangeKind(StrEnum):
    """What a log entry did to its edit."""

    CREATED = "created"
    UPDATED = "updated"
    SUPERSEDED = "superseded"
    RETIRED = "retired"
    RESTORED = "restored"
    EXPIRED = "expired"
    CONSOLIDATED = "consolidated"
    ACTIVATED = "activated"


@dataclass(frozen=True, slots=True, kw_only=True)
class Activation:
    """A namespace got other weights."""

    namespace: str  # Short name.
    edition: int  # 0 is the model as published.
    took: tuple[str, ...] = ()  # Resource names of the edits that the weights hold.
    left: tuple[str, ...] = ()  # Of those that it was computed from too, but that stay in memory.
    automatic: bool = False  # The former edition held an edit that went out of force.


@dataclass(frozen=True, slots=True, kw_only=True)
class NewEdit:
    """An edit to be created.

    `subject` (or one of `aliases`) must stand in `prompt`: a cloze that `target` completes, or a
    question that it answers.
    """

    subject: str
    prompt: str
    target: str
    former: str | None = None
    aliases: tuple[str, ...] = ()
    author: str = ""
    source: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    expires_at: datetime | None = None
    edit_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit:
    """One fact that should now hold, at one revision."""

    name: str  # namespaces/{namespace}/edits/{id}
    subject: str
    prompt: str
    target: str
    former: str | None = None
    aliases: tuple[str, ...] = ()
    author: str = ""
    source: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    state: EditState = EditState.ACTIVE
    revision: int = 1
    sequence: int = 0
    created_at: datetime | None = None
    updated_at: datetime | None = None
    expires_at: datetime | None = None
    etag: str = ""
    supersedes: str = ""  # Resource names.
    superseded_by: str = ""
    edition: int | None = None

    @property
    def id(self) -> str:
        """The last part of the name."""
        return self.name.rpartition("/")[2]

    @property
    def namespace(self) -> str:
        """The namespace's short name."""
        return self.name.split("/")[1] if "/" in self.name else ""

    @property
    def statement(self) -> str:
        """The new fact as one line."""
        return f"{self.prompt.rstrip()} {self.target.strip()}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Overlap:
    """An edit in force that speaks to the same question as another one, with another answer.

    The scope classifier's judgement. What is in the scope of both, the later one answers.
    """

    edit: Edit  # The other one.
    score: float
    threshold: float  # They overlap from this score on.
    reverse: bool = False  # Only the other one's prompt is in scope of the one asked about.


@dataclass(frozen=True, slots=True, kw_only=True)
class OverlapPair:
    """Two edits in force that overlap."""

    edit: Edit
    overlap: Overlap


@dataclass(frozen=True, slots=True, kw_only=True)
class OverlapSearch:
    """How far a search for overlaps is."""

    examined: int  # Edits in force that were looked at, of about `total`.
    total: int
    found: int
    sequence: int
    done: bool = False
    pairs: tuple[OverlapPair, ...] = ()  # Found since the last message.


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """A durable write: the edit as it is now, what the write did, and where in the log."""

    edit: Edit
    outcome: Outcome
    sequence: int
    replayed: bool = False  # The request_id was seen before; this is the first answer again.
    overlaps: tuple[Overlap, ...] = ()  # Surest first.
    overlaps_checked: bool = False  # Whether they were looked for.

    @property
    def name(self) -> str:
        """The edit's resource name."""
        return self.edit.name

    @property
    def id(self) -> str:
        """The edit's id."""
        return self.edit.id


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchWritten:
    """A durable batch: all of it or none."""

    edits: tuple[Edit, ...]
    outcomes: tuple[Outcome, ...]
    sequence: int
    replayed: bool = False
    overlaps: tuple[OverlapPair, ...] = ()
    overlaps_checked: bool = False


EditRef = str | Edit | Written
"""An edit, or its resource name, or its id in the client's namespace."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EditPage:
    """One page of a listing; `next_page_token` is empty on the last."""

    edits: tuple[Edit, ...]
    next_page_token: str
    sequence: int


@dataclass(frozen=True, slots=True, kw_only=True)
class EditFilter:
    """Which edits to list or export; all that is set must hold. Default: those in service."""

    states: tuple[EditState | str, ...] = ()
    subject: str = ""
    text: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    author: str = ""
    source: str = ""
    created_after: datetime | None = None
    created_before: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchHit:
    """An edit near a text."""

    edit: Edit
    cosine: float
    mention: str = ""  # The subject or alias that stands in the text.


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusedRecord:
    """A record of an import that was refused, and why."""

    row: int
    reason: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportProgress:
    """Where an import is; the last one has `done`."""

    received: int = 0
    created: int = 0
    superseded: int = 0
    skipped: int = 0
    already_imported: int = 0
    refused: int = 0
    durable_row: int = 0  # Every record up to this row is durable (or refused).
    sequence: int = 0
    done: bool = False
    errors: tuple[RefusedRecord, ...] = ()  # Since the last progress; all of them in a report.


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A log entry. With `checkpoint` it only says that everything up to `sequence` was sent."""

    sequence: int
    kind: ChangeKind | None = None
    edit: Edit | None = None
    at: datetime | None = None
    reason: str = ""
    checkpoint: bool = False
    activation: Activation | None = None  # Of the kind "activated", which has no edit.


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerStatus:
    """Size and health of a server's memory, and what it serves."""

    sequence: int
    namespaces: tuple[NamespaceStatus, ...] = ()
    encoder: str = ""
    classifier: str = ""
    log_bytes: int = 0
    read_only_reason: str = ""  # Empty when writes are taken.
    model: ModelStatus = field(default_factory=ModelStatus)
    started_at: datetime | None = None
    version: str = ""
