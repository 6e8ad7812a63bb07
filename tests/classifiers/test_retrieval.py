"""Retrieval for training and reports proposes what serving would; encodings are kept."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from classifiers.encoding_cache import CachedEncoder
from classifiers.retrieval import RetrievalPool
from memory.record import EditDraft, Query
from tests.hash_encoder import HashEncoder

FACTS = [
    EditDraft(subject=f"Name{number}", prompt=f"Name{number} was born in", target="x")
    for number in range(30)
]


def query(text: str, encoder: HashEncoder) -> Query:
    return Query(text=text, vector=encoder.encode(text))


def test_nearest_and_mentioned_edits_are_proposed_by_falling_cosine() -> None:
    encoder = HashEncoder()
    pool = RetrievalPool(FACTS, encoder)
    text = "Did Name7 and Name9 meet far away from the sea at a very old house?"
    found = pool.candidates(query(text, encoder), home=None, size=30, k=3)
    cosines = [candidate.cosine for _, candidate in found]
    assert cosines == sorted(cosines, reverse=True)
    assert {number for number, c in found if c.by_subject} == {7, 9}
    assert sum(c.by_vector for _, c in found) == 3
    assert [c.rank for _, c in found] == list(range(len(found)))
    assert {c.mention for _, c in found} <= {"", "Name7", "Name9"}


def test_a_sampled_memory_always_holds_the_home_edit() -> None:
    encoder = HashEncoder()
    pool = RetrievalPool(FACTS, encoder)
    for home in range(30):
        found = pool.candidates(query("Name1 was", encoder), home=home, size=1, k=5)
        assert [home] == [number for number, _ in found]


def test_a_name_inside_a_longer_one_of_the_memory_is_no_mention_as_in_serving() -> None:
    encoder = HashEncoder()
    facts = [
        EditDraft(subject=name, prompt=f"{name} was founded in", target="x")
        for name in ("York", "New York")
    ]
    pool = RetrievalPool(facts, encoder)
    asked = query("When was New York founded?", encoder)
    found = pool.candidates(asked, home=None, size=2, k=2)
    assert ["New York"] == [c.edit.subject for _, c in found if c.by_subject]
    ((_, alone),) = pool.candidates(asked, home=0, size=1, k=1)
    assert (True, "York") == (alone.by_subject, alone.mention)


def test_encodings_are_computed_once_and_kept_in_the_file(tmp_path: Path) -> None:
    plain = HashEncoder()
    cached = CachedEncoder(plain, tmp_path / "kept.npz")
    vectors = cached.encode_many(["a", "b", "a"])
    assert plain.encoded == 2
    assert np.array_equal(vectors[0], vectors[2])
    cached.save()
    fresh = HashEncoder()
    again = CachedEncoder(fresh, tmp_path / "kept.npz")
    assert np.array_equal(again.encode("b"), vectors[1])
    assert fresh.encoded == 0
    other = CachedEncoder(HashEncoder(name="another"), tmp_path / "kept.npz")
    assert other.encode_many([]).shape == (0, 64)
    other.encode("a")
    assert other.name == "another"


def test_encodings_of_another_precision_are_not_taken(tmp_path: Path) -> None:
    kept = tmp_path / "kept.npz"
    cached = CachedEncoder(HashEncoder(), kept, dtype="bfloat16")
    cached.encode("a")
    cached.save()
    same, other = HashEncoder(), HashEncoder()
    CachedEncoder(same, kept, dtype="bfloat16").encode("a")
    CachedEncoder(other, kept).encode("a")
    assert (0, 1) == (same.encoded, other.encoded)
