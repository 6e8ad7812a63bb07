"""Which path answers a query in scope, when the setting or the request says "auto". Pure.

The rule was measured with the models that ship (docs/paths.md): every form of query is answered
better by the counterfactual model, so that only what needs more than one fact goes in context. Two
edits in scope are not yet two facts: a question about one subject has one answer, and where two
edits give it one each, a small model that reads both makes a third of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from memory.conflicts import same_text
from memory.record import Edit
from runtime.paths.counterfactual import COUNTERFACTUAL
from runtime.paths.forms import asks_for_several, form_of
from runtime.paths.in_context import IN_CONTEXT

AUTO = "auto"
WORDS_MAX = 40  # Of a query: longer ones were not trained.


@dataclass(frozen=True, slots=True, kw_only=True)
class PathChoice:
    """A path, and why in one sentence for the provenance."""

    path: str
    reason: str


def choose_path(query: str, edits: Sequence[Edit], *, forced: bool = False) -> PathChoice:
    """Chooses between the counterfactual and the in-context path.

    `query` is the prompt or the last turn as it was read, `edits` (>= 1) are those in scope, the
    best first, or those that the caller `forced`: of these each is meant.
    """
    words = len(query.split())
    if words > WORDS_MAX:
        return _in_context(f"the query has {words} words")
    if len(edits) > 1 and forced:
        return _in_context(f"{len(edits)} edits are meant")
    if len(edits) > 1 and (not _one_subject(edits) or asks_for_several(query, edits)):
        return _in_context(f"{len(edits)} edits are in scope")
    which = f", with the best of {len(edits)} edits in scope" if len(edits) > 1 else ""
    return PathChoice(
        path=COUNTERFACTUAL,
        reason=f"By the counterfactual model{which}: it asks for {form_of(query, edits[0]).value}.",
    )


def _one_subject(edits: Sequence[Edit]) -> bool:
    return all(same_text(edit.subject, edits[0].subject) for edit in edits)


def _in_context(why: str) -> PathChoice:
    return PathChoice(path=IN_CONTEXT, reason=f"In context: {why}.")
