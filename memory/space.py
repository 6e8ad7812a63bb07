"""What one namespace holds: its edits in all their revisions, and which of these are in force."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from memory.contracts import SubjectView, VectorIndexView
from memory.record import EDITION_BASE, Edit, EditId, EditState

LIVE = frozenset({EditState.ACTIVE, EditState.CONSOLIDATED})


def is_live(edit: Edit) -> bool:
    """Whether the edit is in force as the log says (its expiry is another question)."""
    return edit.state in LIVE


def has_expired(edit: Edit, now_s: float) -> bool:
    """Whether the edit's expiry has come; from that very instant on it is not served."""
    return edit.expires_at_s is not None and edit.expires_at_s <= now_s


def needs_key(previous: Edit | None, edit: Edit) -> bool:
    """Whether this revision enters index and matcher under a new key (its own sequence)."""
    if not is_live(edit):
        return False
    if previous is None or not is_live(previous):
        return True
    return (
        previous.prompt != edit.prompt
        or previous.subject != edit.subject
        or previous.aliases != edit.aliases
    )


@dataclass(slots=True, kw_only=True)
class Cell:
    """All revisions of one edit, oldest first; the list only grows."""

    place: int  # In the order of creation of its namespace, from 0.
    revisions: list[Edit]

    def at(self, sequence: int) -> Edit | None:
        """Returns the newest revision with at most this sequence, None when there was none."""
        for edit in reversed(self.revisions):
            if edit.sequence <= sequence:
                return edit
        return None

    def said_at(self, sequence: int) -> int:
        """Returns the log position since which the edit says what it said at a sequence.

        A change of its state or of who wrote it changes nothing of that. 0 if there was no edit.
        """
        said = 0
        content: tuple[str, str, str] | None = None
        for edit in list(self.revisions):
            if edit.sequence > sequence:
                break
            if (edit.subject, edit.prompt, edit.target) != content:
                content, said = (edit.subject, edit.prompt, edit.target), edit.sequence
        return said

    def key_at(self, sequence: int) -> int | None:
        """Returns the index key under which the edit stood at a sequence, None when not live."""
        previous, key = None, None
        for edit in list(self.revisions):
            if edit.sequence > sequence:
                break
            if needs_key(previous, edit):
                key = edit.sequence
            elif not is_live(edit):
                key = None
            previous = edit
        return key


@dataclass(frozen=True, slots=True, kw_only=True)
class SpaceView:
    """One namespace in a snapshot."""

    cells: Mapping[EditId, Cell]
    order: Sequence[Cell]
    created: int  # How many of `order` existed.
    index: VectorIndexView
    subjects: SubjectView
    counts: Mapping[EditState, int]
    edition: int = EDITION_BASE
    edition_until_s: float | None = None  # From then on the edition holds an expired edit.
