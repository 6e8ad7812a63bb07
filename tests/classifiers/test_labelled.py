"""Which edits of a pool are in scope of a case's query, and of which that is not known."""

from __future__ import annotations

import pytest

from classifiers.labelled import label_of
from classifiers.training_pairs import Case, PoolEdit

POOL = [
    PoolEdit(subject=subject, prompt="", target="x", former=None, relation=relation)
    for subject, relation in (
        ("Oslo", "P17"),
        ("Oslo", "P131"),
        ("Oslo", "P36"),
        ("Oslo", None),
        ("Bergen", "P17"),
    )
]
CASE = Case(
    text="Where is Oslo?", home=9, kind="own_phrase", in_scope=True, subject="Oslo", relation="P17"
)


def differ(one: str, other: str) -> bool:
    return one != other and {one, other} != {"P17", "P131"}


@pytest.mark.parametrize(
    ("number", "label"), [(0, True), (1, None), (2, False), (3, None), (4, False)]
)
def test_relations_that_one_answer_may_serve_leave_the_label_open(
    number: int, label: bool | None
) -> None:
    assert label_of(CASE, number, POOL, differ) is label


def test_the_case_s_own_edit_is_labelled_as_the_case_says() -> None:
    home = Case(text="Where is Oslo?", home=2, kind="astray", in_scope=False, subject="Oslo")
    assert label_of(home, 2, POOL) is False
