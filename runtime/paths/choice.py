"""Which path answers a query in scope, when the setting or the request says "auto". Pure.

The rule was measured with the models that ship (docs/paths.md): every form of query is answered
better by the counterfactual model, so that only what needs more than one fact and one query goes
in context.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from memory.record import Edit
from runtime.paths.counterfactual import COUNTERFACTUAL
from runtime.paths.forms import form_of
from runtime.paths.in_context import IN_CONTEXT

AUTO = "auto"
WORDS_MAX = 40  # Of a query: longer ones were not trained.


@dataclass(frozen=True, slots=True, kw_only=True)
class PathChoice:
    """A path, and why in one sentence for the provenance."""

    path: str
    reason: str


def choose_path(query: str, edits: Sequence[Edit], *, turns: int = 1) -> PathChoice:
    """Chooses between the counterfactual and the in-context path.

    `query` is the prompt or the last turn as it was read, `edits` (>= 1) are those in scope, the
    best first, `turns` how many messages were sent, a system turn among them.
    """
    words = len(query.split())
    if len(edits) > 1:
        return _in_context(f"{len(edits)} edits are in scope")
    if turns > 1:
        return _in_context("it was asked in a conversation")
    if words > WORDS_MAX:
        return _in_context(f"the query has {words} words")
    wanted = form_of(query, edits[0]).value
    return PathChoice(
        path=COUNTERFACTUAL, reason=f"By the counterfactual model: it asks for {wanted}."
    )


def _in_context(why: str) -> PathChoice:
    return PathChoice(path=IN_CONTEXT, reason=f"In context: {why}.")
