"""Filters of a listing, its pages, and the tokens that lead from one page to the next.

A token carries the sequence of the first page, so that all pages show one state of the log, and is
bound to namespace and filter. It is opaque to callers and survives a restart.
"""

from __future__ import annotations

import base64
import hashlib
import json
import zlib
from dataclasses import dataclass

from memory.conflicts import normalise
from memory.errors import InvalidInput
from memory.record import Edit, EditState, Namespace
from memory.snapshot import MemorySnapshot

STATES_LISTED = (EditState.ACTIVE, EditState.CONSOLIDATED)  # When the filter names none.


@dataclass(frozen=True, slots=True, kw_only=True)
class EditFilter:
    """Which edits a listing shows: those for which all that is set holds."""

    states: tuple[EditState, ...] = ()  # Empty: those in force.
    subject: str = ""  # Equal after normalisation.
    text_contains: str = ""  # In subject, prompt or target, whatever the case.
    labels: tuple[tuple[str, str], ...] = ()  # Each of them equal.
    author: str = ""
    source: str = ""
    created_after_s: float | None = None
    created_before_s: float | None = None

    def digest(self, namespace: Namespace) -> str:
        """Returns what names this filter on this namespace in page tokens."""
        values = [repr(getattr(self, name)) for name in self.__dataclass_fields__]
        joined = "\0".join((namespace, *values))
        return hashlib.sha256(joined.encode("utf-8", "surrogatepass")).hexdigest()[:16]


class Matcher:
    """A filter made ready to be asked about many edits."""

    def __init__(self, edit_filter: EditFilter) -> None:
        self._filter = edit_filter
        self._states = frozenset(edit_filter.states or STATES_LISTED)
        self._subject = normalise(edit_filter.subject) if edit_filter.subject else None
        self._text = edit_filter.text_contains.casefold()
        self._labels = frozenset(edit_filter.labels)

    def matches(self, edit: Edit) -> bool:
        """Whether the listing shows the edit."""
        wanted = self._filter
        return (
            edit.state in self._states
            and (not wanted.author or edit.author == wanted.author)
            and (not wanted.source or edit.source == wanted.source)
            and (wanted.created_after_s is None or edit.created_at_s > wanted.created_after_s)
            and (wanted.created_before_s is None or edit.created_at_s < wanted.created_before_s)
            and self._labels <= frozenset(edit.labels)
            and (not self._text or self._mentions(edit))
            and (self._subject is None or normalise(edit.subject) == self._subject)
        )

    def _mentions(self, edit: Edit) -> bool:
        texts = (edit.subject, edit.prompt, edit.target)
        return any(self._text in text.casefold() for text in texts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Some of the edits of a listing, oldest first."""

    edits: tuple[Edit, ...]
    next_page_token: str  # Empty on the last page.
    total: int | None  # Of all pages, where it is known without looking at every edit.
    sequence: int  # What all pages show.


@dataclass(frozen=True, slots=True, kw_only=True)
class PageToken:
    """Where the next page starts."""

    digest: str  # Of namespace and filter.
    sequence: int
    place: int  # In the namespace's order of creation.

    def encode(self) -> str:
        """Returns the token as URL-safe text."""
        body = json.dumps([self.digest, self.sequence, self.place]).encode()
        sealed = zlib.crc32(body).to_bytes(4, "big") + body
        return base64.urlsafe_b64encode(sealed).decode().rstrip("=")

    @classmethod
    def decode(cls, text: str, *, digest: str) -> PageToken:
        """Returns the token, or raises InvalidInput when it is not one of this listing."""
        try:
            padded = text + "=" * (-len(text) % 4)
            sealed = base64.b64decode(padded.encode("ascii"), altchars=b"-_", validate=True)
            body = _unsealed(sealed)
            found, sequence, place = json.loads(body)
            token = cls(digest=str(found), sequence=int(sequence), place=int(place))
        except (ValueError, TypeError) as error:
            raise InvalidInput(
                "page_token is not one that this memory gave; leave it out to start over",
                field="page_token",
            ) from error
        if token.digest != digest:
            raise InvalidInput(
                "page_token belongs to another listing; keep namespace and filter the same "
                "between pages, or leave it out to start over",
                field="page_token",
            )
        return token


def check_page_size(page_size: int, page_size_max: int) -> int:
    """Returns the size to use: more than the most is taken as the most."""
    if page_size < 1:
        raise InvalidInput(
            f"page_size is {page_size}; give 1 to {page_size_max}", field="page_size"
        )
    return min(page_size, page_size_max)


def list_page(
    snapshot: MemorySnapshot,
    namespace: Namespace,
    edit_filter: EditFilter,
    *,
    page_size: int,
    page_token: str,
) -> Page:
    """Returns a page of the namespace's edits. Raises NotFound, InvalidInput."""
    digest = edit_filter.digest(namespace)
    place = 0
    if page_token:
        token = PageToken.decode(page_token, digest=digest)
        if token.sequence > snapshot.sequence:
            raise InvalidInput(
                f"page_token is of sequence {token.sequence}; this memory is at "
                f"{snapshot.sequence}. Leave it out to start over",
                field="page_token",
            )
        place, snapshot = token.place, snapshot.back_to(token.sequence)
    matcher = Matcher(edit_filter)
    found: list[tuple[int, Edit]] = []
    for position, edit in snapshot.edits_from(namespace, place):
        if matcher.matches(edit):
            found.append((position, edit))
            if len(found) > page_size:
                break
    following = ""
    if len(found) > page_size:
        next_place = found.pop()[0]
        following = PageToken(digest=digest, sequence=snapshot.sequence, place=next_place).encode()
    return Page(
        edits=tuple(edit for _, edit in found),
        next_page_token=following,
        total=None if page_token or following else len(found),
        sequence=snapshot.sequence,
    )


def _unsealed(sealed: bytes) -> bytes:
    """Returns what was sealed, or raises ValueError when it was changed."""
    body = sealed[4:]
    if zlib.crc32(body).to_bytes(4, "big") != sealed[:4]:
        raise ValueError("the checksum differs")
    return body
