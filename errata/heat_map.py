"""Draws a causal trace as ROME's figure 1 does: one panel a kind, tokens down, layers across.

SVG is written here; PNG needs matplotlib. Knows nothing of models.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from memory.errors import InvalidInput

CELL, GAP, LABELS, TOP, LEGEND = 22, 46, 130, 64, 90  # Pixels.


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One heat map; `values` has a row a token."""

    title: str
    values: Sequence[Sequence[float]]
    colour: tuple[int, int, int]  # Of the highest value; the lowest is white.


@dataclass(frozen=True, slots=True, kw_only=True)
class HeatMap:
    """Panels over the same tokens and one scale."""

    title: str
    tokens: Sequence[str]
    low: float
    high: float
    panels: Sequence[Panel]


def draw(heat: HeatMap, path: Path) -> None:
    """Writes the drawing; the file's ending says how.

    Raises InvalidInput for another ending than .svg or .png, or PNG without matplotlib.
    """
    kind = path.suffix.lower()
    if kind == ".svg":
        path.write_text(as_svg(heat), encoding="utf-8")
    elif kind == ".png":
        _png(heat, path)
    else:
        raise InvalidInput(
            f"the drawing {str(path)!r} ends in {kind!r}; expected .svg or .png", field="out"
        )


def as_svg(heat: HeatMap) -> str:
    """Returns the drawing as SVG."""
    layers = max((len(row) for panel in heat.panels for row in panel.values), default=0)
    step = layers * CELL + GAP
    width = LABELS + step * len(heat.panels) + LEGEND
    height = TOP + CELL * len(heat.tokens) + 50
    size = f'width="{width}" height="{height}" viewBox="0 0 {width} {height}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="12">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
        f'<text x="12" y="22" font-size="14">{escape(heat.title)}</text>',
    ]
    for row, token in enumerate(heat.tokens):
        y = TOP + CELL * row + CELL * 0.7
        parts.append(f'<text x="{LABELS - 8}" y="{y:.1f}" text-anchor="end">{escape(token)}</text>')
    for number, panel in enumerate(heat.panels):
        parts += _panel(heat, panel, LABELS + step * number, layers)
    parts += _scale(heat, LABELS + step * len(heat.panels), CELL * len(heat.tokens))
    return "\n".join([*parts, "</svg>"]) + "\n"


def _panel(heat: HeatMap, panel: Panel, x: int, layers: int) -> list[str]:
    parts = [f'<text x="{x}" y="{TOP - 12}">{escape(panel.title)}</text>']
    for row, values in enumerate(panel.values):
        for column, value in enumerate(values):
            tip = f"{heat.tokens[row]} layer {column}: {value:.3f}"
            parts.append(
                f'<rect x="{x + CELL * column}" y="{TOP + CELL * row}" width="{CELL}"'
                f' height="{CELL}" fill="{_colour(heat, panel, value)}" stroke="#ddd">'
                f"<title>{escape(tip)}</title></rect>"
            )
    foot = TOP + CELL * len(heat.tokens)
    for column in range(0, layers, max(1, layers // 12)):
        middle = x + CELL * column + CELL / 2
        parts.append(f'<text x="{middle:.0f}" y="{foot + 16}" text-anchor="middle">{column}</text>')
    parts.append(f'<text x="{x}" y="{foot + 36}">layer</text>')
    return parts


def _scale(heat: HeatMap, x: int, height: int) -> list[str]:
    grey = Panel(title="", values=(), colour=(60, 60, 60))
    parts, steps = [], 20
    for number in range(steps):
        value = heat.high - (heat.high - heat.low) * number / (steps - 1)
        y, h = TOP + height * number / steps, height / steps + 0.5
        fill = _colour(heat, grey, value)
        parts.append(f'<rect x="{x}" y="{y:.1f}" width="14" height="{h:.1f}" fill="{fill}"/>')
    parts.append(f'<text x="{x + 20}" y="{TOP + 10}">{heat.high:.2f}</text>')
    parts.append(f'<text x="{x + 20}" y="{TOP + height}">{heat.low:.2f}</text>')
    return parts


def _colour(heat: HeatMap, panel: Panel, value: float) -> str:
    span = heat.high - heat.low
    share = min(1.0, max(0.0, (value - heat.low) / span)) if span > 0 else 0.0
    red, green, blue = (round(255 - (255 - channel) * share) for channel in panel.colour)
    return f"#{red:02x}{green:02x}{blue:02x}"


def _png(heat: HeatMap, path: Path) -> None:
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415
        from matplotlib.colors import LinearSegmentedColormap  # noqa: PLC0415
        from matplotlib.figure import Figure  # noqa: PLC0415
    except ImportError as error:
        raise InvalidInput(
            "a .png needs matplotlib, which is not installed; pip install matplotlib, or name a"
            " .svg file",
            field="out",
        ) from error
    rows = len(heat.tokens)
    figure = Figure(figsize=(4 * len(heat.panels) + 1, 0.3 * rows + 1.6), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(heat.title, fontsize=10)
    for number, panel in enumerate(heat.panels):
        axes = figure.add_subplot(1, len(heat.panels), number + 1)
        top = tuple(channel / 255 for channel in panel.colour)
        shades = LinearSegmentedColormap.from_list(panel.title, [(1, 1, 1), top])
        image = axes.imshow(
            [list(row) for row in panel.values],
            cmap=shades,
            vmin=heat.low,
            vmax=heat.high,
            aspect="auto",
        )
        axes.set_title(panel.title, fontsize=9)
        axes.set_xlabel("layer")
        axes.set_yticks(range(rows), heat.tokens if number == 0 else [""] * rows, fontsize=8)
        figure.colorbar(image, ax=axes)
    figure.savefig(path, dpi=150)
