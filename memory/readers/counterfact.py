"""The shapes of CounterFact records: EasyEdit's flat one and the original nested one.

    flat      {"subject", "prompt", "target_new", "ground_truth", "case_id", ...}; also KnowEdit's
    original  {"case_id", "requested_rewrite": {"prompt": "The mother tongue of {} is", "subject",
               "target_new": {"str"}, "target_true": {"str"}, "relation_id"}, ...}; MQuAKE holds a
               list of rewrites in one record, so one record can give several edits

Probes (paraphrases, neighbours) are for evaluation and are not read here. Sources: Meng et al.
2022, arXiv 2202.05262; Wang et al. 2023, arXiv 2308.07269; Zhong et al. 2023, arXiv 2305.14795.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from memory.readers.row import RowError, first_text, need_text
from memory.record import EditDraft

if TYPE_CHECKING:
    from memory.readers.jsonl import Record

SUBJECT_SLOT = "{}"


def is_counterfact(record: Record) -> bool:
    """Whether the record's keys are those of either shape."""
    return "requested_rewrite" in record or {"prompt", "target_new"} <= record.keys()


def shape_counterfact(record: Record) -> list[EditDraft]:
    """Shapes a record of either kind. Raises RowError naming the field that is wrong."""
    if "requested_rewrite" not in record:
        return [_flat(record)]
    rewrites = record["requested_rewrite"]
    listed = rewrites if isinstance(rewrites, list) else [rewrites]
    if not listed:
        raise RowError('"requested_rewrite" is an empty list')
    return [_original(rewrite, record) for rewrite in listed]


def _flat(record: Record) -> EditDraft:
    return EditDraft(
        subject=need_text(record, "subject"),
        prompt=need_text(record, "prompt"),
        target=_answer(record, "target_new"),
        former=first_text(record.get("ground_truth")),
        source="counterfact",
        labels=_labels(record),
    )


def _original(rewrite: object, record: Record) -> EditDraft:
    if not isinstance(rewrite, dict):
        raise RowError('"requested_rewrite" must be an object or a list of objects')
    subject, template = need_text(rewrite, "subject"), need_text(rewrite, "prompt")
    former = rewrite.get("target_true")
    return EditDraft(
        subject=subject,
        prompt=template.replace(SUBJECT_SLOT, subject, 1),
        target=_answer(rewrite, "target_new"),
        former=first_text(former.get("str") if isinstance(former, dict) else former),
        source="counterfact",
        labels=_labels({**record, **rewrite}),
    )


def _answer(record: Record, key: str) -> str:
    """Returns the answer under `key`, which is a text or {"str": text}."""
    value = record.get(key)
    return (need_text(value, "str") if isinstance(value, dict) else need_text(record, key)).strip()


def _labels(record: Record) -> tuple[tuple[str, str], ...]:
    named = (("case_id", record.get("case_id")), ("relation_id", record.get("relation_id")))
    return tuple((key, str(value)) for key, value in named if isinstance(value, str | int))
