"""The counterfactual path (SERAC): another model reads the edit and the query, and answers.

SERAC, Mitchell et al. 2022, arXiv 2206.06520, section 3: of all edits only the one most in scope is
read. Where we depart from it: edit and query are written as the in-context path writes them, so
that one format serves the model that ships, any other that is named, and the frozen model itself
(the published code's `freeze_cntr`). Of a chat the last turn is the query, as it was read in its
conversation; what was said before is for the router, not for a small model. The model that
ships, known by its config, is spared what the router has found out and a small model would have to
find out again: a query that asks for the target, in whatever words and by whatever name of the
subject, it reads as the edit's own prompt, and beside a claim stands a note (notes.py).
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
# What is in scope and of these forms asks for what the edit's prompt asks for.
ASK_FOR_THE_TARGET = frozenset({Form.CLOZE, Form.QUESTION, Form.BARE_QUESTION, Form.KEYWORDS})


class CounterfactualPath:
    """Writes one edit and the query for a model of its own. Thread-safe: nothing in it changes."""

    def __init__(
        self, engine: Engine, *, model: ModelName = COUNTERFACTUAL_MODEL, rewrites: bool = True
    ) -> None:
        """Takes the engine of the model that decodes, and the name the runner knows it by.

        Without `rewrites` the model that ships reads every query as asked; for measuring.
        """
        self._model = model
        self._ours = engine.info.prompt_form == CLAIM_NOTES
        self._forms = ASK_FOR_THE_TARGET if rewrites else frozenset[Form]()
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
        if self._ours and edits:
            shown = self._for_ours(shown, edits[0])
        return self._writer.prepare(shown, edits)

    def _for_ours(self, asked: PathInput, edit: Edit) -> PathInput:
        """The input as the model that ships reads it: the edit's prompt, or a note beside it."""
        if form_of(asked.query, edit) not in self._forms:
            return replace(asked, note=claim_note(asked.query, edit))
        if not asked.messages:
            return replace(asked, prompt=edit.prompt)
        role, _ = asked.messages[-1]
        return replace(asked, messages=((role, edit.prompt),), read_as=None)
