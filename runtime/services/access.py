"""Who may call what: keys from a file, a scope for every method, nothing by default.

A key is a random text that its holder sends as `authorization: Bearer KEY`. The file knows only its
SHA-256, so that whoever reads the file can call nothing:

    [keys.ci]
    sha256 = "9f86d0..."
    scopes = ["infer", "read"]

The file is read again when it changes; one that cannot be read leaves the former keys in force, and
one without tables lets nobody in: that is what is left when the only key is taken back.
Health and reflection answer anybody: they tell nothing that the published API does not.
"""

from __future__ import annotations

import hashlib
import re
import threading
import time
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import structlog

from memory.errors import PermissionDenied, StartupError, Unauthenticated

HEADER = "authorization"
BEARER = "bearer "
CHECK_EVERY_S = 1.0  # How often the file is looked at.
NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
DIGEST = re.compile(r"[0-9a-f]{64}")


class Scope(StrEnum):
    """What a key may be good for."""

    INFER = "infer"  # Ask the model; see routes.
    READ = "read"  # See edits, editions and operations.
    WRITE = "write"  # Add, change, retire, restore and import edits.
    ADMIN = "admin"  # Write editions, activate them, cancel operations.


_INFERENCE, _MEMORY = "/errata.v1.InferenceService/", "/errata.v1.MemoryService/"
_CONSOLIDATION = "/errata.v1.ConsolidationService/"
_OPERATIONS = "/google.longrunning.Operations/"

SCOPES: Mapping[str, Scope] = {
    **{
        _INFERENCE + name: Scope.INFER
        for name in ("Generate", "StreamGenerate", "Score", "ExplainRoute")
    },
    **{
        _MEMORY + name: Scope.READ
        for name in (
            "GetEdit",
            "ListEdits",
            "SearchEdits",
            "FindOverlaps",
            "ExportEdits",
            "WatchEdits",
            "GetMemoryStatus",
        )
    },
    **{
        _MEMORY + name: Scope.WRITE
        for name in (
            "CreateEdit",
            "BatchCreateEdits",
            "UpdateEdit",
            "RetireEdit",
            "RestoreEdit",
            "ImportEdits",
        )
    },
    **{_CONSOLIDATION + name: Scope.READ for name in ("ListEditions", "GetEdition")},
    **{_CONSOLIDATION + name: Scope.ADMIN for name in ("Consolidate", "ActivateEdition")},
    **{
        _OPERATIONS + name: Scope.READ
        for name in ("GetOperation", "ListOperations", "WaitOperation")
    },
    **{_OPERATIONS + name: Scope.ADMIN for name in ("CancelOperation", "DeleteOperation")},
}
"""A method that is not named needs ADMIN."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """A key's name and what it is good for."""

    name: str
    scopes: frozenset[Scope]


class Access:
    """Checks keys. Thread-safe."""

    def __init__(self, file: Path, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Reads the file. Raises StartupError when it cannot be used."""
        self._file = file
        self._clock = clock
        self._lock = threading.Lock()
        self._stamp = _stamp(file)
        self._holders = read_keys(file)
        if not self._holders:
            raise StartupError(
                f"The key file {file} holds no keys: `errata key NAME --file {file}` makes one."
            )
        self._looked_s = clock()
        self._log = structlog.get_logger("errata.access")

    def check(self, method: str, metadata: Any) -> str:
        """Returns the name of the key. Raises Unauthenticated and PermissionDenied.

        `method` is the full name ("/errata.v1.InferenceService/Generate"), `metadata` the call's
        (key, value) pairs.
        """
        holder = self._caller(metadata)
        needed = SCOPES.get(method, Scope.ADMIN)
        if needed not in holder.scopes:
            has = ", ".join(sorted(holder.scopes)) or "nothing"
            raise PermissionDenied(
                f"{method.rpartition('/')[2]} needs the scope {needed}; the key {holder.name!r} is"
                f" good for {has}"
            )
        return holder.name

    def allows(self, scope: Scope, metadata: Any) -> bool:
        """Whether the call's key is good for a scope besides. Raises Unauthenticated."""
        return scope in self._caller(metadata).scopes

    def _caller(self, metadata: Any) -> Holder:
        """Returns whose key it is. Raises Unauthenticated."""
        self._refresh()
        given = next((value for key, value in metadata or () if key.lower() == HEADER), None)
        if given is None:
            raise Unauthenticated(
                'this server needs a key: send the header "authorization: Bearer KEY" (the clients'
                " take it from ERRATA_KEY)"
            )
        text = given.decode("ascii", "replace") if isinstance(given, bytes) else str(given)
        if not text.lower().startswith(BEARER):
            raise Unauthenticated('the authorization header does not begin with "Bearer "')
        holder = self._holders.get(digest_of(text[len(BEARER) :].strip()))
        if holder is None:
            raise Unauthenticated(
                "the key is not known to this server (any more); ask its operator for another"
            )
        return holder

    def _refresh(self) -> None:
        with self._lock:
            if self._clock() - self._looked_s < CHECK_EVERY_S:
                return
            self._looked_s = self._clock()
            stamp = _stamp(self._file)
            if stamp == self._stamp:
                return
            self._stamp = stamp
            try:
                self._holders = read_keys(self._file)
            except StartupError as error:
                self._log.error("keys not read; the former ones stay in force", error=str(error))
            else:
                if not self._holders:
                    self._log.warning("the key file holds no keys any more; nobody is let in")
                self._log.info("keys read again", keys=len(self._holders))


def digest_of(key: str) -> str:
    """Returns the SHA-256 of a key in hexadecimal, as the file holds it."""
    return hashlib.sha256(key.encode("utf-8", "replace")).hexdigest()


def read_keys(file: Path) -> dict[str, Holder]:
    """Returns the holders by the digest of their key, none of an empty file.

    Raises StartupError naming what is wrong.
    """
    try:
        document = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        way = f" `errata key NAME --file {file}` makes one."
        raise StartupError(
            f"The key file {file} cannot be read: {error.strerror}."
            f"{way if isinstance(error, FileNotFoundError) else ''}"
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise StartupError(f"The key file {file} is no TOML: {error}.") from error
    keys = document.get("keys", {})
    if not isinstance(keys, dict) or set(document) - {"keys"}:
        raise StartupError(
            f"The key file {file} holds no keys: expected tables [keys.NAME] and nothing else."
        )
    holders: dict[str, Holder] = {}
    for name, entry in keys.items():
        digest, holder = _holder(file, name, entry)
        if digest in holders:
            raise StartupError(
                f"The key file {file} gives {holders[digest].name!r} and {name!r} the same key."
            )
        holders[digest] = holder
    return holders


def _holder(file: Path, name: str, entry: Any) -> tuple[str, Holder]:
    where = f"The key file {file}, [keys.{name}]"
    if not NAME.fullmatch(name):
        raise StartupError(f"{where}: a name is 1 to 64 letters, digits, - and _.")
    if not isinstance(entry, dict) or set(entry) != {"sha256", "scopes"}:
        raise StartupError(f"{where}: expected sha256 and scopes, and nothing else.")
    digest, scopes = entry["sha256"], entry["scopes"]
    if not isinstance(digest, str) or not DIGEST.fullmatch(digest):
        raise StartupError(f"{where}: sha256 is {digest!r}; expected 64 small hexadecimal digits.")
    known = [scope.value for scope in Scope]
    if not isinstance(scopes, list) or not scopes or not all(scope in known for scope in scopes):
        raise StartupError(f"{where}: scopes is {scopes!r}; expected some of {', '.join(known)}.")
    return digest, Holder(name=name, scopes=frozenset(Scope(scope) for scope in scopes))


def _stamp(file: Path) -> tuple[int, int, int] | None:
    """What changes when the file does; None while there is none."""
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
