"""CounterFact through the server's own parts: N edits in memory at once, every probe routed.

`python -m evaluation.in_context --file val.json --edits 1000` prints a table and writes JSON: how
often an edit's own prompt, its paraphrases and its neighbours are routed and answered as they
should be, and whether every BASE answer is the frozen model's own, token for token.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from evaluation.frozen import FrozenModel, same_but_near_ties
from evaluation.machine import describe_machine
from evaluation.metrics import Rate, exact, mean, rate, token_share
from evaluation.records import ProbedEdit, read_counterfact
from memory.record import ConflictPolicy, EditDraft, EditId, EditsPolicy, RouteKind
from runtime.build import Runtime, build_runtime, model_folder
from runtime.config import read_settings
from runtime.engine.contract import Sampling
from runtime.question import Question, Routing

ANSWER_TOKENS = 32
AT_ONCE = 16  # Probes in flight.


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """One thing to ask."""

    kind: str  # "edit", "rephrase", "rephrase_cleaned" or "neighbour".
    record: int
    prompt: str
    target: str  # What an edited answer should say; empty for a neighbour.


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What was answered to one probe; one line of answers.jsonl."""

    kind: str
    record: int
    prompt: str
    target: str
    text: str
    token_ids: tuple[int, ...]
    edited: bool
    own_edit: bool  # Routed to the record's own edit (first hit).
    score: float  # Of the best candidate.
    token_share: float  # Teacher-forced, of the target.
    route_ms: float


def probes_of(records: Sequence[ProbedEdit]) -> list[Probe]:
    """All probes of the records, kind by kind."""
    asked = []
    for place, record in enumerate(records):
        for kind, prompt, target in (
            ("edit", record.prompt, record.target),
            ("rephrase", record.rephrase, record.target),
            ("rephrase_cleaned", record.rephrase_cleaned, record.target),
            ("neighbour", record.neighbour, ""),
        ):
            asked.append(Probe(kind=kind, record=place, prompt=prompt, target=target))
    return asked


async def ask_all(
    runtime: Runtime, asked: Sequence[Probe], *, policy: EditsPolicy, console: Console
) -> list[Outcome]:
    """Asks every probe, some at a time, in their order."""
    gate = asyncio.Semaphore(AT_ONCE)
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task("asking", total=len(asked))

        async def one(probe: Probe) -> Outcome:
            async with gate:
                outcome = await ask(runtime, probe, policy)
            progress.advance(task)
            return outcome

        return list(await asyncio.gather(*(one(probe) for probe in asked)))


async def ask(runtime: Runtime, probe: Probe, policy: EditsPolicy) -> Outcome:
    """Asks one probe: a free greedy answer, and the target's tokens by teacher forcing."""
    question = Question(
        prompt=probe.prompt,
        sampling=Sampling(max_tokens=ANSWER_TOKENS),
        routing=Routing(policy=policy),
    )
    answer = await runtime.runner.generate(question)
    share = 0.0
    if probe.target:
        scored = await runtime.runner.score(question, [f" {probe.target}"])
        share = token_share(scored.scores[0].greedy)
    route, timings = answer.provenance.route, answer.provenance.timings
    ranked = [*route.hits, *(r.decision for r in route.rejections)]
    return Outcome(
        kind=probe.kind,
        record=probe.record,
        prompt=probe.prompt,
        target=probe.target,
        text=answer.text,
        token_ids=tuple(token.token_id for token in answer.tokens),
        edited=route.kind is RouteKind.EDITED,
        own_edit=bool(route.hits) and route.hits[0].candidate.edit.id == _edit_id(probe.record),
        score=max((d.score for d in ranked), default=0.0),
        token_share=share,
        route_ms=timings.encode_ms + timings.retrieve_ms + timings.scope_ms,
    )


def summarise(outcomes: Sequence[Outcome], identical: dict[int, tuple[bool, bool]]) -> list[Rate]:
    """The metrics of one run; `identical` tells, by place, how a BASE answer compares."""
    rows = []
    for kind, name in (
        ("edit", "reliability"),
        ("rephrase", "generalization"),
        ("rephrase_cleaned", "generalization_cleaned"),
    ):
        of_kind = [o for o in outcomes if o.kind == kind]
        rows.append(rate(f"{name}_exact", [exact(o.text, o.target) for o in of_kind]))
        rows.append(mean(f"{name}_token", [o.token_share for o in of_kind]))
        rows.append(rate(f"router_recall_{kind}", [o.own_edit for o in of_kind]))
        routed = [o for o in of_kind if o.own_edit]
        rows.append(rate(f"{name}_exact_when_routed", [exact(o.text, o.target) for o in routed]))
        rows.append(rate(f"wrong_edit_{kind}", [o.edited and not o.own_edit for o in of_kind]))
    neighbours = [(place, o) for place, o in enumerate(outcomes) if o.kind == "neighbour"]
    rows.append(rate("false_route_neighbour", [o.edited for _, o in neighbours]))
    rows.append(rate("locality_identical", [identical[place][0] for place, _ in neighbours]))
    rows.append(mean("locality_token", [o.token_share for _, o in neighbours]))
    base = [identical[place] for place, o in enumerate(outcomes) if not o.edited]
    rows.append(rate("base_identical", [same for same, _ in base]))
    rows.append(rate("base_identical_but_near_ties", [same or near for same, near in base]))
    times = sorted(o.route_ms for o in outcomes)
    for name, share in (("route_ms_p50", 0.50), ("route_ms_p99", 0.99)):
        value = times[int(share * (len(times) - 1))]
        rows.append(Rate(metric=name, value=value, low=value, high=value, n=len(times)))
    return rows


async def compare_with_frozen(
    runtime: Runtime, outcomes: list[Outcome], frozen: FrozenModel, console: Console
) -> dict[int, tuple[bool, bool]]:
    """Compares every BASE and every neighbour's answer with the frozen model's own.

    Fills in the neighbours' `token_share`: how much of the frozen answer the routed model would
    still say, token by token.
    """
    identical: dict[int, tuple[bool, bool]] = {}
    known: dict[str, Any] = {}
    with Progress(console=console, transient=True) as progress:
        for place in progress.track(range(len(outcomes)), description="reference"):
            outcome = outcomes[place]
            if outcome.edited and outcome.kind != "neighbour":
                continue
            if outcome.prompt not in known:
                known[outcome.prompt] = frozen.answer(outcome.prompt, max_tokens=ANSWER_TOKENS)
            reference = known[outcome.prompt]
            ours = frozen.without_end(outcome.token_ids)
            identical[place] = same_but_near_ties(ours, reference)
            if outcome.kind == "neighbour":
                share = 1.0
                if outcome.edited and reference.text:
                    question = Question(prompt=outcome.prompt, sampling=Sampling(max_tokens=1))
                    scored = await runtime.runner.score(question, [reference.text])
                    share = token_share(scored.scores[0].greedy)
                outcomes[place] = replace(outcome, token_share=share)
    return identical


def write_edits(runtime: Runtime, records: Sequence[ProbedEdit]) -> float:
    """Puts the records' edits into the memory; returns the seconds it took."""
    started = time.perf_counter()
    drafts = [
        EditDraft(
            subject=record.subject,
            prompt=record.prompt,
            target=record.target,
            former=record.former,
            edit_id=_edit_id(place),
        )
        for place, record in enumerate(records)
    ]
    for first in range(0, len(drafts), 256):
        runtime.memory.create_batch(
            drafts[first : first + 256], on_conflict=ConflictPolicy.SUPERSEDE
        )
    return time.perf_counter() - started


def _edit_id(place: int) -> EditId:
    return EditId(f"record-{place}")


async def run(options: argparse.Namespace, console: Console) -> dict[str, object]:
    """Runs the evaluation and returns what is written to results.json."""
    records = read_counterfact(options.file, limit=options.edits)
    with tempfile.TemporaryDirectory(prefix="errata-evaluation-") as directory:
        runtime = build_runtime(
            read_settings(
                {
                    "memory": {"directory": directory},
                    # The frozen reference decodes in fp32, whatever the device.
                    "model": {"name": options.model, "dtype": "fp32", "queue_max": 4 * AT_ONCE},
                    "routing": {
                        "classifier": options.classifier,
                        "error_budget": options.error_budget,
                    },
                    "in_context": {
                        "demonstrations": options.demonstrations,
                        "choose": options.choose,
                    },
                }
            )
        )
        try:
            write_seconds = write_edits(runtime, records)
            outcomes = await ask_all(
                runtime,
                probes_of(records),
                policy=EditsPolicy.OFF if options.no_edits else EditsPolicy.AUTO,
                console=console,
            )
            frozen = FrozenModel(model_folder(options.model))
            identical = await compare_with_frozen(runtime, outcomes, frozen, console)
            classifier = f"{runtime.classifier.name}@{runtime.classifier.version}"
        finally:
            runtime.close()
    options.out.mkdir(parents=True, exist_ok=True)
    with (options.out / "answers.jsonl").open("w", encoding="utf-8") as answers:
        for outcome in outcomes:
            answers.write(json.dumps(asdict(outcome), ensure_ascii=False) + "\n")
    return {
        "file": options.file.name,
        "edits": len(records),
        "model": options.model,
        "classifier": classifier,
        "error_budget": options.error_budget,
        "demonstrations": options.demonstrations,
        "no_edits": options.no_edits,
        "answer_tokens": ANSWER_TOKENS,
        "write_seconds": round(write_seconds, 2),
        "rows": [asdict(row) for row in summarise(outcomes, identical)],
    }


def main() -> None:
    """Reads the options, runs, prints and writes."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--file", type=Path, required=True, help="CounterFact in EasyEdit's schema")
    parser.add_argument("--edits", type=int, default=1000, help="edits in memory at once")
    parser.add_argument("--model", default="pocket/base")
    parser.add_argument("--classifier", default="features")
    parser.add_argument("--error-budget", type=float, default=None)
    parser.add_argument("--demonstrations", type=int, default=0)
    parser.add_argument("--choose", choices=("similar", "fixed"), default="similar")
    parser.add_argument("--no-edits", action="store_true", help="the frozen model, as a baseline")
    parser.add_argument("--out", type=Path, default=Path("evaluation/out/in_context"))
    options = parser.parse_args()
    console = Console()
    result = {"machine": describe_machine(), **asyncio.run(run(options, console))}
    table = Table(title=f"{result['file']}, {result['edits']} edits, {result['model']}")
    for head in ("metric", "value", "95% interval", "n"):
        table.add_column(head, justify="left" if head == "metric" else "right")
    rows: Any = result["rows"]
    for row in rows:
        table.add_row(
            row["metric"],
            f"{row['value']:.4f}",
            f"{row['low']:.4f} to {row['high']:.4f}",
            str(row["n"]),
        )
    console.print(table)
    file = options.out / "results.json"
    file.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    console.print(f"written: {file}")


if __name__ == "__main__":
    main()
