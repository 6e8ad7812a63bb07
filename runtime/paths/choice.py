"""Which path answers a query in scope, when the setting or the request says "auto". Pure.

The rule was measured with the models that ship (docs/paths.md): each form of query goes where it is
answered better. Verifications go in context although the frozen model gives no verdict: it then
states the new fact, and the counterfactual model's verdict is a coin's. Whatever needs more than
one fact and one query goes in context too.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from memory.record import Edit
from runtime.paths.counterfactual import COUNTERFACTUAL
from runtime.paths.in_context import IN_CONTEXT

AUTO = "auto"
WORDS_MAX = 40  # Of a query: longer ones were not trained.
ASKS_WHETHER = re.compile(
    r"(is|isn't|are|aren't|was|wasn't|were|weren't|do|does|doesn't|did|didn't|has|hasn't|have|can"
    r"|could|will|would)\s",
    re.IGNORECASE,
)
VERDICT_WANTED = re.compile(
    r"\b(true or false|yes or no)\b"
    r"|[,.]\s*(right|correct|true|yes|is that so|isn't that so|do you agree)\?$"
    r"|^(please\s+)?(check|confirm|verify|tell me whether|tell me if)\b",
    re.IGNORECASE,
)
SENTENCE_WANTED = re.compile(r"\b(full|complete|whole) sentence\b", re.IGNORECASE)
CHOICE_OFFERED = re.compile(r"\sor\s", re.IGNORECASE)
ASKS = re.compile(
    r"(who|whom|whose|what|what's|where|when|which|why|how|name|tell)\b", re.IGNORECASE
)
ASKS_WITHIN = re.compile(r"\b(who|whom|whose|what|where|when|which|why|how)\b", re.IGNORECASE)
CLAIMS = re.compile(r"\s(is|was|are|were)\s+\w", re.IGNORECASE)
SENTENCE_END = re.compile(r"(?<=[.!?])\s+")
LABELS = re.compile(r"^(q|question):\s*|\s*(a|answer):\s*$", re.IGNORECASE)


class Form(Enum):
    """What a query wants back."""

    QUESTION = "an answer to a question"
    CLOZE = "an end to a sentence"
    CHOICE = "one of two values"
    VERDICT = "a yes or no"
    SUBJECT = "the subject"
    SENTENCE = "a full sentence"


BETTER_BY_COUNTERFACTUAL = frozenset({Form.CLOZE, Form.CHOICE, Form.SUBJECT, Form.SENTENCE})


@dataclass(frozen=True, slots=True, kw_only=True)
class PathChoice:
    """A path, and why in one sentence for the provenance."""

    path: str
    reason: str


def form_of(query: str, edit: Edit) -> Form:
    """Returns what a query about an edit wants back, read off its words."""
    text = LABELS.sub("", query.strip()).strip()
    if SENTENCE_WANTED.search(text):
        return Form.SENTENCE
    if edit.subject.casefold() not in text.casefold() and edit.target.casefold() in text.casefold():
        return Form.SUBJECT
    sentences = SENTENCE_END.split(text)
    asked, target = sentences[-1], edit.target.casefold()
    if VERDICT_WANTED.search(text) or VERDICT_WANTED.search(asked) or _checks_a_claim(sentences):
        return Form.VERDICT
    if CHOICE_OFFERED.search(asked) and target in asked.casefold():
        return Form.CHOICE
    if ASKS_WHETHER.match(asked) or _is_claim_with_question_mark(asked, target):
        return Form.VERDICT
    return Form.QUESTION if asked.endswith(("?", ":")) or ASKS.match(asked) else Form.CLOZE


def _checks_a_claim(sentences: Sequence[str]) -> bool:
    """Whether a whole sentence stands at the end, after "Is this true?" and the like."""
    return (
        len(sentences) > 1
        and sentences[-1].endswith(".")
        and sentences[-2].endswith("?")
        and ASKS_WHETHER.match(sentences[-2]) is not None
    )


def _is_claim_with_question_mark(asked: str, target: str) -> bool:
    """Whether it says something and is a question by its mark alone: "X speaks Dutch?"."""
    if not asked.endswith("?") or ASKS_WITHIN.search(asked):
        return False
    return target in asked.casefold() or CLAIMS.search(asked) is not None


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
    form = form_of(query, edits[0])
    if form not in BETTER_BY_COUNTERFACTUAL:
        return _in_context(f"it asks for {form.value}")
    return PathChoice(
        path=COUNTERFACTUAL, reason=f"By the counterfactual model: it asks for {form.value}."
    )


def _in_context(why: str) -> PathChoice:
    return PathChoice(path=IN_CONTEXT, reason=f"In context: {why}.")
