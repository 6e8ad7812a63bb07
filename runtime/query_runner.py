"""The life of a query: pin a snapshot, encode, retrieve, score, route, prepare, decode.

Blocking stages run in a small thread pool so that the event loop stays free; the engine decodes in
its own thread. What waits for somebody else (a sequence, scores) has a pool of its own, so that it
keeps no other query waiting. It knows no protobuf and no files; parts are handed in by
runtime/build.py.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import TypeVar

from classifiers.scope import ScopeClassifier
from memory.contracts import Encoder
from memory.edit_memory import EditMemory
from memory.errors import ContextTooLong
from memory.record import (
    EditsPolicy,
    Provenance,
    Route,
    RouteKind,
)
from memory.snapshot import MemorySnapshot
from runtime.consolidation.editions import EditionSource, Lease, OnlyBase
from runtime.continuations import score_continuations
from runtime.engine.contract import (
    EmittedToken,
    Engine,
    EngineRequest,
    Failed,
    Finished,
    TokenDelta,
)
from runtime.engine.stream import stream as stream_engine
from runtime.forced import forced_decisions
from runtime.paths.contract import BASE_MODEL, ModelName, Path, PathInput, Preparation
from runtime.paths.table import PathTable
from runtime.question import (
    Answer,
    Ending,
    Explanation,
    Question,
    ScoredAnswer,
)
from runtime.router import choose_route, only_used
from runtime.scoping import Scoped, ScopeStage

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class RoutingSettings:
    """How queries are routed when the request does not say."""

    default_path: str = "in_context"  # Or "auto": see runtime/paths/choice.py.
    candidates: int = 16  # Neighbours fetched by vector.
    error_budget: float | None = None  # None: the classifier's own default.
    namespace_budgets: Mapping[str, float] = field(default_factory=dict)  # Come before it.
    sequence_wait_s: float = 0.5  # The longest wait for a request's min_sequence.
    forced_max: int = 8
    threads: int = 4  # Requests in the blocking stages at once.
    waiting_threads: int = 32  # Requests that wait for a sequence or for scores at once.


@dataclass(frozen=True, slots=True, kw_only=True)
class _Prepared:
    """A routed request, ready to decode."""

    provenance: Provenance
    preparation: Preparation
    own_tokens: int  # Length of the prompt without edits.
    lease: Lease  # Keeps the edition's weights until the answer has ended.


class QueryRunner:
    """Runs queries. Safe to use from one event loop; the parts are shared with other threads."""

    def __init__(
        self,
        *,
        engine: Engine,
        memory: EditMemory,
        encoder: Encoder,
        classifier: ScopeClassifier,
        paths: Mapping[str, Path],
        settings: RoutingSettings | None = None,
        clock: Callable[[], float] = time.perf_counter,
        models: Mapping[ModelName, Engine] | None = None,
        editions: EditionSource | None = None,
    ) -> None:
        """Takes the parts; `models` are those that paths decode on besides the frozen one.

        Without `editions` the frozen model answers whatever the memory says.
        """
        self._memory = memory
        self._editions = editions or OnlyBase()
        self._classifier = classifier
        self._settings = settings or RoutingSettings()
        self._paths = PathTable(
            paths,
            {BASE_MODEL: engine, **(models or {})},
            default=self._settings.default_path,
        )
        self._clock = clock
        self._beside = ThreadPoolExecutor(
            max_workers=self._settings.threads, thread_name_prefix="errata-foresee"
        )
        self._scope = ScopeStage(
            encoder=encoder,
            classifier=classifier,
            candidates=self._settings.candidates,
            error_budget=self._settings.error_budget,
            namespace_budgets=self._settings.namespace_budgets,
            clock=clock,
            beside=self._beside,
        )
        self._pool = ThreadPoolExecutor(
            max_workers=self._settings.threads, thread_name_prefix="errata-route"
        )
        self._waiting = ThreadPoolExecutor(
            max_workers=self._settings.waiting_threads, thread_name_prefix="errata-wait"
        )

    @property
    def engines(self) -> tuple[Engine, ...]:
        """Every engine that answers here, the frozen model's first."""
        return self._paths.engines

    def engine_of(self, route: Route) -> Engine:
        """The engine whose tokens an answer by `route` is made of."""
        return self._paths.engine_of(route.path)

    @property
    def scope(self) -> ScopeStage:
        """The scope stage, for who asks what it would say without asking a query."""
        return self._scope

    @property
    def paths(self) -> Mapping[str, Path]:
        """The paths by name."""
        return self._paths.paths

    def with_classifier(
        self,
        classifier: ScopeClassifier,
        encoder: Encoder,
        paths: Mapping[str, Path] | None = None,
    ) -> QueryRunner:
        """Returns a runner over the same parts that routes by another classifier; close it too.

        Its `paths` may be others.
        """
        return QueryRunner(
            engine=self._paths.models[BASE_MODEL],
            memory=self._memory,
            encoder=encoder,
            classifier=classifier,
            paths=self.paths if paths is None else paths,
            settings=self._settings,
            clock=self._clock,
            models=self._paths.models,
            editions=self._editions,
        )

    def close(self) -> None:
        """Ends the threads; running stages finish."""
        self._waiting.shutdown(wait=True, cancel_futures=True)
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._beside.shutdown(wait=True, cancel_futures=True)  # Nobody waits for it any more.

    async def explain(self, question: Question) -> Explanation:
        """Routes without generating."""
        prepared = await self._prepared(question)
        tokens = prepared.preparation.prompt_tokens
        return Explanation(
            provenance=prepared.provenance,
            decoded_prompt=self.engine_of(prepared.provenance.route).detokenize(tokens),
            prompt_tokens=len(tokens),
        )

    async def generate(self, question: Question) -> Answer:
        """Answers in one piece."""
        provenance: Provenance | None = None
        ending: Ending | None = None
        text: list[str] = []
        tokens: list[EmittedToken] = []
        prepared = await self._prepared(question)
        async for event in self._decode(question, prepared):
            if isinstance(event, Provenance):
                provenance = event
            elif isinstance(event, Ending):
                ending = event
            else:
                text.append(event.text)
                tokens.extend(event.tokens)
        assert provenance is not None
        assert ending is not None
        return Answer(
            text="".join(text),
            tokens=tuple(tokens),
            prompt_token_ids=prepared.preparation.prompt_tokens,
            provenance=replace(provenance, timings=ending.timings),
            ending=ending,
        )

    async def stream(self, question: Question) -> AsyncIterator[Provenance | TokenDelta | Ending]:
        """Yields the provenance, then text as it comes, then how it ended.

        Closing the iterator, or cancelling its consumer, frees the engine's slot.
        """
        prepared = await self._prepared(question)
        async with aclosing(self._decode(question, prepared)) as events:
            async for event in events:
                yield event

    async def score(self, question: Question, continuations: Sequence[str]) -> ScoredAnswer:
        """Scores continuations after the prompt that the route's path would decode."""
        prepared = await self._prepared(question)
        scores = await _in_thread(
            self._waiting,
            score_continuations,
            self.engine_of(prepared.provenance.route),
            prepared.preparation.prompt_tokens,
            tuple(continuations),
            self._edition(prepared),
        )
        return ScoredAnswer(scores=tuple(scores), provenance=prepared.provenance)

    async def _prepared(self, question: Question) -> _Prepared:
        """Waits for the sequence that is asked for, then routes and prepares."""
        started = self._clock()
        least = question.routing.min_sequence
        if least > self._memory.snapshot().sequence:
            wait_s = self._wait_s(question)
            await _in_thread(self._waiting, self._memory.wait_for, least, wait_s)
        return await _in_thread(self._pool, self._prepare, question, started)

    def _prepare(self, question: Question, started: float) -> _Prepared:
        """Routes and prepares; blocking, for a thread of the pool."""
        routing = question.routing
        snapshot = self._memory.snapshot()
        lease = self._editions.lease(snapshot.edition(routing.namespace))
        route, scoped = self._route(question, snapshot, lease)
        routed = self._clock()
        try:
            preparation, own_tokens = self._lay_out(question, route, scoped.read_as)
        except ContextTooLong:
            roomier = self._paths.roomier(route, routing.path)
            if roomier is None:
                raise
            route = roomier
            preparation, own_tokens = self._lay_out(question, route, scoped.read_as)
        used = {edit.id for edit in preparation.edits_used}
        route = only_used(route, used)
        prepared = self._clock()
        provenance = Provenance(
            request_id=question.request_id or uuid.uuid4().hex,
            namespace=routing.namespace,
            route=route,
            sequence=snapshot.sequence,
            edition=lease.edition,
            classifier=self._classifier.name,
            calibrated=self._classifier.calibrated,
            timings=replace(
                scoped.timings,
                prepare_ms=_ms(prepared - routed),
                total_ms=_ms(prepared - started),
            ),
            read_as=scoped.read_as,
            budget=scoped.budget,
        )
        return _Prepared(
            provenance=provenance, preparation=preparation, own_tokens=own_tokens, lease=lease
        )

    def _wait_s(self, question: Question) -> float:
        wait_s = self._settings.sequence_wait_s
        if question.deadline_s is not None:
            wait_s = min(wait_s, max(0.0, question.deadline_s - time.monotonic()))
        return wait_s

    def _route(
        self, question: Question, snapshot: MemorySnapshot, lease: Lease
    ) -> tuple[Route, Scoped]:
        """Decides on one snapshot and edition; asks encoder and index only when they can matter."""
        routing = question.routing
        path = self._paths.path(routing.path)
        snapshot.space(routing.namespace)  # Raises NotFound for an unknown namespace.
        scoped = Scoped()
        if routing.policy is EditsPolicy.FORCE:
            forced = forced_decisions(routing, snapshot, edits_max=self._settings.forced_max)
            read_as = self._scope.read(question, snapshot).read_as
            scoped = Scoped(decisions=tuple(forced), read_as=read_as)
        elif routing.policy is EditsPolicy.AUTO:
            scoped = self._scope.decide(question, snapshot)
        route = choose_route(
            scoped.decisions,
            policy=routing.policy,
            path=path.name,
            edits_max=path.edits_max,
            edition=lease.edition,
            corrected=scoped.corrected,
        )
        if lease.problem:
            told = f"{route.reason} The model as published answers: {lease.problem}"
            route = replace(route, reason=told)
        if self._paths.is_auto(routing.path):
            asked = _path_input(question, scoped.read_as)
            by_caller = routing.policy is EditsPolicy.FORCE
            route = self._paths.by_form(route, asked, forced=by_caller)
        return route, scoped

    def _lay_out(
        self, question: Question, route: Route, read_as: str | None
    ) -> tuple[Preparation, int]:
        """Returns what to decode and the length of the caller's own prompt, in tokens."""
        asked, engine = _path_input(question, read_as), self.engine_of(route)
        own = (
            engine.tokenize_chat(question.messages)
            if question.messages
            else engine.tokenize(asked.prompt)
        )
        if route.kind is RouteKind.BASE:
            return Preparation(prompt_tokens=tuple(own)), len(own)
        edits = [decision.candidate.edit for decision in route.hits]
        return self._paths.path(route.path).prepare(asked, edits), len(own)

    def _edition(self, prepared: _Prepared) -> int:
        """The weights that decode: only the frozen model has editions."""
        provenance = prepared.provenance
        return self._paths.edition_of(provenance.route.path, provenance.edition)

    async def _decode(
        self, question: Question, prepared: _Prepared
    ) -> AsyncGenerator[Provenance | TokenDelta | Ending, None]:
        yield prepared.provenance
        request = EngineRequest(
            request_id=prepared.provenance.request_id,
            prompt_tokens=prepared.preparation.prompt_tokens,
            sampling=question.sampling,
            edition=self._edition(prepared),
            logprobs_top=question.logprobs_top,
            prefix_tokens=prepared.preparation.prefix_tokens,
            deadline_s=question.deadline_s,
            answer_tokens=prepared.preparation.answer_tokens,
        )
        engine = self.engine_of(prepared.provenance.route)
        async with aclosing(stream_engine(engine, request)) as events:
            async for event in events:
                if isinstance(event, Failed):
                    raise event.error
                if isinstance(event, Finished):
                    yield _ending(event, prepared)
                else:
                    yield event


async def _in_thread(pool: ThreadPoolExecutor, call: Callable[..., T], *arguments: object) -> T:
    return await asyncio.get_running_loop().run_in_executor(pool, call, *arguments)


def _path_input(question: Question, read_as: str | None) -> PathInput:
    return PathInput(
        prompt=question.prompt or "",
        messages=question.messages,
        max_tokens=question.sampling.max_tokens,
        read_as=read_as,
    )


def _ending(finished: Finished, prepared: _Prepared) -> Ending:
    before = prepared.provenance.timings
    return Ending(
        reason=finished.reason,
        stop_match=finished.stop_match,
        prompt_tokens=finished.prompt_tokens,
        completion_tokens=finished.completion_tokens,
        cached_tokens=finished.cached_tokens,
        edit_tokens=max(0, finished.prompt_tokens - prepared.own_tokens),
        seed=finished.seed,
        timings=replace(
            before,
            queue_ms=finished.queue_ms,
            prefill_ms=finished.prefill_ms,
            decode_ms=finished.decode_ms,
            total_ms=before.total_ms + finished.queue_ms + finished.prefill_ms + finished.decode_ms,
        ),
    )


def _ms(seconds: float) -> float:
    return seconds * 1000.0
