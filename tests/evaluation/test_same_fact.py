"""Is a neighbour that has an edit of its own told from one that has none?"""

from __future__ import annotations

import pytest

from evaluation.probes import Probe, Record, Scope
from evaluation.same_fact import SameFact
from memory.record import EditDraft, EditId


def edit(prompt: str, subject: str, former: str | None = None) -> EditDraft:
    return EditDraft(
        subject=subject, prompt=prompt, target="New", former=former, edit_id=EditId(prompt)
    )


def neighbour(prompt: str, truth: str = "", kind: str = "neighbour") -> Probe:
    return Probe(kind=kind, prompt=prompt, scope=Scope.OUTSIDE, answers=(truth,))


def record(told: EditDraft, asked: str) -> Record:
    return Record(case=told.prompt, edits=(told,), probes=(neighbour(asked),))


OSLO = edit("The twin city of Oslo is", "Oslo")
RIGA = edit("Riga is a twin city of", "Riga", "Kiev")
CAIRO = edit("What is the twin city of Cairo? It is", "Cairo")
PRIZE = edit("Riga can be found in", "Riga", "Latvia")
SAME_FACT = SameFact(
    [
        record(OSLO, "What is the twin city of Rome? It is"),
        record(RIGA, "The twin city of Bonn is"),
        record(CAIRO, "The twin city of Lima is"),
        record(PRIZE, "Quito can be found in"),
    ]
)


@pytest.mark.parametrize(
    ("asked", "truth", "hit", "same"),
    [
        ("The twin city of Riga is", "Amsterdam", RIGA, True),  # Wordings of one record.
        ("Riga is a twin city of", "Amsterdam", RIGA, True),  # The edit's own.
        ("The twin city of  RIGA is", "Amsterdam", RIGA, True),
        ("Riga, twinned with", " kiev", RIGA, True),  # The true answer, which was edited.
        ("What is the twin city of Riga? It is", "Amsterdam", RIGA, False),  # In no one record.
        ("Riga can be found in", "Latvia", RIGA, False),  # Another fact about it.
        ("The twin city of Rigaud is", "Kiev", RIGA, False),  # Somewhere else.
        ("The twin city of Bonn is", "Kiev", RIGA, False),
        ("Who founded Oslo?", "", OSLO, False),  # No former answer is no answer.
    ],
)
def test_a_route_is_to_the_fact_asked_for_by_the_datas_own_word(
    asked: str, truth: str, hit: EditDraft, *, same: bool
) -> None:
    assert SAME_FACT(neighbour(asked, truth), [OSLO], hit) is same


def test_what_the_records_own_edit_says_before_the_question_does_not_name_its_subject() -> None:
    said = f"{OSLO.prompt} {OSLO.target}."
    about = neighbour(f"{said} The twin city of Riga is", "Amsterdam", "distracting")
    assert SAME_FACT(about, [OSLO], RIGA)
    assert not SAME_FACT(about, [OSLO], OSLO)
    in_two = neighbour(f"{said} What is the twin city of Oslo? It is", "Bonn", "distracting")
    assert SAME_FACT(in_two, [RIGA, OSLO], OSLO)


def test_the_longest_wording_that_fits_a_neighbour_is_its_wording() -> None:
    located = edit("Oslo, located in", "Oslo")
    records = [
        record(located, "Bonn, which is located in"),
        record(edit("Lima, which is located in", "Lima"), "Rome, located in"),
        record(edit("Bonn is in", "Bonn"), "Kiel, which is located in"),
    ]
    judge = SameFact(records)
    assert judge(neighbour("Oslo, which is located in"), [], located)
    assert not judge(neighbour("Oslo is in"), [], located)


def test_a_subject_that_begins_another_word_is_no_slot_there() -> None:
    ann = edit("Ann joined Annapolis in", "Ann")
    same = SameFact([record(ann, "Bo joined Annapolis in")])
    assert same(neighbour("Ann joined Annapolis in"), [], ann)
