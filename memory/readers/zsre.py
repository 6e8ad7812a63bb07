"""The shape of zsRE records as MEND and EasyEdit keep them.

    {"subject", "src": question, "alt": the new answer, "answers": [the old ones], "pred", ...}

`pred` is what some other model once answered, so the former answer is the first of `answers`.
Sources: Levy et al. 2017, arXiv 1706.04115; Mitchell et al. 2022, arXiv 2110.11309.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from memory.readers.row import first_text, need_text
from memory.record import EditDraft

if TYPE_CHECKING:
    from memory.readers.jsonl import Record


def is_zsre(record: Record) -> bool:
    """Whether the record's keys are those of zsRE."""
    return {"src", "alt"} <= record.keys()


def shape_zsre(record: Record) -> list[EditDraft]:
    """Shapes one record. Raises RowError naming the field that is wrong."""
    return [
        EditDraft(
            subject=need_text(record, "subject"),
            prompt=need_text(record, "src"),
            target=need_text(record, "alt").strip(),
            former=first_text(record.get("answers")),
            source="zsre",
        )
    ]
