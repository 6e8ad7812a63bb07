"""What telling overlaps costs: single writes with and without it, and a search beside queries.

`python -m benchmarks.overlaps` fills a namespace with edits, four to a subject, and prints the
latency of CreateEdit with and without `check_overlaps`, of new subjects and of those that have four
edits, for one and for sixteen callers; the edits a second that FindOverlaps looks at; and the
latency of ExplainRoute of queries that name such a subject, alone and beside a search.
Calls with and without take turns, so that whatever else the machine does meets both.
"""

from __future__ import annotations

import argparse
import tempfile
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks.made_up import RELATIONS, edits, named_questions
from benchmarks.report import percentiles, print_table, write_json
from benchmarks.server_process import started_server
from errata.client import Client
from errata.results import NewEdit
from evaluation.machine import describe_machine
from memory.record import EditDraft

PER_SUBJECT = 4


def of_subjects(drafts: Sequence[EditDraft]) -> list[NewEdit]:
    """Returns an edit in each of PER_SUBJECT relations for the subject of each draft.

    No two have the same target: the cross-encoder's log-odds of a pair it has read are kept.
    """
    return [
        NewEdit(
            subject=draft.subject,
            prompt=template.format(draft.subject),
            target=f"{targets[0]} {number}",
        )
        for number, draft in enumerate(drafts)
        for template, targets in RELATIONS[:PER_SUBJECT]
    ]


def create(client: Client, number: int, subject: str, *, check: bool) -> float:
    """Creates one edit of a subject that has others; returns its milliseconds."""
    began = time.perf_counter()
    client.create_edit(
        subject=subject,
        prompt=f"Fact {number} about {subject} is",
        target=f"answer {number}",
        check_overlaps=check,
    )
    return (time.perf_counter() - began) * 1000


def creates(
    client: Client, subjects: Sequence[str], callers: int, others: int
) -> list[dict[str, object]]:
    """Latency and throughput of creates, without and with the check, in turns of 25."""
    samples: dict[bool, list[float]] = {False: [], True: []}
    spent = {False: 0.0, True: 0.0}
    with ThreadPoolExecutor(callers) as pool:
        for start in range(0, len(subjects), 25):
            check = start // 25 % 2 == 1
            turn = list(enumerate(subjects[start : start + 25], start=start * 100 + callers))
            began = time.perf_counter()
            samples[check] += pool.map(
                lambda item, check=check: create(client, *item, check=check), turn
            )
            spent[check] += time.perf_counter() - began
    return [
        {
            "what": f"CreateEdit, {'with' if check else 'without'} the check",
            "of its subject": others,
            "callers": callers,
            **percentiles(samples[check]),
            "per second": round(len(samples[check]) / spent[check], 1),
        }
        for check in (False, True)
    ]


def explains(client: Client, questions: Sequence[str], what: str) -> dict[str, object]:
    """Latency of routing a query that names an edited subject."""
    samples = []
    for question in questions:
        began = time.perf_counter()
        client.explain(question)
        samples.append((time.perf_counter() - began) * 1000)
    return {
        "what": f"ExplainRoute, {what}",
        "of its subject": PER_SUBJECT,
        "callers": 1,
        **percentiles(samples),
    }


def search(client: Client) -> dict[str, object]:
    """A whole search."""
    began = time.perf_counter()
    found = sum(1 for _ in client.find_overlaps())
    took = time.perf_counter() - began
    total = client.status(namespace=client.options.namespace).namespaces[0].active
    return {
        "edits": total,
        "pairs": found,
        "seconds": round(took, 1),
        "edits a second": round(total / took, 1),
    }


def beside_search(client: Client, questions: Sequence[str]) -> dict[str, object]:
    """Routes while a search runs in another thread, over and over."""
    stop = threading.Event()

    def searching() -> None:
        while not stop.is_set():
            for _ in client.find_overlaps():
                if stop.is_set():
                    break

    thread = threading.Thread(target=searching)
    thread.start()
    try:
        return explains(client, questions, "beside a search")
    finally:
        stop.set()
        thread.join()


def main() -> None:
    """Reads the options, measures, prints and writes."""
    parser = argparse.ArgumentParser(description="What telling overlaps costs.")
    parser.add_argument("--model", default="pocket/base")
    parser.add_argument("--subjects", type=int, default=2500, help="each with four edits")
    parser.add_argument("--creates", type=int, default=400, help="single creates a row")
    parser.add_argument("--queries", type=int, default=200)
    options = parser.parse_args()
    made = list(edits(options.subjects + 4 * options.creates))
    drafts = made[: options.subjects]
    strangers = [draft.subject for draft in made[options.subjects :]]
    subjects = [draft.subject for draft in drafts]
    # Others beside the search, as a query that is asked again costs no pair.
    questions, others = (named_questions(options.queries, drafts, seed) for seed in (1, 2))
    rows: list[dict[str, object]] = []
    with (
        tempfile.TemporaryDirectory(prefix="errata-bench-") as directory,
        started_server(Path(directory) / "data", model=options.model) as server,
        Client(server.address, namespace="overlaps") as client,
    ):
        client.import_edits(of_subjects(drafts))
        found = search(client)
        for callers in (1, 16):
            begin = 0 if callers == 1 else 2 * options.creates
            new = strangers[begin : begin + 2 * options.creates]
            rows += creates(client, new, callers, others=0)
            chosen = [subjects[n % len(subjects)] for n in range(2 * options.creates)]
            rows += creates(client, chosen, callers, others=PER_SUBJECT)
        rows.append(explains(client, questions, "alone"))
        rows.append(beside_search(client, others))
    print(describe_machine())
    heads = (
        "what",
        "of its subject",
        "callers",
        "p50_ms",
        "p90_ms",
        "p99_ms",
        "max_ms",
        "per second",
    )
    print_table("Overlaps", [{head: row.get(head, "-") for head in heads} for row in rows])
    print_table("FindOverlaps", [found])
    print(f"written: {write_json('overlaps', {'rows': rows, 'search': found})}")


if __name__ == "__main__":
    main()
