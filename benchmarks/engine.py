"""What does the engine cost over bare `model.generate`? Time to first token and tokens per second.

Alone: one prompt after another. With callers: threads that each send their prompts one after
another, against `generate` behind a lock (what a server without batching does) and against one
padded batch of all prompts (which needs them all at once and to be equally long-lived). Greedy,
fixed answer length, the same weights, threads and prompts for all; rounds alternate between the
contenders, so that a busy machine slows all alike; medians over rounds.

    python -m benchmarks.engine --model pocket/base --callers 8
"""

from __future__ import annotations

import argparse
import statistics
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM

from benchmarks.report import print_table, write_json
from runtime.engine.contract import EngineEvent, EngineRequest, Sampling, TokenDelta
from runtime.engine.transformers_engine import TransformersEngine

TEXT = (
    "Lionel Messi plays the sport of football and the mother tongue of Danielle Darrieux is French."
    " The law in Ikaalinen declares the language Finnish. Where is the Space Needle? It is in"
)
PROMPT_TOKENS = (8, 24, 13, 32, 18, 10, 28, 21)  # Taken in turn.


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One contender's round: its total rate, and when each answer's first token came."""

    tokens_per_s: float
    first_ms: float  # Median over the answers.


class Bare:
    """`generate` of transformers alone."""

    def __init__(self, folder: str) -> None:
        self.model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
        self.model.generation_config.eos_token_id = None
        self.lock = threading.Lock()

    def first(self, prompt: Sequence[int], tokens: int) -> float:
        """Answers; returns the seconds until the first token (a streamer's put)."""
        clock = _FirstToken()
        with self.lock:
            self.batch([prompt], tokens, streamer=clock)
        return clock.at

    def batch(self, prompts: Sequence[Sequence[int]], tokens: int, **more: Any) -> None:
        """Answers all prompts in one left-padded batch."""
        width = max(map(len, prompts))
        ids = torch.tensor([[0] * (width - len(p)) + list(p) for p in prompts])
        mask = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in prompts])
        with torch.inference_mode():
            self.model.generate(
                ids,
                attention_mask=mask,
                max_new_tokens=tokens,
                do_sample=False,
                pad_token_id=0,
                **more,
            )


class _FirstToken:
    """A streamer that only remembers when the first new token came."""

    def __init__(self) -> None:
        self.at = 0.0
        self._puts = 0

    def put(self, _: object) -> None:
        """Takes the prompt first, then each token."""
        self._puts += 1
        if self._puts == 2:
            self.at = time.perf_counter()

    def end(self) -> None:
        """Ends the answer."""


def ask_engine(engine: TransformersEngine, prompt: Sequence[int], tokens: int) -> float:
    """Answers; returns when the first delta came."""
    first = [0.0]
    ended = threading.Event()

    def receive(event: EngineEvent) -> None:
        if not first[0]:
            first[0] = time.perf_counter()
        if not isinstance(event, TokenDelta):
            ended.set()

    sampling = Sampling(max_tokens=tokens, ignore_eos=True)
    request = EngineRequest(request_id="bench", prompt_tokens=tuple(prompt), sampling=sampling)
    engine.start(request, receive)
    ended.wait()
    return first[0]


def timed(
    answer: Callable[[Sequence[int]], float], prompts: Sequence[Sequence[int]], tokens: int, n: int
) -> Run:
    """Runs `n` callers, each with its share of the prompts, one after another."""
    first_ms: list[float] = []

    def caller(own: Sequence[Sequence[int]]) -> None:
        for prompt in own:
            begun = time.perf_counter()
            first_ms.append((answer(prompt) - begun) * 1e3)

    threads = [threading.Thread(target=caller, args=(prompts[i::n],)) for i in range(n)]
    begun = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.perf_counter() - begun
    return Run(tokens_per_s=len(prompts) * tokens / seconds, first_ms=statistics.median(first_ms))


def whole_batch(bare: Bare, prompts: Sequence[Sequence[int]], tokens: int) -> Run:
    """Runs all prompts in padded batches of 8; `generate` streams no batch, so no first token."""
    begun = time.perf_counter()
    for group in (prompts[i : i + 8] for i in range(0, len(prompts), 8)):
        bare.batch(group, tokens)
    seconds = time.perf_counter() - begun
    return Run(tokens_per_s=len(prompts) * tokens / seconds, first_ms=0.0)


def summarise(name: str, callers: int, runs: Sequence[Run], base: Sequence[Run]) -> dict[str, Any]:
    """Returns medians over the rounds, and the ratio to the bare contender's."""
    rate = statistics.median(run.tokens_per_s for run in runs)
    first = statistics.median(run.first_ms for run in runs)
    base_rate = statistics.median(run.tokens_per_s for run in base)
    base_first = statistics.median(run.first_ms for run in base)
    return {
        "contender": name,
        "callers": callers,
        "tokens_per_s": round(rate, 1),
        "rate_ratio": round(rate / base_rate, 2),
        "first_token_ms": round(first, 2) if first else "",
        "first_ratio": round(first / base_first, 2) if first else "",
    }


def default_model() -> str:
    """Returns the bundled base model's folder, or the small one's while there is no other."""
    folders = [folder for folder in ("pocket/base", "pocket/nano") if Path(folder).is_dir()]
    return folders[0] if folders else "pocket/base"


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default=default_model())
    parser.add_argument("--callers", type=int, default=8)
    parser.add_argument("--tokens", type=int, default=48)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    engine = TransformersEngine.load(options.model, device="cpu", threads=options.threads)
    bare = Bare(options.model)
    ids = engine.tokenize(TEXT) * 4
    prompts = [ids[i : i + PROMPT_TOKENS[i % 8]] for i in range(2 * options.callers)]
    tokens = options.tokens

    def by_engine(prompt: Sequence[int]) -> float:
        return ask_engine(engine, prompt, tokens)

    def by_generate(prompt: Sequence[int]) -> float:
        return bare.first(prompt, tokens)

    alone = prompts[:4]
    contenders: dict[tuple[str, int], Callable[[], Run]] = {
        ("generate", 1): lambda: timed(by_generate, alone, tokens, 1),
        ("engine", 1): lambda: timed(by_engine, alone, tokens, 1),
        ("generate, lock", options.callers): lambda: timed(
            by_generate, prompts, tokens, options.callers
        ),
        ("generate, one batch", options.callers): lambda: whole_batch(bare, prompts, tokens),
        ("engine", options.callers): lambda: timed(by_engine, prompts, tokens, options.callers),
    }
    runs: dict[tuple[str, int], list[Run]] = {key: [] for key in contenders}
    for number in range(options.rounds + 1):
        for key, run in contenders.items():
            result = run()
            if number:  # The first round warms up.
                runs[key].append(result)
    engine.close()
    bases = {1: ("generate", 1), options.callers: ("generate, lock", options.callers)}
    rows = [summarise(key[0], key[1], r, runs[bases[key[1]]]) for key, r in runs.items()]
    print_table(f"{options.model}, {tokens} tokens, {options.threads} threads", rows)
    settings = {**vars(options), "parameters": engine.info.parameters, "dtype": engine.info.dtype}
    print(write_json("engine", {"settings": settings, "rows": rows}))


if __name__ == "__main__":
    main()
