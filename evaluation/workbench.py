"""The server's own parts, shared by all methods of a run: one memory, one engine, one encoder.

Each set of edits is one namespace of one memory, written once and found again after a restart; a
probe is encoded once; an answer that was decoded before (the same path with the same edits and the
same question) is not decoded again. Times are therefore measured elsewhere (evaluation/latency.py).
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import threading
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import numpy as np

from classifiers.scope import ScopeClassifier
from evaluation.probes import fingerprint
from evaluation.scopes import OURS, make_scope
from memory.contracts import Encoder, Matrix
from memory.errors import Overloaded
from memory.record import ConflictPolicy, EditDraft, Namespace, Vector
from runtime.build import PATHS, Runtime
from runtime.paths.choice import AUTO
from runtime.paths.contract import BASE_MODEL
from runtime.paths.counterfactual import AS_ASKED, COUNTERFACTUAL, CounterfactualPath
from runtime.query_runner import QueryRunner

T = TypeVar("T")

ELSEWHERE = ("server", "memory", "encoder", "model", "routing")
"""Sections that do not change an answer, or that stand elsewhere in its key."""
WRITTEN_AT_ONCE = 256
OVERLOAD_PAUSE_S = 0.05
OVERLOAD_PATIENCE = 2400  # Pauses: two minutes.


class RememberingEncoder:
    """Implements Encoder over another one, keeping every vector. Thread-safe.

    A query's vector may be another than that of an edit with the same text, so both are kept apart.
    """

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self._known: dict[str, Vector] = {}
        self._queries: dict[str, Vector] = {}
        self._lock = threading.Lock()

    @property
    def name(self) -> str:
        """The name of the encoder underneath."""
        return self._encoder.name

    @property
    def dimension(self) -> int:
        """The length d of a vector."""
        return self._encoder.dimension

    def encode(self, text: str) -> Vector:
        """Returns the unit vector of a query, shape (d,)."""
        with self._lock:
            known = self._queries.get(text)
        if known is None:
            known = self._encoder.encode(text)
            with self._lock:
                self._queries[text] = known
        return known.copy()

    def encode_many(self, texts: Sequence[str]) -> Matrix:
        """Returns the unit vectors of the texts, shape (n, d)."""
        with self._lock:
            missing = [text for text in dict.fromkeys(texts) if text not in self._known]
        found = self._encoder.encode_many(missing) if missing else ()
        with self._lock:
            self._known.update(zip(missing, found, strict=True))
            if not texts:
                return np.zeros((0, self.dimension), dtype=np.float32)
            return np.stack([self._known[text] for text in texts])


class Workbench:
    """Owns runners and the memo of answers; the runtime is its maker's. Close it first."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime
        self.encoder = RememberingEncoder(runtime.encoder)
        self._classifiers: dict[str, ScopeClassifier] = {}
        self._runners: dict[str, QueryRunner] = {}
        self._memo: dict[str, asyncio.Future[object]] = {}

    @property
    def paths(self) -> tuple[str, ...]:
        """The server's paths; "auto" and the other model alone where there is another model."""
        runtime = self.runtime
        on_base = runtime.settings.counterfactual.model == BASE_MODEL
        has_model = on_base or runtime.counterfactual is not None
        named = [name for name in PATHS if has_model or name != COUNTERFACTUAL]
        return (*named, *([AUTO, AS_ASKED] if has_model else []))

    @property
    def answering(self) -> dict[str, object]:
        """What answers depend on besides model, edits and question: settings, and other models."""
        settings = self.runtime.settings.model_dump(mode="json")
        other = self.runtime.counterfactual
        return {
            **{name: held for name, held in settings.items() if name not in ELSEWHERE},
            "routing": {n: settings["routing"][n] for n in ("candidates", "namespace_budgets")},
            "other_model": other.info.fingerprint if other is not None else "",
        }

    def scope_name(self, name: str) -> str:
        """The classifier that a name on the command line stands for."""
        return self.runtime.settings.routing.classifier if name == OURS else name

    def classifier(self, name: str) -> ScopeClassifier:
        """The classifier of that name, made once."""
        if name not in self._classifiers:
            self._classifiers[name] = make_scope(name, self.encoder)
        return self._classifiers[name]

    def runner(self, name: str) -> QueryRunner:
        """The server's query runner, routing by the classifier of that name."""
        if name not in self._runners:
            paths = dict(self.runtime.runner.paths)
            other = paths.get(COUNTERFACTUAL)
            if isinstance(other, CounterfactualPath):
                paths[AS_ASKED] = other.as_asked()
            self._runners[name] = self.runtime.runner.with_classifier(
                self.classifier(name), self.encoder, paths
            )
        return self._runners[name]

    def write(self, edits: Sequence[EditDraft]) -> Namespace:
        """Returns the namespace that holds exactly these edits, written when it is not there."""
        namespace = Namespace(f"n-{fingerprint(edits)}")
        memory = self.runtime.memory
        held = namespace in memory.snapshot().namespaces
        if not held or memory.snapshot().count(namespace) != len({e.edit_id for e in edits}):
            self.append(namespace, edits)
        return namespace

    def append(self, namespace: Namespace, edits: Sequence[EditDraft]) -> None:
        """Writes edits into a namespace; those that are there already are left."""
        memory = self.runtime.memory
        for first in range(0, len(edits), WRITTEN_AT_ONCE):
            memory.create_batch(
                edits[first : first + WRITTEN_AT_ONCE],
                namespace=namespace,
                on_conflict=ConflictPolicy.SKIP,
            )

    async def once(self, key: object, ask: Callable[[], Awaitable[T]]) -> T:
        """Returns what `ask` gave for this key, asking the first time only."""
        name = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()
        known = self._memo.get(name)
        if known is None:
            known = asyncio.get_running_loop().create_future()
            self._memo[name] = known
            try:
                known.set_result(await patiently(ask))
            except BaseException as error:
                del self._memo[name]
                known.set_exception(error)
                known.exception()  # Seen here, so that it is not reported a second time.
                raise
        answer: T = await known  # type: ignore[assignment]
        return answer

    def close(self) -> None:
        """Ends the runners."""
        for runner in self._runners.values():
            runner.close()


async def patiently(ask: Callable[[], Awaitable[T]]) -> T:
    """Asks again while the engine's queue is full. Raises Overloaded after two minutes."""
    for _ in range(OVERLOAD_PATIENCE):
        try:
            return await ask()
        except Overloaded:
            await asyncio.sleep(OVERLOAD_PAUSE_S)
    return await ask()
