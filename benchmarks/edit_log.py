"""What does keeping edits cost? CreateEdit at the memory's level, and the start of a large memory.

    python -m benchmarks.edit_log [--edits 100000] [--seconds 5] [--directory DIR]

Latency and rate of durable creates by number of concurrent callers, and of batches; then the time
to open the memory again by stage. The encoder is left out (vectors are drawn), so that the figures
are those of the log, the index and the matcher; benchmarks of the encoder stand beside this one.
"""

from __future__ import annotations

import argparse
import logging
import resource
import tempfile
import threading
import time
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.report import percentiles, print_table, write_json
from memory.contracts import Matrix
from memory.edit_memory import EditMemory
from memory.record import DEFAULT_NAMESPACE, EditDraft, Query, Vector

DIMENSION = 384
CALLERS = (1, 4, 16, 64)
BATCH = 1000


class DrawnEncoder:
    """Unit vectors drawn from the text's hash: as cheap as an encoder can be."""

    name = "drawn-384"
    dimension = DIMENSION

    def encode(self, text: str) -> Vector:
        """Returns the vector of a text, shape (384,)."""
        rng = np.random.default_rng(zlib.crc32(text.encode()))
        vector = rng.standard_normal(DIMENSION, dtype=np.float32)
        return vector / np.float32(np.linalg.norm(vector))

    def encode_many(self, texts: Sequence[str]) -> Matrix:
        """Returns the vectors of the texts, shape (n, 384)."""
        return np.stack([self.encode(text) for text in texts])


def make_draft(name: str) -> EditDraft:
    """Makes a draft of a usual size."""
    subject = f"Person {name}"
    return EditDraft(
        subject=subject,
        prompt=f"The mother tongue of {subject} is",
        target="French",
        former="English",
        source="benchmark",
    )


def measure_creates(memory: EditMemory, callers: int, seconds: float) -> dict[str, object]:
    """Creates edits one by one from `callers` threads for some seconds."""
    latencies_ms: list[float] = []
    until = time.perf_counter() + seconds

    def call(caller: int) -> None:
        number = 0
        while time.perf_counter() < until:
            draft = make_draft(f"{callers}-{caller}-{number}")
            start = time.perf_counter()
            memory.create(draft)
            latencies_ms.append((time.perf_counter() - start) * 1e3)
            number += 1

    threads = [threading.Thread(target=call, args=(caller,)) for caller in range(callers)]
    started, cpu = time.perf_counter(), time.process_time()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    rate = len(latencies_ms) / (time.perf_counter() - started)
    cpu_ms = (time.process_time() - cpu) * 1e3 / max(1, len(latencies_ms))
    return {
        "callers": callers,
        "edits_per_s": round(rate),
        "cpu_ms_each": round(cpu_ms, 3),
        **percentiles(latencies_ms),
    }


def fill(memory: EditMemory, edits: int) -> dict[str, object]:
    """Creates edits in batches until there are `edits`."""
    latencies_ms: list[float] = []
    start_count = memory.snapshot().count()
    started = time.perf_counter()
    for number in range(start_count, edits, BATCH):
        size = min(BATCH, edits - number)
        drafts = [make_draft(f"batch {number + place}") for place in range(size)]
        start = time.perf_counter()
        memory.create_batch(drafts)
        latencies_ms.append((time.perf_counter() - start) * 1e3)
    rate = (memory.snapshot().count() - start_count) / (time.perf_counter() - started)
    return {"batch": BATCH, "edits_per_s": round(rate), **percentiles(latencies_ms)}


def measure_search(memory: EditMemory, searches: int) -> dict[str, object]:
    """Asks for candidates by vector and mention."""
    encoder = DrawnEncoder()
    snapshot = memory.snapshot()
    latencies_ms: list[float] = []
    for number in range(searches):
        text = f"Which language did Person batch {number * 37} speak at home?"
        query = Query(text=text, vector=encoder.encode(text))
        start = time.perf_counter()
        snapshot.candidates(DEFAULT_NAMESPACE, query, 8)
        latencies_ms.append((time.perf_counter() - start) * 1e3)
    return {"edits": snapshot.count(), **percentiles(latencies_ms)}


def measure(directory: Path, edits: int, seconds: float) -> dict[str, object]:
    """Runs all of it and prints the tables."""
    encoder = DrawnEncoder()
    with EditMemory.open(directory, encoder=encoder) as memory:
        creates = [measure_creates(memory, callers, seconds) for callers in CALLERS]
        print_table("Durable creates, one edit each", creates)
        batches = fill(memory, edits)
        print_table(f"Batches, up to {edits} edits", [batches])
    start, cpu = time.perf_counter(), time.process_time()
    with EditMemory.open(directory, encoder=encoder) as memory:
        opened_s, opened_cpu_s = time.perf_counter() - start, time.process_time() - cpu
        search = measure_search(memory, 200)
        start, cpu = time.perf_counter(), time.process_time()
        problems = memory.check_integrity(repair=False).problems
        start_up = {
            "edits": memory.snapshot().count(),
            "open_s": round(opened_s, 2),
            "open_cpu_s": round(opened_cpu_s, 2),  # What it takes on a machine that is not shared.
            "check_s": round(time.perf_counter() - start, 2),
            "check_cpu_s": round(time.process_time() - cpu, 2),
            "problems": len(problems),
            "log_mb": round(memory.status().log_bytes / 1e6, 1),
            "peak_rss_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3),
        }
    print_table("Start-up from the log", [start_up])
    print_table("Candidates (encoding apart)", [search])
    return {"creates": creates, "batches": batches, "start_up": start_up, "candidates": search}


def main() -> None:
    """Reads the arguments, measures, prints, writes JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--edits", type=int, default=100_000)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--directory", type=Path, default=None, help="on the disk to measure")
    given = parser.parse_args()
    logging.basicConfig(level=logging.INFO)
    with tempfile.TemporaryDirectory(dir=given.directory) as made:
        results = measure(Path(made) / "data", given.edits, given.seconds)
    path = write_json("edit_log", {"edits": given.edits, **results})
    print(f"\nwritten to {path}")


if __name__ == "__main__":
    main()
