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
from runtime.paths.notes import names_target

AUTO = "auto"
WORDS_MAX, CHARACTERS_MAX = 40, 400  # Of a query: longer ones were not trained.


@dataclass(frozen=True, slots=True, kw_only=True)
class PathChoice:
    """A path, and why in one sentence for the provenance."""

    path: str
    reason: str
    best: int = 0  # Which of the edits answers, where the path reads one.


def choose_path(query: str, edits: Sequence[Edit], *, forced: bool = False) -> PathChoice:
    """Chooses between the counterfactual and the in-context path.

    `query` is the prompt or the last turn as it was read, `edits` (>= 1) are those in scope, the
    best first, or those that the caller `forced`: of these each is meant. Of several that are in
    scope the best answers, but a query that names the target of one is about that one.
    """
    words = len(query.split())
    if words > WORDS_MAX:
        return _in_context(f"the query has {words} words")
    if len(query) > CHARACTERS_MAX:
        return _in_context(f"the query has {len(query)} characters")
    if len(edits) > 1 and forced:
        return _in_context(f"{len(edits)} edits are meant")
    if len(edits) > 1 and (not _one_subject(edits) or asks_for_several(query, edits)):
        return _in_context(f"{len(edits)} edits are in scope")
    best, among = 0, ""
    if len(edits) > 1:
        named = [number for number, edit in enumerate(edits) if names_target(query, edit)]
        best, which = (named[0], "the one named") if len(named) == 1 else (0, "the best")
        among = f", with {which} of {len(edits)} edits in scope"
    wanted = form_of(query, edits[best]).value
    return PathChoice(
        path=COUNTERFACTUAL,
        reason=f"By the counterfactual model{among}: it asks for {wanted}.",
        best=best,
    )


def _one_subject(edits: Sequence[Edit]) -> bool:
    return all(same_text(edit.subject, edits[0].subject) for edit in edits)


def _in_context(why: str) -> PathChoice:
    return PathChoice(path=IN_CONTEXT, reason=f"In context: {why}.")
