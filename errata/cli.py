"""The `errata` command line: which commands there are. What they do is in `errata/commands/`.

Nothing slow is imported here: gRPC, protobuf, numpy and torch wait for the command that needs them.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

import typer

from errata.commands import (
    ask,
    chat,
    consolidate,
    demo,
    doctor,
    edit,
    editions,
    key,
    locate,
    measure,
    operations,
    overlaps,
    serve,
    status,
    transfer,
)
from errata.commands.register import register

HELP = """Serves a frozen language model with a memory of corrections.

A correction (an edit) takes effect on the next request; every other answer stays exactly what the
frozen model would have said.

\b
A first tour:
  errata demo            # everything at once, in under a minute
  errata serve &         # keeps a server running
  errata generate "The mother tongue of Danielle Darrieux is"
  errata edit add "The mother tongue of {Danielle Darrieux} is" English
  errata generate "What is the mother tongue of Danielle Darrieux?"

\b
Exit codes:
  0 done                           4 refused by the server
  1 a check failed, or a fault     5 the server failed
  2 wrong input                    6 import done, but rows were refused
  3 no server reached              130 interrupted
"""
EDIT_HELP = "Adds, lists, shows, changes, retires and restores edits; finds contradictions."
EDITIONS_HELP = "Lists, shows, compares, activates, undoes and exports editions of the weights."
OPERATIONS_HELP = "Lists, shows, follows and stops consolidation jobs."
SERVING, ASKING, EDITS, MEASURING = "Serving", "Asking", "Edits", "Measuring"
WEIGHTS = "Weights"


def build_app() -> typer.Typer:
    """Returns the command line with all its commands."""
    app = typer.Typer(
        name="errata",
        help=HELP,
        no_args_is_help=True,
        rich_markup_mode="rich",
        pretty_exceptions_show_locals=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    _add(app, SERVING, demo.demo, serve.serve, key.key, status.status, doctor.doctor)
    _add(app, SERVING, status.version)
    _add(app, ASKING, ask.generate, chat.chat, ask.explain)
    edits = typer.Typer(no_args_is_help=True, rich_markup_mode="rich")
    _add(edits, None, edit.add, edit.list_, edit.show, edit.update)
    _add(edits, None, edit.retire, edit.restore, edit.history, overlaps.overlaps)
    app.add_typer(edits, name="edit", help=EDIT_HELP, rich_help_panel=EDITS)
    _add(app, EDITS, ask.search, transfer.import_, transfer.export, status.watch)
    _add(app, WEIGHTS, consolidate.consolidate)
    numbered = typer.Typer(no_args_is_help=True, rich_markup_mode="rich")
    _add(numbered, None, editions.list_, editions.show, editions.diff)
    _add(numbered, None, editions.activate, editions.export)
    app.add_typer(numbered, name="editions", help=EDITIONS_HELP, rich_help_panel=WEIGHTS)
    jobs = typer.Typer(no_args_is_help=True, rich_markup_mode="rich")
    _add(jobs, None, operations.list_, operations.show, operations.wait, operations.cancel)
    app.add_typer(jobs, name="operations", help=OPERATIONS_HELP, rich_help_panel=WEIGHTS)
    _add(app, MEASURING, measure.eval_, locate.locate)
    return app


def _add(to: typer.Typer, panel: str | None, *functions: Callable[..., None]) -> None:
    for function in functions:
        register(to, function, panel=panel)


app = build_app()


def main() -> None:
    """Runs the command line."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # A letter that the terminal lacks is no reason to fail.
            stream.reconfigure(errors="replace")
    app(prog_name="errata")


if __name__ == "__main__":
    main()
