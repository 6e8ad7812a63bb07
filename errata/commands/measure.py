"""`errata eval`: measures reliability, locality, routing and more on a data set, without a server.

What is measured, and how, is `evaluation/`; this file reads the command line and draws progress.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Self

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from errata.commands.measure_options import (
    AnyCode,
    AtOnce,
    Baselines,
    DataFile,
    Dataset,
    EditorSet,
    Edits,
    ErrorBudget,
    Far,
    Fillers,
    Fluency,
    Generate,
    Kind,
    Labels,
    Latency,
    Limit,
    MaxTokens,
    Method,
    Out,
    Protocol,
    Reference,
    Scope,
    Step,
    Stop,
    Turns,
)
from errata.commands.options import AsJson
from errata.commands.outcome import UsageProblem, reported
from errata.commands.serve import Config, Counterfactual, Device, Model, Threads
from errata.records import to_line
from errata.show import Screen

if TYPE_CHECKING:
    from evaluation.options import Options
    from evaluation.result import Progress as RunProgress
    from evaluation.result import Result

SHOWN_PROBLEMS = 5


def _names(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))


def _numbers(text: str) -> tuple[int, ...]:
    try:
        return tuple(dict.fromkeys(int(part.replace("_", "")) for part in _names(text)))
    except ValueError as error:
        raise UsageProblem(
            f"--edits {text!r}: expected numbers parted by commas, e.g. 1,100,1000"
        ) from error


def _assignments(given: Sequence[str]) -> dict[str, object]:
    """Reads NAME=JSON pairs; their names and ranges are checked by the editors' settings."""
    found: dict[str, object] = {}
    for text in given:
        name, mark, value = text.partition("=")
        try:
            found[name.strip()] = json.loads(value)
        except ValueError as error:
            raise UsageProblem(
                f"--editor-set {text!r}: expected NAME=JSON, e.g. covariance_weight=1000"
                " or fact_token='\"prompt_last\"'"
            ) from error
        if not mark or not name.strip():
            raise UsageProblem(f"--editor-set {text!r}: expected NAME=JSON")
    return found


def eval_(
    dataset: Dataset,
    file: DataFile,
    *,
    out: Out,
    edits: Edits = "1,100,1000",
    method: Method = "auto",
    scope: Scope = "ours",
    protocol: Protocol = "batch",
    step: Step = 1,
    editor_set: EditorSet = None,
    limit: Limit = None,
    kind: Kind = "",
    baselines: Baselines = True,
    generate: Generate = True,
    fillers: Fillers = None,
    far: Far = None,
    labels: Labels = None,
    turns: Turns = None,
    reference: Reference = 200,
    fluency: Fluency = 0,
    latency: Latency = 300,
    max_tokens: MaxTokens = 32,
    stop: Stop = None,
    at_once: AtOnce = 16,
    any_code: AnyCode = False,
    error_budget: ErrorBudget = None,
    model: Model = None,
    device: Device = None,
    threads: Threads = None,
    counterfactual: Counterfactual = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Measures editing on a data set through the server's own parts; needs no server.

    Every answer goes to answers.jsonl as it comes, so an interrupted run goes on where it stopped.
    At its end results.jsonl, problems.jsonl (rows left out) and report.html are written. The
    metrics are defined in docs/evaluation.md.

    Examples:
      errata eval counterfact val.json --edits 100 --out out/cf
      errata eval zsre dev.json --edits 1,100 --method in_context --out out/z
      errata eval counterfact val.json --edits 1000 --no-generate --out out/r
      errata eval counterfact val.json --edits 100 --method memit --out out/e
    """
    screen = Screen.open(json=as_json)
    with reported(screen):
        from evaluation.options import Options  # noqa: PLC0415

        options = Options(
            dataset=dataset,
            file=file,
            out=out,
            edits=_numbers(edits),
            methods=_names(method),
            scopes=_names(scope),
            protocol=protocol,
            step=step,
            editor_settings=_assignments(editor_set or []),
            limit=limit,
            kinds=_names(kind),
            baselines=baselines,
            generate=generate,
            fillers=fillers,
            far=far,
            labels=labels,
            turns=turns,
            reference=reference,
            fluency=fluency,
            latency=latency,
            max_tokens=max_tokens,
            stop=tuple(stop or ()),
            error_budget=error_budget,
            any_code=any_code,
            at_once=at_once,
            settings={
                # The reference of BASE answers decodes in fp32, so the server does too.
                "model": {"name": model, "device": device, "threads": threads, "dtype": "fp32"},
                "counterfactual": {"model": counterfactual},
            },
        )
        _run(screen, options, config)


def _run(screen: Screen, options: Options, config: Path | None) -> None:
    if find_spec("matplotlib") is None:
        raise UsageProblem(
            "The report's figures need matplotlib: in a clone of the project, pip install -c "
            'constraints.txt -e ".[cpu,evaluation]" first.'
        )
    from evaluation.report import write_report  # noqa: PLC0415  # matplotlib.
    from evaluation.run import run  # noqa: PLC0415  # torch.
    from evaluation.table import write_rows  # noqa: PLC0415

    if config is not None:
        os.environ["ERRATA_CONFIG"] = str(config)
    with _Bars(screen) as bars:
        result = run(options, bars.progress)
    write_rows(options.out / "results.jsonl", result.rows)
    report = write_report(options.out / "report.html", options, result)
    _tell(screen, options, result, report)


def _tell(screen: Screen, options: Options, result: Result, report: Path) -> None:
    problems = options.out / "problems.jsonl"
    with problems.open("w", encoding="utf-8") as file:
        for problem in result.data.problems:
            file.write(to_line(problem) + "\n")
    if screen.json:
        for row in result.rows:
            screen.record(row)
        return
    screen.table(
        ("METHOD", "SCOPE", "EDITS", "PROTOCOL", "METRIC", "VALUE", "LOW", "HIGH", "N"),
        [
            (
                row.method,
                row.scope,
                str(row.edits),
                row.protocol,
                row.metric,
                f"{row.value:.4f}",
                f"{row.low:.4f}",
                f"{row.high:.4f}",
                str(row.n),
            )
            for row in result.rows
        ],
    )
    if result.data.problems:
        screen.note(f"{len(result.data.problems)} rows were left out; see {problems}:", "yellow")
        for problem in result.data.problems[:SHOWN_PROBLEMS]:
            screen.note(f"  row {problem.row}, {problem.kind}: {problem.reason}", style="")
    screen.note(f"Written: {options.out / 'results.jsonl'}, {report}")


class _Bars:
    """Draws the progress of a run on stderr, when somebody looks."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=screen.err,
            disable=screen.json or not screen.err.is_terminal,
        )
        self._task: TaskID | None = None

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    @property
    def progress(self) -> RunProgress:
        """What the run calls."""
        from evaluation.result import Progress as RunProgress  # noqa: PLC0415

        return RunProgress(begin=self._begin, advance=self._advance)

    def _begin(self, title: str, total: int) -> None:
        if self._bars.disable and not self._screen.json:
            self._screen.note(f"{title}: {total} to ask")
        self._task = self._bars.add_task(title, total=total)

    def _advance(self) -> None:
        if self._task is not None:
            self._bars.advance(self._task)
