"""A query runner on a real memory, with a scripted classifier and engine; how to ask it."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from memory.edit_memory import EditMemory
from memory.errors import InvalidInput
from memory.flat_index import FlatIndex
from memory.record import Candidate, Edit, EditDraft, EditId, EditsPolicy, Namespace, Query
from runtime.engine.contract import Sampling
from runtime.paths.in_context import InContextPath
from runtime.query_runner import QueryRunner, RoutingSettings
from runtime.question import Question, Routing
from tests.fakes import FakeEngine
from tests.hash_encoder import HashEncoder
from tests.server_kit import follow_new_fact

T = TypeVar("T")

SPORT = EditDraft(subject="Lionel Messi", prompt="Lionel Messi plays", target="basketball")
CITY = EditDraft(subject="Space Needle", prompt="The Space Needle is in", target="Paris")


class ScriptedClassifier:
    """Scores a candidate by its edit's subject; keeps what it was asked."""

    name = "scripted"
    calibrated = True
    version = "1"

    def __init__(self, scores: dict[str, float] | None = None) -> None:
        self.scores = scores or {}
        self.queries: list[Query] = []
        self.budgets: list[float | None] = []

    def score(self, query: Query, candidates: Sequence[Candidate]) -> list[float]:
        self.queries.append(query)
        return [self.scores.get(candidate.edit.subject, 0.0) for candidate in candidates]

    def threshold(self, error_budget: float | None = None) -> float:
        self.budgets.append(error_budget)
        if error_budget is not None and error_budget < 0.001:
            raise InvalidInput("too small a budget", field="error_budget")
        return 0.5


class Bench:
    """A query runner and what it is made of."""

    def __init__(self, memory: EditMemory, engine: FakeEngine, **settings: object) -> None:
        self.memory = memory
        self.engine = engine
        self.encoder = HashEncoder()
        self.classifier = ScriptedClassifier({"Lionel Messi": 0.9, "Space Needle": 0.6})
        ticks = itertools.count()
        self.runner = QueryRunner(
            engine=engine,
            memory=memory,
            encoder=self.encoder,
            classifier=self.classifier,
            paths={"in_context": InContextPath(engine)},
            settings=RoutingSettings(**settings),  # type: ignore[arg-type]
            clock=lambda: float(next(ticks)),
        )

    def add(self, draft: EditDraft, namespace: str = "default") -> Edit:
        return self.memory.create(draft, namespace=Namespace(namespace)).edits[0]


@contextmanager
def bench(folder: Path, engine: FakeEngine | None = None, **settings: object) -> Iterator[Bench]:
    engine = engine or FakeEngine(default=follow_new_fact)
    with EditMemory.open(folder, encoder=HashEncoder(), make_index=FlatIndex) as memory:
        made = Bench(memory, engine, **settings)
        try:
            yield made
        finally:
            if engine.gate is not None:
                engine.gate.set()
            engine.close()
            made.runner.close()


def run(work: Callable[[], Awaitable[T]]) -> T:
    async def main() -> T:
        return await asyncio.wait_for(work(), 20.0)

    return asyncio.run(main())


def ask(
    prompt: str | None = "Lionel Messi plays",
    *,
    messages: tuple[tuple[str, str], ...] = (),
    max_tokens: int = 40,
    deadline_s: float | None = None,
    namespace: str = "default",
    policy: EditsPolicy = EditsPolicy.AUTO,
    edits: tuple[EditId, ...] = (),
    path: str = "",
    min_sequence: int = 0,
    error_budget: float | None = None,
) -> Question:
    return Question(
        prompt=None if messages else prompt,
        messages=messages,
        sampling=Sampling(max_tokens=max_tokens),
        deadline_s=deadline_s,
        routing=Routing(
            namespace=Namespace(namespace),
            policy=policy,
            edits=edits,
            path=path,
            min_sequence=min_sequence,
            error_budget=error_budget,
        ),
    )
