"""The scope stage of a query: read it, encode it, retrieve candidates, score them.

Everything a decision rests on is returned with it: the text that was routed, the threshold and the
error budget that the threshold keeps. It decides no route.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field

from classifiers.scope import Budgeted, Foreseeing, Foreseen, ScopeClassifier
from memory.contracts import Encoder
from memory.parts import make_subject_matcher
from memory.record import (
    BudgetSource,
    Candidate,
    Edit,
    EditId,
    ErrorBudget,
    Namespace,
    Query,
    ScopeDecision,
    StageTimings,
    Vector,
)
from memory.snapshot import MemorySnapshot
from runtime.later import EVEN_ODDS, LaterCorrections
from runtime.question import Asked, Question, Routing, query_text

REVERSED_FROM = 0.1  # Of the threshold: what scores less is not asked the other way round.


@dataclass(frozen=True, slots=True, kw_only=True)
class Scoped:
    """What the scope stage found; empty for a query that was not asked about."""

    decisions: tuple[ScopeDecision, ...] = ()
    timings: StageTimings = field(default_factory=StageTimings)
    read_as: str | None = None  # The text that was routed, when not the one that was said.
    budget: ErrorBudget | None = None
    corrected: Mapping[EditId, EditId] = field(default_factory=dict)  # By later edits in scope.


class ScopeStage:
    """Scores the edits of a namespace for a query. Thread-safe, as its parts are."""

    def __init__(
        self,
        *,
        encoder: Encoder,
        classifier: ScopeClassifier,
        candidates: int,
        error_budget: float | None,
        namespace_budgets: Mapping[str, float],
        clock: Callable[[], float],
        beside: Executor | None = None,
    ) -> None:
        """Takes the parts; `candidates` is how many edits are fetched by vector.

        What the classifier needs no vector for is done in `beside`; without it, when it scores.
        """
        self._encoder = encoder
        self._classifier = classifier
        self._foresees = classifier if isinstance(classifier, Foreseeing) else None
        self._candidates = candidates
        self._error_budget = error_budget
        self._namespace_budgets = dict(namespace_budgets)
        self._clock = clock
        # Forms of SERAC and the like are left as they were published.
        self._later = LaterCorrections(self._overlap) if classifier.calibrated else None
        self._beside = beside

    def budget(self, routing: Routing) -> ErrorBudget:
        """The budget in force: the request's, the namespace's, the server's, the classifier's."""
        if routing.error_budget is not None:
            return ErrorBudget(share=routing.error_budget, source=BudgetSource.REQUEST)
        share = self._namespace_budgets.get(routing.namespace)
        if share is not None:
            return ErrorBudget(share=share, source=BudgetSource.NAMESPACE)
        if self._error_budget is not None:
            return ErrorBudget(share=self._error_budget, source=BudgetSource.SERVER)
        own = self._classifier
        share = own.budget_default if isinstance(own, Budgeted) else None
        return ErrorBudget(share=share, source=BudgetSource.CLASSIFIER)

    def decide(self, question: Question, snapshot: MemorySnapshot) -> Scoped:
        """Scores the candidates of a query; asks encoder and index only when there are edits.

        Raises InvalidInput for a budget that the classifier cannot keep, NotFound for an unknown
        namespace.
        """
        namespace = question.routing.namespace
        budget = self.budget(question.routing)
        threshold = self._classifier.threshold(budget.share)
        if not snapshot.count(namespace):
            return Scoped(budget=budget)
        started = self._clock()
        asked = self.read(question, snapshot)
        foreseen = self._foresee(namespace, asked.text, snapshot)
        try:
            vector = self._encoder.encode(asked.text)
            query = Query(text=asked.text, context=asked.context, vector=vector)
            encoded = self._clock()
            candidates = snapshot.candidates(namespace, query, self._candidates)
            retrieved = self._clock()
            scores = (
                self._foresees.score_foreseen(query, candidates, foreseen.result)
                if self._foresees
                else self._classifier.score(query, candidates)
            )
        finally:
            foreseen.cancel()  # What nobody waited for and has not begun keeps no other waiting.
        decisions = tuple(
            ScopeDecision(candidate=candidate, score=score, threshold=threshold)
            for candidate, score in zip(candidates, scores, strict=True)
        )
        corrected = (
            self._later.find(namespace, asked.text, decisions, snapshot) if self._later else {}
        )
        scored = self._clock()
        return Scoped(
            decisions=decisions,
            timings=StageTimings(
                encode_ms=(encoded - started) * 1000.0,
                retrieve_ms=(retrieved - encoded) * 1000.0,
                scope_ms=(scored - retrieved) * 1000.0,
            ),
            read_as=asked.read_as,
            budget=budget,
            corrected=corrected,
        )

    def judge(
        self,
        namespace: Namespace,
        query: Query,
        snapshot: MemorySnapshot,
        *,
        without: Collection[EditId] = (),
    ) -> list[ScopeDecision]:
        """Scores the candidates of a query that has its vector, as if some edits were not there.

        Raises NotFound for an unknown namespace.
        """
        found = snapshot.candidates(namespace, query, self._candidates, without=without)
        return self.judge_given(namespace, query, found)

    def judge_given(
        self, namespace: Namespace, query: Query, candidates: Sequence[Candidate]
    ) -> list[ScopeDecision]:
        """Scores candidates that retrieval did not propose, by the namespace's own threshold."""
        threshold = self._classifier.threshold(self.budget(Routing(namespace=namespace)).share)
        scores = self._classifier.score(query, candidates)
        return [
            ScopeDecision(candidate=candidate, score=score, threshold=threshold)
            for candidate, score in zip(candidates, scores, strict=True)
        ]

    def judge_prompt(
        self, asking: Edit, edit: Edit, vectors: tuple[Vector, Vector], mention: str
    ) -> ScopeDecision:
        """Scores one edit alone for the prompt of another; `vectors` (d,) are their prompts'.

        `mention` is the edit's name as it stands in that prompt, "" if it does not.
        """
        asked, own = vectors
        alone = Candidate(
            edit=edit,
            cosine=float(asked @ own),
            rank=0,
            by_vector=True,
            by_subject=bool(mention),
            mention=mention,
        )
        query = Query(text=asking.prompt, vector=asked)
        (decision,) = self.judge_given(edit.namespace, query, [alone])
        return decision

    def _overlap(self, earlier: Edit, later: Edit, snapshot: MemorySnapshot) -> float:
        """Scores the overlap of two edits as is told of a write; 0 if they do not overlap.

        Either one's prompt in the other's scope will do, the surer of the two. The earlier one is
        not asked about by its prompt if the later one's is turned down outright.
        """
        first, last = (snapshot.vector(edit.namespace, edit.id) for edit in (earlier, later))
        if first is None or last is None:
            return 0.0
        mention = mention_of(earlier, later.prompt)
        forth = self.judge_prompt(later, earlier, (last, first), mention)
        if forth.score < REVERSED_FROM * forth.threshold:
            return 0.0
        if forth.accepted and forth.score >= EVEN_ODDS:
            return forth.score
        mention = mention_of(later, earlier.prompt)
        back = self.judge_prompt(earlier, later, (first, last), mention)
        return max((way.score for way in (forth, back) if way.accepted), default=0.0)

    def encode(self, prompt: str) -> Vector:
        """Returns the vector (d,) that the prompt of an edit would be stored with."""
        vector: Vector = self._encoder.encode_many([prompt])[0]
        return vector

    def _foresee(
        self, namespace: Namespace, text: str, snapshot: MemorySnapshot
    ) -> Future[Foreseen]:
        """Begins what the classifier needs no vector for; nothing where there is no such thing."""
        if self._foresees is not None and self._beside is not None:
            mentioned = snapshot.mentioned(namespace, text)
            if mentioned:
                return self._beside.submit(self._foresees.foresee, text, mentioned)
        nothing: Future[Foreseen] = Future()
        nothing.set_result({})
        return nothing

    def read(self, question: Question, snapshot: MemorySnapshot) -> Asked:
        """Reads the query in its conversation. Raises NotFound for an unknown namespace."""
        return query_text(question, snapshot.space(question.routing.namespace).subjects.find)


def mention_of(edit: Edit, text: str) -> str:
    """Returns the longest of an edit's names that stands in a text; "" for none."""
    names = make_subject_matcher().apply([(1, (edit.subject, *edit.aliases))], [])
    return max((mention.surface for mention in names.find(text)), key=len, default="")
