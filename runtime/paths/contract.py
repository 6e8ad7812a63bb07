"""The contract of paths: from a query and its hits to what the engine decodes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NewType, Protocol

from memory.record import Edit

ModelName = NewType("ModelName", str)
BASE_MODEL = ModelName("base")  # The frozen model, and its editions.
COUNTERFACTUAL_MODEL = ModelName("counterfactual")


@dataclass(frozen=True, slots=True, kw_only=True)
class PathInput:
    """What is asked: a bare prompt, or the turns of a chat (the last one is the user's)."""

    prompt: str = ""
    messages: tuple[tuple[str, str], ...] = ()  # (role, content)
    max_tokens: int = 64  # Room to keep for the answer.
    read_as: str | None = None  # The last turn as it was read in its chat; None: as it stands.
    note: str = ""  # A line after the new facts, for a model that was trained to read it.

    @property
    def query(self) -> str:
        """The prompt, or the last turn as it was read."""
        return self.read_as or (self.messages[-1][1] if self.messages else self.prompt)


@dataclass(frozen=True, slots=True, kw_only=True)
class Preparation:
    """What to decode. The edits actually used may be fewer than the hits when room is short."""

    prompt_tokens: tuple[int, ...]  # By the tokenizer of the path's model.
    prefix_tokens: int = 0  # Leading tokens that do not depend on query or edit.
    edits_used: tuple[Edit, ...] = ()
    demonstrations: int = 0
    answer_tokens: tuple[int, ...] = ()  # The whole answer where it is known; (): the model says.


class Path(Protocol):
    """A way to produce an edited answer that leaves the weights alone. Thread-safe."""

    @property
    def name(self) -> str:
        """The name in routes and settings."""
        ...

    @property
    def model(self) -> ModelName:
        """Which model decodes what it prepares."""
        ...

    @property
    def edits_max(self) -> int:
        """How many edits one answer can use."""
        ...

    def prepare(self, asked: PathInput, edits: Sequence[Edit]) -> Preparation:
        """Returns what to decode for `edits`, best first. Changes nothing.

        Raises ContextTooLong when not even the first edit and the prompt fit the model's context.
        """
        ...
