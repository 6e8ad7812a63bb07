"""The data directory: who holds it, what it is, and what was last acknowledged in it.

    errata.json   manifest: format, version, id of the log
    errata.db     the log (SQLite), with errata.db-wal beside it while open
    errata.lock   held (flock) by the process that serves the directory; its pid inside
    errata.head   the last acknowledged sequence and its chain hash

The head file is a witness: it is written after each commit, never before. A database that knows
less than the witness has lost acknowledged edits (a truncated write-ahead file, an older copy put
in place), which SQLite alone cannot tell from a crash. It is not synced: after a power failure it
may lag, which proves nothing, and then the log is believed.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from memory.errors import DataDirectoryError, DataDirectoryLocked

FORMAT = "errata-data"
VERSION = 1
MANIFEST = "errata.json"
DATABASE = "errata.db"
LOCK = "errata.lock"
HEAD = "errata.head"
IGNORED = frozenset({LOCK, "lost+found"})  # May stand in a directory that is still ours to take.


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What the manifest says. Until `ready`, nothing in the directory was acknowledged."""

    log_id: str
    ready: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """The last acknowledged entry."""

    sequence: int
    chain: bytes


class DataDirectory:
    """Holds the directory's lock from `open` to `close`."""

    def __init__(self, path: Path, *, lock: int, manifest: Manifest) -> None:
        self.path = path
        self.manifest = manifest
        self._lock = lock
        self._head: int | None = None

    @classmethod
    def open(cls, path: Path) -> DataDirectory:
        """Locks the directory, made when missing, and reads or writes its manifest.

        Raises DataDirectoryLocked when another process (or memory) holds it; DataDirectoryError
        when it is foreign, of a newer format, damaged or cannot be used.
        """
        try:
            path.mkdir(parents=True, exist_ok=True)
            _refuse_foreign(path)
            lock = _take_lock(path)
        except OSError as error:
            raise DataDirectoryError(
                f"the data directory {path} cannot be used: {error.strerror or error}; "
                "give a directory that this user can write"
            ) from error
        try:
            _refuse_foreign(path)  # Again: what was there may have changed before we held it.
            manifest = _read_manifest(path) or _create(path)
            if not manifest.ready:
                _clear_unfinished(path)
        except BaseException:
            os.close(lock)
            raise
        return cls(path, lock=lock, manifest=manifest)

    @property
    def database(self) -> Path:
        """Where the log is."""
        return self.path / DATABASE

    @property
    def head(self) -> Path:
        """Where the witness of the last acknowledged entry is."""
        return self.path / HEAD

    def mark_ready(self) -> None:
        """Says that the log exists from now on; its absence is then damage. Durable."""
        self.manifest = Manifest(log_id=self.manifest.log_id, ready=True)
        _write_manifest(self.path, self.manifest)

    def read_head(self) -> Head | None:
        """Returns the witness, or None when there is none or it cannot be read.

        A torn or damaged witness is no evidence of loss: the log has its own checks.
        """
        try:
            record = json.loads(self.head.read_bytes())
            sequence, chain = int(record["sequence"]), bytes.fromhex(record["chain"])
            sound = record["check"] == _head_check(sequence, chain)
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return Head(sequence=sequence, chain=chain) if sound else None

    def write_head(self, head: Head) -> None:
        """Overwrites the witness in one small write; errors are the caller's to weigh."""
        if self._head is None:
            self._head = os.open(self.head, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        record = {
            "sequence": head.sequence,
            "chain": head.chain.hex(),
            "check": _head_check(head.sequence, head.chain),
        }
        # Padded to one length, so that a shorter record leaves no end of a longer one behind.
        os.pwrite(self._head, json.dumps(record).encode().ljust(256) + b"\n", 0)

    def close(self) -> None:
        """Gives the lock back. May be called twice."""
        if self._head is not None:
            os.close(self._head)
            self._head = None
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1


def _head_check(sequence: int, chain: bytes) -> int:
    return zlib.crc32(b"%d/%s" % (sequence, chain))


def _refuse_foreign(path: Path) -> None:
    """Raises DataDirectoryError for a directory that holds other things; touches nothing."""
    names = sorted(entry.name for entry in path.iterdir())
    if MANIFEST in names:
        return
    temporary = f"{MANIFEST}.new"
    others = [name for name in names if name not in IGNORED and name != temporary]
    if not others:
        return
    if DATABASE in others:
        raise DataDirectoryError(
            f"{path / MANIFEST} is missing beside {DATABASE}; put the manifest back from a "
            "backup, or give another data directory"
        )
    raise DataDirectoryError(
        f"{path} is not a data directory: it has no {MANIFEST} but holds {', '.join(others[:3])}"
        f"{' and more' if len(others) > 3 else ''}; give an empty or a new directory"
    )


def _take_lock(path: Path) -> int:
    """Returns the file descriptor that holds the lock; our pid is in the file."""
    lock = os.open(path / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        # flock, not a pid file: the system drops it when the process dies, however it dies.
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.pread(lock, 32, 0).decode("ascii", "replace").strip() or "unknown"
        os.close(lock)
        raise DataDirectoryLocked(
            f"the data directory {path} is held by process {holder}; stop that server, or give "
            "this one another data directory"
        ) from None
    except BaseException:
        os.close(lock)
        raise
    os.ftruncate(lock, 0)
    os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
    return lock


def _create(path: Path) -> Manifest:
    manifest = Manifest(log_id=secrets.token_hex(16), ready=False)
    _write_manifest(path, manifest)
    return manifest


def _clear_unfinished(path: Path) -> None:
    """Takes away what a creation that was cut off left; nothing in it was acknowledged."""
    for name in (DATABASE, f"{DATABASE}-wal", f"{DATABASE}-shm", f"{DATABASE}-journal", HEAD):
        (path / name).unlink(missing_ok=True)


def _write_manifest(path: Path, manifest: Manifest) -> None:
    """Writes the manifest so that a crash leaves the old one or the new one, durably."""
    record = {
        "format": FORMAT,
        "version": VERSION,
        "log_id": manifest.log_id,
        "ready": manifest.ready,
    }
    temporary = path / f"{MANIFEST}.new"
    try:
        with temporary.open("wb") as file:
            file.write(json.dumps(record, indent=2).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path / MANIFEST)
        directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
    except OSError as error:
        raise DataDirectoryError(
            f"{path / MANIFEST} cannot be written: {error.strerror or error}; free space or give "
            "a directory that this user can write"
        ) from error


def _read_manifest(path: Path) -> Manifest | None:
    """Returns the manifest, None when there is none; raises DataDirectoryError when damaged."""
    file = path / MANIFEST
    try:
        record = json.loads(file.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise DataDirectoryError(
            f"{file} cannot be read ({error}); put it back from a backup"
        ) from error
    if not isinstance(record, dict) or record.get("format") != FORMAT:
        raise DataDirectoryError(
            f"{file} is not a manifest of this program (format is not {FORMAT!r}); "
            "give another data directory"
        )
    fields = cast("dict[str, object]", record)
    version, log_id, ready = fields.get("version"), fields.get("log_id"), fields.get("ready")
    if isinstance(version, int) and version > VERSION:
        raise DataDirectoryError(
            f"{file} has format version {version}; this program reads up to {VERSION}: "
            "use a newer program"
        )
    if version != VERSION or not isinstance(log_id, str) or not isinstance(ready, bool):
        raise DataDirectoryError(f"{file} is damaged; put it back from a backup")
    return Manifest(log_id=log_id, ready=ready)
