"""An immutable view of the memory at one sequence. Readers take one and never lock.

A snapshot points into structures that only grow (`memory/state.py`) and shows of them what its
sequence allows. Time is the one thing it does not freeze: an edit past its expiry is not served,
however old the snapshot.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from memory.errors import NotFound
from memory.record import (
    DEFAULT_NAMESPACE,
    EDITION_BASE,
    Activation,
    Candidate,
    Edit,
    EditId,
    EditState,
    Namespace,
    Query,
    Vector,
)
from memory.space import LIVE, SpaceView, has_expired, is_live
from memory.subjects import longest_mentions


class MemorySnapshot:
    """The memory at one sequence. Cheap to hold; every method changes nothing."""

    __slots__ = ("_clock", "_mentions_max", "_records", "_spaces", "sequence")

    def __init__(
        self,
        *,
        sequence: int,
        spaces: Mapping[Namespace, SpaceView],
        records: Sequence[Edit | Activation],
        clock: Callable[[], float],
        mentions_max: int,
    ) -> None:
        self.sequence = sequence
        self._spaces = spaces
        self._records = records  # By sequence; grows behind our back, which does not matter.
        self._clock = clock
        self._mentions_max = mentions_max

    def advance(self, sequence: int, changed: Mapping[Namespace, SpaceView]) -> MemorySnapshot:
        """Returns the snapshot that follows this one."""
        return MemorySnapshot(
            sequence=sequence,
            spaces={**self._spaces, **changed},
            records=self._records,
            clock=self._clock,
            mentions_max=self._mentions_max,
        )

    def back_to(self, sequence: int) -> MemorySnapshot:
        """Returns the edits as they were at an earlier sequence (for reading edits, not search)."""
        return MemorySnapshot(
            sequence=sequence,
            spaces=self._spaces,
            records=self._records,
            clock=self._clock,
            mentions_max=self._mentions_max,
        )

    @property
    def namespaces(self) -> tuple[Namespace, ...]:
        """The namespaces that exist, sorted; "default" is always one."""
        return tuple(sorted(self._spaces))

    def space(self, namespace: Namespace) -> SpaceView:
        """Returns a namespace. Raises NotFound for one that does not exist."""
        found = self._spaces.get(namespace)
        if found is None:
            raise NotFound(
                f"namespace {namespace!r} does not exist; it comes into being with its first edit",
                resource_type="namespace",
                resource_name=f"namespaces/{namespace}",
            )
        return found

    def count(self, namespace: Namespace = DEFAULT_NAMESPACE) -> int:
        """Counts the live edits as the log says. Raises NotFound.

        Edits whose expiry came moments ago are counted until the log says so too.
        """
        counts = self.space(namespace).counts
        return sum(counts.get(state, 0) for state in LIVE)

    def get(self, namespace: Namespace, edit_id: EditId) -> Edit | None:
        """Returns an edit in whatever state it is, None when there is none. Raises NotFound.

        A live edit past its expiry is shown as EXPIRED.
        """
        cell = self.space(namespace).cells.get(edit_id)
        edit = None if cell is None else cell.at(self.sequence)
        return None if edit is None else self._as_of_now(edit, self._clock())

    def revisions(self, namespace: Namespace, edit_id: EditId) -> tuple[Edit, ...]:
        """Returns all revisions of an edit as they were logged, oldest first. Raises NotFound."""
        cell = self.space(namespace).cells.get(edit_id)
        if cell is None:
            return ()
        return tuple(edit for edit in list(cell.revisions) if edit.sequence <= self.sequence)

    def said_at(self, namespace: Namespace, edit_id: EditId) -> int:
        """Returns the log position since which an edit says what it says; 0 if there is none.

        A change of its state or of who wrote it changes nothing of that. Raises NotFound.
        """
        cell = self.space(namespace).cells.get(edit_id)
        return 0 if cell is None else cell.said_at(self.sequence)

    def places_as_said(self, namespace: Namespace) -> list[int]:
        """Returns the places of all edits, in the order in which they came to say what they say.

        Raises NotFound.
        """
        space = self.space(namespace)
        said = (
            (space.order[place].said_at(self.sequence), place) for place in range(space.created)
        )
        return [place for at, place in sorted(said) if at]

    def edits_at(self, namespace: Namespace, places: Iterable[int]) -> Iterator[Edit]:
        """Yields the edits at these places in the order of creation, states as of now."""
        space = self.space(namespace)
        now_s = self._clock()
        for place in places:
            edit = space.order[place].at(self.sequence)
            if edit is not None:
                yield self._as_of_now(edit, now_s)

    def edits_from(self, namespace: Namespace, place: int) -> Iterator[tuple[int, Edit]]:
        """Yields (place, edit) in order of creation from a place on, states as of now."""
        space = self.space(namespace)
        now_s = self._clock()
        for position in range(place, space.created):
            edit = space.order[position].at(self.sequence)
            if edit is not None:
                yield position, self._as_of_now(edit, now_s)

    def edition(self, namespace: Namespace) -> int:
        """Returns the namespace's active edition. Raises NotFound.

        One that holds an edit whose expiry has come is not used any more, though the log may say
        so only moments later; until it does, the model as published answers.
        """
        space = self.space(namespace)
        until_s = space.edition_until_s
        if until_s is not None and until_s <= self._clock():
            return EDITION_BASE
        return space.edition

    def vector(self, namespace: Namespace, edit_id: EditId) -> Vector | None:
        """Returns the stored vector (d,) of a live edit's prompt, else None. Raises NotFound."""
        space = self.space(namespace)
        cell = space.cells.get(edit_id)
        key = None if cell is None else cell.key_at(self.sequence)
        return None if key is None else space.index.get([key])[0]

    def candidates(
        self,
        namespace: Namespace,
        query: Query,
        k: int,
        *,
        without: Collection[EditId] = (),
    ) -> list[Candidate]:
        """Returns the live, unexpired edits near the query, best cosine first. Raises NotFound.

        They are the k nearest by vector and those whose subject or alias the text mentions (the
        nearest of these, when there are very many). A mention inside a longer one proposes
        nothing: "York" in "New York" speaks of another place. Equal cosines: the older key first.
        Edits named in `without` are passed over, as if they were not there.
        """
        space = self.space(namespace)
        now_s = self._clock()
        found = self._nearest(space, query, k, now_s, without) if k > 0 else {}
        by_vector = frozenset(found)
        mentions = longest_mentions(space.subjects.find(query.text))
        found.update(self._mentioned(space, query, mentions, by_vector, now_s, without=without))
        ranked = sorted(found.items(), key=lambda item: (-item[1][0], item[0]))
        return [
            Candidate(
                edit=edit,
                cosine=cosine,
                rank=rank,
                by_vector=key in by_vector,
                by_subject=key in mentions,
                mention=mentions.get(key, ""),
            )
            for rank, (key, (cosine, edit)) in enumerate(ranked)
        ]

    def mentioned(self, namespace: Namespace, text: str) -> list[tuple[Edit, str]]:
        """Returns the live, unexpired edits that `candidates` will have for a mention in the text.

        Each with its mention as it stands there, the older key first. Needs no vector; where that
        would choose the nearest of very many, none are returned. Raises NotFound.
        """
        space = self.space(namespace)
        now_s = self._clock()
        mentions = longest_mentions(space.subjects.find(text))
        if len(mentions) > self._mentions_max:
            return []
        servable = ((self._servable(space, key, now_s), mentions[key]) for key in sorted(mentions))
        return [(edit, mention) for edit, mention in servable if edit is not None]

    def mentions_others(self, edit: Edit) -> bool:
        """Whether an edit's prompt mentions the subject or an alias of another live edit.

        Raises NotFound for a namespace that does not exist.
        """
        space = self.space(edit.namespace)
        cell = space.cells.get(edit.id)
        own = None if cell is None else cell.key_at(self.sequence)
        return any(not m.covered and m.key != own for m in space.subjects.find(edit.prompt))

    def _nearest(
        self, space: SpaceView, query: Query, k: int, now_s: float, without: Collection[EditId]
    ) -> dict[int, tuple[float, Edit]]:
        """Returns the k nearest servable edits by key; asks for more while expired ones show."""
        size = len(space.index)
        wanted = min(k + 4 + len(without), size)
        while wanted > 0:
            cosines, keys = space.index.search(query.vector.reshape(1, -1), wanted)
            found: dict[int, tuple[float, Edit]] = {}
            for cosine, key in zip(cosines[0].tolist(), keys[0].tolist(), strict=True):
                edit = self._servable(space, key, now_s)
                if edit is not None and edit.id not in without:
                    found[key] = (cosine, edit)
                    if len(found) == k:
                        return found
            if wanted == size:
                return found
            wanted = min(2 * wanted, size)
        return {}

    def _mentioned(
        self,
        space: SpaceView,
        query: Query,
        mentions: Mapping[int, str],
        known: frozenset[int],
        now_s: float,
        *,
        without: Collection[EditId],
    ) -> dict[int, tuple[float, Edit]]:
        """Returns the servable edits among `mentions` that are not known yet, with cosines."""
        edits: dict[int, Edit] = {}
        for key in mentions:
            edit = None if key in known else self._servable(space, key, now_s)
            if edit is not None and edit.id not in without:
                edits[key] = edit
        if not edits:
            return {}
        keys = sorted(edits)
        cosines = np.clip(space.index.get(keys) @ query.vector, -1.0, 1.0)  # (n,)
        nearest = np.argsort(-cosines, kind="stable")[: self._mentions_max]
        return {keys[place]: (float(cosines[place]), edits[keys[place]]) for place in nearest}

    def _servable(self, space: SpaceView, key: int, now_s: float) -> Edit | None:
        """Returns the edit behind an index key (the entry that gave the key names it)."""
        if not 0 < key <= self.sequence:
            return None
        keyed = self._records[key - 1]
        cell = space.cells.get(keyed.id) if isinstance(keyed, Edit) else None
        edit = None if cell is None else cell.at(self.sequence)
        if edit is None or not is_live(edit) or has_expired(edit, now_s):
            return None
        return edit

    def _as_of_now(self, edit: Edit, now_s: float) -> Edit:
        if is_live(edit) and has_expired(edit, now_s):
            return replace(edit, state=EditState.EXPIRED)
        return edit
