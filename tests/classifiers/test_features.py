"""The features of hand-made pairs, and that no text breaks them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from classifiers.features import COLUMN, FEATURES, features
from classifiers.relation import FrameEncoder
from memory.record import DEFAULT_NAMESPACE, Candidate, Edit, EditId, Query
from tests.hash_encoder import HashEncoder

ENCODER = HashEncoder()


def edit(subject: str, prompt: str, target: str = "chess", former: str | None = None) -> Edit:
    return Edit(
        id=EditId("e-1"),
        namespace=DEFAULT_NAMESPACE,
        subject=subject,
        prompt=prompt,
        target=target,
        former=former,
    )


MESSI = edit("Lionel Messi", "Lionel Messi plays the sport of", "basketball", "football")
PARIS = edit("Paris", "The mayor of Paris is", "Ada Palmer")
HILTON = edit("Paris Hilton", "Paris Hilton was born in", "Oslo")


def table(text: str, *edits: Edit) -> dict[str, list[float]]:
    query = Query(text=text, vector=ENCODER.encode(text))
    candidates = [
        Candidate(
            edit=held,
            cosine=float(ENCODER.encode(held.prompt) @ query.vector),
            rank=rank,
            by_vector=True,
            by_subject=held.subject in text,
            mention=held.subject if held.subject in text else "",
        )
        for rank, held in enumerate(edits)
    ]
    rows = features(query, candidates, FrameEncoder(ENCODER))
    assert rows.shape == (len(edits), len(FEATURES))
    return {name: rows[:, at].tolist() for name, at in COLUMN.items()}


def test_the_edit_prompt_itself_has_the_frame_of_the_edit() -> None:
    seen = table("Lionel Messi plays the sport of", MESSI)
    assert seen["mentioned"] == [1.0]
    assert seen["frame_cosine"] == pytest.approx([1.0], abs=1e-6)
    assert seen["frame_jaccard"] == [1.0]
    assert seen["cosine_gap"] == [0.0]
    assert seen["words_before"] == [0.0]
    assert seen["other_names"] == [0.0]


def test_another_relation_of_the_subject_has_another_frame() -> None:
    seen = table("Lionel Messi was born in", MESSI)
    assert seen["mentioned"] == [1.0]
    assert seen["frame_cosine"][0] < 0.8
    assert seen["prompt_covered"] == [0.0]


def test_a_mention_within_a_longer_name_is_covered_and_inside_the_other() -> None:
    seen = table("Paris Hilton was born in", PARIS, HILTON)
    assert seen["mention_covered"] == [1.0, 0.0]
    assert seen["mention_inside_other"] == [1.0, 0.0]


def test_chatter_before_and_a_question_after_are_told_apart() -> None:
    before = table("The war was over. Lionel Messi plays the sport of", MESSI)
    after = table("Lionel Messi plays the sport of chess. Rosario is in", MESSI)
    assert before["frame_cosine"] == pytest.approx([1.0], abs=1e-6)
    assert before["words_before"][0] > 0
    assert before["sentences_after"] == [0.0]
    assert after["sentences_after"] == [1.0]
    assert after["tail_starts_with_pronoun"] == [0.0]


def test_a_sentence_that_goes_on_about_the_subject_is_flagged() -> None:
    assert table("What of Paris? It is", PARIS)["tail_starts_with_pronoun"] == [1.0]


def test_answers_denials_and_question_words_are_seen() -> None:
    seen = table("Who says Lionel Messi does not play basketball?", MESSI)
    assert seen["target_in_query"] == [1.0]
    assert seen["former_in_query"] == [0.0]
    assert seen["negated"] == [1.0]
    assert table("Where is Paris?", edit("Paris", "Who runs Paris?"))["asks_alike"] == [-1.0]


def test_without_a_mention_no_frame_is_encoded() -> None:
    encoder = HashEncoder()
    query = Query(text="who won the cup in 1990", vector=encoder.encode("x"))
    candidate = Candidate(edit=MESSI, cosine=0.2, rank=0, by_vector=True, by_subject=False)
    before = encoder.encoded
    rows = features(query, [candidate], FrameEncoder(encoder))
    assert encoder.encoded == before
    assert rows[0, COLUMN["has_frame"]] == 0.0


def test_frames_of_edits_are_encoded_once_and_the_cache_is_bounded() -> None:
    encoder = HashEncoder()
    frames = FrameEncoder(encoder, kept_max=3)
    frames.encode(["a", "b", "a"])
    assert encoder.encoded == 2
    frames.encode(["a", "c", "d"])
    assert encoder.encoded == 4
    frames.encode(["a"])
    assert encoder.encoded in {4, 5}
    assert frames.encode(["d", "d"]).shape == (2, encoder.dimension)


texts = st.text(max_size=80)


@settings(deadline=None)
@given(texts, st.lists(st.tuples(texts, texts, texts), max_size=4))
def test_features_of_any_texts_are_finite(
    text: str, given_edits: Sequence[tuple[str, str, str]]
) -> None:
    query = Query(text=text, vector=np.full(64, 0.125, dtype=np.float32))
    candidates = [
        Candidate(
            edit=edit(subject, prompt, target),
            cosine=0.5,
            rank=rank,
            by_vector=True,
            by_subject=bool(rank % 2),
            mention=subject if rank % 2 else "",
        )
        for rank, (subject, prompt, target) in enumerate(given_edits)
    ]
    rows = features(query, candidates, FrameEncoder(ENCODER))
    assert np.isfinite(rows).all()
    assert rows.shape == (len(candidates), len(FEATURES))
