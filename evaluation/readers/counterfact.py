"""CounterFact in both schemas: EasyEdit's flat one, and the original with its many prompts.

    flat      prompt, subject, target_new, ground_truth, rephrase_prompt, locality_prompt
    original  requested_rewrite, paraphrase_prompts, neighborhood_prompts, attribute_prompts,
              generation_prompts

Probes made here: the paraphrase without the unrelated sentence before it, the neighbour after the
edit's own statement (distracting neighbourhood; Hoelscher-Obermaier et al. 2023, arXiv 2305.17553),
and the edit denied. Sources: Meng et al. 2022, arXiv 2202.05262; Wang et al. 2023.
"""

from __future__ import annotations

from collections.abc import Iterator

from evaluation.probes import Probe, Record, Scope
from evaluation.readers.fields import Row, case_of, negation, text, texts
from evaluation.records import clean_rephrase
from memory.readers.counterfact import shape_counterfact
from memory.readers.row import RowError
from memory.record import EditDraft


def read_record(row: Row, number: int) -> Record:
    """Shapes one record of either schema. Raises RowError."""
    drafts = shape_counterfact(row)
    if len(drafts) != 1:
        raise RowError(f"expected one edit in a record, got {len(drafts)}")
    edit = drafts[0]
    if edit.former is None:
        raise RowError('the former answer ("ground_truth" or "target_true") is missing')
    flat = "requested_rewrite" not in row
    probes = [
        _inside("edit", edit.prompt, edit),
        *(_flat(row, edit) if flat else _original(row, edit)),
        Probe(
            kind="negation",
            prompt=negation(edit),
            scope=Scope.OPEN,
            answers=(edit.target,),
            former=edit.former,
        ),
    ]
    return Record(case=case_of(row, number), edits=(edit,), probes=tuple(probes))


def _flat(row: Row, edit: EditDraft) -> Iterator[Probe]:
    yield from _rephrased(text(row, "rephrase_prompt"), edit)
    truth = row.get("locality_ground_truth")
    true = truth.strip() if isinstance(truth, str) else edit.former or ""
    yield from _neighbours(text(row, "locality_prompt"), true, edit)


def _original(row: Row, edit: EditDraft) -> Iterator[Probe]:
    for prompt in texts(row, "paraphrase_prompts"):
        yield from _rephrased(prompt, edit)
    for prompt in texts(row, "neighborhood_prompts"):
        yield from _neighbours(prompt, edit.former or "", edit)
    for prompt in texts(row, "attribute_prompts"):
        yield Probe(
            kind="attribute",
            prompt=prompt,
            scope=Scope.OUTSIDE,
            answers=(edit.target,),  # Other subjects of which the new answer is true already.
            former=edit.former or "",
        )
    for prompt in texts(row, "generation_prompts"):
        yield Probe(kind="generation", prompt=prompt, scope=Scope.OPEN)


def _rephrased(prompt: str, edit: EditDraft) -> Iterator[Probe]:
    yield _inside("rephrase", prompt, edit)
    yield _inside("rephrase_cleaned", clean_rephrase(prompt, edit.subject), edit)


def _neighbours(prompt: str, truth: str, edit: EditDraft) -> Iterator[Probe]:
    """The neighbour alone and after the edit; `answers` is what is true of it, `former` the edit's.

    NS asks whether the true answer is more probable than the edit's new one.
    """
    for kind, asked in (
        ("neighbour", prompt),
        ("distracting", f"{edit.prompt.rstrip()} {edit.target}. {prompt}"),
    ):
        yield Probe(
            kind=kind, prompt=asked, scope=Scope.OUTSIDE, answers=(truth,), former=edit.target
        )


def _inside(kind: str, prompt: str, edit: EditDraft) -> Probe:
    return Probe(
        kind=kind,
        prompt=prompt,
        scope=Scope.INSIDE,
        answers=(edit.target,),
        former=edit.former or "",
    )
