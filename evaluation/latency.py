"""What routing adds to a query and what an edit costs, measured alone: nothing else is under way.

The encoder that is timed keeps no memory of recent texts, so every query is encoded.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from random import Random

from evaluation.groups import Group
from evaluation.metrics import Rate
from evaluation.scopes import make_scope
from evaluation.workbench import Workbench
from memory.record import EditDraft, EditsPolicy, Namespace
from runtime.build import Runtime, make_encoder
from runtime.engine.contract import Sampling
from runtime.question import Question, Routing

WARM_UP = 100  # Queries before the first that is timed.
EDITS_TIMED = 50


async def time_routing(
    bench: Workbench,
    scope: str,
    group: Group,
    *,
    prompts: Sequence[str],
    count: int,
    advance: Callable[[], None],
) -> tuple[float, ...]:
    """Returns the milliseconds of encoding, retrieval and scope for `count` queries, one by one."""
    namespace = bench.write(group.edits)
    encoder = make_encoder(bench.runtime.settings.encoder, cache_max=0)
    runner = bench.runtime.runner.with_classifier(make_scope(scope, encoder), encoder)
    times = []
    try:
        for prompt in Random(0).choices(list(prompts), k=WARM_UP + count):
            question = Question(
                prompt=prompt,
                sampling=Sampling(max_tokens=1),
                routing=Routing(namespace=namespace, policy=EditsPolicy.AUTO),
            )
            took = (await runner.explain(question)).provenance.timings
            times.append(took.encode_ms + took.retrieve_ms + took.scope_ms)
            advance()
    finally:
        runner.close()
        encoder.close()
    return tuple(times[WARM_UP:])


def time_editing(runtime: Runtime, group: Group) -> list[tuple[Rate, float]]:
    """Writes edits one by one into a namespace of their own.

    Returns their mean time, with the fastest and the slowest, and the bytes of the memory's log
    per edit in it.
    """
    memory = runtime.memory
    namespace = Namespace(f"t-{time.time_ns():x}")
    edits: Sequence[EditDraft] = group.edits[:EDITS_TIMED]
    times = []
    for edit in edits:
        started = time.perf_counter()
        memory.create(edit, namespace=namespace)
        times.append((time.perf_counter() - started) * 1000)
    status = memory.status()
    held = sum(sum(space.edits.values()) for space in status.namespaces)
    each = status.log_bytes / held
    took, middle = sum(times) / 1000, sum(times) / len(times)
    return [
        (Rate(metric="edit_ms", value=middle, low=min(times), high=max(times), n=len(times)), took),
        (Rate(metric="edit_bytes", value=each, low=each, high=each, n=held), took),
    ]


def quantile(metric: str, values: Sequence[float], share: float) -> Rate:
    """A quantile with its distribution-free 95% interval (Conover 1999, section 3.2).

    The interval runs between the order statistics of the ranks n·q ± 1.96·sqrt(n·q·(1 - q)),
    rounded up.
    """
    ordered = sorted(values)
    n = len(ordered)
    if n == 0:
        return Rate(metric=metric, value=0.0, low=0.0, high=0.0, n=0)
    half = 1.96 * (n * share * (1 - share)) ** 0.5

    def at(place: int) -> float:
        return ordered[min(n - 1, max(0, place))]

    return Rate(
        metric=metric,
        value=at(round(share * (n - 1))),
        low=at(math.ceil(share * n - half) - 1),
        high=at(math.ceil(share * n + half) - 1),
        n=n,
    )
