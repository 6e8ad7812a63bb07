"""KnowEdit (wiki_counterfact, wiki_recent): portability and locality by kind.

Portability: reasoning (a further step), subject aliasing (another name: in scope), logical
generalization (what follows by logic). Locality: relation specificity (the same subject, another
relation) and forgetfulness (another right answer of a relation with many). Every name of an answer
counts. Source: Zhang et al. 2024, arXiv 2401.01286, made from RippleEdits (arXiv 2307.12976).
"""

from __future__ import annotations

from collections.abc import Iterator

from evaluation.probes import Probe, Record, Scope
from evaluation.readers.fields import Row, answers, case_of, group, negation, rows, text
from memory.conflicts import same_text
from memory.readers.counterfact import shape_counterfact
from memory.readers.row import RowError
from memory.record import EditDraft

PORTABILITY = {
    "Reasoning": ("portability_reasoning", Scope.OPEN),
    "Subject_Aliasing": ("portability_subject_aliasing", Scope.INSIDE),
    "Logical_Generalization": ("portability_logical_generalization", Scope.OPEN),
}
LOCALITY = {
    "Relation_Specificity": ("same_subject", Scope.OUTSIDE),
    # Asked with the edit's own prompt or near it: the data do not say which answer a router owes.
    "Forgetfulness": ("forgetfulness", Scope.OPEN),
}


def read_record(row: Row, number: int) -> Record:
    """Shapes one record. Raises RowError."""
    edit = shape_counterfact(row)[0]
    edit_probe = Probe(
        kind="edit",
        prompt=edit.prompt,
        scope=Scope.INSIDE,
        answers=(edit.target,),
        former=edit.former or "",
    )
    denied = Probe(kind="negation", prompt=negation(edit), scope=Scope.OPEN, answers=(edit.target,))
    probes = (
        edit_probe,
        *_of(group(row, "portability"), PORTABILITY, edit),
        *_of(group(row, "locality"), LOCALITY, edit),
        denied,
    )
    return Record(case=case_of(row, number), edits=(edit,), probes=probes)


def _of(kinds: Row, known: dict[str, tuple[str, Scope]], edit: EditDraft) -> Iterator[Probe]:
    unknown = sorted(kinds.keys() - known.keys())
    if unknown:
        raise RowError(f"unknown kind of probe {unknown[0]!r}; known are {', '.join(known)}")
    for name in kinds:
        kind, scope = known[name]
        for asked in rows(kinds, name):
            prompt = text(asked, "prompt")
            if same_text(prompt, edit.prompt):
                continue  # The edit itself again, whatever the kind says.
            yield Probe(
                kind=kind, prompt=prompt, scope=scope, answers=answers(asked.get("ground_truth"))
            )
