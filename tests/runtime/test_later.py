"""A later correction counts, also where it was made in other words; an edit keeps its own words."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from memory.edit_memory import EditMemory
from memory.record import DEFAULT_NAMESPACE, Candidate, Edit, EditDraft, EditId, Query
from memory.writes import EditChanges
from runtime import later
from runtime.question import Question, Routing
from runtime.scoping import ScopeStage
from tests.hash_encoder import HashEncoder
from tests.memory_kit import open_memory
from tests.overlap_kit import BOSS, LED, SEAT, SameQuestion, fact

HEAD, HOME = "Who heads Acme?", "Where is Acme at home?"
BOSS_OR_SEAT = "Tell me about the boss and the seat of Acme."


class Asked(SameQuestion):
    """Knows some more queries, and counts what it judges."""

    calibrated = True

    def __init__(self) -> None:
        self.judged = 0

    def _same(self, text: str, edit: Edit) -> bool:
        self.judged += 1
        known = {HEAD: ("boss", "led"), HOME: ("seat",), BOSS_OR_SEAT: ("boss", "led", "seat")}
        if text in known:
            return any(word in edit.prompt for word in known[text])
        return text == edit.prompt or super()._same(text, edit)


class Published(Asked):
    """A form that makes no promise about its scores."""

    calibrated = False


class Stage:
    """A memory and the scope stage that reads it."""

    def __init__(self, memory: EditMemory, classifier: Asked) -> None:
        self.memory, self.classifier = memory, classifier
        self.scope = ScopeStage(
            encoder=HashEncoder(dimension=16), classifier=classifier, candidates=16,
            error_budget=None, namespace_budgets={}, clock=time.perf_counter,
        )  # fmt: skip

    def add(self, draft: EditDraft) -> EditId:
        return self.memory.create(draft).edits[0].id

    def corrected(self, text: str) -> dict[EditId, EditId]:
        """Returns what a query finds corrected, by what."""
        question = Question(prompt=text, routing=Routing(namespace=DEFAULT_NAMESPACE))
        return dict(self.scope.decide(question, self.memory.snapshot()).corrected)


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    with open_memory(tmp_path) as memory:
        yield Stage(memory, Asked())


def test_of_two_answers_to_one_question_the_later_counts(stage: Stage) -> None:
    jane, tom = stage.add(fact(BOSS, "Jane")), stage.add(fact(LED, "Tom"))
    assert {jane: tom} == stage.corrected(HEAD)
    assert {jane: tom} == stage.corrected("Acme is led by")


def test_an_edit_answers_its_own_words(stage: Stage) -> None:
    stage.add(fact(BOSS, "Jane"))
    stage.add(fact(LED, "Tom"))
    assert {} == stage.corrected("The boss of Acme is")
    assert {} == stage.corrected("the boss of  acme is:")


def test_of_two_that_are_asked_in_one_prompt_the_later_counts(stage: Stage) -> None:
    jane = stage.add(fact("The boss of {} Corp is", "Jane"))
    tom = stage.add(fact("The boss of {} is", "Tom", subject="Acme Corp"))
    assert {jane: tom} == stage.corrected("The boss of Acme Corp is")
    stage.memory.update(jane, EditChanges(target="Ann"))
    assert {tom: jane} == stage.corrected("The boss of Acme Corp is")


def test_a_third_correction_counts_alone(stage: Stage) -> None:
    jane, tom = stage.add(fact(BOSS, "Jane")), stage.add(fact(LED, "Tom"))
    stage.memory.retire(jane)
    ann = stage.add(fact(BOSS, "Ann"))
    assert {tom: ann} == stage.corrected(HEAD)
    stage.memory.retire(ann)
    assert {} == stage.corrected(HEAD)


def test_the_same_answer_and_another_question_correct_nothing(stage: Stage) -> None:
    stage.add(fact(BOSS, "Jane"))
    stage.add(fact(LED, "jane."))
    stage.add(fact(SEAT, "Rome"))
    assert {} == stage.corrected(HEAD)
    assert {} == stage.corrected(BOSS_OR_SEAT)


def test_who_says_it_anew_says_it_later_and_who_renames_it_does_not(stage: Stage) -> None:
    jane, tom = stage.add(fact(BOSS, "Jane")), stage.add(fact(LED, "Tom"))
    stage.memory.update(jane, EditChanges(author="somebody"))
    assert {jane: tom} == stage.corrected(HEAD)
    stage.memory.retire(jane)
    stage.memory.restore(jane)
    assert {jane: tom} == stage.corrected(HEAD)
    stage.memory.update(jane, EditChanges(target="Joan"))
    assert {tom: jane} == stage.corrected(HEAD)


def test_a_pair_is_judged_once_until_it_changes(stage: Stage) -> None:
    stage.add(fact(BOSS, "Jane"))
    tom = stage.add(fact(LED, "Tom"))
    stage.corrected(HEAD)
    before = stage.classifier.judged
    stage.corrected(HEAD)
    assert 2 == stage.classifier.judged - before  # The query's own candidates.
    stage.memory.update(tom, EditChanges(target="Tim"))
    stage.corrected(HEAD)
    assert 5 == stage.classifier.judged - before


@pytest.mark.parametrize(
    ("forward", "backward", "corrects"),
    [(0.9, 0.0, True), (0.2, 0.9, True), (0.2, 0.2, False), (0.01, 0.9, False)],
)
def test_either_prompt_in_the_others_scope_will_do_unless_it_is_out_of_the_question(
    tmp_path: Path, forward: float, backward: float, *, corrects: bool
) -> None:
    class OneWay(Asked):
        def score(self, query: Query, candidates: Sequence[Candidate]) -> list[float]:
            told = {"Acme is led by": forward, "The boss of Acme is": backward, HEAD: 0.9}
            return [told[query.text] for _ in candidates]

    with open_memory(tmp_path) as memory:
        stage = Stage(memory, OneWay())
        jane, tom = stage.add(fact(BOSS, "Jane")), stage.add(fact(LED, "Tom"))
        assert ({jane: tom} if corrects else {}) == stage.corrected(HEAD)


@pytest.mark.parametrize(
    ("earlier", "later", "overlap", "corrects"),
    [
        (0.99, 0.9, 0.4, True),
        (0.99, 0.5, 0.4, True),
        (0.99, 0.48, 0.4, False),
        (0.99, 0.48, 0.5, True),
        (0.99, 0.3, 0.9, False),
        (0.4, 0.48, 0.4, True),
        (0.4, 0.48, 0.3, False),
    ],
)
def test_a_later_one_that_is_just_in_scope_corrects_no_surer_one_unless_they_surely_overlap(
    tmp_path: Path, earlier: float, later: float, overlap: float, *, corrects: bool
) -> None:
    class Unsure(Asked):
        def score(self, query: Query, candidates: Sequence[Candidate]) -> list[float]:
            told = {"Jane": earlier, "Tom": later} if query.text == HEAD else {}
            return [told.get(candidate.edit.target, overlap) for candidate in candidates]

        def threshold(self, error_budget: float | None = None) -> float:
            return 0.35

    with open_memory(tmp_path) as memory:
        stage = Stage(memory, Unsure())
        jane, tom = stage.add(fact(BOSS, "Jane")), stage.add(fact(LED, "Tom"))
        assert ({jane: tom} if corrects else {}) == stage.corrected(HEAD)


def test_the_surer_way_round_of_an_overlap_counts(tmp_path: Path) -> None:
    class Lopsided(Asked):
        def score(self, query: Query, candidates: Sequence[Candidate]) -> list[float]:
            told = {"Jane": 0.99, "Tom": 0.4} if query.text == HEAD else {"Jane": 0.36, "Tom": 0.8}
            return [told[candidate.edit.target] for candidate in candidates]

        def threshold(self, error_budget: float | None = None) -> float:
            return 0.35

    with open_memory(tmp_path) as memory:
        stage = Stage(memory, Lopsided())
        jane, tom = stage.add(fact(BOSS, "Jane")), stage.add(fact(LED, "Tom"))
        assert {jane: tom} == stage.corrected(HEAD)


def test_what_is_remembered_is_bounded(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(later, "KEPT_MAX", 1)
    ids = [stage.add(fact(prompt, target)) for prompt, target in ((BOSS, "A"), (LED, "B"))]
    for name in ("C", "D", "E"):
        stage.memory.update(ids[0], EditChanges(target=name))
        assert {ids[1]: ids[0]} == stage.corrected(HEAD)


def test_classifiers_as_published_are_left_alone(tmp_path: Path) -> None:
    with open_memory(tmp_path) as memory:
        published = Stage(memory, Published())
        published.add(fact(BOSS, "Jane"))
        published.add(fact(LED, "Tom"))
        assert {} == published.corrected(HEAD)
