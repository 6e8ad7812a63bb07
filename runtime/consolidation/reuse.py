"""Finds the edition that a job would make again: the same edits, written in the same way.

A rebuild after a retired edit often means the edits that an older edition holds. Computing that one
once more would take minutes and give the same bits under another number.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from memory.errors import EditionUnusable, NotFound
from runtime.consolidation.edition import EditionRecord
from runtime.consolidation.spec import JobSpec
from runtime.consolidation.store import EditionStore

WITHOUT_EFFECT = frozenset(  # What a job is told that changes nothing of its edition.
    {"job", "former", "model", "threads", "niceness", "memory_bytes", "cache"}
)
FILES = ("corpus", "facts_file", "relations_file")  # What they hold counts, not where they are.


def inputs_of(spec: JobSpec) -> str:
    """Returns the SHA-256 of all that an edition follows from: edits, editor, weights, gate.

    Revisions are left out: activating an edition makes new ones that say the same. The program's
    version and its consolidation code are in: another program would compute another edition.
    """
    said = {name: value for name, value in asdict(spec).items() if name not in WITHOUT_EFFECT}
    said["facts"] = [
        {name: value for name, value in fact.items() if name != "revision"}
        for fact in said["facts"]
    ]
    said |= {name: _content(said[name]) for name in FILES}
    said["program"] = [_version(), sources_of(Path(__file__).parent)]
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def same_edition(store: EditionStore, spec: JobSpec) -> EditionRecord | None:
    """Returns the newest sound edition made from the same inputs; None when there is none.

    One in which an edit of the former edition did not take is left aside, so that the gate says
    what it thinks of that.
    """
    inputs, former = inputs_of(spec), set(spec.former)
    for number in reversed(store.numbers()):
        try:
            record = store.record(number)
            if record.inputs != inputs or former - {edit.edit_id for edit in record.took}:
                continue
            store.matrices(record)  # Raises when the file is damaged.
        except (NotFound, EditionUnusable):
            continue
        return record
    return None


def _content(path: str) -> str:
    """Returns the SHA-256 of a file; "" for none, or one that cannot be read: the job says so."""
    try:
        with Path(path).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""


def sources_of(folder: Path) -> str:
    """Returns the SHA-256 of a folder's Python files, by name and content.

    Read for every job, as the computing process does: editors, their settings and the gate may
    change without a new version. "" where no file can be read (a program without sources).
    """
    digests = {path.name: _content(str(path)) for path in sorted(folder.glob("*.py"))}
    return hashlib.sha256(json.dumps(digests).encode()).hexdigest() if digests else ""


def _version() -> str:
    try:
        return version("errata")
    except PackageNotFoundError:
        return "source"
