"""What a write is given and what it answers. Knows nothing of how it is done."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

from memory.record import Activation, Edit, Namespace


class Unset(Enum):
    """The type of UNSET, which says "leave this field as it is" where None means "none"."""

    UNSET = "unset"


UNSET: Final = Unset.UNSET


@dataclass(frozen=True, slots=True, kw_only=True)
class EditChanges:
    """The fields that an update changes; those that stay UNSET are left as they are."""

    prompt: str | Unset = UNSET
    subject: str | Unset = UNSET
    target: str | Unset = UNSET
    former: str | Unset | None = UNSET
    aliases: tuple[str, ...] | Unset = UNSET
    author: str | Unset = UNSET
    source: str | Unset = UNSET
    labels: tuple[tuple[str, str], ...] | Unset = UNSET
    expires_at_s: float | Unset | None = UNSET

    def given(self) -> dict[str, object]:
        """Returns the fields that are set, by name."""
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return {name: value for name, value in values.items() if value is not UNSET}


class WriteOutcome(Enum):
    """What a write did with one edit."""

    CREATED = "created"
    SKIPPED = "skipped"  # A live edit of the same subject and prompt was kept.
    SUPERSEDED = "superseded"  # Created, and superseded one of the same subject and prompt.
    UNCHANGED = "unchanged"  # The memory says so already; nothing was written.
    UPDATED = "updated"  # An existing edit got a new revision.


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteResult:
    """The edits as the write left them, in the request's order."""

    edits: tuple[Edit, ...]
    outcomes: tuple[WriteOutcome, ...]
    sequence: int  # Reads at this sequence or later see the write.
    replayed: bool = False  # The request_id was seen before: this is the first answer again.


class EntryKind(Enum):
    """What a log entry did."""

    CREATED = "created"
    UPDATED = "updated"
    SUPERSEDED = "superseded"
    RETIRED = "retired"
    RESTORED = "restored"
    EXPIRED = "expired"
    CONSOLIDATED = "consolidated"
    ACTIVATED = "activated"  # A namespace got other weights; the only kind without an edit.


@dataclass(frozen=True, slots=True, kw_only=True)
class LogEntry:
    """One entry of the log: the edit after the change, or the edition that was activated."""

    sequence: int
    kind: EntryKind
    what: Edit | Activation
    at_s: float
    author: str = ""
    reason: str = ""

    @property
    def edit(self) -> Edit | None:
        """The edit, for every kind but ACTIVATED."""
        return self.what if isinstance(self.what, Edit) else None

    @property
    def activation(self) -> Activation | None:
        """The activation, for the kind ACTIVATED."""
        return self.what if isinstance(self.what, Activation) else None

    @property
    def namespace(self) -> Namespace:
        """Whose entry it is."""
        return self.what.namespace
