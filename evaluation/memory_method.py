"""Methods that leave the weights alone: a path behind whatever chooses the edit, and baselines.

`none` asks the frozen model; `target` returns the target verbatim wherever the scope routes; any
other name is a path of the server ("auto": the path that its settings name). Everything goes
through the server's own query runner.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict

from evaluation.bm25 import Bm25Index
from evaluation.method import REFUSED, Asked, Routed, Said, Scored, Want, refused
from evaluation.metrics import token_share
from evaluation.probes import Probe
from evaluation.scopes import BM25, NOTHING
from evaluation.workbench import Workbench
from memory.errors import ContextTooLong, InvalidInput
from memory.record import EditDraft, EditId, EditsPolicy, Namespace, Provenance, RouteKind
from runtime.engine.contract import Sampling, ScoredContinuation
from runtime.question import Explanation, Question, Routing

log = logging.getLogger(__name__)

AUTO = "auto"
NO_EDITS = "none"
TARGET = "target"


def known_methods(paths: Iterable[str]) -> tuple[str, ...]:
    """The names that `--method` takes, of a server with these paths."""
    return tuple(dict.fromkeys((AUTO, *paths, TARGET, NO_EDITS)))


class MemoryMethod:
    """Implements evaluation.method.Method over a workbench."""

    def __init__(
        self,
        bench: Workbench,
        name: str,
        scope: str,
        *,
        sampling: Sampling,
        error_budget: float | None = None,
    ) -> None:
        known = known_methods(bench.paths)
        if name not in known:
            raise InvalidInput(
                f"unknown method {name!r}; known are {', '.join(known)}", field="method"
            )
        self.name = name
        self.scope = NOTHING if name == NO_EDITS else bench.scope_name(scope)
        self._bench = bench
        self.sampling = sampling
        self._budget = error_budget

    @property
    def fingerprint(self) -> str:
        """Classifier with its weights, budget, sampling, settings, and the paths' own models."""
        parts = (self.chooser, self._budget, asdict(self.sampling), self._bench.answering)
        return json.dumps(parts, sort_keys=True, default=str)

    @property
    def chooser(self) -> str:
        """The classifier and the hash of its weights."""
        if self.scope in (NOTHING, BM25):
            return self.scope
        classifier = self._bench.classifier(self.scope)
        return f"{classifier.name}@{classifier.version}"

    def hold(self, edits: Sequence[EditDraft]) -> HeldMemory:
        """Puts edits into a namespace of their own."""
        namespace = self._bench.write(edits) if edits else None
        return HeldMemory(self, self._bench, namespace, edits)

    def routing(self, namespace: Namespace, forced: tuple[EditId, ...] = ()) -> Routing:
        """How the server is asked to route."""
        path = "" if self.name in (AUTO, TARGET, NO_EDITS) else self.name
        if self.name == AUTO and AUTO in self._bench.paths:
            path = AUTO  # The server's own rule, whatever its settings name as default.
        policy = EditsPolicy.FORCE if forced else EditsPolicy.AUTO
        if self.name == NO_EDITS:
            policy = EditsPolicy.OFF
        return Routing(
            namespace=namespace,
            policy=policy,
            edits=forced,
            path=path,
            error_budget=None if forced else self._budget,
        )

    def question(self, probe: Probe, routing: Routing) -> Question:
        """What the server is asked."""
        return Question(
            prompt=None if probe.messages else probe.prompt,
            messages=probe.messages,
            sampling=self.sampling,
            routing=routing,
        )


class HeldMemory:
    """Implements evaluation.method.Held: a namespace and the runner of its scope."""

    def __init__(
        self,
        method: MemoryMethod,
        bench: Workbench,
        namespace: Namespace | None,
        edits: Sequence[EditDraft],
    ) -> None:
        self._method = method
        self._bench = bench
        self._edits = {edit.edit_id: edit for edit in edits if edit.edit_id}
        self._namespace = namespace or Namespace("default")
        self._classifier_scope = "exact" if method.scope in (NOTHING, BM25) else method.scope
        self._bm25 = self._index() if method.scope == BM25 else None
        self._own_space = False

    def add(self, edits: Sequence[EditDraft]) -> None:
        """Writes more edits, into a namespace that nothing else uses."""
        if not self._own_space:
            self._namespace = Namespace(f"s-{time.time_ns():x}")  # Of no earlier run either.
            self._own_space = True
            held = [*self._edits.values(), *edits]
        else:
            held = list(edits)
        self._bench.append(self._namespace, held)
        self._edits |= {edit.edit_id: edit for edit in edits if edit.edit_id}
        if self._bm25 is not None:
            self._bm25 = self._index()

    def close(self) -> None:
        """Keeps the namespace: another method asks it next."""

    async def ask(self, probe: Probe, own: Sequence[EditId], want: Want) -> Asked:
        """Routes; then decodes and scores."""
        method = self._method
        runner = self._bench.runner(self._classifier_scope)
        question = method.question(probe, method.routing(self._namespace, self._forced(probe)))
        try:
            explained = await runner.explain(question)
        except ContextTooLong as error:  # As a caller would be told; the run goes on.
            log.warning("refused: %s (%s)", probe.prompt[:80], error)
            return refused(Routed(edited=False, path=REFUSED, reason=str(error)), want)
        routed = _routed(explained.provenance, own)
        try:
            return await self._answered(probe, question, explained, routed, want)
        except ContextTooLong as error:
            log.warning("refused: %s (%s)", probe.prompt[:80], error)
            return refused(routed, want)

    async def _answered(
        self, probe: Probe, question: Question, explained: Explanation, routed: Routed, want: Want
    ) -> Asked:
        """Decodes and scores what was not decoded and scored before."""
        method = self._method
        done = self._decoded(probe, explained.provenance)
        said, scored = None, None
        if want.say and method.name == TARGET and routed.edited:
            target = explained.provenance.route.hits[0].candidate.edit.target
            return Asked(routed=routed, said=Said(text=target, token_ids=(), finish="eos"))
        if want.say:
            said = await self._bench.once(["say", *done], lambda: self._say(question))
        if want.score and probe.answers and method.name != TARGET:
            key = ["score", *done, probe.answers[0], probe.former]
            scored = await self._bench.once(key, lambda: self._score(question, probe))
        return Asked(routed=routed, said=said, scored=scored)

    def _index(self) -> Bm25Index | None:
        if not self._edits:
            return None
        return Bm25Index([f"{edit.prompt} {edit.target}" for edit in self._edits.values()])

    def _forced(self, probe: Probe) -> tuple[EditId, ...]:
        if self._bm25 is None:
            return ()
        place, _ = self._bm25.best(probe.prompt)
        return (list(self._edits)[place],)

    def _decoded(self, probe: Probe, provenance: Provenance) -> list[object]:
        """What the decoded answer depends on."""
        route = provenance.route
        asked: list[object] = [probe.prompt, probe.messages, asdict(self._method.sampling)]
        if route.kind is RouteKind.BASE:
            return ["base", *asked]
        used = [hit.candidate.edit for hit in route.hits]
        facts = [(e.subject, e.prompt, e.target, e.former, e.aliases) for e in used]
        return [route.path, self._bench.answering, facts, provenance.read_as, *asked]

    async def _say(self, question: Question) -> Said:
        answer = await self._bench.runner(self._classifier_scope).generate(question)
        return Said(
            text=answer.text,
            token_ids=tuple(token.token_id for token in answer.tokens),
            finish=answer.ending.reason.value,
        )

    async def _score(self, question: Question, probe: Probe) -> Scored:
        continuations = [f" {probe.answers[0]}", *([f" {probe.former}"] if probe.former else [])]
        runner = self._bench.runner(self._classifier_scope)
        scores = (await runner.score(question, continuations)).scores
        return Scored(
            target_nll=_nll(scores[0]),
            target_share=token_share(scores[0].greedy),
            former_nll=_nll(scores[1]) if len(scores) > 1 else None,
        )


def _routed(provenance: Provenance, own: Sequence[EditId]) -> Routed:
    route = provenance.route
    ranked = [*route.hits, *(rejection.decision for rejection in route.rejections)]
    best = max(ranked, key=lambda d: d.score, default=None)
    mine = [d.score for d in ranked if d.candidate.edit.id in own]
    return Routed(
        edited=route.kind is RouteKind.EDITED,
        path=route.path,
        hits=tuple((hit.candidate.edit.id, round(hit.score, 6)) for hit in route.hits),
        best=best.candidate.edit.id if best else "",
        best_score=round(best.score, 6) if best else 0.0,
        own_score=round(max(mine, default=0.0), 6),
        threshold=round(best.threshold, 6) if best else 0.0,
        reason=route.reason,
    )


def _nll(scored: ScoredContinuation) -> float:
    return -sum(scored.logprobs) / max(1, len(scored.logprobs))
