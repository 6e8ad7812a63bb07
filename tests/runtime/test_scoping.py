"""The scope stage in a running query: whose budget counts, and how a chat is read."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import Any

import pytest

from classifiers.scope import Foreseen
from memory.errors import InvalidInput
from memory.record import (
    BudgetSource,
    Candidate,
    Edit,
    EditsPolicy,
    ErrorBudget,
    Query,
    RouteKind,
    Vector,
)
from runtime.question import Asked, query_text
from runtime.scoping import ScopeStage
from tests.fakes import FakeEngine
from tests.hash_encoder import HashEncoder
from tests.runner_kit import CITY, SPORT, ScriptedClassifier, ask, bench, run

SOON_S = 20.0


def test_the_error_budget_reaches_the_classifier(tmp_path: Path) -> None:
    with bench(tmp_path, error_budget=0.05) as b:
        b.add(SPORT)
        run(lambda: b.runner.explain(ask()))
        run(lambda: b.runner.explain(ask(error_budget=0.2)))
        assert [0.05, 0.2] == b.classifier.budgets


@pytest.mark.parametrize(
    ("namespace", "asked", "server", "share", "source"),
    [
        ("medical", 0.2, 0.05, 0.2, BudgetSource.REQUEST),
        ("medical", None, 0.05, 0.002, BudgetSource.NAMESPACE),
        ("default", None, 0.05, 0.05, BudgetSource.SERVER),
        ("default", None, None, None, BudgetSource.CLASSIFIER),
    ],
)
def test_the_nearest_budget_counts_and_is_named(
    tmp_path: Path,
    namespace: str,
    asked: float | None,
    server: float | None,
    share: float | None,
    source: BudgetSource,
) -> None:
    with bench(tmp_path, error_budget=server, namespace_budgets={"medical": 0.002}) as b:
        b.add(SPORT, namespace=namespace)
        question = ask(namespace=namespace, error_budget=asked)
        provenance = run(lambda: b.runner.explain(question)).provenance
        assert [share] == b.classifier.budgets
        assert ErrorBudget(share=share, source=source) == provenance.budget


def test_a_budget_left_to_a_classifier_that_keeps_one_is_told(tmp_path: Path) -> None:
    class Promising(ScriptedClassifier):
        budget_default = 0.03

    with bench(tmp_path) as b:
        b.add(SPORT)
        runner = b.runner.with_classifier(Promising(), b.encoder)
        try:
            provenance = run(lambda: runner.explain(ask())).provenance
        finally:
            runner.close()
        assert ErrorBudget(share=0.03, source=BudgetSource.CLASSIFIER) == provenance.budget


@pytest.mark.parametrize("policy", [EditsPolicy.OFF, EditsPolicy.FORCE])
def test_where_the_classifier_is_not_asked_no_budget_is_claimed(
    tmp_path: Path, policy: EditsPolicy
) -> None:
    with bench(tmp_path, error_budget=0.05) as b:
        edits = (b.add(SPORT).id,) if policy is EditsPolicy.FORCE else ()
        explained = run(lambda: b.runner.explain(ask(policy=policy, edits=edits)))
        assert explained.provenance.budget is None
        assert [] == b.classifier.budgets


def test_a_budget_that_nobody_can_keep_is_refused_with_and_without_edits(tmp_path: Path) -> None:
    with bench(tmp_path) as b:
        with pytest.raises(InvalidInput, match="budget"):
            run(lambda: b.runner.explain(ask(error_budget=1e-9)))
        b.add(SPORT)
        with pytest.raises(InvalidInput, match="budget"):
            run(lambda: b.runner.explain(ask(error_budget=1e-9)))


def test_of_a_chat_the_last_turn_is_routed_and_the_others_are_its_context(tmp_path: Path) -> None:
    turns = (("system", "Be brief."), ("user", "Hello"), ("assistant", "Hi"), ("user", "And he?"))
    context = "system: Be brief.\nuser: Hello\nassistant: Hi"
    assert Asked(text="And he?", said="And he?", context=context) == query_text(
        ask(messages=turns), lambda _: ()
    )
    with bench(tmp_path, FakeEngine(chat=True)) as b:
        b.add(SPORT)
        explained = run(lambda: b.runner.explain(ask(messages=turns)))
        assert "And he?" == b.classifier.queries[0].text
        assert b.classifier.queries[0].context.endswith("assistant: Hi")
        assert RouteKind.EDITED is explained.provenance.route.kind
        assert "New Fact: Lionel Messi plays basketball" in explained.decoded_prompt
        assert explained.decoded_prompt.startswith("system: Be brief.\nNew Fact")


PRONOUN_CHAT = (
    ("user", "Where was Lionel Messi born?"),
    ("assistant", "In Rosario."),
    ("user", "And what does he play?"),
)


def test_a_pronoun_is_routed_by_the_name_it_stands_for(tmp_path: Path) -> None:
    """The reading is encoded, mentions the subject, is reported, and stands after the new fact."""
    with bench(tmp_path, FakeEngine(chat=True)) as b:
        b.add(SPORT)
        explained = run(lambda: b.runner.explain(ask(messages=PRONOUN_CHAT)))
        read_as = "And what does Lionel Messi play?"
        assert read_as == explained.provenance.read_as == b.classifier.queries[0].text
        assert (b.encoder.encode(read_as) == b.classifier.queries[0].vector).all()
        assert "Lionel Messi" == explained.provenance.route.hits[0].candidate.mention
        assert explained.decoded_prompt.index("New Fact: ") < explained.decoded_prompt.index(
            read_as
        )
        assert "In Rosario." in explained.decoded_prompt
        assert "And what does he play?" not in explained.decoded_prompt
        assert "New Fact: Lionel Messi plays basketball" in explained.decoded_prompt


def test_a_base_answer_decodes_the_callers_own_turns_however_they_were_read(
    tmp_path: Path,
) -> None:
    engine = FakeEngine(chat=True)
    with bench(tmp_path, engine) as b:
        b.add(SPORT)
        b.classifier.scores.clear()
        answer = run(lambda: b.runner.generate(ask(messages=PRONOUN_CHAT)))
        assert RouteKind.BASE is answer.provenance.route.kind
        assert answer.provenance.read_as is not None
        assert tuple(engine.tokenize_chat(PRONOUN_CHAT)) == answer.prompt_token_ids


def test_a_forced_edit_reaches_a_turn_that_has_only_a_pronoun(tmp_path: Path) -> None:
    with bench(tmp_path, FakeEngine(chat=True)) as b:
        edit = b.add(SPORT)
        question = ask(messages=PRONOUN_CHAT, policy=EditsPolicy.FORCE, edits=(edit.id,))
        explained = run(lambda: b.runner.explain(question))
        assert "And what does Lionel Messi play?" == explained.provenance.read_as
        assert "And what does Lionel Messi play?" in explained.decoded_prompt


def test_with_edits_off_a_chat_is_not_even_read(tmp_path: Path) -> None:
    with bench(tmp_path, FakeEngine(chat=True)) as b:
        b.add(SPORT)
        question = ask(messages=PRONOUN_CHAT, policy=EditsPolicy.OFF)
        explained = run(lambda: b.runner.explain(question))
        assert explained.provenance.read_as is None
        assert "And what does he play?" in explained.decoded_prompt


def test_of_a_turn_that_stands_alone_no_reading_is_reported(tmp_path: Path) -> None:
    with bench(tmp_path, FakeEngine(chat=True)) as b:
        b.add(SPORT)
        turns = (*PRONOUN_CHAT[:2], ("user", "What does Lionel Messi play?"))
        assert run(lambda: b.runner.explain(ask(messages=turns))).provenance.read_as is None
        assert run(lambda: b.runner.explain(ask())).provenance.read_as is None


def test_edits_of_another_namespace_read_nothing_into_a_chat(tmp_path: Path) -> None:
    with bench(tmp_path, FakeEngine(chat=True)) as b:
        b.add(SPORT, namespace="other")
        b.add(CITY)
        turns = (("user", "who is lionel messi"), ("assistant", "a player"), ("user", "who is he?"))
        assert run(lambda: b.runner.explain(ask(messages=turns))).provenance.read_as is None
        explained = run(lambda: b.runner.explain(ask(messages=turns, namespace="other")))
        assert "who is lionel messi?" == explained.provenance.read_as


class Foresighted(ScriptedClassifier):
    """Notes what it is told beforehand; foresees at a gate, if one is given."""

    def __init__(self, gate: threading.Event | None = None, *, needs: bool = True) -> None:
        super().__init__({"Lionel Messi": 0.9})
        self.told: list[str] = []
        self.foreseen: list[Foreseen] = []
        self.begun = threading.Event()
        self._gate = gate
        self._needs = needs

    def foresee(self, text: str, mentioned: Sequence[tuple[Edit, str]]) -> Foreseen:
        self.told += [f"{edit.target} for {mention}" for edit, mention in mentioned]
        self.begun.set()
        if self._gate is not None and not self._gate.wait(SOON_S):
            raise RuntimeError("the gate stayed shut")
        return {(text, "seen"): 1.0}

    def score_foreseen(
        self,
        query: Query,
        candidates: Sequence[Candidate],
        foreseen: Callable[[], Foreseen],
    ) -> list[float]:
        if self._needs:
            self.foreseen.append(foreseen())
        return self.score(query, candidates)


class MeetingEncoder(HashEncoder):
    """Encodes the query when something else has begun; then opens a gate."""

    def __init__(self, begun: threading.Event, gate: threading.Event) -> None:
        super().__init__()
        self._begun, self._gate = begun, gate

    def encode(self, text: str) -> Vector:
        assert self._begun.wait(SOON_S)
        vector = super().encode(text)
        self._gate.set()
        return vector


def test_what_needs_no_vector_is_done_while_the_query_is_encoded(tmp_path: Path) -> None:
    gate = threading.Event()  # Neither can end before the other has begun.
    classifier = Foresighted(gate)
    with bench(tmp_path) as b:
        b.add(SPORT)
        b.add(CITY)
        runner = b.runner.with_classifier(classifier, MeetingEncoder(classifier.begun, gate))
        try:
            explained = run(lambda: runner.explain(ask("Lionel Messi plays what?")))
        finally:
            runner.close()
    assert RouteKind.EDITED is explained.provenance.route.kind
    assert ["basketball for Lionel Messi"] == classifier.told
    assert [{("Lionel Messi plays what?", "seen"): 1.0}] == classifier.foreseen


def test_what_no_score_needs_is_not_waited_for(tmp_path: Path) -> None:
    gate = threading.Event()
    classifier = Foresighted(gate, needs=False)
    with bench(tmp_path) as b:
        b.add(SPORT)
        runner = b.runner.with_classifier(classifier, b.encoder)
        try:
            explained = run(lambda: runner.explain(ask("Lionel Messi plays what?")))
            assert RouteKind.EDITED is explained.provenance.route.kind
        finally:
            gate.set()
            runner.close()


class BusyExecutor(Executor):
    """Begins nothing; keeps what was submitted."""

    def __init__(self) -> None:
        self.kept: list[Future[Any]] = []

    def submit(self, *_: object, **__: object) -> Future[Any]:
        self.kept.append(Future())
        return self.kept[-1]


def test_what_nobody_waits_for_any_more_is_never_begun(tmp_path: Path) -> None:
    busy = BusyExecutor()
    with bench(tmp_path) as b:
        b.add(SPORT)
        stage = ScopeStage(
            encoder=b.encoder,
            classifier=Foresighted(needs=False),
            candidates=4,
            error_budget=None,
            namespace_budgets={},
            clock=time.perf_counter,
            beside=busy,
        )
        stage.decide(ask("Lionel Messi plays what?"), b.memory.snapshot())
    assert [True] == [future.cancelled() for future in busy.kept]


def test_a_query_that_names_nobody_is_not_foreseen(tmp_path: Path) -> None:
    classifier = Foresighted()
    with bench(tmp_path) as b:
        b.add(SPORT)
        runner = b.runner.with_classifier(classifier, b.encoder)
        try:
            run(lambda: runner.explain(ask("how do I boil an egg")))
        finally:
            runner.close()
    assert [] == classifier.told
    assert [{}] == classifier.foreseen


def test_what_fails_beforehand_fails_the_query(tmp_path: Path) -> None:
    class Failing(Foresighted):
        def foresee(self, text: str, mentioned: Sequence[tuple[Edit, str]]) -> Foreseen:
            raise RuntimeError("cannot read")

    with bench(tmp_path) as b:
        b.add(SPORT)
        runner = b.runner.with_classifier(Failing(), b.encoder)
        try:
            with pytest.raises(RuntimeError, match="cannot read"):
                run(lambda: runner.explain(ask("Lionel Messi plays what?")))
        finally:
            runner.close()
