"""The journal of a run: one line of answers.jsonl per probe asked, appended as it is answered.

A line's key names everything that its answer depends on, so a run that was killed goes on where it
stopped, and a run with other settings never takes an answer that is not its own. A line cut off by
the kill is dropped.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from evaluation.method import Asked, Routed, Said, Scored, Want
from memory.errors import InvalidInput

log = logging.getLogger(__name__)


class Journal:
    """Answers by key. A context manager; one process writes one file."""

    def __init__(self, path: Path, code: str, *, any_code: bool = False) -> None:
        self._path = path
        self._code = code
        self._any_code = any_code
        self._known: dict[str, tuple[Asked, float, Want]] = {}
        self.other_code = 0  # Lines of other versions of the code, which were not taken.
        self._file: IO[str] | None = None

    def __enter__(self) -> Self:
        """Reads what is there and opens the file for appending. Raises InvalidInput."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            if self._path.exists():
                self._load()
            self._file = self._path.open("a", encoding="utf-8")
        except OSError as error:
            raise InvalidInput(
                f"{self._path} cannot be written: {error.strerror}; name another folder",
                field="out",
            ) from error
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Closes the file."""
        if self._file is not None:
            self._file.close()

    def __len__(self) -> int:
        """Counts the answers known."""
        return len(self._known)

    def find(self, key: str, want: Want) -> tuple[Asked, float] | None:
        """Returns a known answer and its seconds, when as much was asked for then as is now.

        What is not wanted now is left out, so that a figure never rests on half of the probes.
        """
        found = self._known.get(key)
        if found is None:
            return None
        asked, seconds, had = found
        if had.say < want.say or had.score < want.score:
            return None
        said = asked.said if want.say else None
        return replace(asked, said=said, scored=asked.scored if want.score else None), seconds

    def add(
        self, key: str, asked: Asked, seconds: float, want: Want, shown: Mapping[str, object]
    ) -> None:
        """Appends an answer; `shown` is what a reader of the file wants beside it."""
        assert self._file is not None, "the journal is not open"
        self._known[key] = (asked, seconds, want)
        line = {
            "key": key,
            "code": self._code,
            **shown,
            "seconds": round(seconds, 4),
            "wanted": asdict(want),
            **{name: value for name, value in asdict(asked).items() if value is not None},
        }
        self._file.write(json.dumps(line, ensure_ascii=False) + "\n")
        self._file.flush()

    def _load(self) -> None:
        whole = 0
        with self._path.open("rb") as file:
            for raw in file:
                if not raw.endswith(b"\n"):
                    break
                whole += len(raw)
                self._take(raw)
        if whole < self._path.stat().st_size:
            log.warning("the last line of %s was cut off; it is asked again", self._path)
            with self._path.open("r+b") as file:
                file.truncate(whole)

    def _take(self, raw: bytes) -> None:
        try:
            line: dict[str, Any] = json.loads(raw)
            if line["code"] != self._code and not self._any_code:
                self.other_code += 1
                return
            wanted = Want(**line["wanted"])
            self._known[line["key"]] = (asked_from(line), float(line["seconds"]), wanted)
        except (ValueError, KeyError, TypeError) as error:
            raise InvalidInput(
                f"{self._path} holds a line that is no answer of a run ({error}); name another "
                "folder, or take the file away",
                field="out",
            ) from error


def asked_from(line: Mapping[str, Any]) -> Asked:
    """Reads an answer from its line."""
    routed = dict(line["routed"])
    routed["hits"] = tuple((str(name), float(score)) for name, score in routed["hits"])
    said, scored = line.get("said"), line.get("scored")
    return Asked(
        routed=Routed(**routed),
        said=None if said is None else Said(**{**said, "token_ids": tuple(said["token_ids"])}),
        scored=None if scored is None else Scored(**scored),
    )


def key_of(parts: Mapping[str, object]) -> str:
    """Names an answer by everything that it depends on."""
    content = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.sha256(content.encode()).hexdigest()[:32]
