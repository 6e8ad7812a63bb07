"""zsRE with rephrasings, unrelated questions and one-hop portability (Yao et al. 2023).

The unrelated question is a real search question; its prefix "nq question: " would give it away to
any router, so it is taken off.
"""

from __future__ import annotations

from evaluation.probes import Probe, Record, Scope
from evaluation.readers.fields import Row, answers, case_of, group, negation, text
from memory.readers.zsre import shape_zsre

FAR_PREFIX = "nq question: "


def read_record(row: Row, number: int) -> Record:
    """Shapes one record. Raises RowError."""
    edit = shape_zsre(row)[0]
    former = edit.former or ""
    target = (edit.target,)
    probes = [
        Probe(kind="edit", prompt=edit.prompt, scope=Scope.INSIDE, answers=target, former=former),
        Probe(
            kind="rephrase",
            prompt=text(row, "rephrase"),
            scope=Scope.INSIDE,
            answers=target,
            former=former,
        ),
        Probe(
            kind="negation",
            prompt=negation(edit),
            scope=Scope.OPEN,
            answers=target,
            former=former,
        ),
    ]
    if "loc" in row:
        far = text(row, "loc").removeprefix(FAR_PREFIX)
        probes.append(
            Probe(kind="far", prompt=far, scope=Scope.OUTSIDE, answers=answers(row.get("loc_ans")))
        )
    hop = group(row, "portability")
    if hop:
        probes.append(
            Probe(
                kind="portability_one_hop",
                prompt=text(hop, "New Question"),
                scope=Scope.OPEN,
                answers=answers(hop.get("New Answer")),
            )
        )
    return Record(case=case_of(row, number), edits=(edit,), probes=tuple(probes))
