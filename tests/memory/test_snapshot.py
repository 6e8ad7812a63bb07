"""What a snapshot tells of single edits: their stored vector, and whose names a prompt holds."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from memory.record import DEFAULT_NAMESPACE, EditId, Query
from memory.writes import EditChanges
from tests.hash_encoder import HashEncoder
from tests.memory_kit import draft, open_memory

ENCODER = HashEncoder(dimension=16)


def test_a_live_edit_has_the_vector_of_its_prompt_through_all_its_changes(tmp_path: Path) -> None:
    with open_memory(tmp_path) as memory:
        edit = memory.create(draft(1)).edits[0]
        first = memory.snapshot()
        memory.update(edit.id, EditChanges(target="Dutch"))
        prompt = "Person 1 speaks"
        memory.update(edit.id, EditChanges(prompt=prompt))
        second = memory.snapshot()
        memory.retire(edit.id)
        assert None is memory.snapshot().vector(DEFAULT_NAMESPACE, edit.id)
        memory.restore(edit.id)
        third = memory.snapshot()
        for snapshot, text in ((first, edit.prompt), (second, prompt), (third, prompt)):
            vector = snapshot.vector(DEFAULT_NAMESPACE, edit.id)
            assert vector is not None
            np.testing.assert_allclose(ENCODER.encode(text), vector, atol=1e-6)
        assert None is third.vector(DEFAULT_NAMESPACE, EditId("nobody"))
    with open_memory(tmp_path) as memory:
        vector = memory.snapshot().vector(DEFAULT_NAMESPACE, edit.id)
        assert vector is not None
        np.testing.assert_allclose(ENCODER.encode(prompt), vector, atol=1e-6)


def test_candidates_without_an_edit_are_those_of_a_memory_without_it(tmp_path: Path) -> None:
    drafts = [draft(n) for n in range(6)]
    query = Query(text=drafts[2].prompt, vector=ENCODER.encode(drafts[2].prompt))
    with open_memory(tmp_path / "all") as memory:
        edits = [memory.create(one).edits[0] for one in drafts]
        found = memory.snapshot().candidates(DEFAULT_NAMESPACE, query, 3, without={edits[2].id})
    with open_memory(tmp_path / "less") as memory:
        for one in (*drafts[:2], *drafts[3:]):
            memory.create(one)
        expected = memory.snapshot().candidates(DEFAULT_NAMESPACE, query, 3)
    assert [(c.edit.subject, c.rank, c.by_vector) for c in expected] == [
        (c.edit.subject, c.rank, c.by_vector) for c in found
    ]


def test_a_prompt_mentions_others_when_another_live_edit_has_a_name_in_it(tmp_path: Path) -> None:
    with open_memory(tmp_path) as memory:
        one = memory.create(draft(1)).edits[0]
        assert not memory.snapshot().mentions_others(one)
        two = memory.create(draft(1, prompt="Person 1 lives in")).edits[0]
        assert memory.snapshot().mentions_others(one)
        memory.retire(two.id)
        assert not memory.snapshot().mentions_others(one)
        memory.create(draft("x", subject="X", prompt="X is", aliases=("Person 1",)))
        assert memory.snapshot().mentions_others(one)
