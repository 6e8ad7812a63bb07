"""A server for the tests of one file of commands, and a namespace of its own for each test."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import pytest

from tests.cli_kit import Ran, Shell, shell

numbers = itertools.count()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    """Types commands; files whose tests want edits from the start have a server of their own."""
    with shell(tmp_path_factory.mktemp("memory")) as opened:
        yield opened


@pytest.fixture
def namespace(monkeypatch: pytest.MonkeyPatch) -> str:
    """The namespace that commands of this test use unless they say otherwise."""
    name = f"test-{next(numbers)}"
    monkeypatch.setenv("ERRATA_NAMESPACE", name)
    return name


@pytest.fixture
def run(server: Shell, namespace: str) -> Callable[..., Ran]:
    """Runs commands in a namespace of the test's own."""
    return server
