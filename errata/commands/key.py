"""`errata key`: makes a key for callers of a server and writes its digest to the server's file."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from errata.commands.options import AsJson
from errata.commands.outcome import UsageProblem, reported
from errata.show import Screen

KEY_BYTES = 32
DEFAULT_FILE = Path("errata-keys.toml")


class ScopeName(StrEnum):
    """Scopes as the command line names them; runtime/services/access.py says what they allow."""

    INFER = "infer"
    READ = "read"
    WRITE = "write"
    ADMIN = "admin"


def key(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="Whose it is; the server's log names it.")
    ],
    *,
    scope: Annotated[
        list[ScopeName] | None,
        typer.Option(
            "--scope",
            "-s",
            help="What it is good for; repeatable. infer asks, read sees edits, write changes them,"
            " admin writes and activates editions.  \\[default: infer, read]",
        ),
    ] = None,
    file: Annotated[
        Path, typer.Option("--file", "-f", metavar="FILE", help="The server's file of keys.")
    ] = DEFAULT_FILE,
    as_json: AsJson = False,
) -> None:
    """Makes a key, prints it this one time, and adds its SHA-256 to the server's file of keys.

    A server that runs reads the file again by itself. To take a key back, delete its table.

    Examples:
      errata key ci --scope infer --scope read
      errata key editor -s infer -s read -s write --file /etc/errata/keys.toml
      errata serve --keys errata-keys.toml
      ERRATA_KEY=... errata generate "The mother tongue of Danielle Darrieux is"
    """
    screen = Screen.open(json=as_json)
    with reported(screen):
        scopes = [one.value for one in scope or [ScopeName.INFER, ScopeName.READ]]
        made = secrets.token_urlsafe(KEY_BYTES)
        add_key(file, name, made, list(dict.fromkeys(scopes)))
        if as_json:
            print_record = {"name": name, "key": made, "scopes": scopes, "file": str(file)}
            sys.stdout.write(json.dumps(print_record) + "\n")
            return
        sys.stdout.write(made + "\n")
        screen.note(f"{name} may {', '.join(scopes)}; added to {file}. The key is shown only now.")


def add_key(file: Path, name: str, made: str, scopes: list[str]) -> None:
    """Adds a table to the file, which is made, readable by its owner alone, when it is missing.

    A file that is there keeps its owner, group and mode, so that the server that read it still can,
    and a link to one stays a link.

    Several processes may add keys to one file at once: each waits for the others.

    Raises UsageProblem for a name that is taken or wrong, StartupError for a file that is no file
    of keys, OSError never: a folder that cannot be written is a UsageProblem too.
    """
    from runtime.services.access import NAME, digest_of  # noqa: PLC0415  # gRPC's side.

    if not NAME.fullmatch(name):
        raise UsageProblem(f"The name is {name!r}; expected 1 to 64 letters, digits, - and _.")
    file = file.resolve() if file.is_symlink() else file
    table = f'[keys.{name}]\nsha256 = "{digest_of(made)}"\nscopes = {json.dumps(scopes)}\n'
    try:
        with _alone_in(file.parent):
            _append(file, name, table)
    except OSError as error:
        raise UsageProblem(f"{file} cannot be written: {error.strerror}.") from error


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Keeps other `errata key` processes out of a folder while the block runs. Raises OSError.

    The folder is locked, not the file: the file is replaced, and may not be there yet.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _append(file: Path, name: str, table: str) -> None:
    """Replaces the file by one with the table added. Raises UsageProblem, StartupError, OSError."""
    from runtime.services.access import read_keys  # noqa: PLC0415  # gRPC's side.

    there = file.exists()
    known = {holder.name for holder in read_keys(file).values()} if there else set()
    if name in known:
        raise UsageProblem(f"{file} has a key {name!r} already: choose another name, or delete it.")
    before = file.read_text(encoding="utf-8").rstrip("\n") if there else ""
    before += "\n\n" if before else ""
    beside = file.with_name(file.name + ".new")
    beside.unlink(missing_ok=True)  # Of a process that was killed; nobody else writes now.
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as out:
        if there:
            _keep_owner(descriptor, file.stat())
        out.write(before + table)
        out.flush()
        os.fsync(descriptor)
    beside.replace(file)


def _keep_owner(descriptor: int, former: os.stat_result) -> None:
    """Gives a file the owner, group and mode of the one that it replaces. Raises OSError."""
    own = os.fstat(descriptor)
    if (own.st_uid, own.st_gid) != (former.st_uid, former.st_gid):
        os.fchown(descriptor, former.st_uid, former.st_gid)
    os.fchmod(descriptor, stat.S_IMODE(former.st_mode))
