"""A command's connection: the screen, the client, and how failures are told."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from errata.commands.outcome import UsageProblem, reported
from errata.show import Screen

if TYPE_CHECKING:
    from errata.client import Client

TLS_PREFIX = "tls://"
TLS_CA_VARIABLE = "ERRATA_TLS_CA"
KEY_VARIABLE = "ERRATA_KEY"


@contextmanager
def connected(
    screen: Screen, address: str, *, namespace: str = "default", timeout_s: float = 60.0
) -> Iterator[Client]:
    """Opens a client for one command; every expected failure inside ends it with its exit code.

    An address that begins with tls:// is reached through TLS. The key, where the server wants one,
    comes from ERRATA_KEY: on a command line everybody on the machine could read it.
    """
    from errata.client import Client  # noqa: PLC0415  # gRPC: not for `--help`.
    from errata.options import ClientOptions  # noqa: PLC0415

    with reported(screen):
        target = target_of(address)
        options = ClientOptions(
            tls=address.startswith(TLS_PREFIX),
            tls_ca=trusted(),
            key=os.environ.get(KEY_VARIABLE, "").strip(),
        )
        with Client(target, namespace=namespace, timeout_s=timeout_s, options=options) as client:
            yield client


def target_of(address: str) -> str:
    """Returns what gRPC is given. Raises UsageProblem for a web address, or one without a port."""
    target = address.removeprefix(TLS_PREFIX)
    if ":" not in target or target.startswith(("http://", "https://")):
        raise UsageProblem(
            f'The address is "{address}"; expected HOST:PORT, such as 127.0.0.1:50051, or '
            "tls://HOST:PORT."
        )
    return target


def trusted() -> Path | None:
    """Returns the file of certificates to trust; None for the system's."""
    given = os.environ.get(TLS_CA_VARIABLE)
    if given and not Path(given).is_file():
        raise UsageProblem(f"{TLS_CA_VARIABLE} names {given}, which is no file.")
    return Path(given) if given else None
