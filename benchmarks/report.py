"""What every benchmark shares: the machine in words, a table for people, JSON for programs.

Knows nothing of what is measured. Times are milliseconds.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from evaluation.machine import describe_machine

RESULTS_DIRECTORY = Path("benchmarks/out")


def print_table(title: str, rows: Sequence[Mapping[str, object]]) -> None:
    """Prints the rows under the keys of the first one, columns aligned."""
    print(f"\n{title}")
    if not rows:
        print("  (no rows)")
        return
    heads = list(rows[0])
    cells = [[_cell(row.get(head, "")) for head in heads] for row in rows]
    widths = [max(len(head), *(len(row[i]) for row in cells)) for i, head in enumerate(heads)]
    for line in (heads, ["-" * width for width in widths], *cells):
        print("  " + "  ".join(text.rjust(width) for text, width in zip(line, widths, strict=True)))


def write_json(name: str, payload: Mapping[str, object]) -> Path:
    """Writes the payload with the machine's description to benchmarks/out/<name>.json."""
    RESULTS_DIRECTORY.mkdir(parents=True, exist_ok=True)
    path = RESULTS_DIRECTORY / f"{name}.json"
    whole = {"machine": describe_machine(), **payload}
    path.write_text(json.dumps(whole, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return path


def percentiles(samples_ms: Sequence[float]) -> dict[str, float]:
    """Returns p50, p90, p99, the maximum and the count of the samples (milliseconds)."""
    if not samples_ms:
        raise ValueError("percentiles of no samples; measure at least one")
    p50, p90, p99 = np.percentile(np.asarray(samples_ms, dtype=np.float64), (50, 90, 99))
    return {
        "p50_ms": round(float(p50), 4),
        "p90_ms": round(float(p90), 4),
        "p99_ms": round(float(p99), 4),
        "max_ms": round(float(max(samples_ms)), 4),
        "count": len(samples_ms),
    }


def _cell(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
