"""A command's connection: the screen, the client, and how failures are told."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from errata.commands.outcome import reported
from errata.show import Screen

if TYPE_CHECKING:
    from errata.client import Client


@contextmanager
def connected(
    screen: Screen, address: str, *, namespace: str = "default", timeout_s: float = 60.0
) -> Iterator[Client]:
    """Opens a client for one command; every expected failure inside ends it with its exit code."""
    from errata.client import Client  # noqa: PLC0415  # gRPC: not for `--help`.

    with (
        reported(screen),
        Client(address, namespace=namespace, timeout_s=timeout_s) as client,
    ):
        yield client
