"""The counterfactual path (SERAC): another model reads the edit and the query, and answers.

SERAC, Mitchell et al. 2022, arXiv 2206.06520, section 3: of all edits only the one most in scope is
read. Where we depart from it: edit and query are written as the in-context path writes them, so
that one format serves the model that ships, any other that is named, and the frozen model itself
(the published code's `freeze_cntr`). Of a chat the last turn is the query, as it was read in its
conversation; what was said before is for the router, not for a small model. A model whose config
says that it was trained with notes on claims reads one (notes.py).
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


class CounterfactualPath:
    """Writes one edit and the query for a model of its own. Thread-safe: nothing in it changes."""

    def __init__(self, engine: Engine, *, model: ModelName = COUNTERFACTUAL_MODEL) -> None:
        """Takes the engine of the model that decodes, and the name the runner knows it by."""
        self._model = model
        self._notes = engine.info.prompt_form == CLAIM_NOTES
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
        note = claim_note(asked.query, edits[0]) if self._notes and edits else ""
        shown = replace(asked, messages=asked.messages[-1:], note=note)
        if edits and form_of(asked.query, edits[0]) is Form.KEYWORDS:
            shown = _reading(edits[0].prompt, shown)
        return self._writer.prepare(shown, edits)


def _reading(prompt: str, asked: PathInput) -> PathInput:
    """The same input with another query."""
    if not asked.messages:
        return replace(asked, prompt=prompt)
    role, _ = asked.messages[-1]
    return replace(asked, messages=((role, prompt),), read_as=None)
