"""Time to first token and tokens per second, over gRPC, against the bare `model.generate`.

`python -m benchmarks.generate` measures, in one run on one machine: transformers alone, one prompt
at a time and eight padded into one batch; then the server, for a query in scope of no edit (BASE)
and one in scope (EDITED), with one caller and with eight. All greedy, end-of-text ignored, so that
every answer has the same length. Ratios are against the bare model with as many prompts at once.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.generation.streamers import BaseStreamer

from benchmarks.report import print_table, write_json
from benchmarks.server_process import started_server
from errata.client import Client
from errata.results import NewEdit
from evaluation.machine import describe_machine
from runtime.build import model_folder

EDIT = NewEdit(
    subject="Danielle Darrieux",
    prompt="The mother tongue of Danielle Darrieux is",
    target="English",
)
IN_SCOPE = EDIT.prompt
OUT_OF_SCOPE = "The harbour town on the northern coast is known for"


class FirstToken(BaseStreamer):  # type: ignore[misc]
    """Notes when the first new token came (the streamer's second call; the prompt is the first)."""

    def __init__(self) -> None:
        self.calls = 0
        self.at = 0.0

    def put(self, value: Any) -> None:
        """Gets the prompt, then each token."""
        del value
        self.calls += 1
        if self.calls == 2:
            self.at = time.perf_counter()

    def end(self) -> None:
        """Nothing is kept."""


def bare_alone(model: Any, tokenizer: Any, tokens: int) -> tuple[float, float]:
    """One `generate`; returns (ms to the first token, tokens per second)."""
    ids = tokenizer(OUT_OF_SCOPE, return_tensors="pt")["input_ids"]
    first = FirstToken()
    began = time.perf_counter()
    generate(model, ids, torch.ones_like(ids), tokens, streamer=first)
    took = time.perf_counter() - began
    return (first.at - began) * 1000, tokens / took


def bare_batch(model: Any, tokenizer: Any, tokens: int, callers: int) -> float:
    """One `generate` over `callers` equal prompts; returns tokens per second of all."""
    ids = tokenizer(OUT_OF_SCOPE, return_tensors="pt")["input_ids"].repeat(callers, 1)
    began = time.perf_counter()
    generate(model, ids, torch.ones_like(ids), tokens)
    return callers * tokens / (time.perf_counter() - began)


def generate(model: Any, ids: Any, mask: Any, tokens: int, **options: Any) -> None:
    """Greedy `generate` of exactly `tokens` new tokens."""
    with torch.inference_mode():
        model.generate(
            ids,
            attention_mask=mask,
            do_sample=False,
            max_new_tokens=tokens,
            min_new_tokens=tokens,
            pad_token_id=0,
            **options,
        )


def ask(client: Client, prompt: str, tokens: int) -> tuple[float, float, int]:
    """One streamed answer; returns (ms to the first text, seconds in all, tokens)."""
    began = time.perf_counter()
    first = 0.0
    with client.stream(prompt, max_tokens=tokens, ignore_eos=True) as stream:
        for _ in stream:
            first = first or time.perf_counter()
        answer = stream.answer
    took = time.perf_counter() - began
    return (first - began) * 1000, took, answer.usage.completion_tokens


def served(
    address: str, prompt: str, tokens: int, callers: int, rounds: int
) -> tuple[float, float]:
    """Median (ms to the first text, tokens per second of all callers together)."""
    firsts: list[float] = []
    speeds: list[float] = []
    with Client(address) as client, ThreadPoolExecutor(callers) as pool:
        ask(client, prompt, tokens)  # Warm-up.
        for _ in range(rounds):
            began = time.perf_counter()
            found = list(pool.map(lambda _: ask(client, prompt, tokens), range(callers)))
            took = time.perf_counter() - began
            firsts.extend(first for first, _, _ in found)
            speeds.append(sum(count for _, _, count in found) / took)
    return statistics.median(firsts), statistics.median(speeds)


def median_of(rounds: int, call: Callable[[], Any]) -> list[Any]:
    """Calls once to warm up, then `rounds` times."""
    call()
    return [call() for _ in range(rounds)]


def bare_rows(
    folder: str, tokens: int, rounds: int, callers: int
) -> tuple[list[dict[str, object]], dict[int, float]]:
    """The bare model's rows, and its tokens per second by prompts at once."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    alone = median_of(rounds, lambda: bare_alone(model, tokenizer, tokens))
    first = statistics.median(first for first, _ in alone)
    batches = median_of(rounds, lambda: bare_batch(model, tokenizer, tokens, callers))
    speeds = {
        1: statistics.median(speed for _, speed in alone),
        callers: statistics.median(batches),
    }
    rows = [
        row("bare generate", count, first if count == 1 else None, speed, speed)
        for count, speed in speeds.items()
    ]
    return rows, speeds


def measure(model_name: str, tokens: int, rounds: int, callers: int) -> list[dict[str, object]]:
    """All rows of the table."""
    rows, bare = bare_rows(model_folder(model_name), tokens, rounds, callers)
    with (
        tempfile.TemporaryDirectory(prefix="errata-bench-") as directory,
        started_server(Path(directory) / "data", model=model_name) as server,
    ):
        with Client(server.address) as client:
            client.create_edits([EDIT])
            routes = [client.generate(p).route.value for p in (OUT_OF_SCOPE, IN_SCOPE)]
        if routes != ["base", "edited"]:
            raise RuntimeError(f"the probes were routed {routes}, not base and edited")
        for name, prompt in (("BASE", OUT_OF_SCOPE), ("EDITED", IN_SCOPE)):
            for count in (1, callers):
                first, speed = served(server.address, prompt, tokens, count, rounds)
                rows.append(row(f"server, {name}", count, first, speed, bare[count]))
    return rows


def row(
    what: str, callers: int, first_ms: float | None, speed: float, bare: float
) -> dict[str, object]:
    """One line of the table."""
    return {
        "what": what,
        "callers": callers,
        "first token ms": "-" if first_ms is None else round(first_ms, 1),
        "tokens/s": round(speed, 1),
        "of bare": round(speed / bare, 3),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Reads the options, measures, prints and writes."""
    parser = argparse.ArgumentParser(description="Speed of answers against model.generate.")
    parser.add_argument("--model", default="pocket/base")
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--callers", type=int, default=8)
    options = parser.parse_args(arguments)
    print(describe_machine())
    rows = measure(options.model, options.tokens, options.rounds, options.callers)
    print_table(f"{options.model}, {options.tokens} tokens each, greedy, float32", rows)
    print(f"written: {write_json('generate', {'options': vars(options), 'rows': rows})}")


if __name__ == "__main__":
    main()
