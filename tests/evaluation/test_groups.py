"""Memories of N edits: everybody is probed once, nothing stands in a memory twice."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation.groups import make_groups
from evaluation.probes import Probe, Record, Scope, with_id
from memory.errors import InvalidInput
from memory.record import EditDraft


def edit(number: int, prefix: str = "e") -> EditDraft:
    subject = f"{prefix}{number}"
    draft = EditDraft(subject=subject, prompt=f"{subject} is", target="x")
    return with_id(draft, prefix=prefix)


def record(*numbers: int) -> Record:
    probe = Probe(kind="edit", prompt=f"{numbers[0]}", scope=Scope.INSIDE)
    return Record(
        case=str(numbers[0]), edits=tuple(edit(number) for number in numbers), probes=(probe,)
    )


@given(
    records=st.integers(1, 30),
    size=st.integers(1, 40),
    limit=st.none() | st.integers(1, 30),
    fillers=st.integers(0, 40),
)
def test_every_record_is_probed_once_in_a_memory_of_exactly_n(
    records: int, size: int, limit: int | None, fillers: int
) -> None:
    data = [record(number) for number in range(records)]
    more = [edit(number, "f") for number in range(fillers)]
    if records + fillers < size:
        with pytest.raises(InvalidInput, match="--fillers"):
            make_groups(data, size, limit=limit, fillers=more)
        return
    groups = make_groups(data, size, limit=limit, fillers=more)
    probed = [r.case for group in groups for r in group.records]
    assert [str(n) for n in range(min(records, limit or records))] == probed
    for group in groups:
        ids = [e.edit_id for e in group.edits]
        assert size == len(ids) == len(set(ids))
        assert {e.edit_id for r in group.records for e in r.edits} <= set(ids)
        assert max(0, size - records) == len(group.fillers)


def test_records_of_several_edits_are_not_torn() -> None:
    data = [record(1, 2), record(3, 4, 5), record(6)]
    groups = make_groups(data, 1)
    assert [2, 3, 1] == [len(group.edits) for group in groups]
    (whole,) = make_groups(data, 6)
    assert 6 == len(whole.edits)


def test_far_questions_are_dealt_out_once() -> None:
    far = [Probe(kind="far", prompt=str(n), scope=Scope.OUTSIDE) for n in range(7)]
    groups = make_groups([record(n) for n in range(3)], 1, far=far)
    assert sorted(p.prompt for group in groups for p in group.far) == [str(n) for n in range(7)]


def test_a_filler_about_a_fact_of_the_memory_is_left_out() -> None:
    same = with_id(EditDraft(subject="E1", prompt="e1 is.", target="other"), prefix="f")
    (group,) = make_groups([record(1)], 2, fillers=[same, edit(2, "f")])
    assert {edit(2, "f").edit_id} == group.fillers


def test_an_edit_shared_by_two_records_stands_once() -> None:
    (group,) = make_groups([record(1, 2), record(2, 3)], 3)
    assert 3 == len(group.edits)
