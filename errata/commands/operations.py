"""`errata operations ...`: list, show, wait, cancel the consolidation jobs of a server."""

from __future__ import annotations

from typing import Annotated

import typer

from errata.commands.jobs import cancel_job, follow, named, operation_record
from errata.commands.options import (
    DEFAULT_ADDRESS,
    DEFAULT_TIMEOUT_S,
    Address,
    AsJson,
    Timeout,
    WhichNamespaces,
)
from errata.commands.session import connected
from errata.show import Screen
from errata.show_operations import show_one, show_operations

ALL_NAMESPACES = "-"
Name = Annotated[
    str,
    typer.Argument(
        metavar="OPERATION",
        help="An operation's id, or its full resource name; `running` for the one that runs.",
    ),
]


def list_(
    *,
    limit: Annotated[
        int,
        typer.Option("--limit", "-l", min=0, metavar="N", help="At most so many; 0 shows all."),
    ] = 20,
    namespace: WhichNamespaces = ALL_NAMESPACES,
    address: Address = DEFAULT_ADDRESS,
    timeout: Timeout = DEFAULT_TIMEOUT_S,
    as_json: AsJson = False,
) -> None:
    """Lists consolidation jobs, running and ended, newest first; the server keeps the last 200.

    Examples:
      errata operations list
      errata operations list --namespace staging --limit 0 --json
    """
    screen = Screen.open(json=as_json)
    with connected(screen, address, timeout_s=timeout) as client:
        found = client.list_operations()
    if namespace != ALL_NAMESPACES:
        found = [one for one in found if one.namespace == namespace]
    shown = found[:limit] if limit else found
    if as_json:
        for operation in shown:
            screen.record(operation_record(operation))
        return
    if not found:
        screen.note("No job is remembered; `errata consolidate` begins one.")
        return
    show_operations(screen, shown)
    if len(shown) < len(found):
        screen.note(f"{len(found) - len(shown)} more: errata operations list --limit 0")


def show(
    operation: Name,
    *,
    address: Address = DEFAULT_ADDRESS,
    timeout: Timeout = DEFAULT_TIMEOUT_S,
    as_json: AsJson = False,
) -> None:
    """Shows one job: its stage and progress, or how it ended, with what the gate measured.

    Examples:
      errata operations show running
      errata operations show consolidate-01a1ff29fbd1049018 --json
    """
    screen = Screen.open(json=as_json)
    with connected(screen, address, timeout_s=timeout) as client:
        found = client.operation(named(client, operation))
    if as_json:
        screen.record(operation_record(found))
    else:
        show_one(screen, found)


def wait(
    operation: Name,
    *,
    address: Address = DEFAULT_ADDRESS,
    timeout: Timeout = DEFAULT_TIMEOUT_S,
    as_json: AsJson = False,
) -> None:
    """Follows a job to its end, however long it takes; ends with 4 when it failed.

    The same as `errata consolidate --resume`. Ctrl-C asks whether the job shall go on.

    Examples:
      errata operations wait running
      errata operations wait consolidate-01a1ff29fbd1049018 --json
    """
    screen = Screen.open(json=as_json)
    with connected(screen, address, timeout_s=timeout) as client:
        follow(screen, client, client.operation(named(client, operation)))


def cancel(
    operation: Name,
    *,
    address: Address = DEFAULT_ADDRESS,
    timeout: Timeout = DEFAULT_TIMEOUT_S,
    as_json: AsJson = False,
) -> None:
    """Stops a job between two steps and waits for its end; nothing is changed then.

    The same as `errata consolidate --cancel`.

    Examples:
      errata operations cancel running
    """
    screen = Screen.open(json=as_json)
    with connected(screen, address, timeout_s=timeout) as client:
        cancel_job(screen, client, named(client, operation))
