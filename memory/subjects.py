"""The subject matcher: which names of a large, changing set are mentioned in a text.

A dictionary from folded name to its postings, and one from a name's first token to the lengths of
the names that begin with it: a text is walked token by token, and only spans of such a length are
looked up. That is exact, needs no building, and a change costs the names it touches, at any size;
an Aho-Corasick automaton would be rebuilt (`benchmarks/subjects.py` compares). Names are compared
by the rules of memory/surface.py.

Views: every posting carries the versions at which it came and went; a view is a version number, so
readers never lock and old views answer as they did. Postings that no living view can see any more
are dropped a few at a time by later changes.
"""

from __future__ import annotations

import threading
import weakref
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from memory import contracts
from memory.surface import TOKEN, Text, case_agrees, fold, is_boundary, read_text, spell

NEVER = 2**62  # The version at which a live posting goes.
SWEPT_PER_CHANGE = 4  # Dead postings dropped per posting changed: faster than they arise.


@dataclass(frozen=True, slots=True, kw_only=True)
class Mention:
    """A name of `key` that stands in a text."""

    key: int
    surface: str  # As in the text.
    start: int  # In characters of the text.
    end: int  # One past the last character.
    covered: bool = False  # A longer mention, of whatever key, contains this one.


class _Posting:
    """One name of one key, from a version to a version."""

    __slots__ = ("came", "dropped", "key", "name", "went")

    def __init__(self, key: int, name: str, came: int) -> None:
        self.key = key
        self.name = name  # Spelled, with its case.
        self.came = came
        self.went = NEVER
        self.dropped = False  # No longer in the tables.


class _Tables:
    """What all views share; written by the one writer, only ever in steps that readers can meet."""

    __slots__ = ("by_key", "by_name", "lengths")

    def __init__(self) -> None:
        self.by_name: dict[str, list[_Posting]] = {}  # By folded name.
        self.by_key: dict[int, tuple[_Posting, ...]] = {}  # Live ones; the writer's own.
        self.lengths: dict[str, tuple[int, ...]] = {}  # By first token; may name lengths long gone.


class SubjectView:
    """The names at one version. Immutable; readers never lock."""

    __slots__ = ("__weakref__", "_keys", "_tables", "_version")

    def __init__(self, tables: _Tables, version: int, keys: int) -> None:
        self._tables = tables
        self._version = version
        self._keys = keys

    def __len__(self) -> int:
        """Counts the keys."""
        return self._keys

    def find(self, text: str) -> list[Mention]:
        """Returns every mention, by start, longer ones first, then by key. Raises nothing."""
        read = read_text(text)
        spans = self._spans(read)
        mentions: dict[tuple[int, int, int], Mention] = {}
        for start, end, postings in spans:
            found = read.spelled[start:end]
            for posting in postings:
                if not posting.came <= self._version < posting.went:
                    continue
                if case_agrees(posting.name, found, caseless=read.caseless):
                    begin, after = read.span(start, end)
                    mentions[begin, -after, posting.key] = Mention(
                        key=posting.key, surface=text[begin:after], start=begin, end=after
                    )
        return flag_covered(mentions[place] for place in sorted(mentions))

    def _spans(self, read: Text) -> list[tuple[int, int, list[_Posting]]]:
        """Finds the spans of the text that are some name but for case, now or once."""
        folded, spelled = read.folded, read.spelled
        lengths, by_name = self._tables.lengths, self._tables.by_name
        spans = []
        for token in TOKEN.finditer(folded):
            known = lengths.get(token.group())
            if known is None:
                continue
            start = token.start()
            for length in known:
                postings = by_name.get(folded[start : start + length])
                end = start + length
                if (
                    postings is not None
                    and end <= len(folded)
                    and is_boundary(spelled, start)
                    and is_boundary(spelled, end)
                ):
                    spans.append((start, end, postings))
        return spans


class SubjectMatcher:
    """A growing set of names under int keys; one writer at a time, any number of readers."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._tables = _Tables()
        self._view = SubjectView(self._tables, version=0, keys=0)
        self._views = deque([weakref.ref(self._view)])  # By version; dead ones leave at the front.
        self._gone: deque[_Posting] = deque()  # By version of going; not yet dropped.

    def view(self) -> SubjectView:
        """Returns the current view. Changes nothing."""
        return self._view

    def apply(
        self, add: Sequence[tuple[int, tuple[str, ...]]], remove: Sequence[int]
    ) -> SubjectView:
        """Removes keys, then adds keys with their names, as one step; publishes the new view.

        A key may have no names; names that are blank are left out. Raises ValueError, and changes
        nothing, when a key to add is live (and not removed in this step), a key to remove is not,
        or a key is given twice.
        """
        with self._lock:
            self._check(add, remove)
            version = self._view._version + 1  # noqa: SLF001  The view is this file's own.
            changed = sum(self._remove(key, version) for key in remove)
            changed += sum(self._add(key, names, version) for key, names in add)
            view = SubjectView(self._tables, version, keys=len(self._tables.by_key))
            self._view = view
            self._views.append(weakref.ref(view))
            self._sweep(SWEPT_PER_CHANGE * (changed + 1))
            return view

    def check_integrity(self) -> None:
        """Raises AssertionError naming the first disagreement between the tables."""
        with self._lock:
            live = {
                (posting.key, posting.name)
                for postings in self._tables.by_name.values()
                for posting in postings
                if posting.went == NEVER
            }
            owned = {
                (key, posting.name)
                for key, postings in self._tables.by_key.items()
                for posting in postings
            }
            assert live == owned, f"names and keys disagree on {sorted(live ^ owned)[:3]}"
            for name in self._tables.by_name:
                known = self._tables.lengths.get(_first_token(name), ())
                assert len(name) in known, f"the length of {name!r} is not known"

    def _check(self, add: Sequence[tuple[int, tuple[str, ...]]], remove: Sequence[int]) -> None:
        live = self._tables.by_key
        removed, added = set(remove), {key for key, _ in add}
        if len(removed) != len(remove) or len(added) != len(add):
            raise ValueError("a key is given twice in one step; give each key once")
        for key in removed:
            if key not in live:
                raise ValueError(f"key {key} is to be removed but is not live")
        for key in added:
            if key in live and key not in removed:
                raise ValueError(f"key {key} is to be added but is live; remove it first")

    def _add(self, key: int, names: Iterable[str], version: int) -> int:
        spelled = {spell(name): None for name in names}  # In order, each once.
        postings = tuple(_Posting(key, name, version) for name in spelled if name)
        for posting in postings:
            folded = fold(posting.name)
            first = _first_token(folded)
            known = self._tables.lengths.get(first, ())
            if len(folded) not in known:
                self._tables.lengths[first] = tuple(sorted((*known, len(folded)), reverse=True))
            self._tables.by_name.setdefault(folded, []).append(posting)
        self._tables.by_key[key] = postings
        return len(postings)

    def _remove(self, key: int, version: int) -> int:
        postings = self._tables.by_key.pop(key)
        for posting in postings:
            posting.went = version
        self._gone.extend(postings)
        return len(postings)

    def _sweep(self, limit: int) -> None:
        """Drops up to `limit` postings that went before the oldest view that somebody holds."""
        while self._views and self._views[0]() is None:
            self._views.popleft()
        oldest = self._views[0]() if self._views else None
        if oldest is None:
            return
        horizon = oldest._version  # noqa: SLF001
        by_name = self._tables.by_name
        for _ in range(limit):
            if not self._gone or self._gone[0].went > horizon:
                return
            posting = self._gone.popleft()
            if posting.dropped:
                continue
            folded = fold(posting.name)
            kept = []  # All that went leave together: a name of thousands is walked once.
            for other in by_name[folded]:
                other.dropped = other.went <= horizon
                if not other.dropped:
                    kept.append(other)
            if kept:
                by_name[folded] = kept
            else:
                del by_name[folded]


def _first_token(folded: str) -> str:
    token = TOKEN.match(folded)
    assert token is not None, f"{folded!r} is blank"
    return token.group()


def flag_covered(mentions: Iterable[Mention]) -> list[Mention]:
    """Flags mentions inside longer ones; they come by start, longer first."""
    flagged: list[Mention] = []
    reach, reach_start = -1, -1  # The furthest end so far, and where that mention starts.
    for mention in mentions:
        inside = mention.end <= reach and (mention.start, mention.end) != (reach_start, reach)
        same = inside == mention.covered
        flagged.append(mention if same else replace(mention, covered=inside))
        if mention.end > reach:
            reach, reach_start = mention.end, mention.start
    return flagged


def longest_mentions(mentions: Iterable[contracts.Mention]) -> dict[int, str]:
    """Returns each key's longest mention as it stands in the text, covered ones aside."""
    longest: dict[int, str] = {}
    for mention in mentions:
        if not mention.covered and len(mention.surface) > len(longest.get(mention.key, "")):
            longest[mention.key] = mention.surface
    return longest
