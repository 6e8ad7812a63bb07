"""The words of editions: what a stored one says of itself, and what was measured of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from memory.record import EDITION_BASE, Activation, EditId, Namespace


class EditionState(Enum):
    """Whether an edition can be used."""

    SOUND = "sound"  # As far as is known.
    DAMAGED = "damaged"  # A file of it is missing or is not what was written.
    OTHER_WEIGHTS = "other_weights"  # Computed for a model that this server does not run.
    REFUSED = "refused"  # The engine could not load it the last time that it was asked for.


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldEdit:
    """One edit that an edition was computed from."""

    edit_id: EditId
    revision: int
    subject: str
    prompt: str
    target: str
    took: bool  # The weights hold it; else the memory goes on serving it.
    reason: str = ""  # Why it did not take.


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """One figure of the gate."""

    name: str
    before: float | None  # Of the model as published; None where it has no meaning.
    after: float | None
    limit: str  # What is asked for, for people: ">= 0.9".
    passed: bool
    count: int  # Probes.


@dataclass(frozen=True, slots=True, kw_only=True)
class MatrixInfo:
    """One changed matrix, `(rows, columns)` as in `nn.Linear`; rank 0 when stored in full."""

    module: str
    rows: int
    columns: int
    rank: int

    @property
    def numbers(self) -> int:
        """How many numbers are stored."""
        full = self.rows * self.columns
        return self.rank * (self.rows + self.columns) if self.rank else full


@dataclass(frozen=True, slots=True, kw_only=True)
class EditionRecord:
    """All that is known of an edition but its matrices."""

    number: int
    namespace: Namespace
    base_fingerprint: str  # Of the weights that it was computed from, and is added to.
    model: str  # Their name, for people.
    editor: str
    settings: Mapping[str, object]  # Enough to compute it again.
    edits: tuple[HeldEdit, ...]
    measures: tuple[Measure, ...]
    matrices: tuple[MatrixInfo, ...]
    created_at_s: float
    job: str = ""  # The operation that made it.
    inputs: str = ""  # SHA-256 of what it was made from (reuse.py); empty where that is not known.
    sha256: str = ""  # Of the file of matrices.
    bytes: int = 0

    @property
    def took(self) -> tuple[HeldEdit, ...]:
        """The edits that the weights hold."""
        return tuple(edit for edit in self.edits if edit.took)

    @property
    def left(self) -> tuple[HeldEdit, ...]:
        """The edits that did not take."""
        return tuple(edit for edit in self.edits if not edit.took)

    def activation(self) -> Activation:
        """Returns what the log is to say when it becomes the namespace's edition."""
        if self.number == EDITION_BASE:
            return Activation(namespace=self.namespace, edition=EDITION_BASE)
        return Activation(
            namespace=self.namespace,
            edition=self.number,
            took=tuple((edit.edit_id, edit.revision) for edit in self.took),
            left=tuple((edit.edit_id, edit.revision) for edit in self.left),
        )
