"""The report of overlaps: what stands in the memory, and what counts as told."""

from __future__ import annotations

import json
import time
from pathlib import Path

from evaluation.overlap_report import Bench, Trial, measure, rate, zsre_bench
from runtime.scoping import ScopeStage
from tests.hash_encoder import HashEncoder
from tests.overlap_kit import BOSS, LED, SEAT, SameQuestion, fact


def row(src: str, rephrase: str, *, subject: str = "Acme", old: str = "Jane") -> dict[str, object]:
    return {
        "subject": subject,
        "src": src,
        "rephrase": rephrase,
        "alt": "Tom",
        "answers": [old],
    }


def test_zsre_rows_that_cannot_contradict_are_left_out(tmp_path: Path) -> None:
    rows = [
        row("Who leads Acme?", "Acme is led by whom?"),
        row("Who leads Acme?", "who leads  Acme"),  # The same prompt: an exact conflict.
        row("Where is Acme?", "Where is Acmeville?"),  # No edit: the subject is not in it.
        row("What is Acme?", "Acme is what?", old="tom"),  # Held, but the answer is the same.
    ]
    path = tmp_path / "rows.json"
    path.write_text(json.dumps(rows), encoding="utf-8")
    bench = zsre_bench(path, limit=10)
    assert ["Who leads Acme?", "What is Acme?"] == [draft.prompt for draft in bench.held]
    (trial,) = bench.trials
    assert ("Acme is led by whom?", "Jane", "Tom") == (
        trial.draft.prompt,
        trial.draft.target,
        trial.contradicts,
    )


def test_a_told_contradiction_counts_and_every_other_pair_counts_against() -> None:
    encoder = HashEncoder(dimension=16)
    scope = ScopeStage(
        encoder=encoder,
        classifier=SameQuestion(),
        candidates=16,
        error_budget=None,
        namespace_budgets={},
        clock=time.perf_counter,
    )
    bench = Bench(
        name="made",
        held=(fact(BOSS, "Jane"), fact(SEAT, "Rome"), fact(BOSS, "Ann", "Bolt")),
        trials=(
            Trial(kind="same", draft=fact(LED, "Tom"), contradicts="Jane"),
            Trial(kind="same", draft=fact(LED, "Tom", "Bolt"), contradicts="Eve"),
            Trial(kind="same", draft=fact("{} was founded by", "Tom"), contradicts="Jane"),
            Trial(kind="other", draft=fact("{} was founded by", "Tom"), contradicts=None),
        ),
    )
    same, other = measure(bench, encoder, scope)
    assert (3, rate(1, 3), rate(1, 3), 1) == tuple(
        same[key] for key in ("n", "told", "others told", "other pairs")
    )
    assert (1, "-", 0) == (other["n"], other["told"], other["other pairs"])
    assert rate(1, 3).startswith("33.3 [")
