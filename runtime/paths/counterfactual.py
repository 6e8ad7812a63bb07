"""The counterfactual path (SERAC): another model reads the edit and the query, and answers.

SERAC, Mitchell et al. 2022, arXiv 2206.06520, section 3: of all edits only the one most in scope is
read. Where we depart from it: edit and query are written as the in-context path writes them, so
that one format serves the model that ships, any other that is named, and the frozen model itself
(the published code's `freeze_cntr`). Of a chat the last turn is the query, as it was read in its
conversation; what was said before is for the router, not for a small model. The model that
ships, known by its config, is spared what the router has found out and a small model would have to
find out again: a query that asks for the target, in whatever words and by whatever name of the
subject, it reads as the edit's own prompt. What is known to be the answer, it need not spell: a
value is copied, letter by letter, and beside a claim stands a note (notes.py). Yes, no and whole
sentences are its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from memory.conflicts import same_text
from memory.record import Edit
from runtime.engine.contract import Engine
from runtime.paths.contract import COUNTERFACTUAL_MODEL, ModelName, PathInput, Preparation
from runtime.paths.forms import Form, form_of
from runtime.paths.in_context import InContextPath, InContextSettings
from runtime.paths.notes import CLAIM_NOTES, claim_note, is_denied

COUNTERFACTUAL = "counterfactual"
AS_ASKED = "counterfactual_as_asked"  # The model alone, as SERAC has it; for measuring.
EDITS_MAX = 1
# Queries in scope and of these forms ask for what the edit's prompt asks for.
ASK_FOR_THE_TARGET = frozenset(
    {Form.CLOZE, Form.QUESTION, Form.BARE_QUESTION, Form.KEYWORDS, Form.CHOICE}
)
BEFORE = "Prompt:"  # Any text: what follows it is tokenized as an answer is.


class CounterfactualPath:
    """Writes one edit and the query for a model of its own. Thread-safe: nothing in it changes."""

    def __init__(
        self, engine: Engine, *, model: ModelName = COUNTERFACTUAL_MODEL, rewrites: bool = True
    ) -> None:
        """Takes the engine of the model that decodes, and the name the runner knows it by.

        Without `rewrites` the model that ships reads every query as asked, and copies nothing; for
        measuring.
        """
        self._model = model
        self._ours = engine.info.prompt_form == CLAIM_NOTES
        self._engine, self._rewrites = engine, rewrites
        self._writer = InContextPath(engine, settings=InContextSettings(edits_max=EDITS_MAX))

    @property
    def name(self) -> str:
        """The name in routes and settings."""
        return COUNTERFACTUAL if self._rewrites else AS_ASKED

    @property
    def model(self) -> ModelName:
        """The counterfactual model decodes; the frozen one where it was named for it."""
        return self._model

    def as_asked(self) -> CounterfactualPath:
        """Returns the path whose model reads every query as asked and answers in its own words."""
        return CounterfactualPath(self._engine, model=self._model, rewrites=False)

    @property
    def edits_max(self) -> int:
        """One edit is read."""
        return EDITS_MAX

    def prepare(self, asked: PathInput, edits: Sequence[Edit]) -> Preparation:
        """Returns edit and query in the tokens of the path's model.

        Raises ContextTooLong when they do not fit that model's context.
        """
        shown = replace(asked, messages=asked.messages[-1:])
        if not (self._ours and edits):
            return self._writer.prepare(shown, edits)
        answer = _known_answer(asked.query, edits[0]) if self._rewrites else ""
        if answer and answer == edits[0].target:
            shown = _reading(edits[0].prompt, shown)
        else:
            shown = replace(shown, note=claim_note(asked.query, edits[0]))
        prepared = self._writer.prepare(shown, edits)
        return replace(prepared, answer_tokens=self._answer_tokens(answer))

    def _answer_tokens(self, answer: str) -> tuple[int, ...]:
        if not answer:
            return ()
        _, tokens = self._engine.tokenize_continuation(BEFORE, f" {answer}")
        return tuple(tokens)


def _known_answer(query: str, edit: Edit) -> str:
    """What a query is answered with, read off its form; "" where the words of an answer are open.

    Of a query that denies ("It is false that X speaks", "X does not speak") its form says nothing.
    """
    if same_text(query, edit.prompt):
        return edit.target
    if is_denied(query, edit):
        return ""
    form = form_of(query, edit)
    if form is Form.SUBJECT:
        return edit.subject
    return edit.target if form in ASK_FOR_THE_TARGET else ""


def _reading(prompt: str, asked: PathInput) -> PathInput:
    """The same input with another query."""
    if not asked.messages:
        return replace(asked, prompt=prompt)
    role, _ = asked.messages[-1]
    return replace(asked, messages=((role, prompt),), read_as=None)
