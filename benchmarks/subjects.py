"""Subject matcher: how fast subjects are found and changed with 1k, 10k and 100k of them.

`python -m benchmarks.subjects` prints, in CPU time, find p50/p99, the time to fill, the time to
change one edit, and bytes per name, for the matcher (memory/subjects.py) and, beside it, a
pyahocorasick automaton over the same names: raw scanning without word boundaries or case rules,
and a full build for each change, because an automaton cannot be changed. Names and texts are made
up by a fixed seed.
"""

from __future__ import annotations

import argparse
import random
import time
import tracemalloc
from collections.abc import Callable, Sequence

import ahocorasick

from benchmarks.report import percentiles, print_table, write_json
from evaluation.machine import describe_machine
from memory.subjects import SubjectMatcher

CONSONANTS, VOWELS = "bdfgklmnprstvz", "aeiou"
FRAME = "What is the name of the place where {name} of the {other} was born in the year?"


def made_up_names(count: int) -> list[str]:
    """Returns names of one to three words, some of which share their first word."""
    rng = random.Random(0)

    def word() -> str:
        syllables = (rng.choice(CONSONANTS) + rng.choice(VOWELS) for _ in range(rng.randint(2, 4)))
        return "".join(syllables).capitalize()

    firsts = [word() for _ in range(max(10, count // 20))] + ["The"]
    return [
        " ".join([rng.choice(firsts), *(word() for _ in range(rng.randint(0, 2)))])
        for _ in range(count)
    ]


def timed(call: Callable[[], object]) -> float:
    """Returns the CPU milliseconds of one call: a busy machine does not blur them."""
    started = time.thread_time()
    call()
    return 1e3 * (time.thread_time() - started)


def measure_matcher(names: Sequence[str], texts: Sequence[str]) -> dict[str, object]:
    """Returns the matcher's row."""
    matcher = SubjectMatcher()
    tracemalloc.start()
    matcher.apply([(key, (name,)) for key, name in enumerate(names)], [])
    size = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    again = SubjectMatcher()
    fill_ms = timed(lambda: again.apply([(key, (name,)) for key, name in enumerate(names)], []))
    view = matcher.view()
    find = percentiles([timed(lambda text=text: view.find(text)) for text in texts])  # type: ignore[misc]
    long_text = " ".join(texts)[:30_000]
    changes = [
        timed(lambda key=key: matcher.apply([(key, (f"New {names[key]}",))], [key]))  # type: ignore[misc]
        for key in range(min(500, len(names)))
    ]
    return {
        "subjects": len(names),
        "matcher": "errata",
        "fill ms": round(fill_ms, 1),
        "find p50 ms": find["p50_ms"],
        "find p99 ms": find["p99_ms"],
        "30k characters ms": round(timed(lambda: view.find(long_text)), 2),
        "change p50 ms": percentiles(changes)["p50_ms"],
        "change p99 ms": percentiles(changes)["p99_ms"],
        "bytes a name": round(size / len(names)),
    }


def measure_automaton(names: Sequence[str], texts: Sequence[str]) -> dict[str, object]:
    """Returns pyahocorasick's row: its scan alone."""

    def build() -> ahocorasick.Automaton:
        automaton = ahocorasick.Automaton()
        for key, name in enumerate(names):
            automaton.add_word(name.casefold(), (key, len(name)))
        automaton.make_automaton()
        return automaton

    started = time.thread_time()
    automaton = build()
    built_ms = 1e3 * (time.thread_time() - started)
    folded = [text.casefold() for text in texts]
    find = percentiles([timed(lambda text=text: list(automaton.iter(text))) for text in folded])  # type: ignore[misc]
    long_text = " ".join(folded)[:30_000]
    return {
        "subjects": len(names),
        "matcher": "pyahocorasick, raw",
        "fill ms": round(built_ms, 1),
        "find p50 ms": find["p50_ms"],
        "find p99 ms": find["p99_ms"],
        "30k characters ms": round(timed(lambda: list(automaton.iter(long_text))), 2),
        "change p50 ms": round(built_ms, 1),
        "change p99 ms": round(built_ms, 1),
        "bytes a name": round(automaton.get_stats()["total_size"] / len(names)),
    }


def main() -> None:
    """Reads the flags, measures, prints and writes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    parser.add_argument("--texts", type=int, default=1_000)
    arguments = parser.parse_args()
    rows = []
    for count in arguments.sizes:
        names = made_up_names(count)
        rng = random.Random(1)
        texts = [
            FRAME.format(name=rng.choice(names), other=rng.choice(names))
            for _ in range(arguments.texts)
        ]
        rows += [measure_matcher(names, texts), measure_automaton(names, texts)]
    print(describe_machine())
    print_table("Subjects found in questions of 90 characters, CPU time, 1 thread", rows)
    print(write_json("subjects", {"rows": rows}))


if __name__ == "__main__":
    main()
