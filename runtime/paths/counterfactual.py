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

from memory.record import Edit
from runtime.engine.contract import Engine
from runtime.paths.contract import COUNTERFACTUAL_MODEL, ModelName, PathInput, Preparation
from runtime.paths.forms import Form, form_of
from runtime.paths.in_context import InContextPath, InContextSettings
from runtime.paths.notes import CLAIM_NOTES, claim_note

COUNTERFACTUAL = "counterfactual"
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
        return COUNTERFACTUAL

    @property
    def model(self) -> ModelName:
        """The counterfactual model decodes; the frozen one where it was named for it."""
        return self._model

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
        form = form_of(asked.query, edits[0])
        if form in ASK_FOR_THE_TARGET and self._rewrites:
            shown = _reading(edits[0].prompt, shown)
        shown = replace(shown, note=claim_note(shown.query, edits[0]))
        prepared = self._writer.prepare(shown, edits)
        return replace(prepared, answer_tokens=self._answer(form, edits[0]))

    def _answer(self, form: Form, edit: Edit) -> tuple[int, ...]:
        """The tokens of the answer where the form alone says what it is; none where it does not."""
        known = {Form.SUBJECT: edit.subject, **dict.fromkeys(ASK_FOR_THE_TARGET, edit.target)}
        if form not in known or not self._rewrites:
            return ()
        _, tokens = self._engine.tokenize_continuation(BEFORE, f" {known[form]}")
        return tuple(tokens)


def _reading(prompt: str, asked: PathInput) -> PathInput:
    """The same input with another query."""
    if not asked.messages:
        return replace(asked, prompt=prompt)
    role, _ = asked.messages[-1]
    return replace(asked, messages=((role, prompt),), read_as=None)
