"""One whole life of an edition under load: `python -m benchmarks.consolidation`.

edit → ask → consolidate under load → gate → activate → ask → back and forth → roll back → ask

Facts that the model knows get other answers; a real server writes them into its weights while
callers stream answers at a fixed rate. Printed: the log with times; time to first token before and
while the job runs; the pause that activating makes in a running stream; what the edition takes on
disk, by layer; and whether, after the roll-back, every probability is bit for bit the former one.
Ends with 1 when a request failed, a stream stood still for too long, or the roll-back is not exact.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

from benchmarks.report import percentiles, print_table, write_json
from benchmarks.server_process import started_server
from errata.answers import RouteKind
from errata.client import Client
from errata.edition_results import Edition, Operation
from errata.requests import RoutingOptions
from errata.results import NewEdit
from evaluation.machine import describe_machine
from runtime.build import BUNDLE

OFF = RoutingOptions(policy="off")
FAR = (
    "The harbour town on the northern coast is known for",
    "Once upon a time there was",
    "The capital of Norway is",
)
ASIDE = 2  # Callers that ask while everything else happens.
PAUSE_MS_MAX = 100.0  # Asked for: of a stream, when an edition is activated.
FLOAT = 4  # Bytes of a stored number.


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """A fact that ships: a prompt, the answer, and another answer of its relation."""

    subject: str
    prompt: str
    own: str
    other: str


@dataclass(slots=True)
class Load:
    """Callers that stream answers at a fixed rate, and what they saw."""

    address: str
    prompts: Sequence[str]
    per_second: float
    firsts_ms: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)

    def run(self, number: int) -> None:
        """Asks until stopped; the first text of each answer is timed."""
        period_s = ASIDE / self.per_second
        due_s = time.monotonic() + number * period_s / ASIDE
        asked = number
        with Client(self.address) as client:
            while not self.stop.wait(max(0.0, due_s - time.monotonic())):
                due_s = max(due_s + period_s, time.monotonic())
                asked += ASIDE
                began_s = time.perf_counter()
                try:
                    with client.stream(
                        self.prompts[asked % len(self.prompts)], max_tokens=16, ignore_eos=True
                    ) as pieces:
                        next(iter(pieces))
                        self.firsts_ms.append(1000 * (time.perf_counter() - began_s))
                        for _ in pieces:
                            pass
                except Exception as error:  # noqa: BLE001  # Whatever it is, it is counted.
                    self.failures.append(f"{type(error).__name__}: {error}")


@contextmanager
def asking(address: str, prompts: Sequence[str], per_second: float) -> Iterator[Load]:
    """Keeps callers asking while the block runs."""
    load = Load(address, prompts, per_second)
    threads = [threading.Thread(target=load.run, args=(number,)) for number in range(ASIDE)]
    for thread in threads:
        thread.start()
    try:
        yield load
    finally:
        load.stop.set()
        for thread in threads:
            thread.join()


class Log:
    """Prints what happens with the seconds since the start."""

    def __init__(self) -> None:
        self._began_s = time.monotonic()

    def __call__(self, text: str) -> None:
        """Prints one line, at once."""
        print(f"{time.monotonic() - self._began_s:8.1f} s  {text}", flush=True)


def candidates(seed: int) -> Iterator[Known]:
    """Yields facts that ship with another answer each, in a random order."""
    relations: dict[str, Any] = json.loads((BUNDLE / "relations.json").read_text(encoding="utf-8"))
    with (BUNDLE / "facts.jsonl").open(encoding="utf-8") as lines:
        facts = [json.loads(line) for line in lines]
    objects: dict[str, set[str]] = {}
    for fact in facts:
        objects.setdefault(fact["relation"], set()).add(fact["object"])
    draw = Random(seed)
    draw.shuffle(facts)
    for fact in facts:
        others = sorted(objects[fact["relation"]] - {fact["object"]})
        if others:
            yield Known(
                subject=fact["subject"],
                prompt=relations[fact["relation"]]["cloze"][0].replace("{}", fact["subject"]),
                own=fact["object"],
                other=draw.choice(others),
            )


def known_facts(client: Client, count: int, seed: int) -> list[Known]:
    """Returns facts that the served model answers as they ship, one for each subject."""
    found: dict[str, Known] = {}
    for fact in candidates(seed):
        if fact.subject not in found and says(client, fact.prompt, fact.own, routing=OFF):
            found[fact.subject] = fact
        if len(found) == count:
            return list(found.values())
    raise RuntimeError(f"the model knows {len(found)} of the facts that ship; ask for fewer edits")


def says(client: Client, prompt: str, answer: str, **options: Any) -> bool:
    """Whether the greedy answer begins with `answer`."""
    text = client.generate(prompt, max_tokens=12, **options).text
    return text.strip().lower().startswith(answer.lower())


def frozen_scores(client: Client, facts: Sequence[Known]) -> list[Any]:
    """Log-probabilities of both answers to each prompt, of the model that answers without edits."""
    return [
        client.score(fact.prompt, [f" {fact.own}", f" {fact.other}"], routing=OFF).scores
        for fact in facts
    ]


def ask_all(log: Log, client: Client, facts: Sequence[Known]) -> dict[str, int]:
    """Asks every edit's prompt, says how it was answered, and counts."""
    routes = dict.fromkeys(RouteKind, 0)
    new = 0
    for fact in facts:
        answer = client.generate(fact.prompt, max_tokens=12)
        routes[answer.route] += 1
        new += answer.text.strip().lower().startswith(fact.other.lower())
    far = sum(client.generate(prompt, max_tokens=8).route is RouteKind.BASE for prompt in FAR)
    edition = client.generate(FAR[0], max_tokens=1).edition
    log(
        f"asked on edition {edition}: {new} of {len(facts)} edits get the new answer, "
        f"{routes[RouteKind.BASE]} at base cost, {routes[RouteKind.EDITED]} through a path; "
        f"{far} of {len(FAR)} far prompts go to the base"
    )
    return {"edition": edition, "new": new, "base": routes[RouteKind.BASE]}


def follow(log: Log, client: Client, operation: Operation) -> Operation:
    """Waits for the job's end and says each stage."""
    stage = ""

    def tell(now: Operation) -> None:
        nonlocal stage
        if now.stage != stage:
            stage = now.stage
            log(f"  job: {stage}")

    return client.wait_operation(operation, on_progress=tell)


def pauses_ms(address: str, client: Client, editions: Sequence[int], rounds: int) -> dict[str, Any]:
    """Activates back and forth beside a running stream; returns gaps between its pieces.

    A gap that overlaps an activation is set against gaps elsewhere in the same streams.
    """
    arrived: list[list[float]] = []
    stop = threading.Event()

    def stream() -> None:
        with Client(address) as own:
            while not stop.is_set():
                with own.stream(FAR[0], max_tokens=160, ignore_eos=True) as pieces:
                    arrived.append([time.perf_counter() for _ in pieces])

    thread = threading.Thread(target=stream)
    thread.start()
    calls: list[tuple[float, float]] = []
    for number in range(rounds):
        time.sleep(0.3)
        began_s = time.perf_counter()
        client.activate_edition(editions[number % len(editions)])
        calls.append((began_s, time.perf_counter()))
    stop.set()
    thread.join()
    during: list[float] = []
    elsewhere: list[float] = []
    for times in arrived:
        for one, other in pairwise(times):
            overlaps = any(one < end and other > begin for begin, end in calls)
            (during if overlaps else elsewhere).append(1000 * (other - one))
    return {
        "activations": len(calls),
        "call_ms": percentiles([1000 * (end - begin) for begin, end in calls]),
        "gap_during_ms": percentiles(during),
        "gap_elsewhere_ms": percentiles(elsewhere),
    }


def size_rows(edition: Edition) -> list[dict[str, object]]:
    """Returns what each matrix takes and the smaller of its two forms, in numbers."""
    rows: list[dict[str, object]] = []
    for one in edition.matrices:
        full = one.rows * one.columns
        factors = one.rank * (one.rows + one.columns)
        rows.append(
            {
                "matrix": one.module,
                "d_out x d_in": f"{one.rows} x {one.columns}",
                "rank": one.rank or "full",
                "stored": factors if one.rank else full,
                "smaller form": min(factors, full) if one.rank else full,
            }
        )
    return rows


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Goes through the whole life; returns everything that was measured."""
    log = Log()
    environment = {"ERRATA_MODEL__THREADS": str(options.threads)}
    with (
        tempfile.TemporaryDirectory(prefix="errata-bench-") as folder,
        started_server(
            Path(folder) / "data", model=options.model, environment=environment
        ) as server,
        Client(server.address, timeout_s=300.0) as client,
    ):
        log(f"server ready with {options.model}")
        facts = known_facts(client, options.edits, options.seed)
        before = frozen_scores(client, facts)
        client.create_edits(
            [NewEdit(subject=f.subject, prompt=f.prompt, target=f.other) for f in facts]
        )
        log(f"{len(facts)} edits, such as: {facts[0].prompt} {facts[0].own} -> {facts[0].other}")
        first = ask_all(log, client, facts)
        prompts = [*FAR, *(fact.prompt for fact in facts[:3])]
        with asking(server.address, prompts, options.per_second) as idle:
            time.sleep(options.idle_s)
        log(f"asked for {options.idle_s:g} s while nothing else ran: {len(idle.firsts_ms)} answers")
        with asking(server.address, prompts, options.per_second) as busy:
            done = follow(
                log, client, client.consolidate(editor=options.editor, settings=options.settings)
            )
        rows = [
            {
                "measure": one.name,
                "before": "-" if one.before is None else one.before,
                "after": "-" if one.after is None else one.after,
                "asked for": one.limit,
                "probes": one.count,
                "passed": one.passed,
            }
            for one in done.metrics
        ]
        print_table("the gate", rows)
        if done.edition is None:
            raise SystemExit(f"the job ended without an edition: {done.error}")
        return {
            "first": first,
            **_after(log, server.address, client, done.edition, facts, before, options),
            "gate": rows,
            "idle": idle,
            "busy": busy,
        }


def _after(  # noqa: PLR0917  # All that the second half of the life needs.
    log: Log,
    address: str,
    client: Client,
    edition: Edition,
    facts: Sequence[Known],
    before: list[Any],
    options: argparse.Namespace,
) -> dict[str, Any]:
    log(f"edition {edition.number}: {edition.edits_taken} edits taken, {edition.edits_left} left")
    second = ask_all(log, client, facts)
    sizes = size_rows(edition)
    print_table("what the edition stores, in numbers", sizes)
    pauses = pauses_ms(address, client, (0, edition.number), options.activations)
    client.activate_edition(0, reason="the benchmark goes back")
    log("rolled back to edition 0")
    third = ask_all(log, client, facts)
    exact = before == frozen_scores(client, facts)
    log(f"every probability is {'bit for bit' if exact else 'NOT'} the one before the edition")
    return {
        "second": second,
        "third": third,
        "exact": exact,
        "sizes": sizes,
        "bytes": edition.bytes,
        "pauses": pauses,
    }


def tell(found: dict[str, Any]) -> bool:
    """Prints the tables; returns whether everything that must hold held."""
    idle, busy = percentiles(found["idle"].firsts_ms), percentiles(found["busy"].firsts_ms)
    failures = [*found["idle"].failures, *found["busy"].failures]
    print_table(
        "time to first token, ms",
        [{"when": "idle", **idle}, {"when": "while the job runs", **busy}],
    )
    print(f"  p99 ratio {busy['p99_ms'] / idle['p99_ms']:.2f}, failed requests {len(failures)}")
    pauses = found["pauses"]
    print_table(
        f"a stream beside {pauses['activations']} activations, ms between two pieces",
        [
            {"when": "an activation is under way", **pauses["gap_during_ms"]},
            {"when": "else", **pauses["gap_elsewhere_ms"]},
            {"when": "(the call itself)", **pauses["call_ms"]},
        ],
    )
    numbers = sum(row["smaller form"] for row in found["sizes"])
    print(
        f"  the edition is {found['bytes']} bytes for {numbers} numbers ({FLOAT * numbers} bytes)"
    )
    for failure in failures[:5]:
        print(f"  failed: {failure}")
    still = pauses["gap_during_ms"]["max_ms"] - pauses["gap_elsewhere_ms"]["p50_ms"]
    print(f"  longest pause that an activation made: {still:.1f} ms")
    return not failures and bool(found["exact"]) and still <= PAUSE_MS_MAX


def main(arguments: Sequence[str] | None = None) -> int:
    """Reads the options, measures, prints and writes."""
    parser = argparse.ArgumentParser(description="One whole life of an edition under load.")
    add: Callable[..., Any] = parser.add_argument
    add("--model", default="pocket/base")
    add("--editor", default="", help="memit, rome, alphaedit, pmet; default: the server's")
    add("--settings", type=json.loads, default={}, help="of the editor, a JSON object")
    add("--edits", type=int, default=10)
    add("--seed", type=int, default=0)
    add("--threads", type=int, default=0, help="of the served model; 0: all cores")
    add("--per-second", type=float, default=4.0, help="answers asked for beside the job")
    add("--idle-s", type=float, default=60.0, help="seconds of asking before the job begins")
    add("--activations", type=int, default=12)
    options = parser.parse_args(arguments)
    print(describe_machine())
    found = measure(options)
    held = tell(found)
    payload = {
        **{key: value for key, value in found.items() if key not in {"idle", "busy"}},
        "options": vars(options),
        "idle_ms": percentiles(found["idle"].firsts_ms),
        "busy_ms": percentiles(found["busy"].firsts_ms),
        "failures": [*found["idle"].failures, *found["busy"].failures],
    }
    print(f"written: {write_json('consolidation', payload)}")
    return 0 if held else 1


if __name__ == "__main__":
    raise SystemExit(main())
