"""Which path answers a query in scope, when the setting or the request says "auto". Pure.

The rule was measured (docs/paths.md): the counterfactual model answers what it was trained for, one
fact asked for briefly in its own right; everything else needs the frozen model's own language and
knowledge and goes in context.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from runtime.paths.counterfactual import COUNTERFACTUAL
from runtime.paths.in_context import IN_CONTEXT

AUTO = "auto"
WORDS_MAX = 40  # Of a query: longer ones were not trained.


@dataclass(frozen=True, slots=True, kw_only=True)
class PathChoice:
    """A path, and why in one sentence for the provenance."""

    path: str
    reason: str


def choose_path(prompt: str, messages: Sequence[tuple[str, str]], *, facts: int) -> PathChoice:
    """Chooses between the counterfactual and the in-context path.

    `facts` (>= 1) is the number of edits in scope; the prompt is empty when there are messages.
    """
    words = len((messages[-1][1] if messages else prompt).split())
    if facts > 1:
        return _in_context(f"{facts} edits are in scope")
    if len(messages) > 1:
        return _in_context("it was asked in a conversation")
    if words > WORDS_MAX:
        return _in_context(f"the query has {words} words")
    return PathChoice(path=COUNTERFACTUAL, reason="By the counterfactual model: one fact, asked.")


def _in_context(why: str) -> PathChoice:
    return PathChoice(path=IN_CONTEXT, reason=f"In context: {why}.")
