"""The options of `errata consolidate`."""

from __future__ import annotations

from typing import Annotated

import typer

SELECTING, COMPUTING, FOLLOWING = "Which edits", "How", "A job that is there already"

Subject = Annotated[
    str,
    typer.Option("--subject", "-s", metavar="NAME", help="About this.", rich_help_panel=SELECTING),
]
Text = Annotated[
    str,
    typer.Option(
        "--text",
        metavar="TEXT",
        help="Stands in subject, prompt or target.",
        rich_help_panel=SELECTING,
    ),
]
Label = Annotated[
    list[str] | None,
    typer.Option(
        "--label",
        metavar="KEY=VALUE",
        help="With this label; repeatable.",
        rich_help_panel=SELECTING,
    ),
]
Author = Annotated[
    str,
    typer.Option("--author", metavar="NAME", help="By this author.", rich_help_panel=SELECTING),
]
Source = Annotated[
    str,
    typer.Option("--source", metavar="TEXT", help="From this source.", rich_help_panel=SELECTING),
]
Editor = Annotated[
    str,
    typer.Option(
        "--editor",
        metavar="NAME",
        help="memit, rome, alphaedit or pmet.  \\[default: the server's setting]",
        rich_help_panel=COMPUTING,
    ),
]
Setting = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="NAME=VALUE",
        help="A hyper-parameter of the editor, such as layers=[3,4]; repeatable.",
        rich_help_panel=COMPUTING,
    ),
]
Activate = Annotated[
    bool,
    typer.Option(
        "--activate/--no-activate",
        help="Whether an edition that passes the gate answers at once.",
        rich_help_panel=COMPUTING,
    ),
]
ValidateOnly = Annotated[
    bool,
    typer.Option(
        "--validate-only",
        help="Counts and estimates; writes nothing.",
        rich_help_panel=COMPUTING,
    ),
]
Detach = Annotated[
    bool,
    typer.Option(
        "--detach",
        help="Begins the job and returns at once.",
        rich_help_panel=COMPUTING,
    ),
]
Resume = Annotated[
    str,
    typer.Option(
        "--resume",
        metavar="OPERATION",
        help="Follows a job instead of beginning one; `running` for the one that runs.",
        rich_help_panel=FOLLOWING,
    ),
]
Cancel = Annotated[
    str,
    typer.Option(
        "--cancel",
        metavar="OPERATION",
        help="Stops a job, which changes nothing then; `running` for the one that runs.",
        rich_help_panel=FOLLOWING,
    ),
]
