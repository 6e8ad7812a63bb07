"""CreateEdit, imports and start-up over gRPC, against a real server process.

`python -m benchmarks.writes` prints the latency of CreateEdit with one caller and with sixteen, the
rate of ImportEdits, and how long a server with those edits takes to start again. Everything is
real: every edit is encoded and durable before it is acknowledged. Nobody looks for overlaps here:
what that adds to a create is the question of `benchmarks.overlaps`.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path

from benchmarks.made_up import edits
from benchmarks.report import percentiles, print_table, write_json
from benchmarks.server_process import started_server
from errata.client import Client
from errata.results import NewEdit
from evaluation.machine import describe_machine
from memory.record import EditDraft


def new_edit(draft: EditDraft) -> NewEdit:
    """The draft as the client takes it."""
    return NewEdit(subject=draft.subject, prompt=draft.prompt, target=draft.target)


def create(client: Client, draft: EditDraft) -> float:
    """Creates one edit; returns its milliseconds."""
    began = time.perf_counter()
    client.create_edit(
        subject=draft.subject, prompt=draft.prompt, target=draft.target, check_overlaps=False
    )
    return (time.perf_counter() - began) * 1000


def creates(address: str, drafts: list[EditDraft], callers: int) -> dict[str, object]:
    """Latency and throughput of single creates."""
    with (
        Client(address, namespace=f"callers-{callers}") as client,
        ThreadPoolExecutor(callers) as pool,
    ):
        began = time.perf_counter()
        samples = list(pool.map(lambda draft: create(client, draft), drafts))
        took = time.perf_counter() - began
    return {
        "what": "CreateEdit",
        "callers": callers,
        "edits": len(drafts),
        **percentiles(samples),
        "per second": round(len(drafts) / took, 1),
    }


def imports(address: str, drafts: list[EditDraft]) -> dict[str, object]:
    """The rate of one import stream."""
    with Client(address, namespace="imported") as client:
        began = time.perf_counter()
        report = client.import_edits(new_edit(draft) for draft in drafts)
        took = time.perf_counter() - began
    if report.created != len(drafts):
        raise RuntimeError(f"{report.created} of {len(drafts)} edits were imported")
    return {
        "what": "ImportEdits",
        "callers": 1,
        "edits": len(drafts),
        "per second": round(len(drafts) / took, 1),
    }


def main() -> None:
    """Reads the options, measures, prints and writes."""
    parser = argparse.ArgumentParser(description="Speed of writes and of starting again.")
    parser.add_argument("--model", default="pocket/base")
    parser.add_argument("--creates", type=int, default=400, help="single creates a row")
    parser.add_argument("--imports", type=int, default=100_000, help="edits in one import")
    options = parser.parse_args()
    source = edits(options.creates * 2 + options.imports)
    rows: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory(prefix="errata-bench-") as directory:
        data = Path(directory) / "data"
        with started_server(data, model=options.model) as server:
            empty_s = server.start_seconds
            for callers in (1, 16):
                drafts = list(islice(source, options.creates))
                rows.append(creates(server.address, drafts, callers))
            rows.append(imports(server.address, list(source)))
        with started_server(data, model=options.model) as server:
            full_s = server.start_seconds
    start = {"empty s": round(empty_s, 2), f"{options.imports} edits s": round(full_s, 2)}
    print(describe_machine())
    heads = ("what", "callers", "edits", "p50_ms", "p90_ms", "p99_ms", "max_ms", "per second")
    print_table("Writes", [{head: row.get(head, "-") for head in heads} for row in rows])
    print_table("Start until the port answers, seconds", [start])
    print(f"written: {write_json('writes', {'rows': rows, 'start': start})}")


if __name__ == "__main__":
    main()
