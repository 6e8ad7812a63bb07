"""A large import with kill -9 in the middle: resumed without loss and without duplicates.

`python -m benchmarks.interrupted_import --edits 100000` starts a real server, streams the edits
with an import id, kills the server when half of them are acknowledged, starts it again on the
same data, sends the whole import again with the same id, and counts what is there, by subject.
"""

from __future__ import annotations

import argparse
import signal
import tempfile
import time
from collections import Counter
from pathlib import Path

from benchmarks.made_up import edits
from benchmarks.report import print_table, write_json
from benchmarks.server_process import ServerProcess, started_server
from benchmarks.writes import new_edit
from errata.client import Client
from errata.errors import ClientError
from errata.options import ClientOptions
from errata.results import ImportProgress, NewEdit
from errata.retry import RetryPolicy
from evaluation.machine import describe_machine

IMPORT_ID = "interrupted"


def import_until_killed(server: ServerProcess, rows: list[NewEdit], kill_at: int) -> int:
    """Imports, kills the server at `kill_at` durable rows; returns the last row acknowledged."""
    acknowledged = 0

    def progress(report: ImportProgress) -> None:
        nonlocal acknowledged
        acknowledged = max(acknowledged, report.durable_row)
        if acknowledged >= kill_at and server.process.poll() is None:
            server.process.send_signal(signal.SIGKILL)
            server.process.wait()

    options = ClientOptions(retry=RetryPolicy(attempts=1))
    with Client(server.address, options=options) as client:
        try:
            client.import_edits(rows, import_id=IMPORT_ID, progress=progress)
        except ClientError as error:
            print(f"the import broke off, as it should: {error}")
        else:
            raise RuntimeError("the import ended before the server was killed; raise --edits")
    return acknowledged


def count_subjects(client: Client) -> Counter[str]:
    """How often each subject is there."""
    return Counter(edit.subject for edit in client.export_edits())


def main() -> None:
    """Reads the options, runs, prints and writes."""
    parser = argparse.ArgumentParser(description="An import that survives kill -9.")
    parser.add_argument("--model", default="pocket/base")
    parser.add_argument("--edits", type=int, default=100_000)
    options = parser.parse_args()
    rows = [new_edit(draft) for draft in edits(options.edits)]
    with tempfile.TemporaryDirectory(prefix="errata-bench-") as directory:
        data = Path(directory) / "data"
        began = time.perf_counter()
        with started_server(data, model=options.model) as server:
            acknowledged = import_until_killed(server, rows, options.edits // 2)
        with started_server(data, model=options.model) as server, Client(server.address) as client:
            survived = count_subjects(client)
            report = client.import_edits(rows, import_id=IMPORT_ID)
            found = count_subjects(client)
            restart_s = server.start_seconds
        took = time.perf_counter() - began
    lost = sum(row.subject not in survived for row in rows[:acknowledged])
    missing = sum(row.subject not in found for row in rows)
    duplicated = sum(count > 1 for count in found.values())
    result = {
        "edits": options.edits,
        "acknowledged before the kill": acknowledged,
        "acknowledged and lost": lost,
        "there after the restart": sum(survived.values()),
        "taken by the second run": report.created,
        "known from the first run": report.already_imported,
        "missing at the end": missing,
        "duplicated at the end": duplicated,
        "restart s": round(restart_s, 1),
        "all s": round(took, 1),
    }
    print(describe_machine())
    print_table("An import with kill -9 in the middle", [result])
    print(f"written: {write_json('interrupted_import', result)}")
    if lost or missing or duplicated:
        raise SystemExit("edits were lost or duplicated")


if __name__ == "__main__":
    main()
