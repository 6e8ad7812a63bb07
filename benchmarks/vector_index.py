"""Vector index: how fast, how large and how right it is at 1k, 10k, 100k edits (and a million).

`python -m benchmarks.vector_index` prints, per size, the part that the rule chooses and, beyond the
flat size, the other parts forced: build seconds, bytes, search p50/p99 and recall against the full
scan. With `--data FILE` (a JSON list whose records have `prompt` and `rephrase_prompt`, or
`paraphrase_prompts`) the vectors are real prompts and the queries their paraphrases; where the file
has fewer than the size, mixtures of two of its prompts fill up. Without it: made-up clusters, which
favour IVF. One thread, one query at a time; CPU time stands beside wall time, for busy machines.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import faiss
import numpy as np

from benchmarks.report import percentiles, print_table, write_json
from evaluation.machine import describe_machine
from memory.contracts import Matrix
from memory.encoder import MiniLmEncoder
from memory.index import FLAT_MAX, FaissIndex, IndexRules

DIMENSION = 384
K = 10
BATCH = 5_000
NO_KEYS = np.empty(0, dtype=np.int64)


def unit(rows: Matrix) -> Matrix:
    """Returns the rows (n, d) divided by their lengths."""
    scaled: Matrix = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    return scaled


def clusters(count: int, rng: np.random.Generator) -> Matrix:
    """Returns made-up vectors around one centre for every fifty."""
    centres = unit(rng.normal(size=(max(1, count // 50), DIMENSION)).astype(np.float32))
    noise = rng.normal(size=(count, DIMENSION)).astype(np.float32)
    return unit(centres[rng.integers(0, len(centres), count)] + 0.6 * unit(noise))


def read_prompts(path: Path, limit: int) -> tuple[list[str], list[str]]:
    """Returns prompts and one paraphrase of each."""
    prompts, paraphrases = [], []
    for record in json.loads(path.read_text(encoding="utf-8"))[:limit]:
        asked = record.get("rephrase_prompt") or record.get("paraphrase_prompts", [""])[0]
        if isinstance(record.get("prompt"), str) and asked:
            prompts.append(record["prompt"])
            paraphrases.append(asked)
    return prompts, paraphrases


def vectors_and_queries(
    count: int, queries: int, real: tuple[Matrix, Matrix] | None, rng: np.random.Generator
) -> tuple[Matrix, Matrix]:
    """Returns vectors (count, d) and queries (queries, d) near some of them."""
    if real is None:
        vectors = clusters(count, rng)
        near = vectors[rng.integers(0, count, queries)]
        return vectors, unit(near + 0.3 * unit(rng.normal(size=near.shape).astype(np.float32)))
    prompts, asked = real
    missing = max(0, count - len(prompts))
    share = rng.uniform(0.3, 0.7, size=(missing, 1)).astype(np.float32)
    one, other = (prompts[rng.integers(0, len(prompts), missing)] for _ in range(2))
    mixed = unit(share * one + (1 - share) * other) if missing else prompts[:0]
    return np.concatenate([prompts[:count], mixed]), asked[rng.integers(0, len(asked), queries)]


def measure(name: str, rules: IndexRules, vectors: Matrix, queries: Matrix) -> dict[str, object]:
    """Fills an index, asks it, changes it; returns one row of the table."""
    index = FaissIndex(DIMENSION, rules=rules, merge_in_background=False)
    started = time.perf_counter()
    for begin in range(0, len(vectors), BATCH):
        keys = np.arange(begin, min(begin + BATCH, len(vectors)))
        index.apply(add_keys=keys, add_vectors=vectors[keys], remove_keys=NO_KEYS)
    filled_s = time.perf_counter() - started
    started = time.perf_counter()
    index.rebuild()
    rebuilt_s = time.perf_counter() - started
    view, wall_ms, cpu_ms, found = index.view(), [], [], []
    for query in queries:
        wall, cpu = time.perf_counter(), time.thread_time()
        found.append(view.search(query[None, :], K)[1][0])
        wall_ms.append(1e3 * (time.perf_counter() - wall))
        cpu_ms.append(1e3 * (time.thread_time() - cpu))
    change_ms = []
    for step in range(100):
        started = time.perf_counter()
        index.apply(
            add_keys=np.array([step]), add_vectors=queries[:1], remove_keys=np.array([step])
        )
        change_ms.append(1e3 * (time.perf_counter() - started))
    true = faiss.knn(queries, vectors, K, metric=faiss.METRIC_INNER_PRODUCT)[1]
    overlap = [len(np.intersect1d(row, best)) / K for row, best in zip(found, true, strict=True)]
    firsts = [row[0] == best[0] for row, best in zip(found, true, strict=True)]
    status = index.status()
    return {
        "edits": len(vectors),
        "setting": name,
        "part": status.kind,
        "fill s": round(filled_s, 2),
        "rebuild s": round(rebuilt_s, 2),
        "MB": round(status.bytes / 1e6, 1),
        "search p50 ms": percentiles(wall_ms)["p50_ms"],
        "p99 ms": percentiles(wall_ms)["p99_ms"],
        "cpu p50 ms": percentiles(cpu_ms)["p50_ms"],
        "recall@1": round(float(np.mean(firsts)), 4),
        "recall@10": round(float(np.mean(overlap)), 4),
        "change p50 ms": percentiles(change_ms)["p50_ms"],
    }


def settings_for(count: int) -> list[tuple[str, IndexRules]]:
    """Returns the rule's own choice and the forced alternatives worth comparing at a size."""
    chosen = [("rule", IndexRules())]
    if count <= FLAT_MAX:
        return chosen
    huge = 10 * count
    forced = [
        (f"ivf {probed} lists", IndexRules(flat_max=0, fp16_max=0, lists_probed=probed))
        for probed in (8, 16, 32, 64)
    ]
    if count > 200_000:  # Each forced setting fills the index again: minutes at a million.
        return chosen
    return [("scan fp32", IndexRules(flat_max=huge)), *chosen, *forced]


def main() -> None:
    """Reads the flags, measures, prints and writes."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--sizes", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    parser.add_argument("--million", action="store_true", help="also measure 1,000,000 vectors")
    parser.add_argument("--queries", type=int, default=300)
    parser.add_argument("--data", type=Path, help="JSON list of edits: real prompts as vectors")
    parser.add_argument("--texts", type=int, default=3_000, help="records of --data to encode")
    arguments = parser.parse_args()
    faiss.omp_set_num_threads(1)
    real = None
    if arguments.data:
        encoder = MiniLmEncoder("cpu")
        prompts, paraphrases = read_prompts(arguments.data, arguments.texts)
        real = encoder.encode_many(prompts), encoder.encode_many(paraphrases)
        encoder.close()
    rows = []
    for count in [*arguments.sizes, *([1_000_000] if arguments.million else [])]:
        rng = np.random.default_rng(0)
        vectors, queries = vectors_and_queries(count, arguments.queries, real, rng)
        rows += [measure(name, rules, vectors, queries) for name, rules in settings_for(count)]
    source = f"{len(real[0])} real prompts, then mixtures" if real else "made-up clusters"
    print(describe_machine())
    print_table(f"Vector index, {source}, k {K}, 1 thread, one query at a time", rows)
    print(write_json("vector_index", {"vectors": source, "k": K, "rows": rows}))


if __name__ == "__main__":
    main()
