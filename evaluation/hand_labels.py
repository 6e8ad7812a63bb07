"""Labels given one by one: which paraphrases of CounterFact follow from their edit.

CounterFact's paraphrases were made by machine, and many ask for something else. The labels, by
case id alone and without a sentence of the data set, say for a fixed sample which of them a router
ought to send to the edit. They were frozen before anything was trained against them; the rule
stands in the file.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from memory.errors import InvalidInput

LABELS_FILE = Path(__file__).parent / "labels" / "counterfact_rephrase.json"


class WhyNot(StrEnum):
    """Why a paraphrase does not follow from its edit."""

    OTHER_RELATION = "other_relation"  # It asks for another property, or for another step.
    OTHER_SUBJECT = "other_subject"  # It asks for a property of someone or something else.
    AMBIGUOUS = "ambiguous"  # So open that the target is one of many natural answers.
    BROKEN = "broken"  # It makes no sense for this subject.


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """What the reader said of one record; `why` is set exactly when it does not follow."""

    follows: bool
    why: WhyNot | None


@dataclass(frozen=True, slots=True, kw_only=True)
class HandLabels:
    """The labels of one data file, and what they were given by."""

    dataset: str
    file_sha256: str  # Of the data file that the case ids belong to.
    seed: int  # Of the sample.
    rule: str
    labels: Mapping[str, Label]  # By case id, in the spelling of `ProbedEdit.case`.

    def follows(self, case: str) -> bool | None:
        """Whether the record's paraphrase follows; None for a record outside the sample."""
        label = self.labels.get(case)
        return None if label is None else label.follows


def load_hand_labels(file: Path = LABELS_FILE) -> HandLabels:
    """Reads the labels; raises InvalidInput when the file is not what it should be."""
    try:
        page = json.loads(file.read_text(encoding="utf-8"))
        return HandLabels(
            dataset=page["dataset"],
            file_sha256=page["file_sha256"],
            seed=page["seed"],
            rule=page["rule"],
            labels=_labels(page["labels"]),
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InvalidInput(
            f"{file} holds no hand labels: {error!r}; expected dataset, file_sha256, seed, rule "
            "and labels of case_id, follows, why.",
            field="file",
        ) from error


def _labels(rows: list[dict[str, object]]) -> dict[str, Label]:
    labels = {str(row["case_id"]): _label(row) for row in rows}
    if len(labels) != len(rows):
        raise ValueError("a case id is labelled twice")
    return labels


def _label(row: dict[str, object]) -> Label:
    follows, why = row["follows"], row["why"]
    if not isinstance(follows, bool) or follows == bool(why):
        raise ValueError(f"case {row['case_id']}: 'why' stands exactly where it does not follow")
    return Label(follows=follows, why=WhyNot(str(why)) if why else None)
