"""One self-contained HTML page of a run: tables, figures, worst cases, what the names mean.

No script, no address outside the page: it can be mailed, and opened in ten years.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape
from pathlib import Path

from evaluation.asking import Block
from evaluation.figures import calibration_figure, curve_figure, latency_figure, roc_figure
from evaluation.glossary import METRICS
from evaluation.machine import describe_machine
from evaluation.memory_method import NO_EDITS
from evaluation.options import Options
from evaluation.outcome import Outcome
from evaluation.result import Result
from evaluation.scopes import NOTHING
from evaluation.table import Row
from evaluation.worst import worst_cases
from runtime.consolidation.editors import EDITORS

CURVES = (
    "reliability_exact",
    "generalization_exact",
    "generalization_follows_exact",
    "router_recall_paraphrase",
    "router_recall_paraphrase_follows",
    "wrong_edit",
    "false_route_neighbour",
    "false_route_distracting",
    "false_route_same_subject",
    "false_route_far",
    "locality_identical",
    "score_s",
    "scope_ms_p50",
    "scope_ms_p99",
)
CSS = """
:root { color-scheme: light; }
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 74rem; padding: 0 1rem;
  color: #1d2429; background: #fff; }
h1, h2, h3 { line-height: 1.2; } h2 { margin-top: 2.5rem; border-bottom: 1px solid #d5dade; }
table { border-collapse: collapse; font-size: 13px; font-variant-numeric: tabular-nums; }
th, td { padding: .2rem .6rem; border-bottom: 1px solid #e6eaed; text-align: right;
  vertical-align: top; }
th:first-child, td:first-child, td.text, th.text { text-align: left; }
td.text { max-width: 30rem; overflow-wrap: anywhere; } .wide { overflow-x: auto; }
small { color: #5b6770; } td small { white-space: nowrap; }
figure { display: inline-block; margin: .5rem; }
svg { max-width: 100%; height: auto; } dt { font-weight: 600; } dd { margin: 0 0 .4rem 1.5rem; }
details { margin: .5rem 0; } summary { cursor: pointer; }
""".strip()


def write_report(path: Path, options: Options, result: Result) -> Path:
    """Writes the page and returns its path; the file changes whole."""
    parts = [
        _head(options, result),
        _figures(result),
        *_tables(result.rows),
        _worst(result.outcomes),
        _problems(result),
        _glossary(result.rows),
    ]
    title = f"{result.data.name}: {result.data.file}"
    page = (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>\n{CSS}\n</style>\n</head>\n<body>\n"
        + "\n".join(part for part in parts if part)
        + "\n</body>\n</html>\n"
    )
    beside = path.with_name(path.name + ".partial")
    beside.write_text(page, encoding="utf-8")
    beside.replace(path)
    return path


def _head(options: Options, result: Result) -> str:
    machine = describe_machine()
    said = {
        "data": f"{result.data.name}, {result.data.file}, SHA-256 {result.data.sha256}",
        "records": f"{len(result.data.records)} read, {len(result.data.problems)} rows left out; "
        f"probed: {options.limit or 'all'}",
        "model": result.model,
        "thresholds": ", ".join(f"{name} {at:.4f}" for name, at in result.thresholds.items()),
        "answers": f"greedy, at most {options.max_tokens} tokens"
        if options.generate
        else "none: routes alone",
        "machine": f"{machine['cpu']}, {machine['cores']} cores, load {machine['load_1min']}",
        "taken at": str(machine["taken_at"]),
    }
    rows = "".join(
        f'<tr><td>{escape(name)}</td><td class="text">{escape(str(value))}</td></tr>'
        for name, value in said.items()
    )
    return f"<h1>{escape(result.data.name)}</h1>\n<table>{rows}</table>"


def _tables(rows: Sequence[Row]) -> Iterator[str]:
    """One table for each number of edits and protocol: metrics down, methods across."""
    blocks: dict[tuple[int, str], list[Row]] = {}
    for row in rows:
        blocks.setdefault((row.edits, row.protocol), []).append(row)
    yield "<h2>Tables</h2>"
    for (edits, protocol), of in sorted(blocks.items()):
        methods = list(dict.fromkeys((row.method, row.scope) for row in of))
        cells = {(row.metric, row.method, row.scope): row for row in of}
        head = "".join(
            f"<th>{escape(method)}<br><small>{escape(scope)}</small></th>"
            for method, scope in methods
        )
        body = "".join(
            f"<tr><td>{escape(metric)}</td>"
            + "".join(_cell(cells.get((metric, *pair))) for pair in methods)
            + "</tr>"
            for metric in dict.fromkeys(row.metric for row in of)
        )
        title = f"{edits} edit{'s' * (edits > 1)}, {protocol}" if edits else "no edits"
        yield (
            f'<h3>{escape(title)}</h3>\n<div class="wide"><table><tr><th>metric</th>{head}</tr>'
            f"{body}</table></div>"
        )


def _cell(row: Row | None) -> str:
    if row is None:
        return "<td></td>"
    about = f"{_number(row.low)} to {_number(row.high)}, n = {row.n}"
    return f"<td>{_number(row.value)}<br><small>{about}</small></td>"


def _number(value: float) -> str:
    return f"{value:.4f}" if abs(value) <= 1 else f"{value:.1f}"


def _figures(result: Result) -> str:
    figures: list[str] = []
    for metric in CURVES:
        of = [row for row in result.rows if row.metric == metric and row.edits > 0]
        if len({row.edits for row in of}) > 1:
            figures.append(curve_figure(metric, of))
    by_scope = _largest_by_scope(result.outcomes)
    if by_scope:
        probable = {name: of for name, of in by_scope.items() if name in result.calibrated}
        if probable:
            figures.append(calibration_figure(probable))
        figures.append(roc_figure(by_scope, result.thresholds))
    largest = max((edits for _, edits in result.route_ms), default=0)
    times = {scope: of for (scope, edits), of in result.route_ms.items() if edits == largest}
    if times:
        figures.append(latency_figure(times))
    shown = "\n".join(f"<figure>{figure}</figure>" for figure in figures)
    return f"<h2>Curves, calibration, ROC, latency</h2>\n{shown}" if figures else ""


def _largest_by_scope(
    outcomes: Mapping[Block, Sequence[Outcome]],
) -> dict[str, Sequence[Outcome]]:
    """The outcomes of each scope with the most edits; one method is enough: routes are alike."""
    found: dict[str, tuple[int, Sequence[Outcome]]] = {}
    for block, of in outcomes.items():
        scored = block.scope != NOTHING and any(o.asked.routed.best for o in of)
        if scored and block.edits > found.get(block.scope, (0, ()))[0]:
            found[block.scope] = (block.edits, of)
    return {scope: of for scope, (_, of) in found.items()}


def _worst(outcomes: Mapping[Block, Sequence[Outcome]]) -> str:
    parts = []
    for block, of in outcomes.items():
        if block.method == NO_EDITS:
            continue
        kinds = "".join(
            f"<h4>{escape(title)}</h4>{_cases(cases)}"
            for title, cases in worst_cases(of, routes=block.method not in EDITORS)
        )
        if kinds:
            name = f"{block.method} / {block.scope}, {block.edits} edits, {block.protocol}"
            parts.append(f"<details><summary>{escape(name)}</summary>{kinds}</details>")
    return f"<h2>Worst cases</h2>\n{''.join(parts)}" if parts else ""


def _cases(outcomes: Iterable[Outcome]) -> str:
    head = (
        '<tr><th>kind</th><th class="text">prompt</th><th class="text">expected</th>'
        '<th class="text">said</th><th class="text">route</th></tr>'
    )
    rows = "".join(_case(outcome) for outcome in outcomes)
    return f'<div class="wide"><table>{head}{rows}</table></div>'


def _case(outcome: Outcome) -> str:
    routed, said = outcome.asked.routed, outcome.asked.said
    cells = (
        outcome.probe.prompt,
        ", ".join(outcome.probe.answers[:2]),
        said.text if said else "",
        (
            f"{routed.path}: {routed.reason} Best: {outcome.best or 'none'} "
            f"({routed.best_score:.3f}); its own edit {routed.own_score:.3f}."
        ),
    )
    shown = "".join(f'<td class="text">{escape(cell)}</td>' for cell in cells)
    return f"<tr><td>{escape(outcome.kind)}</td>{shown}</tr>"


def _problems(result: Result) -> str:
    if not result.data.problems:
        return ""
    rows = "".join(
        f"<tr><td>{p.row}</td><td>{escape(p.kind)}</td>"
        f'<td class="text">{escape(p.reason)}</td></tr>'
        for p in result.data.problems
    )
    return f"<h2>Rows left out</h2>\n<table>{rows}</table>"


def _glossary(rows: Sequence[Row]) -> str:
    del rows  # All names are told: a reader compares runs.
    terms = "".join(
        f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>" for name, text in METRICS.items()
    )
    return f"<h2>What the names mean</h2>\n<dl>{terms}</dl>"
