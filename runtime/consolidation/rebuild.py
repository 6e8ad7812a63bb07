"""The job that follows when a namespace had to leave an edition. Pure but for reading."""

from __future__ import annotations

from memory.edit_memory import EditMemory
from memory.errors import EditionUnusable, NotFound
from memory.record import Namespace
from runtime.consolidation.operations import JobRequest, OperationStore
from runtime.consolidation.settings import JobSettings
from runtime.consolidation.store import EditionStore


def rebuild_request(
    namespace: Namespace,
    memory: EditMemory,
    store: EditionStore,
    operations: OperationStore,
    settings: JobSettings,
) -> JobRequest | None:
    """Returns the job for a namespace that left an edition; None when it did not.

    It holds the edits of the edition that was left, as far as they are in force, and is made as
    that one was.
    """
    activations = memory.activations(namespace)
    if len(activations) < 2 or not activations[-1].automatic:
        return None
    last, left = activations[-1], activations[-2]
    former = _request_of(left.edition, store, operations)
    return JobRequest(
        namespace=namespace,
        editor=former.editor if former else settings.editor,
        settings=former.settings if former else {},
        edit_ids=tuple(edit_id for edit_id, _ in left.contents),
        request_id=f"rebuild-{last.sequence}",  # Once for each time it was left.
    )


def _request_of(edition: int, store: EditionStore, operations: OperationStore) -> JobRequest | None:
    """Returns what made an edition; None if that is forgotten."""
    try:
        return operations.get(store.record(edition).job).request
    except (NotFound, EditionUnusable):
        return None
