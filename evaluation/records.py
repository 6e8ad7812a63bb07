"""CounterFact records with their probes, in EasyEdit's schema.

An edit and what to ask after it: the edit prompt, a paraphrase (as given, and cleaned of the
unrelated sentence that one record in six carries before it), and a near neighbour. The readers
that only need the edits are in memory/readers.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from memory.errors import InvalidInput


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbedEdit:
    """One record."""

    case: str
    subject: str
    prompt: str
    target: str
    former: str
    rephrase: str  # As given.
    rephrase_cleaned: str
    neighbour: str  # Same relation, other subject.
    neighbour_answer: str


def read_counterfact(path: Path, *, limit: int | None = None) -> list[ProbedEdit]:
    """Reads records that carry all probes, in file order.

    Records whose prompt lacks the subject are left out: they cannot be edits; and so are later ones
    of the same prompt: they would supersede the first. Raises InvalidInput when the file is not a
    JSON list of CounterFact records in EasyEdit's schema.
    """
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InvalidInput(f"{path} cannot be read as JSON: {error}", field="file") from error
    if not isinstance(rows, list):
        raise InvalidInput(f"{path} holds no list of records.", field="file")
    found: list[ProbedEdit] = []
    prompts: set[str] = set()
    for number, row in enumerate(rows):
        try:
            record = _record(row)
        except (KeyError, TypeError, AttributeError) as error:
            raise InvalidInput(
                f"{path}, record {number}: {error!r}; expected subject, prompt, target_new, "
                "ground_truth, rephrase_prompt and locality_prompt.",
                field="file",
            ) from error
        if record.subject in record.prompt and record.prompt not in prompts:
            prompts.add(record.prompt)
            found.append(record)
        if limit is not None and len(found) == limit:
            break
    return found


def clean_rephrase(rephrase: str, subject: str) -> str:
    """Keeps the sentence that names the subject, without what stands before it.

    CounterFact's paraphrases begin with an unrelated sentence in about one of six records. The
    text from the last sentence break before the subject's first mention on is kept; a paraphrase
    that does not name the subject is returned as it is.
    """
    place = rephrase.find(subject)
    if place < 0:
        return rephrase
    before = rephrase[:place]
    breaks = [before.rfind(mark) + len(mark) for mark in (". ", "? ", "! ", "\n") if mark in before]
    return rephrase[max(breaks, default=0) :].lstrip()


def _record(row: dict[str, str]) -> ProbedEdit:
    subject = row["subject"].strip()
    rephrase = row["rephrase_prompt"].strip()
    return ProbedEdit(
        case=str(row.get("case_id", "")),
        subject=subject,
        prompt=row["prompt"].strip(),
        target=row["target_new"].strip(),
        former=row["ground_truth"].strip(),
        rephrase=rephrase,
        rephrase_cleaned=clean_rephrase(rephrase, subject),
        neighbour=row["locality_prompt"].strip(),
        neighbour_answer=row.get("locality_ground_truth", "").strip(),
    )
