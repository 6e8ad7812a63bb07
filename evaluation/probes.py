"""The words of an evaluation: records, what is asked about them, and what a data file gave.

A record is one or more edits with the probes made for them. A probe is one question with what
should come of it; its kind names the metrics that it feeds.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import Enum

from memory.conflicts import normalise
from memory.record import EditDraft, EditId


class Scope(Enum):
    """Whether the right answer to a probe changes by its record's edit."""

    INSIDE = "inside"
    OUTSIDE = "outside"
    OPEN = "open"  # It follows in a further step, or the data do not say.


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """One thing to ask."""

    kind: str
    prompt: str
    scope: Scope
    answers: tuple[str, ...] = ()  # Any of them is right; none: only the route is judged.
    former: str = ""  # What the frozen model is held to say; compared with `answers[0]`.
    messages: tuple[tuple[str, str], ...] = ()  # Set for a chat; `prompt` is its last turn then.
    group: str = ""  # Probes of one group in a record are one question in several wordings.

    @property
    def key(self) -> str:
        """Names the probe by its content; equal probes have equal keys."""
        content = {**asdict(self), "scope": self.scope.value}
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """Edits that belong together (one, but for multi-hop data) and their probes."""

    case: str
    edits: tuple[EditDraft, ...]
    probes: tuple[Probe, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """A row of a data file, or a part of one, that was left out, and why."""

    row: int  # From 1.
    case: str
    kind: str  # "missing field", "wrong type", "duplicate", "contradiction" or "unusable".
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """What a file gave."""

    name: str
    file: str  # Its name, without folders.
    sha256: str
    records: tuple[Record, ...]
    problems: tuple[Problem, ...]


def with_id(draft: EditDraft, prefix: str = "e") -> EditDraft:
    """Returns the draft under an id made from its content, so that equal edits are one edit."""
    content = f"{draft.subject}\0{draft.prompt}\0{draft.target}".encode()
    return EditDraft(
        subject=draft.subject,
        prompt=draft.prompt,
        target=draft.target,
        former=draft.former,
        aliases=draft.aliases,
        edit_id=EditId(f"{prefix}-{hashlib.sha256(content).hexdigest()[:24]}"),
    )


def edit_key(draft: EditDraft) -> tuple[str, str]:
    """What makes two edits speak of the same fact: subject and prompt, normalised."""
    return normalise(draft.subject), normalise(draft.prompt)


def fingerprint(edits: Sequence[EditDraft]) -> str:
    """Names a memory by its edits and their order; 24 hex digits."""
    digest = hashlib.sha256()
    for edit in edits:
        digest.update(repr((edit.edit_id, edit.former, edit.aliases)).encode())
    return digest.hexdigest()[:24]
