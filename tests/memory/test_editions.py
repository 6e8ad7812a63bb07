"""Activation as a log entry: who is held, what leaves an edition, what a restart finds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from memory.edit_memory import EditMemory
from memory.errors import InvalidInput, NotFound, StorageReadOnly, WrongState
from memory.record import (
    DEFAULT_NAMESPACE,
    Activation,
    ConflictPolicy,
    Edit,
    EditState,
    Namespace,
)
from memory.writes import EditChanges, EntryKind, WriteOutcome
from tests.memory_kit import Faults, SettableClock, draft, open_memory

OTHER = Namespace("other")


@pytest.fixture
def clock() -> SettableClock:
    return SettableClock()


@pytest.fixture
def memory(tmp_path: Path, clock: SettableClock) -> Iterator[EditMemory]:
    with open_memory(tmp_path / "data", clock=clock) as opened:
        yield opened


def make(memory: EditMemory, count: int, namespace: Namespace = DEFAULT_NAMESPACE) -> list[Edit]:
    made = memory.create_batch([draft(n) for n in range(count)], namespace=namespace)
    return list(made.edits)


def activation(edition: int, edits: list[Edit], left: list[Edit] | None = None) -> Activation:
    everyone = [*edits, *(left or [])]
    return Activation(
        namespace=everyone[0].namespace if everyone else DEFAULT_NAMESPACE,
        edition=edition,
        took=tuple((edit.id, edit.revision) for edit in edits),
        left=tuple((edit.id, edit.revision) for edit in left or []),
    )


def states(memory: EditMemory, edits: list[Edit]) -> list[tuple[EditState, int | None]]:
    now = [memory.get(edit.id, namespace=edit.namespace) for edit in edits]
    return [(edit.state, edit.edition) for edit in now]


ACTIVE = (EditState.ACTIVE, None)


def held(edition: int) -> tuple[EditState, int]:
    return (EditState.CONSOLIDATED, edition)


def test_activation_is_one_transaction_of_one_entry_and_the_new_states(memory: EditMemory) -> None:
    edits = make(memory, 3)
    before = memory.snapshot()
    result = memory.activate_edition(activation(1, edits[:2], edits[2:]), reason="passed")
    assert memory.snapshot().edition(DEFAULT_NAMESPACE) == 1
    assert before.edition(DEFAULT_NAMESPACE) == 0
    assert [held(1), held(1), ACTIVE] == states(memory, edits)
    assert {edit.id for edit in result.edits} == {edits[0].id, edits[1].id}
    entries = memory.entries(before.sequence + 1, 10)
    assert [entry.kind for entry in entries] == [
        EntryKind.ACTIVATED,
        EntryKind.CONSOLIDATED,
        EntryKind.CONSOLIDATED,
    ]
    assert (entries[0].edit, entries[0].reason) == (None, "passed")
    made = entries[0].activation
    assert made is not None
    assert (made.edition, len(made.took), len(made.left)) == (1, 2, 1)


def test_activating_what_is_active_writes_nothing(memory: EditMemory) -> None:
    edits = make(memory, 2)
    first = memory.activate_edition(activation(1, edits))
    again = memory.activate_edition(activation(1, edits))
    assert first.sequence == again.sequence
    assert (WriteOutcome.UNCHANGED,) * 2 == again.outcomes
    base = memory.activate_edition(activation(0, []))
    assert memory.activate_edition(activation(0, [])).sequence == base.sequence


def test_a_rollback_makes_the_newer_edits_active_again(memory: EditMemory) -> None:
    edits = make(memory, 3)
    first, second = activation(1, edits[:1]), activation(2, edits)
    memory.activate_edition(first)
    memory.activate_edition(second)
    assert [held(2)] * 3 == states(memory, edits)
    memory.activate_edition(first)
    assert [held(1), ACTIVE, ACTIVE] == states(memory, edits)
    memory.activate_edition(activation(0, []))
    assert [ACTIVE] * 3 == states(memory, edits)
    assert memory.snapshot().edition(DEFAULT_NAMESPACE) == 0


def retire(memory: EditMemory, edit: Edit) -> None:
    memory.retire(edit.id, namespace=edit.namespace)


def supersede(memory: EditMemory, edit: Edit) -> None:
    given = draft(edit.subject.removeprefix("Person "), "German")
    memory.create(given, namespace=edit.namespace, on_conflict=ConflictPolicy.SUPERSEDE)


def change(memory: EditMemory, edit: Edit) -> None:
    memory.update(edit.id, EditChanges(target="German"), namespace=edit.namespace)


LEAVING: list[Callable[[EditMemory, Edit], None]] = [retire, supersede, change]


@pytest.mark.parametrize("leave", LEAVING)
def test_an_edit_that_goes_takes_the_namespace_to_the_newest_edition_without_it(
    memory: EditMemory, leave: Callable[[EditMemory, Edit], None]
) -> None:
    edits = make(memory, 3)
    memory.activate_edition(activation(1, edits[:1]))
    memory.activate_edition(activation(2, edits[:2]))
    memory.activate_edition(activation(3, edits))
    sequence = memory.snapshot().sequence
    leave(memory, edits[2])
    snapshot = memory.snapshot()
    assert snapshot.edition(DEFAULT_NAMESPACE) == 2
    assert [held(2), held(2)] == states(memory, edits[:2])
    said = [e for e in memory.entries(sequence + 1, 20) if e.kind is EntryKind.ACTIVATED]
    assert len(said) == 1
    assert edits[2].id in said[0].reason
    assert said[0].activation is not None
    assert said[0].activation.automatic
    leave(memory, edits[0])
    assert memory.snapshot().edition(DEFAULT_NAMESPACE) == 0
    assert [ACTIVE] == states(memory, edits[1:2])


@pytest.mark.parametrize("leave", LEAVING)
def test_an_edit_that_did_not_take_takes_the_namespace_off_the_edition_too(
    memory: EditMemory, leave: Callable[[EditMemory, Edit], None]
) -> None:
    edits = make(memory, 2)
    memory.activate_edition(activation(1, edits[:1], edits[1:]))
    leave(memory, edits[1])
    assert memory.snapshot().edition(DEFAULT_NAMESPACE) == 0
    assert [ACTIVE] == states(memory, edits[:1])


def test_what_does_not_change_the_fact_changes_no_edition(memory: EditMemory) -> None:
    edits = make(memory, 2)
    memory.activate_edition(activation(1, edits[:1]))
    memory.update(edits[0].id, EditChanges(author="ada", labels=(("a", "b"),)))
    retire(memory, edits[1])
    assert memory.snapshot().edition(DEFAULT_NAMESPACE) == 1
    assert [held(1)] == states(memory, edits[:1])


def test_an_expired_edit_is_not_answered_from_the_weights_even_before_the_log_says_so(
    memory: EditMemory, clock: SettableClock
) -> None:
    first = memory.create(draft(1)).edits[0]
    second = memory.create(draft(2, expires_at_s=clock() + 10)).edits[0]
    memory.activate_edition(activation(1, [first]))
    memory.activate_edition(activation(2, [first, second]))
    pinned = memory.snapshot()
    clock.now_s += 10
    assert pinned.edition(DEFAULT_NAMESPACE) == 0
    memory.expire_due()
    assert memory.snapshot().edition(DEFAULT_NAMESPACE) == 1
    assert [held(1), (EditState.EXPIRED, None)] == states(memory, [first, second])


def test_an_expiry_given_later_is_kept_too(memory: EditMemory, clock: SettableClock) -> None:
    edit = make(memory, 1)[0]
    memory.activate_edition(activation(1, [edit]))
    memory.update(edit.id, EditChanges(expires_at_s=clock() + 5))
    assert memory.snapshot().edition(DEFAULT_NAMESPACE) == 1
    clock.now_s += 5
    assert memory.snapshot().edition(DEFAULT_NAMESPACE) == 0


@pytest.mark.parametrize("leave", LEAVING)
def test_an_edition_that_says_what_no_longer_holds_is_refused(
    memory: EditMemory, leave: Callable[[EditMemory, Edit], None]
) -> None:
    edits = make(memory, 2)
    leave(memory, edits[1])
    with pytest.raises(WrongState, match=f"{edits[1].id}.*consolidate again"):
        memory.activate_edition(activation(1, edits))
    assert memory.snapshot().edition(DEFAULT_NAMESPACE) == 0
    assert [ACTIVE] == states(memory, edits[:1])


def test_an_edition_left_on_purpose_is_not_returned_to(memory: EditMemory) -> None:
    edits = make(memory, 3)
    memory.activate_edition(activation(1, edits[:1]))
    memory.activate_edition(activation(2, edits[:2]))
    memory.activate_edition(activation(3, edits[2:]))
    memory.activate_edition(activation(2, edits[:2]))
    retire(memory, edits[1])
    assert memory.snapshot().edition(DEFAULT_NAMESPACE) == 1


def test_namespaces_do_not_see_each_other(memory: EditMemory) -> None:
    ours, theirs = make(memory, 1), make(memory, 1, OTHER)
    memory.activate_edition(activation(1, ours))
    memory.activate_edition(activation(2, theirs))
    retire(memory, ours[0])
    snapshot = memory.snapshot()
    assert (0, 2) == (snapshot.edition(DEFAULT_NAMESPACE), snapshot.edition(OTHER))
    assert [held(2)] == states(memory, theirs)


def test_a_restart_finds_the_same_edition_and_history(tmp_path: Path) -> None:
    clock = SettableClock()
    with open_memory(tmp_path / "data", clock=clock) as memory:
        edits = make(memory, 3)
        memory.activate_edition(activation(1, edits[:2], edits[2:]), reason="one")
        memory.activate_edition(activation(2, edits), reason="two")
        retire(memory, edits[2])
        entries, known = memory.entries(1, 100), memory.activations(DEFAULT_NAMESPACE)
    with open_memory(tmp_path / "data", clock=clock) as memory:
        assert memory.check_integrity(repair=False).problems == ()
        assert entries == memory.entries(1, 100)
        assert known == memory.activations(DEFAULT_NAMESPACE)
        assert memory.snapshot().edition(DEFAULT_NAMESPACE) == 0
        memory.rebuild()
        assert memory.snapshot().edition(DEFAULT_NAMESPACE) == 0


@pytest.mark.parametrize("after", [False, True])
def test_a_failing_disk_leaves_the_state_before_or_after_never_between(
    tmp_path: Path, after: bool
) -> None:
    faults = Faults()
    statement = 0
    while True:
        statement += 1
        directory = tmp_path / f"{after}-{statement}"
        with open_memory(directory, connect=faults.connect) as memory:
            edits = make(memory, 3)
            faults.arm(statement, after=after)
            with suppress(StorageReadOnly):
                memory.activate_edition(activation(1, edits))
            fired = faults.fired.is_set()
            faults.disarm()
        with open_memory(directory) as memory:
            edition = memory.snapshot().edition(DEFAULT_NAMESPACE)
            expected = [held(1)] * 3 if edition == 1 else [ACTIVE] * 3
            assert expected == states(memory, edits)
        if not fired:
            assert edition == 1
            return


def test_a_request_id_makes_an_activation_safe_to_repeat(memory: EditMemory) -> None:
    edits = make(memory, 1)
    first = memory.activate_edition(activation(1, edits), request_id="r")
    memory.activate_edition(activation(0, []))
    again = memory.activate_edition(activation(1, edits), request_id="r")
    assert again.replayed
    assert first.sequence == again.sequence
    assert memory.snapshot().edition(DEFAULT_NAMESPACE) == 0


def test_nonsense_is_refused(memory: EditMemory) -> None:
    edits = make(memory, 1)
    with pytest.raises(InvalidInput, match="edition"):
        memory.activate_edition(activation(-1, edits))
    with pytest.raises(InvalidInput, match="edition 0 holds no edits"):
        memory.activate_edition(activation(0, edits))
    with pytest.raises(NotFound, match="other"):
        memory.activate_edition(Activation(namespace=OTHER, edition=0))


def test_a_watcher_of_one_namespace_is_told_of_its_editions(memory: EditMemory) -> None:
    edits = make(memory, 1)
    make(memory, 1, OTHER)
    memory.activate_edition(activation(1, edits))
    kinds = [entry.kind for entry in memory.entries(1, 100, OTHER)]
    assert kinds == [EntryKind.CREATED]
    kinds = [entry.kind for entry in memory.entries(1, 100, DEFAULT_NAMESPACE)]
    assert kinds == [EntryKind.CREATED, EntryKind.ACTIVATED, EntryKind.CONSOLIDATED]
