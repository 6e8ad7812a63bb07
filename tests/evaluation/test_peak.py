"""The growth of memory within a block, and facts kept apart for choosing settings."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from evaluation.editor_probes import ALL, REPORT, TUNE, FactBook, part_of
from evaluation.peak import watched_memory
from evaluation.trace_facts import regained
from runtime.consolidation.locate import CausalTrace, Kind

MIB = 2**20
linux = pytest.mark.skipif(sys.platform != "linux", reason="the mark is set back on Linux alone")


@linux
def test_a_block_s_growth_is_its_own_even_after_a_higher_peak() -> None:
    with watched_memory() as first:
        held = bytearray(b"x" * (96 * MIB))
        del held
    with watched_memory() as second:
        held = bytearray(b"x" * (32 * MIB))
        del held
    assert 90 * MIB < first.grown
    assert second.grown < 80 * MIB


@linux
def test_growth_is_noted_when_the_block_fails() -> None:
    seen = []

    def fail() -> None:
        with watched_memory() as peak:
            seen.append(peak)
            held = bytearray(b"x" * (64 * MIB))
            raise ValueError(f"stop after {len(held)}")

    with pytest.raises(ValueError, match="stop"):
        fail()
    assert 60 * MIB < seen[0].grown


def test_subjects_are_parted_once_and_for_all() -> None:
    names = [f"Name {number}" for number in range(3000)]
    share = sum(part_of(name) == TUNE for name in names) / len(names)
    assert 0.28 < share < 0.38
    assert {TUNE, REPORT} == {part_of(name) for name in names}


def test_edits_are_of_their_part_and_neighbours_of_all(tmp_path: Path) -> None:
    facts, relations = tmp_path / "facts.jsonl", tmp_path / "relations.json"
    rows = [
        f'{{"subject": "Name {n}", "relation": "tongue", "object": "L{n % 7}"}}\n'
        for n in range(60)
    ]
    facts.write_text("".join(rows), "utf-8")
    relations.write_text(
        '{"tongue": {"cloze": ["{} speaks", "The tongue of {} is"], "question": ["What of {}?"]}}',
        "utf-8",
    )
    book = FactBook(facts, relations)
    truth = {book.ask(one, 0): one.object for one in book.triples}

    def drawn(part: str) -> tuple[set[str], set[str]]:
        probes = book.draw(
            8,
            seed=1,
            paraphrases=0,
            held_out=1,
            known=lambda asked: [truth[prompt] for prompt in asked],
            part=part,
        )
        edited = {fact.subject for fact in probes.facts}
        near = {one.subject for one in book.triples for p in probes.neighbours if one.subject in p}
        return edited, near

    for part in (TUNE, REPORT):
        edited, near = drawn(part)
        assert {part} == {part_of(subject) for subject in edited}
        assert {TUNE, REPORT} == {part_of(subject) for subject in near}
    assert drawn(ALL)[0]


def test_what_is_regained_is_a_share_of_what_noise_took() -> None:
    scores = torch.tensor([[0.2, 0.2], [0.4, 0.2], [0.6, 1.0]])  # Three tokens, two layers.
    found = CausalTrace(
        tokens=("Ann", " speaks", " the"),
        subject=range(1),
        answer="Danish",
        clean=1.0,
        corrupted=0.2,
        window=1,
        scores=dict.fromkeys(Kind, scores),
    )
    expected = torch.tensor([[0.0, 0.0], [0.25, 0.0], [0.5, 1.0]])
    for shares in regained(found).values():
        assert torch.allclose(expected, shares)


def test_a_prompt_that_ends_right_after_the_subject_has_nothing_between() -> None:
    scores = torch.tensor([[0.2], [1.0]])
    found = CausalTrace(
        tokens=("Ann", " is"),
        subject=range(1),
        answer="x",
        clean=1.0,
        corrupted=0.0,
        window=1,
        scores=dict.fromkeys(Kind, scores),
    )
    assert regained(found)[Kind.MLP].isnan().tolist() == [[False], [True], [False]]
