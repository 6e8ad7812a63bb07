"""The tidy table of a run: one row per metric of a block, as results.jsonl holds them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from evaluation.asking import Block
from evaluation.glossary import is_defined
from evaluation.metrics import Rate
from evaluation.options import Options
from evaluation.probes import Dataset
from runtime.build import Runtime


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One figure with everything that it is about."""

    dataset: str
    file_sha256: str
    model: str
    method: str
    scope: str
    edits: int  # In force at once.
    protocol: str
    metric: str
    value: float
    low: float  # The 95% interval.
    high: float
    n: int
    seconds: float  # Wall time of the answers behind it.
    fillers_sha256: str = ""


def make_rows(
    options: Options,
    data: Dataset,
    runtime: Runtime,
    rates: Iterable[tuple[Block, Rate, float]],
) -> tuple[Row, ...]:
    """Puts figures into rows. Raises AssertionError for a metric that no definition names."""
    fillers = _sha256(options.fillers)
    rows = []
    for block, made, seconds in rates:
        assert is_defined(made.metric), f"{made.metric} has no definition"
        rows.append(
            Row(
                dataset=data.name,
                file_sha256=data.sha256,
                model=f"{runtime.engine.info.model}@{runtime.engine.info.fingerprint}",
                method=block.method,
                scope=block.scope,
                edits=block.edits,
                protocol=block.protocol,
                metric=made.metric,
                value=round(made.value, 6),
                low=round(made.low, 6),
                high=round(made.high, 6),
                n=made.n,
                seconds=round(seconds, 3),
                fillers_sha256=fillers,
            )
        )
    return tuple(rows)


def write_rows(path: Path, rows: Sequence[Row]) -> None:
    """Writes the rows, one JSON object a line; the file changes whole."""
    beside = path.with_name(path.name + ".partial")
    text = "".join(json.dumps(asdict(row), ensure_ascii=False) + "\n" for row in rows)
    beside.write_text(text, encoding="utf-8")
    beside.replace(path)


def _sha256(path: Path | None) -> str:
    return "" if path is None else hashlib.sha256(path.read_bytes()).hexdigest()
