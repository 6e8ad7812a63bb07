"""The options of `errata eval`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

EXTRA, SPEED = "Beside the data", "How much"

Dataset = Annotated[
    str, typer.Argument(metavar="DATASET", help="counterfact, zsre, knowedit or mquake.")
]
DataFile = Annotated[Path, typer.Argument(metavar="FILE", help="The data file: JSON or JSONL.")]
Out = Annotated[
    Path, typer.Option("--out", "-o", metavar="FOLDER", help="Where everything is written.")
]
Edits = Annotated[
    str,
    typer.Option("--edits", metavar="N[,N...]", help="Edits in memory at once."),
]
Method = Annotated[
    str,
    typer.Option(
        "--method",
        metavar="NAME[,NAME...]",
        help="Paths of the server, auto (chosen by form), target (returned verbatim), none; "
        "editors of weights: memit, rome, alphaedit, pmet.",
    ),
]
Scope = Annotated[
    str,
    typer.Option(
        "--scope",
        metavar="NAME[,NAME...]",
        help="Scope classifiers; ours is the server's default; also exact, dense and bm25.",
    ),
]
Protocol = Annotated[
    str,
    typer.Option(
        "--protocol",
        metavar="NAME",
        help="batch; single (each edit alone); sequential (asked at once and at the end); "
        "stacked (the same, editors adding change to change as in the papers).",
    ),
]
Step = Annotated[
    int,
    typer.Option("--step", metavar="N", min=1, help="Records of a step of the latter two."),
]
EditorSet = Annotated[
    list[str] | None,
    typer.Option(
        "--editor-set",
        metavar="NAME=JSON",
        help="A setting of the editors, e.g. layers=[3,4,5]; repeatable.",
        rich_help_panel=EXTRA,
    ),
]
Limit = Annotated[
    int | None,
    typer.Option("--limit", metavar="M", help="Records probed.", show_default="all"),
]
Kind = Annotated[
    str,
    typer.Option("--kind", metavar="NAME[,NAME...]", help="Kinds of probes. Default: all."),
]
Baselines = Annotated[
    bool, typer.Option("--baselines/--no-baselines", help="Runs the baselines beside.")
]
Generate = Annotated[
    bool,
    typer.Option("--generate/--no-generate", help="Answers too, or the routes alone."),
]
Fillers = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Edits that fill the memory when records are too few.",
        rich_help_panel=EXTRA,
    ),
]
Far = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help='Search questions that no edit is about, as JSONL with "question".',
        rich_help_panel=EXTRA,
    ),
]
Labels = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Which paraphrases follow from their edit.  \\[default: the project's own, for "
        "the file that they were made for]",
        rich_help_panel=EXTRA,
    ),
]
Turns = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Conversations about the records.  \\[default: the project's own, likewise]",
        rich_help_panel=EXTRA,
    ),
]
Reference = Annotated[
    int,
    typer.Option(
        metavar="N",
        min=0,
        help="BASE answers compared with transformers alone.",
        rich_help_panel=SPEED,
    ),
]
Fluency = Annotated[
    int,
    typer.Option(metavar="N", min=0, help="Prompts of 100-token answers.", rich_help_panel=SPEED),
]
Latency = Annotated[
    int,
    typer.Option(metavar="N", min=0, help="Queries timed one by one.", rich_help_panel=SPEED),
]
MaxTokens = Annotated[
    int, typer.Option(metavar="N", help="Length of an answer at most.", rich_help_panel=SPEED)
]
Stop = Annotated[
    list[str] | None,
    typer.Option(
        metavar="TEXT",
        help="Ends an answer, for models that do not end it themselves; repeatable.",
        rich_help_panel=SPEED,
    ),
]
AtOnce = Annotated[
    int, typer.Option(metavar="N", help="Probes under way at once.", rich_help_panel=SPEED)
]
AnyCode = Annotated[
    bool,
    typer.Option(
        "--any-code",
        help="Takes answers of an earlier run although the program has changed since.",
        rich_help_panel=SPEED,
    ),
]
ErrorBudget = Annotated[
    float | None,
    typer.Option(
        metavar="SHARE",
        help="Share of out-of-scope queries that may be routed to an edit. Default: the "
        "classifier's own.",
    ),
]
