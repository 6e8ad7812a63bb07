"""Demonstrations: the paper's ratio, the order by similarity, and files that are wrong."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memory.errors import StartupError
from runtime.paths.demonstrations import (
    Demonstration,
    DemonstrationKind,
    FixedDemonstrations,
    SimilarDemonstrations,
    load_demonstrations,
    places,
)
from tests.hash_encoder import HashEncoder

SHIPPED = Path(__file__).resolve().parents[3] / "pocket" / "demonstrations.jsonl"


@given(st.integers(0, 200))
def test_places_add_up_and_never_stray_from_the_ratio(count: int) -> None:
    split = places(count)
    assert count == sum(split.values())
    assert 8 * split[DemonstrationKind.COPY] <= count
    assert 8 * split[DemonstrationKind.UPDATE] <= 3 * count


def test_thirty_two_places_are_the_papers() -> None:
    split = places(32)
    assert (4, 12, 16) == tuple(split[kind] for kind in DemonstrationKind)


def demonstration(kind: DemonstrationKind, fact: str) -> Demonstration:
    return Demonstration(kind=kind, fact=fact, prompt="Q", answer="A")


def test_the_nearest_demonstration_comes_last() -> None:
    facts = ["The sport of Ann is tennis", "The mother tongue of Bob is Danish", "Rain is wet"]
    chooser = SimilarDemonstrations(
        [demonstration(DemonstrationKind.RETAIN, fact) for fact in facts], HashEncoder()
    )
    chosen = chooser.choose("The mother tongue of Cid is", 3)
    assert facts[1] == chosen[-1].fact
    assert not chooser.fixed


def test_fixed_demonstrations_do_not_depend_on_the_edit() -> None:
    rows = [
        demonstration(kind, f"{kind.value} {n}") for n in range(5) for kind in DemonstrationKind
    ]
    chooser = FixedDemonstrations(rows)
    assert chooser.choose("one", 8) == chooser.choose("other", 8)
    assert chooser.fixed


def test_the_file_that_ships_can_be_read_and_has_every_kind() -> None:
    shipped = load_demonstrations(SHIPPED)
    for kind in DemonstrationKind:
        assert sum(d.kind is kind for d in shipped) >= 32


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("not json", "line 1"),
        ('{"kind": "copy", "fact": "f", "prompt": "p"}', "answer"),
        ('{"kind": "other", "fact": "f", "prompt": "p", "answer": "a"}', "other"),
        ("[]", "line 1"),
    ],
)
def test_a_wrong_line_is_named(tmp_path: Path, line: str, why: str) -> None:
    file = tmp_path / "demonstrations.jsonl"
    file.write_text(line + "\n", encoding="utf-8")
    with pytest.raises(StartupError, match=why):
        load_demonstrations(file)


def test_a_file_in_another_encoding_is_named(tmp_path: Path) -> None:
    file = tmp_path / "latin.jsonl"
    file.write_bytes("café".encode("latin-1"))
    with pytest.raises(StartupError, match=r"latin\.jsonl"):
        load_demonstrations(file)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(StartupError, match=r"none\.jsonl"):
        load_demonstrations(tmp_path / "none.jsonl")
