"""Overlaps: what counts as one, who is never told, and that writes and the list agree."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memory.record import ConflictPolicy, Edit, EditDraft, EditState, Namespace
from memory.writes import EditChanges
from runtime.overlap_scan import OverlapScan
from tests.memory_kit import SettableClock
from tests.overlap_kit import BOSS, LED, SEAT, Whimsical, fact, overlapping

SUBJECTS = ("Acme", "Bolt", "Cyan Corp")
prompts = st.sampled_from((BOSS, LED, SEAT, "Who leads {}?", "{} was founded by"))
targets = st.sampled_from(("Jane", "Tom", "Ann"))
facts = st.builds(fact, prompts, targets, st.sampled_from(SUBJECTS))


def test_the_same_question_with_another_answer_is_told(tmp_path: Path) -> None:
    with overlapping(tmp_path) as o:
        jane, nothing = o.add(fact(BOSS, "Jane"))
        tom, told = o.add(fact(LED, "Tom"))
        assert ([], ["Jane"]) == (nothing, told)
        (overlap,) = o.finder.find(tom, o.memory.snapshot())
        assert (jane, 0.9, 0.5, False) == (
            overlap.edit,
            overlap.score,
            overlap.threshold,
            overlap.reverse,
        )


def test_another_question_or_another_subject_is_not(tmp_path: Path) -> None:
    with overlapping(tmp_path) as o:
        o.add(fact(BOSS, "Jane"))
        assert [] == o.add(fact(SEAT, "Rome"))[1]
        assert [] == o.add(fact(LED, "Tom", "Bolt"))[1]


def test_the_namespaces_own_threshold_decides(tmp_path: Path) -> None:
    with overlapping(tmp_path, namespace_budgets={"strict": 0.05}) as o:
        strict = Namespace("strict")
        o.add(fact(BOSS, "Jane"), namespace=strict)
        assert [] == o.add(fact(LED, "Tom"), namespace=strict)[1]  # 0.9 is below 0.95.


def test_namespaces_do_not_leak(tmp_path: Path) -> None:
    with overlapping(tmp_path) as o:
        o.add(fact(BOSS, "Jane"), namespace=Namespace("one"))
        assert [] == o.add(fact(LED, "Tom"), namespace=Namespace("two"))[1]
        assert [] == o.pairs("one") + o.pairs("two")


@pytest.mark.parametrize("way", ["retired", "expired", "superseded", "updated"])
def test_what_is_out_of_force_is_not_told(tmp_path: Path, way: str) -> None:
    clock = SettableClock()
    with overlapping(tmp_path, clock=clock) as o:
        expires_at_s = clock.now_s + 10 if way == "expired" else None
        jane, _ = o.add(fact(BOSS, "Jane", expires_at_s=expires_at_s))
        if way == "retired":
            o.memory.retire(jane.id)
        elif way == "superseded":
            o.add(fact(BOSS, "Tom"), on_conflict=ConflictPolicy.SUPERSEDE)
        elif way == "updated":
            o.memory.update(jane.id, EditChanges(target="Tom"))
        else:
            clock.now_s += 10
        tom, told = o.add(fact(LED, "Tom"))
        assert [] == told
        assert [] == o.pairs()
        if way == "retired":
            o.memory.restore(jane.id)
            assert ["Jane"] == o.targets(tom)


def test_an_update_is_looked_at_by_its_new_prompt(tmp_path: Path) -> None:
    with overlapping(tmp_path) as o:
        o.add(fact(BOSS, "Jane"))
        tom, told = o.add(fact(SEAT, "Tom"))
        assert [] == told
        changed = o.memory.update(tom.id, EditChanges(prompt=LED.format("Acme"))).edits[0]
        assert ["Jane"] == o.targets(changed)


def test_an_edit_that_is_not_written_is_told_the_same(tmp_path: Path) -> None:
    with overlapping(tmp_path) as o:
        o.add(fact(BOSS, "Jane"))
        dry = o.memory.create(fact(LED, "Tom"), validate_only=True).edits[0]
        before = o.finder.find(dry, o.memory.snapshot())
        wet, _ = o.add(fact(LED, "Tom"))
        assert before == o.finder.find(wet, o.memory.snapshot())
        new = o.memory.create(fact(LED, "Tom"), namespace=Namespace("new"), validate_only=True)
        assert [] == o.finder.find(new.edits[0], o.memory.snapshot())


def test_what_a_dry_run_would_supersede_is_not_told(tmp_path: Path) -> None:
    with overlapping(tmp_path) as o:
        o.add(fact(LED, "Jane"))
        dry = o.memory.create(
            fact(LED, "Tom"), on_conflict=ConflictPolicy.SUPERSEDE, validate_only=True
        ).edits[0]
        assert [] == o.targets(dry)


def test_the_vector_at_hand_is_used(tmp_path: Path) -> None:
    with overlapping(tmp_path) as o:
        o.add(fact(BOSS, "Jane"))
        tom, _ = o.add(fact(LED, "Tom"))
        before = o.encoder.encoded
        o.targets(tom)
        assert before == o.encoder.encoded


def in_force(o: object, draft: EditDraft, made: list[Edit]) -> None:
    made.append(o.add(draft, on_conflict=ConflictPolicy.SUPERSEDE)[0])  # type: ignore[attr-defined]


@settings(max_examples=40)
@given(drafts=st.lists(facts, min_size=2, max_size=8), whim=st.booleans())
def test_a_pair_is_one_whoever_asks_and_never_of_one_target(
    drafts: list[EditDraft], whim: bool
) -> None:
    with (
        tempfile.TemporaryDirectory() as folder,
        overlapping(Path(folder), Whimsical() if whim else None) as o,
    ):
        made: list[Edit] = []
        for draft in drafts:
            in_force(o, draft, made)
        snapshot = o.memory.snapshot()
        live = [edit for edit in made if snapshot.get(edit.namespace, edit.id) == edit]
        live = [edit for edit in live if edit.state is EditState.ACTIVE]
        found = {
            (edit.id, overlap.edit.id) for edit in live for overlap in o.finder.find(edit, snapshot)
        }
        target_of = {edit.id: edit.target for edit in live}
        subject_of = {edit.id: edit.subject for edit in live}
        assert all(target_of[one] != target_of[other] for one, other in found)
        named = {(a, b) for a, b in found if subject_of[a] == subject_of[b]}
        assert named == {(b, a) for a, b in named}


@settings(max_examples=40)
@given(drafts=st.lists(facts, min_size=2, max_size=10))
def test_the_list_tells_each_pair_once_and_what_the_writes_told(drafts: list[EditDraft]) -> None:
    with tempfile.TemporaryDirectory() as folder, overlapping(Path(folder)) as o:
        told = set()
        for draft in drafts:
            result = o.memory.create(draft, on_conflict=ConflictPolicy.SKIP)
            for overlap in o.finder.find(result.edits[0], o.memory.snapshot()):
                told.add(frozenset({result.edits[0].id, overlap.edit.id}))
        for everywhere in (False, True):
            pairs = o.pairs(everywhere=everywhere)
            listed = [frozenset({p.edit.id, p.overlap.edit.id}) for p in pairs]
            assert told == set(listed)
            assert len(listed) == len(set(listed))
        by_subject = [
            frozenset({p.edit.id, p.overlap.edit.id})
            for subject in SUBJECTS
            for p in o.pairs(subject=subject.upper())
        ]
        assert sorted(map(sorted, told)) == sorted(map(sorted, by_subject))


def test_a_list_of_one_subject_tells_what_others_say_of_it_by_an_alias(tmp_path: Path) -> None:
    class Lenient(Whimsical):
        def score(self, query, candidates):  # type: ignore[no-untyped-def]
            return [0.9 for _ in candidates]

    with overlapping(tmp_path, Lenient()) as o:
        o.add(fact(BOSS, "Jane"))
        led = EditDraft(subject="Akme", prompt=LED.format("Acme"), target="Tom", aliases=("Acme",))
        o.add(led)
        for subject in ("Acme", "Akme", ""):
            (pair,) = o.pairs(subject=subject)
            assert {"Jane", "Tom"} == {pair.edit.target, pair.overlap.edit.target}


def test_a_scan_says_how_far_it_is_and_sees_what_changes_meanwhile(tmp_path: Path) -> None:
    with overlapping(tmp_path) as o:
        for number in range(5):
            o.add(fact(BOSS, "Jane", f"Firm {number}"))
        last, _ = o.add(fact(LED, "Tom", "Firm 4"))
        scan = OverlapScan(o.finder, o.memory.snapshot, last.namespace)
        assert (6, 0) == (scan.total, scan.examined)
        scan.step(0.0)
        assert 1 == scan.examined
        o.memory.retire(last.id)
        o.add(fact(LED, "Ann", "Firm 0"))  # After the beginning: its own write has told it.
        assert [] == scan.step(60.0)
        assert (True, 5) == (scan.done, scan.examined)
        assert o.memory.snapshot().sequence == scan.sequence


def test_the_second_round_finds_a_name_that_nobody_told(tmp_path: Path) -> None:
    class Renamed(Whimsical):
        def score(self, query, candidates):  # type: ignore[no-untyped-def]
            return [float("Akme" in query.text) for _ in candidates]

    with overlapping(tmp_path, Renamed()) as o:
        o.add(fact(BOSS, "Jane"))
        o.add(fact(BOSS, "Tom", "Akme"))
        assert [] == o.pairs()
        assert ["Jane"] == [pair.overlap.edit.target for pair in o.pairs(everywhere=True)]


@pytest.mark.parametrize(("score", "asked"), [(0.2, 1 + 8), (0.05, 1 + 8), (0.04, 1)])
def test_many_edits_of_one_subject_cost_a_bounded_number_of_questions(
    tmp_path: Path, score: float, asked: int
) -> None:
    """Its own prompt, and eight others of it at most, of edits not out of the question."""

    class Counting(Whimsical):
        asked = 0

        def score(self, query, candidates):  # type: ignore[no-untyped-def]
            self.asked += 1
            return [score for _ in candidates]

    counting = Counting()
    with overlapping(tmp_path, counting) as o:
        for number in range(40):
            o.memory.create(fact(f"Fact {number} of {{}} is", str(number)))
        counting.asked = 0
        o.add(fact(BOSS, "Jane"))
        assert asked == counting.asked


def test_the_other_way_round_is_told_as_such(tmp_path: Path) -> None:
    class OneWay(Whimsical):
        def score(self, query, candidates):  # type: ignore[no-untyped-def]
            return [0.9 if query.text == BOSS.format("Acme") else 0.2 for _ in candidates]

    with overlapping(tmp_path, OneWay()) as o:
        jane, _ = o.add(fact(BOSS, "Jane"))
        tom, told = o.add(fact(LED, "Tom"))
        assert ["Jane"] == told
        assert o.finder.find(tom, o.memory.snapshot())[0].reverse
        assert not o.finder.find(jane, o.memory.snapshot())[0].reverse
