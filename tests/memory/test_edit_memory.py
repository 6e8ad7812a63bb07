"""What the memory promises: conflicts, states, revisions, retries, pages, pinned views, expiry."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memory import following
from memory.edit_memory import EditMemory
from memory.encoder import MiniLmEncoder
from memory.errors import (
    AlreadyExists,
    EditConflict,
    EtagMismatch,
    InvalidInput,
    NotFound,
    Overloaded,
    RequestIdReused,
    Unavailable,
    WrongState,
)
from memory.limits import MemoryLimits
from memory.paging import EditFilter
from memory.record import (
    DEFAULT_NAMESPACE,
    Activation,
    ConflictPolicy,
    EditId,
    EditState,
    Namespace,
    Query,
)
from memory.writes import EditChanges, EntryKind, WriteOutcome
from tests.hash_encoder import HashEncoder
from tests.memory_kit import SettableClock, draft, open_memory

OTHER = Namespace("other")


@pytest.fixture
def clock() -> SettableClock:
    return SettableClock()


@pytest.fixture
def memory(tmp_path: Path, clock: SettableClock) -> Iterator[EditMemory]:
    with open_memory(tmp_path / "data", clock=clock) as opened:
        yield opened


def test_a_write_is_visible_when_it_returns_and_carries_its_sequence(memory: EditMemory) -> None:
    result = memory.create(draft(1, edit_id=EditId("mine")))
    assert (WriteOutcome.CREATED,) == result.outcomes
    assert (1, 1, 1) == (result.sequence, result.edits[0].sequence, memory.snapshot().sequence)
    assert result.edits[0] == memory.get(EditId("mine"))
    found = memory.search(DEFAULT_NAMESPACE, "What is the mother tongue of Person 1?")[0]
    assert (result.edits[0], "Person 1", True) == (found.edit, found.mention, found.by_subject)


def test_the_same_fact_conflicts_whatever_case_blanks_and_final_marks(memory: EditMemory) -> None:
    first = memory.create(draft(1)).edits[0]
    again = draft(1, "German", prompt="  the MOTHER tongue of  person 1 is... ")
    with pytest.raises(EditConflict, match=first.id) as caught:
        memory.create(again)
    assert (f"namespaces/default/edits/{first.id}",) == caught.value.conflicts
    skipped = memory.create(again, on_conflict=ConflictPolicy.SKIP)
    assert ((WriteOutcome.SKIPPED,), (first,)) == (skipped.outcomes, skipped.edits)
    same = draft(1, " french. ")
    for policy in (ConflictPolicy.SKIP, ConflictPolicy.SUPERSEDE):
        unchanged = memory.create(same, on_conflict=policy)
        assert ((WriteOutcome.UNCHANGED,), (first,)) == (unchanged.outcomes, unchanged.edits)
    assert memory.snapshot().sequence == 1


def test_superseding_links_both_edits_and_serves_only_the_new_one(memory: EditMemory) -> None:
    old = memory.create(draft(1)).edits[0]
    result = memory.create(draft(1, "German"), on_conflict=ConflictPolicy.SUPERSEDE)
    new = result.edits[0]
    assert ((WriteOutcome.SUPERSEDED,), old.id) == (result.outcomes, new.supersedes)
    former = memory.get(old.id)
    assert (EditState.SUPERSEDED, new.id) == (former.state, former.superseded_by)
    assert [new] == [found.edit for found in memory.search(DEFAULT_NAMESPACE, old.prompt)]
    with pytest.raises(EditConflict):
        memory.restore(old.id)
    memory.retire(new.id)
    restored = memory.restore(old.id).edits[0]
    assert (EditState.ACTIVE, None) == (restored.state, restored.superseded_by)


def test_two_racing_creates_of_one_fact_cannot_both_win(memory: EditMemory) -> None:
    barrier = threading.Barrier(8)

    def create(number: int) -> bool:
        barrier.wait()
        try:
            memory.create(draft(1, f"answer {number}"))
        except EditConflict:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(create, range(8))) == 1
    assert memory.snapshot().count() == 1


def test_a_batch_is_all_or_nothing_and_names_the_place_of_its_error(memory: EditMemory) -> None:
    with pytest.raises(InvalidInput, match="empty") as invalid:
        memory.create_batch([draft(1), draft(2, " ")])
    assert invalid.value.field == "edits[1].target"
    with pytest.raises(EditConflict, match=r"edits\[2\]"):
        memory.create_batch([draft(1), draft(2), draft(1, "German")])
    with pytest.raises(AlreadyExists, match=r"edits\[1\]"):
        memory.create_batch([draft(1, edit_id=EditId("twin")), draft(2, edit_id=EditId("twin"))])
    assert memory.snapshot().sequence == 0
    result = memory.create_batch([draft(1), draft(2), draft(3)])
    assert ([1, 2, 3], 3) == ([edit.sequence for edit in result.edits], result.sequence)


def test_an_empty_and_an_oversized_batch_are_refused(tmp_path: Path) -> None:
    limits = MemoryLimits(batch_edits_max=2)
    with open_memory(tmp_path, limits=limits) as memory:
        for size in (0, 3):
            with pytest.raises(InvalidInput, match=f"{size} edits; give 1 to 2"):
                memory.create_batch([draft(number) for number in range(size)])


def test_a_snapshot_never_shows_half_of_a_batch_nor_what_came_later(memory: EditMemory) -> None:
    before = memory.snapshot()
    stop = threading.Event()
    seen: set[int] = set()

    def read() -> None:
        while not stop.is_set():
            seen.add(memory.snapshot().count())

    reader = threading.Thread(target=read)
    reader.start()
    edits = memory.create_batch([draft(number) for number in range(300)]).edits
    stop.set()
    reader.join()
    assert seen <= {0, 300}
    assert before.get(DEFAULT_NAMESPACE, edits[0].id) is None
    during = memory.snapshot()
    memory.update(edits[0].id, EditChanges(target="German"))
    memory.retire(edits[1].id)
    assert edits[0] == during.get(DEFAULT_NAMESPACE, edits[0].id)
    vector = HashEncoder(dimension=16).encode(edits[1].prompt)
    query = Query(text=edits[1].prompt, vector=vector)
    pinned = {found.edit.id for found in during.candidates(DEFAULT_NAMESPACE, query, 5)}
    assert edits[1].id in pinned
    now = memory.snapshot().candidates(DEFAULT_NAMESPACE, query, 5)
    assert edits[1].id not in {found.edit.id for found in now}


def test_a_request_id_gives_the_first_answer_again_even_after_a_restart(tmp_path: Path) -> None:
    with open_memory(tmp_path) as memory:
        first = memory.create(draft(1), request_id="r")
        memory.update(first.edits[0].id, EditChanges(target="German"), request_id="u")
        again = memory.create(draft(1), request_id="r")
        assert (first.edits, first.outcomes, True) == (again.edits, again.outcomes, again.replayed)
        with pytest.raises(RequestIdReused, match="'r'"):
            memory.create(draft(2), request_id="r")
        other = memory.create(draft(1), request_id="r", namespace=OTHER)
        assert not other.replayed
    with open_memory(tmp_path) as memory:
        again = memory.create(draft(1), request_id="r")
        assert (first.edits, first.sequence, True) == (again.edits, again.sequence, again.replayed)
        assert memory.update(
            first.edits[0].id, EditChanges(target="German"), request_id="u"
        ).replayed
        assert memory.snapshot().sequence == 3


def test_a_failed_request_may_be_sent_again_under_its_id(memory: EditMemory) -> None:
    edit = memory.create(draft(1)).edits[0]
    with pytest.raises(EditConflict):
        memory.create(draft(1, "German"), request_id="r")
    memory.retire(edit.id)
    assert not memory.create(draft(1, "German"), request_id="r").replayed


def test_a_request_id_is_remembered_after_its_edit_could_not_be_made_again(
    memory: EditMemory, clock: SettableClock
) -> None:
    made = memory.create(draft(1, expires_at_s=clock() + 5), request_id="r")
    clock.now_s += 10
    assert made.edits == memory.create(draft(1, expires_at_s=clock() - 5), request_id="r").edits


def test_old_request_ids_are_forgotten_after_their_time(
    tmp_path: Path, clock: SettableClock
) -> None:
    with open_memory(tmp_path, clock=clock) as memory:
        edit = memory.create(draft(1), request_id="r").edits[0]
        memory.retire(edit.id)
    clock.now_s += 47 * 3600
    with open_memory(tmp_path, clock=clock) as memory:
        assert memory.create(draft(1), request_id="r").replayed
    clock.now_s += 2 * 3600
    with open_memory(tmp_path, clock=clock) as memory:
        memory._writer.call(lambda: None)
        memory._writer.call(lambda: None)  # The housekeeping has run between the two.
        assert not memory.create(draft(1), request_id="r").replayed


def test_validate_only_checks_everything_and_writes_nothing(memory: EditMemory) -> None:
    edit = memory.create(draft(1)).edits[0]
    with pytest.raises(EditConflict):
        memory.create(draft(1, "German"), validate_only=True)
    result = memory.create(draft(2), validate_only=True, request_id="r")
    assert ((WriteOutcome.CREATED,), 1) == (result.outcomes, result.sequence)
    memory.retire(edit.id, validate_only=True)
    memory.update(edit.id, EditChanges(target="German"), validate_only=True)
    assert (1, 1) == (memory.snapshot().sequence, memory.snapshot().count())
    assert not memory.create(draft(2), request_id="r").replayed


def test_an_update_makes_a_revision_and_moves_the_edit_in_index_and_matcher(
    memory: EditMemory,
) -> None:
    edit = memory.create(draft(1)).edits[0]
    changes = EditChanges(subject="Zoë", prompt="Zoë works as a", aliases=("Zo",))
    updated = memory.update(edit.id, changes, etag=edit.etag).edits[0]
    assert (2, "French", "Zoë works as a") == (updated.revision, updated.target, updated.prompt)
    assert (edit, updated) == memory.history(edit.id)
    assert memory.search(DEFAULT_NAMESPACE, "Is Zo here?")[0].mention == "Zo"
    assert not memory.search(DEFAULT_NAMESPACE, "Person 1")[0].by_subject
    assert memory.create(draft(1)).outcomes == (WriteOutcome.CREATED,)
    with pytest.raises(EditConflict):
        memory.update(edit.id, EditChanges(subject="Person 1", prompt=edit.prompt))
    with pytest.raises(EtagMismatch, match=updated.etag):
        memory.update(edit.id, EditChanges(target="x"), etag=edit.etag)
    with pytest.raises(InvalidInput, match="does not mention the subject"):
        memory.update(edit.id, EditChanges(prompt="Nobody works as a"))
    assert memory.update(edit.id, EditChanges(target="French")).outcomes == (
        WriteOutcome.UNCHANGED,
    )
    assert memory.check_integrity(repair=False).problems == ()


def test_retired_edits_are_never_candidates_and_cannot_be_changed(memory: EditMemory) -> None:
    edit = memory.create(draft(1)).edits[0]
    retired = memory.retire(edit.id, reason="it was wrong").edits[0]
    assert (EditState.RETIRED, 2) == (retired.state, retired.revision)
    assert memory.search(DEFAULT_NAMESPACE, edit.prompt) == []
    assert memory.entries(2, 1)[0].reason == "it was wrong"
    with pytest.raises(WrongState, match="retired"):
        memory.retire(edit.id)
    with pytest.raises(WrongState, match="retired"):
        memory.update(edit.id, EditChanges(target="x"))
    restored = memory.restore(edit.id, etag=retired.etag).edits[0]
    assert restored == memory.search(DEFAULT_NAMESPACE, edit.prompt)[0].edit
    with pytest.raises(WrongState, match="nothing to restore"):
        memory.restore(edit.id)


def test_an_edit_is_served_until_the_instant_of_its_expiry_and_not_from_it_on(
    memory: EditMemory, clock: SettableClock
) -> None:
    edit = memory.create(draft(1, expires_at_s=clock() + 10)).edits[0]
    pinned = memory.snapshot()
    clock.now_s += 9.999
    assert edit == memory.search(DEFAULT_NAMESPACE, edit.prompt)[0].edit
    clock.now_s += 0.001
    query = Query(text=edit.prompt, vector=HashEncoder(dimension=16).encode(edit.prompt))
    assert pinned.candidates(DEFAULT_NAMESPACE, query, 3) == []
    shown = pinned.get(DEFAULT_NAMESPACE, edit.id)
    assert shown is not None
    assert shown.state is EditState.EXPIRED
    assert memory.list_edits().edits == ()
    assert memory.create(draft(1, "German")).outcomes == (WriteOutcome.CREATED,)
    assert [EntryKind.CREATED, EntryKind.EXPIRED, EntryKind.CREATED] == [
        entry.kind for entry in memory.entries(1, 10)
    ]
    with pytest.raises(EditConflict):
        memory.restore(edit.id)


def test_the_writer_logs_expiries_and_restoring_lifts_or_renews_them(
    memory: EditMemory, clock: SettableClock
) -> None:
    edit = memory.create(draft(1, expires_at_s=clock() + 10)).edits[0]
    assert memory.expire_due() == 0
    clock.now_s += 10
    memory.expire_due()
    assert (EditState.EXPIRED, 2) == (memory.get(edit.id).state, memory.get(edit.id).revision)
    with pytest.raises(InvalidInput, match="has passed"):
        memory.restore(edit.id, expires_at_s=clock())
    renewed = memory.restore(edit.id, expires_at_s=clock() + 5).edits[0]
    assert clock() + 5 == renewed.expires_at_s
    clock.now_s += 5
    lifted = memory.restore(edit.id).edits[0]
    assert (None, EditState.ACTIVE) == (lifted.expires_at_s, lifted.state)


def test_expired_neighbours_do_not_hide_those_in_force_from_the_search(
    memory: EditMemory, clock: SettableClock
) -> None:
    soon = [draft(f"A{number}", expires_at_s=clock() + 1) for number in range(40)]
    memory.create_batch(soon)
    kept = memory.create_batch([draft(f"B{number}") for number in range(3)]).edits
    clock.now_s += 1
    vector = HashEncoder(dimension=16).encode(soon[0].prompt)
    found = memory.snapshot().candidates(DEFAULT_NAMESPACE, Query(text="nobody", vector=vector), 3)
    assert {edit.id for edit in kept} == {candidate.edit.id for candidate in found}


def test_consolidated_edits_stay_candidates_until_changed(memory: EditMemory) -> None:
    edit = memory.create(draft(1)).edits[0]
    activation = Activation(namespace=DEFAULT_NAMESPACE, edition=4, took=((edit.id, 1),))
    held = memory.activate_edition(activation).edits[0]
    assert (EditState.CONSOLIDATED, 4) == (held.state, held.edition)
    assert held == memory.search(DEFAULT_NAMESPACE, edit.prompt)[0].edit
    assert held in memory.list_edits().edits
    with pytest.raises(EditConflict):
        memory.create(draft(1))
    relabelled = memory.update(edit.id, EditChanges(author="ada")).edits[0]
    assert relabelled.state is EditState.CONSOLIDATED
    changed = memory.update(edit.id, EditChanges(target="German")).edits[0]
    assert (EditState.ACTIVE, None) == (changed.state, changed.edition)


def test_namespaces_are_isolated_and_unknown_ones_are_not_found(memory: EditMemory) -> None:
    ours = memory.create(draft(1)).edits[0]
    with pytest.raises(NotFound, match="namespace 'other'"):
        memory.search(OTHER, "Person 1")
    theirs = memory.create(draft(1, "German"), namespace=OTHER).edits[0]
    assert [ours] == [found.edit for found in memory.search(DEFAULT_NAMESPACE, ours.prompt)]
    assert [theirs] == [found.edit for found in memory.search(OTHER, ours.prompt)]
    assert (Namespace("default"), OTHER) == memory.snapshot().namespaces
    with pytest.raises(NotFound, match=ours.id):
        memory.get(ours.id, namespace=OTHER)
    with pytest.raises(NotFound):
        memory.retire(ours.id, namespace=OTHER)
    with pytest.raises(InvalidInput, match="starting with a letter"):
        memory.create(draft(1), namespace=Namespace("Bad_Name"))


def test_pages_show_the_log_as_it_was_at_the_first_even_after_a_restart(tmp_path: Path) -> None:
    with open_memory(tmp_path) as memory:
        edits = memory.create_batch([draft(number) for number in range(5)]).edits
        first = memory.list_edits(page_size=2)
        memory.retire(edits[3].id)
        memory.update(edits[4].id, EditChanges(target="German"))
        memory.create(draft("new"))
        second = memory.list_edits(page_size=2, page_token=first.next_page_token)
    with open_memory(tmp_path) as memory:
        third = memory.list_edits(page_size=2, page_token=second.next_page_token)
        assert edits == first.edits + second.edits + third.edits
        assert ("", 5) == (third.next_page_token, third.sequence)
        now = memory.list_edits()
        assert (5, 8) == (now.total, now.sequence)


def test_page_tokens_and_sizes_are_checked(memory: EditMemory) -> None:
    memory.create_batch([draft(number) for number in range(3)])
    token = memory.list_edits(page_size=1).next_page_token
    with pytest.raises(InvalidInput, match="another listing"):
        memory.list_edits(page_token=token, filter=EditFilter(author="ada"))
    for bad in ("nonsense", token[:-2], token[1:], "ü"):
        with pytest.raises(InvalidInput, match="not one that this memory gave"):
            memory.list_edits(page_token=bad)
    with pytest.raises(InvalidInput, match="page_size is -1"):
        memory.list_edits(page_size=-1)
    assert len(memory.list_edits(page_size=5000).edits) == 3


def test_filters_narrow_a_listing(memory: EditMemory, clock: SettableClock) -> None:
    one = memory.create(draft(1, author="ada", labels=(("topic", "people"),))).edits[0]
    clock.now_s += 10
    two = memory.create(draft(2, "Wien", source="a link")).edits[0]
    gone = memory.create(draft(3)).edits[0]
    memory.retire(gone.id)
    cases = [
        (EditFilter(), [one, two]),
        (EditFilter(author="ada"), [one]),
        (EditFilter(source="a link"), [two]),
        (EditFilter(subject="  PERSON 1 "), [one]),
        (EditFilter(text_contains="wIEN"), [two]),
        (EditFilter(labels=(("topic", "people"),)), [one]),
        (EditFilter(labels=(("topic", "places"),)), []),
        (EditFilter(created_after_s=one.created_at_s), [two]),
        (EditFilter(created_before_s=two.created_at_s), [one]),
        (EditFilter(states=(EditState.RETIRED,)), [memory.get(gone.id)]),
    ]
    for wanted, expected in cases:
        assert expected == list(memory.list_edits(filter=wanted).edits)


def test_waiting_for_a_sequence_ends_when_it_is_reached_and_not_before(memory: EditMemory) -> None:
    memory.wait_for(0, 0.0)
    with pytest.raises(Unavailable) as behind:
        memory.wait_for(1, 0.0)
    assert behind.value.reason == "REPLICA_BEHIND"
    with pytest.raises(InvalidInput, match="far beyond"):
        memory.wait_for(10**9, 10.0)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(memory.wait_for, 1, 30.0)
        memory.create(draft(1))
        assert waiting.result(30.0) is None


def test_a_watcher_sees_every_entry_once_in_order_and_follows(memory: EditMemory) -> None:
    memory.create(draft(1))
    stop = threading.Event()
    seen: list[tuple[int, EntryKind]] = []
    enough = threading.Event()

    def follow() -> None:
        for entry in memory.watch(1, DEFAULT_NAMESPACE, stop=stop):
            seen.append((entry.sequence, entry.kind))
            if len(seen) == 3:
                enough.set()

    watcher = threading.Thread(target=follow)
    watcher.start()
    memory.create(draft(1), namespace=OTHER)
    edit = memory.create(draft(2)).edits[0]
    memory.retire(edit.id)
    assert enough.wait(30.0)
    stop.set()
    watcher.join(30.0)
    assert not watcher.is_alive()
    assert [(1, EntryKind.CREATED), (3, EntryKind.CREATED), (4, EntryKind.RETIRED)] == seen


def test_a_watch_that_is_ended_does_not_sleep_out_its_poll(
    memory: EditMemory, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = threading.Event()
    news_after = memory._follower._news_after

    def noted(*given: Any) -> Callable[[], bool]:
        news = news_after(*given)

        def ask() -> bool:
            asked.set()  # Under the lock that ending takes.
            return news()

        return ask

    monkeypatch.setattr(following, "STOP_POLL_S", 300.0)
    monkeypatch.setattr(memory._follower, "_news_after", noted)
    stop = threading.Event()
    watcher = threading.Thread(target=lambda: list(memory.watch(1, stop=stop)))
    watcher.start()
    assert asked.wait(30.0)
    memory.end_watch(stop)
    watcher.join(30.0)
    assert stop.is_set()
    assert not watcher.is_alive()


def test_a_full_queue_and_a_closed_memory_refuse_writes(tmp_path: Path) -> None:
    memory = open_memory(tmp_path, limits=MemoryLimits(writes_queued_max=1))
    held, entered = threading.Event(), threading.Event()

    def hold() -> None:
        entered.set()
        held.wait(30.0)

    with ThreadPoolExecutor(2) as pool:
        pool.submit(memory._writer.call, hold)
        assert entered.wait(30.0)
        with memory._writer._changed:
            waiting = pool.submit(memory.create, draft(1))
            assert memory._writer._changed.wait_for(lambda: memory._writer._queue, 30.0)
        with pytest.raises(Overloaded, match="1 writes wait"):
            memory.create(draft(2))
        held.set()
        assert waiting.result(30.0).sequence == 1
    memory.close()
    memory.close()
    with pytest.raises(Unavailable, match="closing"):
        memory.create(draft(3))
    assert memory.snapshot().count() == 1


def test_another_encoder_encodes_everything_again_once(tmp_path: Path) -> None:
    with open_memory(tmp_path) as memory:
        memory.create_batch([draft(number) for number in range(5)])
    other = HashEncoder(dimension=24, name="other")
    with open_memory(tmp_path, encoder=other) as memory:
        assert other.encoded == 5
        assert memory.check_integrity(repair=False).problems == ()
    same = HashEncoder(dimension=24, name="other")
    with open_memory(tmp_path, encoder=same):
        assert same.encoded == 0


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EditMemory]:
    with open_memory(tmp_path_factory.mktemp("people")) as memory:
        memory.create_batch([draft(number) for number in (1, 2, 3, 21)])
        memory.create(draft(2, prompt="Person 2 was born in"))
        yield memory


@settings(deadline=None)
@given(st.lists(st.sampled_from(("Person 1", "Person 2", "Person 21", "person 3", "x", "!"))))
def test_edits_mentioned_are_the_candidates_by_subject_without_a_vector(
    people: EditMemory, words: list[str]
) -> None:
    snapshot, text = people.snapshot(), " ".join(words)
    query = Query(text=text, vector=HashEncoder(dimension=16).encode(text))
    near = snapshot.candidates(DEFAULT_NAMESPACE, query, 2)
    expected = {(c.edit, c.mention) for c in near if c.by_subject}
    assert expected == set(snapshot.mentioned(DEFAULT_NAMESPACE, text))


@pytest.mark.parametrize("former", ["/float32", "/bfloat16"])
def test_vectors_stored_under_a_number_format_are_still_the_encoders(
    tmp_path: Path, former: str
) -> None:
    older = HashEncoder(dimension=24, name="model/digest" + former)
    with open_memory(tmp_path, encoder=older) as memory:
        memory.create_batch([draft(number) for number in range(5)])
    newer = HashEncoder(dimension=24, name="model/digest")
    with open_memory(tmp_path, encoder=newer) as memory:
        memory.create(draft(5))
        assert memory.check_integrity(repair=False).problems == ()
    assert newer.encoded == 1  # The new one's.
    another = HashEncoder(dimension=24, name="model/digest/float16")
    with open_memory(tmp_path, encoder=another):
        assert another.encoded == 6


@pytest.mark.parametrize(("first", "then"), [("float32", "bfloat16"), ("bfloat16", "float32")])
def test_a_directory_written_in_one_number_format_opens_in_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: str, then: str
) -> None:
    writer, reader = (MiniLmEncoder("cpu", dtype=dtype) for dtype in (first, then))
    with open_memory(tmp_path, encoder=writer) as memory:
        made = memory.create_batch([draft(number) for number in range(5)]).edits
    again: list[str] = []
    monkeypatch.setattr(reader, "encode_many", again.extend)
    with open_memory(tmp_path, encoder=reader) as memory:
        assert memory.check_integrity(repair=False).problems == ()
        found = memory.search(DEFAULT_NAMESPACE, made[3].prompt)[0]
        assert (made[3], True) == (found.edit, found.cosine >= 0.9999)
        assert writer.name == memory.status().encoder
    assert again == []
    writer.close()
    reader.close()


def test_what_disagrees_with_the_log_is_found_and_rebuilt(memory: EditMemory) -> None:
    edits = memory.create_batch([draft(number) for number in range(5)]).edits
    index = memory._keeper.state.spaces[DEFAULT_NAMESPACE].index
    index.apply(
        add_keys=np.zeros(0, dtype=np.int64),
        add_vectors=np.zeros((0, 16), dtype=np.float32),
        remove_keys=np.asarray([2], dtype=np.int64),
    )
    report = memory.check_integrity()
    assert ("index holds 4 vectors for 5" in report.problems[0], True) == (True, report.rebuilt)
    assert memory.check_integrity().problems == ()
    assert edits[1] == memory.search(DEFAULT_NAMESPACE, edits[1].prompt)[0].edit
    memory.rebuild()
    assert memory.status().last_check is not None


def test_an_index_that_fails_to_follow_is_rebuilt_and_the_write_is_answered(
    memory: EditMemory, monkeypatch: pytest.MonkeyPatch
) -> None:
    space = memory._keeper.state.spaces[DEFAULT_NAMESPACE]

    def fail(**arguments: object) -> None:
        raise ValueError("the index is broken")

    monkeypatch.setattr(space.index, "apply", fail)
    edit = memory.create(draft(1)).edits[0]
    assert edit == memory.search(DEFAULT_NAMESPACE, edit.prompt)[0].edit
    assert memory.check_integrity(repair=False).problems == ()


def test_importing_with_ids_again_skips_instead_of_failing(memory: EditMemory) -> None:
    given = draft(1, edit_id=EditId("fixed-id"))
    memory.create(given)
    again = memory.create(given, on_conflict=ConflictPolicy.SKIP)
    assert (WriteOutcome.UNCHANGED,) == again.outcomes
    with pytest.raises(AlreadyExists):
        memory.create(draft(2, edit_id=EditId("fixed-id")), on_conflict=ConflictPolicy.SKIP)


def test_a_skipped_draft_is_not_encoded(tmp_path: Path) -> None:
    encoder = HashEncoder(dimension=16)
    with open_memory(tmp_path, encoder=encoder) as memory:
        memory.create_batch([draft(number) for number in range(5)])
        memory.create_batch([draft(number) for number in range(6)], on_conflict=ConflictPolicy.SKIP)
    assert encoder.encoded == 6


def test_status_counts_every_state(memory: EditMemory) -> None:
    edits = memory.create_batch([draft(number) for number in range(3)]).edits
    memory.retire(edits[0].id)
    status = memory.status()
    space = status.namespaces[0]
    assert (2, 1, 2) == (
        space.edits[EditState.ACTIVE],
        space.edits[EditState.RETIRED],
        space.index_vectors,
    )
    assert ("hash-16", "", 4) == (status.encoder, status.read_only, status.sequence)
    assert status.log_bytes > 0
