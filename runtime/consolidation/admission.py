"""What a job must be before it is begun: known words, edits to write, memory enough, no replay."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from memory.errors import InvalidInput, RequestIdReused, WrongState
from memory.snapshot import MemorySnapshot
from runtime.consolidation.hyperparameters import rule, with_changes
from runtime.consolidation.operations import Estimate, JobRequest, Operation, OperationStore
from runtime.consolidation.phrasebook import PhraseBook
from runtime.consolidation.selection import Selection, select
from runtime.consolidation.settings import JobSettings

BLOCKS_ANY = 32  # Settings are checked before the model is asked how many it has.

EstimateJob = Callable[[int], Estimate]  # From the number of edits.


class Admission:
    """Checks requests; begins nothing. Thread-safe."""

    def __init__(
        self, *, operations: OperationStore, settings: JobSettings, estimate: EstimateJob
    ) -> None:
        """Reads the phrasings that ship. Raises OSError, ValueError."""
        self._operations = operations
        self._settings = settings
        self._estimate = estimate
        self._book = PhraseBook.load(settings.facts_file, settings.relations_file)

    def replayed(self, request: JobRequest) -> Operation | None:
        """Returns what the request id began before. Raises RequestIdReused for another content."""
        if not request.request_id:
            return None
        known = self._operations.find_request(request.namespace, request.request_id)
        if known is None:
            return None
        # A request that names no editor was noted with the one that it got.
        if known.request != replace(request, editor=request.editor or known.request.editor):
            raise RequestIdReused(
                f"request_id {request.request_id!r} was used before for another request; "
                "draw a new one for every new request, and keep it for retries only"
            )
        return known

    def checked(self, request: JobRequest) -> JobRequest:
        """Returns the request with its editor named. Raises InvalidInput naming the wrong field."""
        editor = request.editor or self._settings.editor
        if editor not in self._settings.editors:
            raise InvalidInput(
                f"editor is {editor!r}; known are {', '.join(self._settings.editors)}",
                field="editor",
            )
        if request.edit_filter.states:
            raise InvalidInput(
                "filter.states is set; a job takes edits in force, so leave it unset",
                field="filter.states",
            )
        with_changes(rule(BLOCKS_ANY), request.settings)  # Layers are checked by the model's depth.
        return replace(request, editor=editor)

    def select(self, snapshot: MemorySnapshot, request: JobRequest) -> tuple[Selection, Estimate]:
        """Returns the edits that the request means, and what writing them will take.

        Raises NotFound for the namespace, WrongState when there is nothing to write or it needs
        more memory than it may take.
        """
        selection = select(snapshot, request, self._book)
        if not selection.facts:
            why = f" ({len(selection.left_out)} name no subject)" if selection.left_out else ""
            raise WrongState(
                f"namespace {request.namespace!r} has no edits in force that the filter "
                f"selects{why}; there is nothing to write"
            )
        estimate = self._estimate(len(selection.facts))
        cap = estimate.memory_cap_bytes
        if cap and estimate.memory_bytes > cap and not request.validate_only:
            raise WrongState(
                f"the job needs about {estimate.memory_bytes / 2**20:.0f} MiB and may take "
                f"{cap / 2**20:.0f}; raise consolidation.memory_mb, or select fewer edits"
            )
        return selection, estimate
