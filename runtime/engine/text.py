"""From tokens to streamed text: never half a character, never a part of a stop string.

Knows tokenizers only as a function from ids to text.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

HALF = "\ufffd"  # What decoders put for bytes that are no character (yet).


class TextStream:
    """Turns a growing list of tokens into text whose sum is the text of the whole list.

    A window of the last tokens is decoded with each new one. It starts where text was whole, so
    what a decoder does at the start of a sequence (dropping a space) cancels out.
    """

    __slots__ = ("_decode", "_known", "_open_ids", "_read", "_start", "_tokens")

    def __init__(
        self, decode: Callable[[Sequence[int]], str], open_ids: Collection[int] = frozenset()
    ) -> None:
        self._decode = decode
        self._open_ids = open_ids  # Byte tokens, whose meaning hangs on those that follow.
        self._tokens: list[int] = []
        self._start = 0  # The window's first token.
        self._read = 0  # The tokens of the window up to here are in `_known`.
        self._known = ""  # Text of tokens [start, read), all of it returned before.

    def push(self, token: int) -> str:
        """Adds a token; returns the text that became certain."""
        self._tokens.append(token)
        if token in self._open_ids:
            return ""
        text = self._decode(self._tokens[self._start :])
        if text.endswith(HALF) or len(text) <= len(self._known):
            return ""
        return self._take(text)

    def flush(self) -> str:
        """Returns the text still held, half characters as U+FFFD."""
        if self._read == len(self._tokens):
            return ""
        return self._take(self._decode(self._tokens[self._start :]))

    def _take(self, text: str) -> str:
        """Returns what the window's `text` adds, and moves the window on."""
        fresh = text[len(self._known) :]
        self._start, self._read = self._read, len(self._tokens)
        self._known = self._decode(self._tokens[self._start :])
        return fresh


class StopFinder:
    """Watches streamed text for stop strings and holds back what may be the start of one."""

    __slots__ = ("_held", "_stops")

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = tuple(stops)
        self._held = ""

    def push(self, text: str) -> tuple[str, str]:
        """Adds text; returns what may be shown, and the stop string that ended it or ""."""
        if not self._stops:
            return text, ""
        text = self._held + text
        found = [(text.find(stop), -len(stop), stop) for stop in self._stops if stop in text]
        if found:
            place, _, stop = min(found)  # The earliest; of those that start there, the longest.
            self._held = ""
            return text[:place], stop
        held = max(_overlap(text, stop) for stop in self._stops)
        self._held = text[len(text) - held :]
        return text[: len(text) - held], ""

    def flush(self) -> str:
        """Returns the text still held: it was no stop string after all."""
        held, self._held = self._held, ""
        return held


def _overlap(text: str, stop: str) -> int:
    """Returns the length of the longest end of `text` that begins `stop` without completing it."""
    for size in range(min(len(text), len(stop) - 1), 0, -1):
        if text.endswith(stop[:size]):
            return size
    return 0
