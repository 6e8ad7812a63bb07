"""The words of consolidation: what is to be written into the weights, and the change that does it.

Legend: `n` facts, `d_in` and `d_out` the widths of a projection, `r` the rank of a change.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from memory.record import EditId


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """One edit as an editor sees it."""

    edit_id: EditId
    revision: int
    subject: str
    prompt: str  # A cloze or a question that contains the subject.
    target: str
    former: str | None = None
    paraphrases: tuple[str, ...] = ()  # Other prompts with the same answer, where known.


@dataclass(frozen=True, slots=True, kw_only=True)
class MatrixDelta:
    """A change of one weight matrix, `(d_out, d_in)` in the layout of `nn.Linear`.

    It is `left @ right` where it has factors, `(d_out, r)` and `(r, d_in)` float32, else `full`;
    exactly one form is set, the smaller of the two. A family that stores the weight transposed
    (GPT-2's Conv1D) transposes on application, nowhere else.
    """

    module: str  # The module's name in the model, such as "model.layers.4.mlp.down_proj".
    left: Tensor | None = None
    right: Tensor | None = None
    full: Tensor | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EditorReport:
    """What an editor says of one fact."""

    edit_id: EditId
    loss: float  # Mean negative log-likelihood of the target at the end, nats a token.
    steps: int
    took: bool  # The optimised state makes the target the greedy answer.


@dataclass(frozen=True, slots=True, kw_only=True)
class Delta:
    """A whole change, computed from edition 0 over all facts at once."""

    matrices: tuple[MatrixDelta, ...]
    reports: tuple[EditorReport, ...]
    settings: Mapping[str, object]  # Editor, hyper-parameters and seed: enough to compute it again.
    told: tuple[str, ...] = ()  # Prompts that the editor was told to leave as they are.


Progress = Callable[[str, int, int], None]  # (stage, done, total); raises Cancelled to stop.


class Editor(Protocol):
    """An algorithm that computes a weight change for a batch of facts.

    It works on private copies of the matrices that it needs; live weights are as before when it
    returns or raises.
    """

    @property
    def name(self) -> str:
        """The name in settings and editions: memit, rome, alphaedit, pmet."""
        ...

    def compute(self, facts: Sequence[Fact], progress: Progress) -> Delta:
        """Returns the change.

        Raises ConsolidationFailed (singular solve, NaN, a fact without its subject in the prompt)
        naming facts and layer, and what `progress` raises.
        """
        ...
