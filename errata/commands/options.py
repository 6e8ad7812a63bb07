"""Options that several commands share, with one name, one variable and one help text each."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

DEFAULT_ADDRESS = "127.0.0.1:50051"
DEFAULT_NAMESPACE = "default"
DEFAULT_TIMEOUT_S = 60.0

SAMPLING_PANEL = "Sampling"
ROUTING_PANEL = "Edits"
CONNECTION_PANEL = "Connection and output"

Address = Annotated[
    str,
    typer.Option(
        "--address",
        "-a",
        envvar="ERRATA_ADDRESS",
        metavar="HOST:PORT",
        help="The server to talk to; tls://HOST:PORT for one that speaks TLS.",
        rich_help_panel=CONNECTION_PANEL,
    ),
]
Namespace = Annotated[
    str,
    typer.Option(
        "--namespace",
        "-n",
        envvar="ERRATA_NAMESPACE",
        metavar="NAME",
        help="The memory to use; edits of one namespace are never seen by another.",
        rich_help_panel=CONNECTION_PANEL,
    ),
]
WhichNamespaces = Annotated[
    str,
    typer.Option(
        "--namespace",
        "-n",
        metavar="NAME",
        help='One namespace; "-" stands for all.',
        rich_help_panel=CONNECTION_PANEL,
    ),
]
Timeout = Annotated[
    float,
    typer.Option(
        "--timeout",
        min=0.001,
        metavar="SECONDS",
        help="How long to wait for an answer.",
        rich_help_panel=CONNECTION_PANEL,
    ),
]
AsJson = Annotated[
    bool,
    typer.Option(
        "--json",
        help="Writes JSON, one object a line, and nothing else on stdout.",
        rich_help_panel=CONNECTION_PANEL,
    ),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Checks everything and writes nothing.")]
RequestId = Annotated[
    str,
    typer.Option(
        "--request-id",
        metavar="TEXT",
        help="Makes a retry safe: the same id is carried out once. Default: drawn.",
    ),
]
EditId = Annotated[
    str, typer.Argument(metavar="EDIT", help="An edit's id, or its full resource name.")
]
Etag = Annotated[
    str,
    typer.Option(
        "--etag",
        metavar="TEXT",
        help="Refuses the change if somebody else changed the edit since (see `edit show`).",
    ),
]
Reason = Annotated[
    str, typer.Option("--reason", metavar="TEXT", help="Why; kept in the edit's history.")
]
OnConflict = Annotated[
    Literal["fail", "skip", "supersede"],
    typer.Option(
        "--on-conflict",
        help="When an active edit has the same subject and prompt: refuse, keep it, or replace it.",
    ),
]
