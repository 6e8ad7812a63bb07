"""From a job's verdict to the record of its edition, and back to the facts. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from memory.record import EDITION_BASE, Namespace
from runtime.consolidation.contract import Fact
from runtime.consolidation.edition import EditionRecord, HeldEdit
from runtime.consolidation.reuse import inputs_of
from runtime.consolidation.spec import JobSpec, Verdict


def edition_record(
    spec: JobSpec, verdict: Verdict, settings: Mapping[str, object], *, created_at_s: float
) -> EditionRecord:
    """Returns what an edition says of itself, its number and files left to the store."""
    said = {edit.edit_id: edit for edit in verdict.edits}
    return EditionRecord(
        number=EDITION_BASE,
        namespace=Namespace(spec.namespace),
        base_fingerprint=spec.fingerprint,
        model=spec.model,
        editor=spec.editor,
        settings=dict(settings),
        edits=tuple(
            HeldEdit(
                edit_id=fact.edit_id,
                revision=fact.revision,
                subject=fact.subject,
                prompt=fact.prompt,
                target=fact.target,
                took=said[fact.edit_id].took,
                reason=said[fact.edit_id].reason,
            )
            for fact in spec.facts
        ),
        measures=verdict.measures,
        matrices=(),
        created_at_s=created_at_s,
        job=spec.job,
        inputs=inputs_of(spec),
    )


def facts_of(record: EditionRecord) -> tuple[Fact, ...]:
    """Returns the facts that an edition was computed from."""
    return tuple(
        Fact(
            edit_id=edit.edit_id,
            revision=edit.revision,
            subject=edit.subject,
            prompt=edit.prompt,
            target=edit.target,
        )
        for edit in record.edits
    )
