"""Registers a function as a command; its docstring is the help, with the examples line by line."""

from __future__ import annotations

import inspect
from collections.abc import Callable

import typer

EXAMPLES = "\nExamples:\n"
AS_IT_STANDS = "\n\b\nExamples:\n"  # Click keeps the lines of a paragraph that begins with \b.


def register(
    app: typer.Typer, function: Callable[..., None], *, name: str = "", panel: str | None = None
) -> None:
    """Adds `function` to `app` as the command `name` (default: the function's own name)."""
    said, _, examples = (inspect.getdoc(function) or "").partition(EXAMPLES)
    # The terminal breaks the lines, not the source.
    text = "\n\n".join(part.replace("\n", " ") for part in said.strip().split("\n\n"))
    app.command(
        name or function.__name__.strip("_"),
        help=f"{text}\n{AS_IT_STANDS}{examples}" if examples else text,
        rich_help_panel=panel,
    )(function)
