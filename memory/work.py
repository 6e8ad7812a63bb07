"""One group of writes on its way to the log: planned entries, their rows, and the answers.

Knows nothing of transactions or threads.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from memory.codec import encode_entry
from memory.contracts import Matrix
from memory.log import LogRow
from memory.overlay import Overlay, StateView
from memory.record import Activation, Edit, EditId, Namespace, Vector
from memory.space import is_live, needs_key
from memory.writer import Job
from memory.writes import LogEntry, WriteOutcome, WriteResult

Encode = Callable[[Sequence[str]], Matrix]


class KeyedState(StateView, Protocol):
    """A state that also knows all revisions and the index keys of live edits."""

    @property
    def records(self) -> Sequence[Edit | Activation]:
        """What the entries made, in the log's order; sequence 1 made the first."""
        ...

    def key_of(self, namespace: Namespace, edit_id: EditId) -> int | None:
        """Returns the index key of a live edit."""
        ...


class Work:
    """What one transaction holds so far. An operation is added by `absorb`, or not at all."""

    def __init__(self, state: KeyedState, sequence: int) -> None:
        self.overlay = Overlay(state, sequence)
        self.vectors: dict[int, Vector] = {}  # By key.
        self.answers: list[tuple[Job, WriteResult | Exception]] = []
        self.writes = False  # Whether the transaction holds anything.
        self._state = state
        self._keys: dict[tuple[Namespace, EditId], int | None] = {}  # As this group leaves them.

    def revision(self, sequence: int) -> Edit:
        """Returns the revision that a sequence made, one of this group included."""
        known = len(self._state.records)
        if sequence <= known:
            made = self._state.records[sequence - 1]
        else:
            made = self.overlay.entries[sequence - known - 1].what
        assert isinstance(made, Edit), "answers name revisions of edits"
        return made

    def prepare(self, plan: Overlay, vectors: dict[str, Vector], encode: Encode) -> Rows:
        """Returns the rows of a plan made on top of this group; changes nothing.

        `vectors` holds what the caller has encoded, by prompt; what is missing is encoded now.
        """
        made = Rows()
        before: dict[tuple[Namespace, EditId], Edit] = {}
        for entry in plan.entries:
            edit = entry.edit
            if edit is None:
                made.rows.append(LogRow(sequence=entry.sequence, payload=encode_entry(entry)))
                continue
            name = (edit.namespace, edit.id)
            previous = before.get(name) or self.overlay.latest(*name)
            made.rows.append(self._row(entry, previous, made, vectors, encode))
            before[name] = edit
        return made

    def absorb(self, plan: Overlay, rows: Rows) -> None:
        """Takes in a plan whose rows were appended."""
        self.overlay.absorb(plan)
        self._keys.update(rows.keys)
        for row in rows.rows:
            if row.vector is not None:
                self.vectors[row.sequence] = row.vector

    def _row(
        self,
        entry: LogEntry,
        previous: Edit | None,
        made: Rows,
        vectors: dict[str, Vector],
        encode: Encode,
    ) -> LogRow:
        edit = entry.edit
        assert edit is not None, "activations have no vectors"
        name = (edit.namespace, edit.id)
        held = made.keys[name] if name in made.keys else self._key_of(*name)
        enters = needs_key(previous, edit)
        stays = not enters and is_live(edit)
        if not stays:
            made.keys[name] = entry.sequence if enters else None
        vector = None
        if enters:
            known = vectors.get(edit.prompt)
            vector = encode([edit.prompt])[0] if known is None else known
        return LogRow(
            sequence=entry.sequence,
            payload=encode_entry(entry),
            vector=vector,
            drop_vector=None if stays else held,
        )

    def _key_of(self, namespace: Namespace, edit_id: EditId) -> int | None:
        if (namespace, edit_id) in self._keys:
            return self._keys[namespace, edit_id]
        return self._state.key_of(namespace, edit_id)


@dataclass(slots=True)
class Rows:
    """The rows of one operation and the index keys it moves (None: the edit leaves the index)."""

    rows: list[LogRow] = field(default_factory=list)
    keys: dict[tuple[Namespace, EditId], int | None] = field(default_factory=dict)


def encode_answer(result: WriteResult) -> str:
    """Returns what is kept of an answer: which revisions, what was done, the sequence."""
    done = [
        [edit.sequence, outcome.value]
        for edit, outcome in zip(result.edits, result.outcomes, strict=True)
    ]
    return json.dumps([result.sequence, done], separators=(",", ":"))


def decode_answer(answer: str, revision: Callable[[int], Edit]) -> WriteResult:
    """Returns an answer again; `revision` gives the revision that a sequence made."""
    sequence, done = json.loads(answer)
    return WriteResult(
        edits=tuple(revision(place) for place, _ in done),
        outcomes=tuple(WriteOutcome(outcome) for _, outcome in done),
        sequence=sequence,
        replayed=True,
    )
