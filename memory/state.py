"""The memory in RAM: what the log says, arranged for reading. Only the writer changes it.

Readers never lock. Everything they touch only grows, and each thing carries the sequence that made
it: a reader pinned at sequence S sees the newest revision with a sequence of at most S. So a commit
costs what it changes, not a copy of a million-entry map, and old views stay true for nothing.
CPython makes the single steps atomic: list.append, dict insertion, reading either.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from memory.conflicts import conflict_key
from memory.contracts import Matrix, SubjectIndex, VectorIndex
from memory.record import EDITION_BASE, Activation, Edit, EditId, EditState, Namespace, Vector
from memory.space import Cell, SpaceView, has_expired, is_live, needs_key
from memory.writes import EntryKind, LogEntry


@dataclass(slots=True, kw_only=True)
class Space:
    """One namespace. `conflicts`, `keys` and `counts` are the writer's alone."""

    dimension: int  # Of the index's vectors.
    index: VectorIndex
    matcher: SubjectIndex
    cells: dict[EditId, Cell] = field(default_factory=dict)
    order: list[Cell] = field(default_factory=list)  # By creation; grows only.
    conflicts: dict[bytes, EditId] = field(default_factory=dict)
    keys: dict[EditId, int] = field(default_factory=dict)  # Of the live edits.
    counts: Counter[EditState] = field(default_factory=Counter)
    activations: list[Activation] = field(default_factory=list)  # In the log's order.
    contents: frozenset[EditId] = frozenset()  # What the active edition was computed from.
    contents_expire_s: float | None = None  # The earliest expiry among them.

    @property
    def edition(self) -> int:
        """The active edition as the log says."""
        return self.activations[-1].edition if self.activations else EDITION_BASE


@dataclass(slots=True, kw_only=True)
class KeyChanges:
    """What a run of entries does to one namespace's keys, net: nothing enters only to leave."""

    added: dict[int, EditId] = field(default_factory=dict)
    removed: set[int] = field(default_factory=set)

    def enter(self, key: int, edit_id: EditId) -> None:
        """Notes that a key comes."""
        self.added[key] = edit_id

    def leave(self, key: int) -> None:
        """Notes that a key goes."""
        if self.added.pop(key, None) is None:
            self.removed.add(key)


class MemoryState:
    """All namespaces, all revisions, in the log's order."""

    def __init__(self) -> None:
        self.spaces: dict[Namespace, Space] = {}
        self.records: list[Edit | Activation] = []  # What entry `place + 1` made.
        self.kinds: list[EntryKind] = []
        self.reasons: dict[int, str] = {}
        self._expiries: list[tuple[float, int, Namespace, EditId]] = []

    @property
    def sequence(self) -> int:
        """The last applied sequence."""
        return len(self.records)

    def latest(self, namespace: Namespace, edit_id: EditId) -> Edit | None:
        """Returns the newest revision of an edit."""
        space = self.spaces.get(namespace)
        cell = None if space is None else space.cells.get(edit_id)
        return None if cell is None else cell.revisions[-1]

    def holder(self, namespace: Namespace, key: bytes) -> EditId | None:
        """Returns the live edit that holds a conflict key."""
        space = self.spaces.get(namespace)
        return None if space is None else space.conflicts.get(key)

    def revision(self, namespace: Namespace, edit_id: EditId, revision: int) -> Edit | None:
        """Returns one revision of an edit."""
        space = self.spaces.get(namespace)
        cell = None if space is None else space.cells.get(edit_id)
        if cell is None or not 1 <= revision <= len(cell.revisions):
            return None
        return cell.revisions[revision - 1]

    def activations(self, namespace: Namespace) -> list[Activation]:
        """Returns all activations of a namespace, oldest first."""
        space = self.spaces.get(namespace)
        return [] if space is None else space.activations

    def key_of(self, namespace: Namespace, edit_id: EditId) -> int | None:
        """Returns the index key of a live edit."""
        space = self.spaces.get(namespace)
        return None if space is None else space.keys.get(edit_id)

    def entry(self, sequence: int) -> LogEntry:
        """Returns the entry at `sequence`, which must have been applied."""
        made = self.records[sequence - 1]
        return LogEntry(
            sequence=sequence,
            kind=self.kinds[sequence - 1],
            what=made,
            at_s=made.updated_at_s if isinstance(made, Edit) else made.at_s,
            author=made.author if isinstance(made, Edit) else "",
            reason=self.reasons.get(sequence, ""),
        )

    def apply(self, entry: LogEntry, space: Space, changes: KeyChanges) -> None:
        """Takes in the next entry of the log; `changes` collects what the index must follow."""
        made = entry.what
        assert entry.sequence == self.sequence + 1 == made.sequence, "entries must be dense"
        self.records.append(made)
        self.kinds.append(entry.kind)
        if entry.reason:
            self.reasons[entry.sequence] = entry.reason
        if isinstance(made, Activation):
            space.activations.append(made)
            space.contents = frozenset(edit_id for edit_id, _ in made.contents)
            _note_contents_expiry(space)
        else:
            self._apply_edit(made, space, changes)

    def _apply_edit(self, edit: Edit, space: Space, changes: KeyChanges) -> None:
        cell = space.cells.get(edit.id)
        previous = None if cell is None else cell.revisions[-1]
        if cell is None:
            cell = Cell(place=len(space.order), revisions=[edit])
            space.cells[edit.id] = cell
            space.order.append(cell)
        else:
            cell.revisions.append(edit)
        self._move_keys(space, previous, edit, changes)
        if previous is not None:
            space.counts[previous.state] -= 1
        space.counts[edit.state] += 1
        if edit.expires_at_s is not None and is_live(edit):
            item = (edit.expires_at_s, edit.sequence, edit.namespace, edit.id)
            heapq.heappush(self._expiries, item)
        if edit.id in space.contents:
            _note_contents_expiry(space)

    def next_expiry_s(self) -> float | None:
        """Returns the instant of the earliest expiry noted, or None."""
        return self._expiries[0][0] if self._expiries else None

    def take_due(self, now_s: float, limit: int) -> list[tuple[Namespace, EditId]]:
        """Removes and returns up to `limit` edits that are live and past their expiry."""
        due: list[tuple[Namespace, EditId]] = []
        while self._expiries and self._expiries[0][0] <= now_s and len(due) < limit:
            _, _, namespace, edit_id = heapq.heappop(self._expiries)
            edit = self.latest(namespace, edit_id)
            if edit is not None and is_live(edit) and has_expired(edit, now_s):
                due.append((namespace, edit_id))
        return list(dict.fromkeys(due))

    def put_back(self, due: list[tuple[Namespace, EditId]]) -> None:
        """Notes expiries again whose entries could not be written."""
        for namespace, edit_id in due:
            edit = self.latest(namespace, edit_id)
            if edit is not None and edit.expires_at_s is not None:
                item = (edit.expires_at_s, edit.sequence, namespace, edit_id)
                heapq.heappush(self._expiries, item)

    def _move_keys(
        self, space: Space, previous: Edit | None, edit: Edit, changes: KeyChanges
    ) -> None:
        rekeyed = needs_key(previous, edit)
        leaves = previous is not None and is_live(previous) and (rekeyed or not is_live(edit))
        if leaves and previous is not None:
            held = conflict_key(previous.subject, previous.prompt)
            if space.conflicts.get(held) == edit.id:
                del space.conflicts[held]
            changes.leave(space.keys.pop(edit.id))
        if rekeyed:
            space.conflicts[conflict_key(edit.subject, edit.prompt)] = edit.id
            space.keys[edit.id] = edit.sequence
            changes.enter(edit.sequence, edit.id)


def _note_contents_expiry(space: Space) -> None:
    """Finds the instant from which the active edition holds something that has expired."""
    found = (space.cells[edit_id].revisions[-1] for edit_id in space.contents)
    expiries = [edit.expires_at_s for edit in found if edit.expires_at_s is not None]
    space.contents_expire_s = min(expiries, default=None)


def update_parts(space: Space, changes: KeyChanges, vectors: Mapping[int, Vector]) -> None:
    """Makes index and matcher follow `changes`; `vectors` (d,) by key holds all that enter."""
    if not changes.added and not changes.removed:
        return
    keys = sorted(changes.added)
    matrix = np.zeros((len(keys), space.dimension), dtype=np.float32)  # (n, d)
    for place, key in enumerate(keys):
        matrix[place] = vectors[key]
    fill_parts(space, changes, keys, matrix)


def fill_parts(space: Space, changes: KeyChanges, keys: list[int], matrix: Matrix) -> None:
    """Adds `matrix` (n, d) under the ascending `keys` (n,), which are all that `changes` adds."""
    removed = sorted(changes.removed)
    space.index.apply(
        add_keys=np.asarray(keys, dtype=np.int64),
        add_vectors=matrix,
        remove_keys=np.asarray(removed, dtype=np.int64),
    )
    surfaces = []
    for key in keys:
        edit = space.cells[changes.added[key]].revisions[-1]
        surfaces.append((key, (edit.subject, *edit.aliases)))
    space.matcher.apply(surfaces, removed)


def view_of(space: Space) -> SpaceView:
    """Returns the namespace as it is now, for a snapshot."""
    return SpaceView(
        cells=space.cells,
        created=len(space.order),
        order=space.order,
        index=space.index.view(),
        subjects=space.matcher.view(),
        counts=dict(space.counts),
        edition=space.edition,
        edition_until_s=space.contents_expire_s,
    )
