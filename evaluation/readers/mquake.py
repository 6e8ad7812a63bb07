"""MQuAKE: one to four edits a record, their questions, and multi-hop questions that follow.

An instance counts as right when any of its wordings is answered with the new answer or one of its
other names (Zhong et al. 2023, arXiv 2305.14795, section 3).
"""

from __future__ import annotations

from collections.abc import Iterator

from evaluation.probes import Probe, Record, Scope
from evaluation.readers.fields import Row, case_of, rows, text, texts
from memory.conflicts import same_text
from memory.readers.counterfact import shape_counterfact
from memory.readers.row import RowError
from memory.record import EditDraft


def read_record(row: Row, number: int) -> Record:
    """Shapes one record. Raises RowError."""
    rewrites = rows(row, "requested_rewrite")
    edits = tuple(shape_counterfact(row))
    probes: list[Probe] = []
    for rewrite, edit in zip(rewrites, edits, strict=True):
        probes += _of_edit(rewrite, edit)
    probes += _multi_hop(row)
    probes += _unchanged(row, edits)
    return Record(case=case_of(row, number), edits=edits, probes=tuple(probes))


def _of_edit(rewrite: Row, edit: EditDraft) -> Iterator[Probe]:
    asked = [("edit", edit.prompt)]
    if "question" in rewrite:
        asked.append(("rephrase", text(rewrite, "question")))
    for kind, prompt in asked:
        yield Probe(
            kind=kind,
            prompt=prompt,
            scope=Scope.INSIDE,
            answers=(edit.target,),
            former=edit.former or "",
            group=edit.prompt,
        )


def _multi_hop(row: Row) -> Iterator[Probe]:
    questions = texts(row, "questions")
    if not questions:
        raise RowError('the field "questions" is missing or empty')
    right = tuple(dict.fromkeys((text(row, "new_answer"), *texts(row, "new_answer_alias"))))
    hops = len(rows(row, "new_single_hops"))
    for question in questions:
        yield Probe(
            kind=f"portability_{hops}_hop" if hops else "portability_multi_hop",
            prompt=question,
            scope=Scope.OPEN,
            answers=right,
            former=text(row, "answer"),
            group="multi-hop",
        )


def _unchanged(row: Row, edits: tuple[EditDraft, ...]) -> Iterator[Probe]:
    """The single hops that no edit touches: asked in their own words, they keep their answers."""
    subjects = [edit.subject for edit in edits]
    for hop in rows(row, "new_single_hops"):
        question = text(hop, "question")
        if any(subject in question for subject in subjects):
            continue
        if any(same_text(question, edit.prompt) for edit in edits):
            continue
        right = (text(hop, "answer"), *texts(hop, "answer_alias"))
        yield Probe(kind="other_hop", prompt=question, scope=Scope.OUTSIDE, answers=right)
