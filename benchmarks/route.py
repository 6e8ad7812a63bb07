"""What routing adds to a query: milliseconds by stage with 1k, 10k and 100k edits in memory.

`python -m benchmarks.route` prints p50 and p99 of each stage, one query at a time and with eight
callers at once: over mixed queries (in scope, near it and far away), and over queries that all name
an edited subject, so that the default classifier reads a pair for each. It begins to while the
query is encoded; what it waits for the pair is under "scope". Bulk edits carry jittered real
vectors (benchmarks/made_up.py), but those that are asked about have real ones; queries are encoded
for real and all differ, so that no cache answers them. The engine only tokenizes: nothing is
generated.
Edits are prepared first, as a server does in the background; with `--unprepared` each by the first
query that finds it, and with `--while-preparing` beside the queries.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from itertools import islice, product
from pathlib import Path

from benchmarks.made_up import JitteredEncoder, edits, encoded_edits, named_questions, questions
from benchmarks.report import percentiles, print_table, write_json
from classifiers.scope import Preparing, ScopeClassifier
from evaluation.machine import describe_machine
from memory.edit_memory import EditMemory
from memory.encoder import MiniLmEncoder
from memory.record import EditDraft, StageTimings
from runtime.build import CLASSIFIERS, model_folder, named
from runtime.config import RoutingSection
from runtime.engine.transformers_engine import TransformersEngine
from runtime.paths.in_context import InContextPath
from runtime.preparing import EditPreparer
from runtime.query_runner import QueryRunner
from runtime.question import Question

STAGES = ("encode_ms", "retrieve_ms", "scope_ms", "prepare_ms", "total_ms")
BATCH = 2000
PREPARED_S_MAX = 600.0
PREPARED, UNPREPARED, WHILE_PREPARING = "prepared", "unprepared", "while preparing"
KINDS = {"mixed": questions, "named": named_questions}


def fill(memory: EditMemory, drafts: Sequence[EditDraft]) -> float:
    """Writes the drafts; returns the seconds it took."""
    started = time.perf_counter()
    for first in range(0, len(drafts), BATCH):
        memory.create_batch(drafts[first : first + BATCH])
    return time.perf_counter() - started


async def ask(runner: QueryRunner, prompts: Sequence[str], callers: int) -> list[StageTimings]:
    """Routes every prompt, `callers` at a time."""
    waiting = iter(prompts)
    found: list[StageTimings] = []

    async def caller() -> None:
        for prompt in waiting:
            explained = await runner.explain(Question(prompt=prompt))
            found.append(explained.provenance.timings)

    await asyncio.gather(*(caller() for _ in range(callers)))
    return found


def prepare(memory: EditMemory, classifier: ScopeClassifier, how: str, closers: ExitStack) -> None:
    """Prepares the memory's edits, begins to, or leaves them as they are."""
    if how == UNPREPARED or not isinstance(classifier, Preparing):
        return
    preparer = EditPreparer(memory, classifier)
    closers.callback(preparer.close)
    if how == PREPARED:
        assert preparer.wait_for(memory.snapshot().sequence, PREPARED_S_MAX), "it takes too long"


def measure(
    sizes: Sequence[int], queries: int, model: str, scope: str, dtype: str, *, how: str
) -> tuple[list[dict[str, object]], str]:
    """One row per size, kind of queries and number of callers; then how the encoder computed."""
    encoder = MiniLmEncoder(device="cpu", threads=1, dtype=dtype)
    jittered = JitteredEncoder(encoder)
    engine = TransformersEngine.load(model_folder(model), device="cpu")
    rows: list[dict[str, object]] = []
    for size in sizes:
        with (
            tempfile.TemporaryDirectory(prefix="errata-bench-") as directory,
            ExitStack() as closers,
        ):
            memory = EditMemory.open(Path(directory) / "data", encoder=jittered)
            encoded = encoded_edits()
            known = {draft.prompt for draft in encoded}
            more = (draft for draft in edits(size) if draft.prompt not in known)
            drafts = [*encoded, *islice(more, size - len(encoded))]
            seconds = fill(memory, drafts)
            classifier = named(CLASSIFIERS, scope, "--scope")(encoder)
            runner = QueryRunner(
                engine=engine,
                memory=memory,
                encoder=encoder,
                classifier=classifier,
                paths={"in_context": InContextPath(engine)},
            )
            asyncio.run(ask(runner, questions(30, encoded, seed=99), 1))  # Warm-up.
            prepare(memory, classifier, how, closers)
            for kind, callers in product(KINDS, (1, 8)):
                prompts = KINDS[kind](queries, encoded, seed=size + callers)
                timings = asyncio.run(ask(runner, prompts, callers))
                row: dict[str, object] = {"edits": size, "queries": kind, "callers": callers}
                for stage in STAGES:
                    found = percentiles([getattr(t, stage) for t in timings])
                    row[f"{stage.removesuffix('_ms')} p50"] = found["p50_ms"]
                    row[f"{stage.removesuffix('_ms')} p99"] = found["p99_ms"]
                rows.append({**row, "fill s": round(seconds, 1)})
            closers.close()
            runner.close()
            memory.close()
    engine.close()
    computed = encoder.described
    encoder.close()
    return rows, computed


def main() -> None:
    """Reads the options, measures, prints and writes."""
    parser = argparse.ArgumentParser(description="Milliseconds that routing adds, by stage.")
    parser.add_argument("--sizes", default="1000,10000,100000")
    parser.add_argument("--queries", type=int, default=300)
    parser.add_argument("--model", default="pocket/base", help="only its tokenizer is used")
    scope = RoutingSection().classifier
    parser.add_argument("--scope", default=scope, help=f"a scope classifier by name ({scope})")
    parser.add_argument("--dtype", default="auto", help="of the encoder (auto)")
    for word in (UNPREPARED, WHILE_PREPARING):
        flag = f"--{word.replace(' ', '-')}"
        parser.add_argument(flag, dest="how", action="store_const", const=word, default=PREPARED)
    options = parser.parse_args()
    machine = describe_machine()
    sizes = [int(size) for size in options.sizes.split(",")]
    rows, computed = measure(
        sizes,
        options.queries,
        options.model,
        options.scope,
        options.dtype,
        how=options.how,
    )
    print(machine)
    told = f"edits {options.how}, encoder on 1 thread, {computed}"
    print_table(f"Routing by {options.scope}, milliseconds by stage ({told})", rows)
    figures = {
        "queries": options.queries,
        "scope": options.scope,
        "encoder": computed,
        "edits": options.how,
        "rows": rows,
    }
    print(f"written: {write_json('route', figures)}")


if __name__ == "__main__":
    main()
