"""Figures of a report as SVG text to be put into a page. Pure: values in, text out.

Text stays text (no glyph outlines), nothing refers to anything outside the page, and equal values
give equal text.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, PercentFormatter

from evaluation.metrics import clopper_pearson
from evaluation.outcome import Outcome
from evaluation.probes import Scope
from evaluation.table import Row

COLOURS = ("#1b6ca8", "#d1495b", "#3a7d44", "#8c5fb8", "#e08e0b", "#5b6770", "#00898a", "#a0522d")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
BINS = 10
DODGE = 1.03
STYLE: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "errata",
    "font.family": "sans-serif",
    "font.size": 9.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "legend.frameon": False,
}

Line = tuple[Sequence[float], Sequence[float]]


def curve_figure(metric: str, rows: Sequence[Row]) -> str:
    """One metric over the number of edits, a line for each method and scope, with its interval."""
    with mpl.rc_context(STYLE):
        figure, axes = _new(metric, "edits in memory", "")
        series: dict[str, list[Row]] = {}
        stepwise = any("_" in row.protocol for row in rows)
        for row in rows:
            after = f", {row.protocol}" if stepwise else ""
            series.setdefault(f"{row.method} / {row.scope}{after}", []).append(row)
        for place, (name, of) in enumerate(series.items()):
            ordered = sorted(of, key=lambda row: row.edits)
            values = [row.value for row in ordered]
            spread = [
                [max(0.0, row.value - row.low) for row in ordered],
                [max(0.0, row.high - row.value) for row in ordered],
            ]
            axes.errorbar(
                [row.edits * DODGE**place for row in ordered],  # Equal values stay apart.
                values,
                yerr=spread,
                label=name,
                capsize=2,
                linewidth=1.3,
                markersize=4,
                **_look(place),
            )
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,.0f}"))
        if all(0 <= row.value <= 1 for row in rows):
            axes.yaxis.set_major_formatter(PercentFormatter(1.0))
        _legend(axes)
        return _svg(figure)


def calibration_figure(outcomes: Mapping[str, Sequence[Outcome]]) -> str:
    """Reliability diagram: how often the best candidate is right, by the probability it was given.

    A point per tenth of the score that holds probes, with its 95% interval.
    """
    with mpl.rc_context(STYLE):
        figure, axes = _new("reliability diagram", "probability given", "share right")
        axes.plot([0, 1], [0, 1], color="#888888", linewidth=0.8, linestyle="--")
        for place, (name, of) in enumerate(outcomes.items()):
            points = calibration_points(of)
            if not points:
                continue
            intervals = [clopper_pearson(round(found * n), n) for _, found, n in points]
            axes.errorbar(
                [p[0] for p in points],
                [p[1] for p in points],
                yerr=[
                    [max(0.0, p[1] - low) for p, (low, _) in zip(points, intervals, strict=True)],
                    [max(0.0, high - p[1]) for p, (_, high) in zip(points, intervals, strict=True)],
                ],
                label=f"{name} (expected calibration error {calibration_error(points):.3f})",
                capsize=2,
                linewidth=1.2,
                markersize=5,
                **_look(place),
            )
        axes.set_xlim(0, 1)
        axes.set_ylim(0, 1)
        _legend(axes)
        return _svg(figure)


def calibration_points(outcomes: Sequence[Outcome]) -> list[tuple[float, float, int]]:
    """Returns (mean probability, share right, probes) for each tenth of the score with probes.

    The pair that is judged is the probe and its best candidate; open probes are left out.
    """
    bins: list[list[tuple[float, bool]]] = [[] for _ in range(BINS)]
    for outcome in outcomes:
        if outcome.probe.scope is Scope.OPEN or outcome.covered or not outcome.asked.routed.best:
            continue
        score = outcome.asked.routed.best_score
        inside = outcome.probe.scope is Scope.INSIDE and outcome.best_is_own
        bins[min(BINS - 1, int(score * BINS))].append((score, inside))
    return [
        (sum(s for s, _ in held) / len(held), sum(i for _, i in held) / len(held), len(held))
        for held in bins
        if held
    ]


def calibration_error(points: Sequence[tuple[float, float, int]]) -> float:
    """Expected calibration error: the mean gap of probability and share, weighted by probes."""
    total = sum(count for _, _, count in points)
    return sum(abs(given - found) * count for given, found, count in points) / max(1, total)


def roc_figure(outcomes: Mapping[str, Sequence[Outcome]], thresholds: Mapping[str, float]) -> str:
    """ROC of the router: in-scope probes found against out-of-scope probes routed, per scope.

    The mark is the threshold in force. The horizontal axis is logarithmic: what matters is on the
    far left.
    """
    with mpl.rc_context(STYLE):
        figure, axes = _new("ROC of the router", "false routes, to fillers too", "recall")
        least = 1.0
        for place, (name, of) in enumerate(outcomes.items()):
            inside, outside = roc_scores(of)
            if not inside or not outside:
                continue
            xs, ys = roc_line(inside, outside)
            floor = 0.5 / len(outside)
            least = min(least, floor)
            look = _look(place)
            axes.plot(
                [max(floor, x) for x in xs],
                ys,
                drawstyle="steps-post",
                label=f"{name} (area {roc_area(xs, ys):.4f})",
                color=look["color"],
                linewidth=1.3,
            )
            at = thresholds.get(name)
            if at is not None:
                x = sum(score >= at for score in outside) / len(outside)
                y = sum(score >= at for score in inside) / len(inside)
                axes.plot([max(floor, x)], [y], marker=look["marker"], color=look["color"])
        axes.set_xscale("log")
        axes.set_xlim(least * 0.8, 1.0)
        axes.set_ylim(0, 1.02)
        _legend(axes)
        return _svg(figure)


def roc_scores(outcomes: Sequence[Outcome]) -> tuple[list[float], list[float]]:
    """Returns the scores of in-scope probes (of their own edit) and the best of the others."""
    inside = [o.asked.routed.own_score for o in outcomes if o.probe.scope is Scope.INSIDE]
    outside = [
        o.asked.routed.best_score
        for o in outcomes
        if o.probe.scope is Scope.OUTSIDE and not o.covered
    ]
    return inside, outside


def roc_line(inside: Sequence[float], outside: Sequence[float]) -> Line:
    """Returns (false route rates, recalls) at every threshold, from the strictest down."""
    ordered = sorted(
        [(score, True) for score in inside] + [(score, False) for score in outside],
        key=lambda pair: -pair[0],
    )
    xs, ys, found, false = [0.0], [0.0], 0, 0
    for place, (score, is_inside) in enumerate(ordered):
        found, false = found + is_inside, false + (not is_inside)
        last_of_equals = place + 1 == len(ordered) or ordered[place + 1][0] != score
        if last_of_equals:
            xs.append(false / len(outside))
            ys.append(found / len(inside))
    return xs, ys


def roc_area(xs: Sequence[float], ys: Sequence[float]) -> float:
    """The area under the line, by trapezoids (ties count half)."""
    pairs = zip(xs, xs[1:], ys, ys[1:], strict=False)
    return sum((x1 - x0) * (y0 + y1) / 2 for x0, x1, y0, y1 in pairs)


def latency_figure(times: Mapping[str, Sequence[float]]) -> str:
    """The share of queries that routing took at most so long for, one query at a time."""
    with mpl.rc_context(STYLE):
        figure, axes = _new("time that routing adds", "milliseconds", "share of queries")
        for place, (name, of) in enumerate(times.items()):
            ordered = sorted(of)
            shares = [(rank + 1) / len(ordered) for rank in range(len(ordered))]
            axes.plot(ordered, shares, label=name, color=_look(place)["color"], linewidth=1.3)
        axes.set_xscale("log")
        for axis_formatter in (axes.xaxis.set_major_formatter, axes.xaxis.set_minor_formatter):
            axis_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
        axes.set_ylim(0, 1.02)
        _legend(axes)
        return _svg(figure)


def _new(title: str, x: str, y: str) -> tuple[Figure, Any]:
    figure = Figure(figsize=(5.2, 3.6), layout="constrained")
    axes = figure.subplots()
    axes.set_title(title, fontsize=10, loc="left")
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    return figure, axes


def _look(place: int) -> dict[str, str]:
    return {"color": COLOURS[place % len(COLOURS)], "marker": MARKERS[place % len(MARKERS)]}


def _legend(axes: Any) -> None:
    """Puts the legend under the axes, where it hides no line."""
    if axes.get_legend_handles_labels()[0]:
        axes.figure.legend(fontsize=7, loc="outside lower center", ncols=2)


def _svg(figure: Figure) -> str:
    """Returns the figure as an <svg> element alone, without prolog, metadata or addresses."""
    out = io.StringIO()
    figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
    text = out.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r'\sxmlns(:\w+)?="[^"]*"', "", text)  # HTML knows these without an address.
    return text.replace("xlink:href", "href").strip()
