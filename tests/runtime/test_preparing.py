"""Edits prepared ahead: those in force, at start and as they are written; no score moves."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from classifiers import features, two_stage_features
from classifiers.calibrated import CalibratedFeatureClassifier
from classifiers.scope import Preparing
from classifiers.two_stage import TwoStageClassifier
from classifiers.two_stage_features import cheap_rows, is_verbatim, prepare_rows
from memory.edit_memory import EditMemory
from memory.flat_index import FlatIndex
from memory.record import (
    DEFAULT_NAMESPACE,
    Candidate,
    ConflictPolicy,
    Edit,
    EditDraft,
    EditId,
    Namespace,
    Query,
)
from memory.writes import EditChanges
from runtime.preparing import EditPreparer
from tests.hash_encoder import HashEncoder

SOON_S = 20.0


class Noting:
    """Notes the targets of what it prepares; waits at a gate when one is given."""

    prepared_max = 1000

    def __init__(self, gate: threading.Event | None = None) -> None:
        self.targets: list[str] = []
        self.begun = threading.Event()
        self._gate = gate

    def prepare(self, edit: Edit) -> None:
        self.begun.set()
        if self._gate is not None:
            assert self._gate.wait(SOON_S)
        self.targets.append(edit.target)


def drafts(first: int, end: int) -> list[EditDraft]:
    return [
        EditDraft(subject=f"Person {n}", prompt=f"Person {n} was born in", target=f"City {n}")
        for n in range(first, end)
    ]


@contextmanager
def memory_in(folder: Path) -> Iterator[EditMemory]:
    with EditMemory.open(folder, encoder=HashEncoder(), make_index=FlatIndex) as memory:
        yield memory


@contextmanager
def preparing(memory: EditMemory, classifier: Preparing) -> Iterator[EditPreparer]:
    preparer = EditPreparer(memory, classifier)
    try:
        yield preparer
    finally:
        preparer.close()


def caught_up(preparer: EditPreparer, memory: EditMemory) -> bool:
    return preparer.wait_for(memory.snapshot().sequence, SOON_S)


def test_what_is_there_and_what_is_written_later_is_prepared_in_every_namespace(
    tmp_path: Path,
) -> None:
    noted = Noting()
    with memory_in(tmp_path) as memory:
        memory.create_batch(drafts(0, 3))
        with preparing(memory, noted) as preparer:
            assert caught_up(preparer, memory)
            assert ["City 0", "City 1", "City 2"] == noted.targets
            memory.create(drafts(3, 4)[0], namespace=Namespace("other"))
            assert caught_up(preparer, memory)
            assert "City 3" == noted.targets[-1]


def test_a_write_waits_for_no_preparation_and_is_prepared_after_it(tmp_path: Path) -> None:
    gate = threading.Event()
    noted = Noting(gate)
    with memory_in(tmp_path) as memory:
        memory.create_batch(drafts(0, 2))
        with preparing(memory, noted) as preparer:
            assert noted.begun.wait(SOON_S)
            written = memory.create(drafts(2, 3)[0]).edits[0]  # While it prepares.
            assert memory.get(written.id) == written
            assert [] == noted.targets
            gate.set()
            assert caught_up(preparer, memory)
            assert ["City 0", "City 1", "City 2"] == noted.targets


def test_what_is_no_longer_in_force_is_not_prepared(tmp_path: Path) -> None:
    noted = Noting()
    with memory_in(tmp_path) as memory:
        first, second, third = memory.create_batch(drafts(0, 3)).edits
        memory.retire(first.id)
        memory.update(second.id, EditChanges(target="Lima"))
        memory.create(
            EditDraft(subject=third.subject, prompt=third.prompt, target="Oslo"),
            on_conflict=ConflictPolicy.SUPERSEDE,
        )
        with preparing(memory, noted) as preparer:
            assert caught_up(preparer, memory)
        assert {"Lima", "Oslo"} == set(noted.targets)


def test_of_more_than_are_kept_the_last_are_prepared(tmp_path: Path) -> None:
    noted = Noting()
    noted.prepared_max = 4
    with memory_in(tmp_path) as memory:
        memory.create_batch(drafts(0, 10))
        with preparing(memory, noted) as preparer:
            assert caught_up(preparer, memory)
        assert ["City 6", "City 7", "City 8", "City 9"] == noted.targets


def test_it_ends_after_the_edit_that_it_is_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = threading.Event()
    noted = Noting(gate)
    with memory_in(tmp_path) as memory:
        memory.create_batch(drafts(0, 50))
        end_watch = memory.end_watch

        def end(stop: threading.Event) -> None:
            end_watch(stop)
            gate.set()  # Only now may the first edit end.

        monkeypatch.setattr(memory, "end_watch", end)
        preparer = EditPreparer(memory, noted)
        assert noted.begun.wait(SOON_S)
        preparer.close()
        assert ["City 0"] == noted.targets
        preparer.close()  # Again.


def test_a_memory_that_closes_ends_it(tmp_path: Path) -> None:
    with memory_in(tmp_path) as memory:
        preparer = EditPreparer(memory, Noting())
    preparer.close()


def test_an_edit_that_cannot_be_prepared_is_logged_and_the_others_are(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class Failing(Noting):
        def prepare(self, edit: Edit) -> None:
            if edit.target == "City 0":
                raise RuntimeError("cannot")
            super().prepare(edit)

    failing = Failing()
    with memory_in(tmp_path) as memory:
        memory.create_batch(drafts(0, 2))
        with preparing(memory, failing) as preparer:
            assert caught_up(preparer, memory)
    assert ["City 1"] == failing.targets
    assert "log entry 1 could not be prepared ahead" in caplog.text


def test_the_classifiers_with_features_are_prepared_for() -> None:
    for made in (TwoStageClassifier, CalibratedFeatureClassifier):
        assert isinstance(made.__new__(made), Preparing)
        assert features.EDITS_KEPT_MAX == made.prepared_max


def forget() -> None:
    for cached in (
        features._short,
        features._long,
        features._told,
        features._frame,
        two_stage_features._normalised,
    ):
        cached.cache_clear()


def misses() -> int:
    return features._short.cache_info().misses + features._long.cache_info().misses


WORDS = st.sampled_from(
    ["Lionel", "Messi", "messi", "Dr.", "José", "X200", "of", "Oslo", "was", "born?", "IX", "東京"]
)
TEXT = st.lists(WORDS, max_size=6).map(" ".join) | st.text(max_size=12) | st.just("was " * 60)


def edit_of(subject: str, prompt: str, target: str, aliases: Sequence[str]) -> Edit:
    return Edit(
        id=EditId("one"),
        namespace=DEFAULT_NAMESPACE,
        subject=subject,
        prompt=prompt,
        target=target,
        aliases=tuple(aliases),
    )


@settings(max_examples=150, deadline=None)
@given(
    edit=st.builds(edit_of, TEXT, TEXT, TEXT, st.lists(TEXT, max_size=2)),
    asked=TEXT,
    named=st.booleans(),
)
def test_an_edit_prepared_ahead_has_the_same_features_to_the_bit(
    edit: Edit, asked: str, *, named: bool
) -> None:
    text = f"{asked} {edit.subject} {asked}" if named else asked
    query = Query(text=text, vector=np.zeros(2, np.float32))
    one = [Candidate(edit=edit, cosine=0.5, rank=0, by_vector=True, by_subject=False, mention="")]
    forget()
    unprepared = cheap_rows(query, one).tobytes(), is_verbatim(query, one).tolist()
    forget()
    prepare_rows(edit)
    held = misses()
    assert unprepared == (cheap_rows(query, one).tobytes(), is_verbatim(query, one).tolist())
    assert held == misses()  # It was there.
