"""The seam of the harness: a method makes edits take effect and can be asked afterwards.

Methods that leave the weights alone (a path behind a scope classifier, and the trivial baselines)
stand in `evaluation/memory_method.py`. An editor of weights is one more implementation: `hold`
computes its delta and activates it, `ask` reads the edited model, `close` puts the weights back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from evaluation.probes import Probe
from memory.record import EditDraft, EditId


@dataclass(frozen=True, slots=True, kw_only=True)
class Routed:
    """Which way a probe went."""

    edited: bool
    path: str  # "base", a path's name, or what an editor calls itself.
    hits: tuple[tuple[str, float], ...] = ()  # (edit id, score), best first; those used.
    best: str = ""  # The best candidate, hit or not.
    best_score: float = 0.0
    own_score: float = 0.0  # Of the record's own edit; 0 when it was no candidate.
    threshold: float = 0.0
    reason: str = ""


REFUSED = "refused"  # Said.finish where the server would refuse; Routed.path where not even routed.


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """A free answer: greedy, ended by the model itself or by the limit."""

    text: str
    token_ids: tuple[int, ...]
    finish: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """Mean negative log-likelihoods per token of given continuations, under teacher forcing."""

    target_nll: float
    target_share: float  # Of the target's tokens that are the model's first choice.
    former_nll: float | None  # None: the probe has no former answer.


@dataclass(frozen=True, slots=True, kw_only=True)
class Want:
    """What is asked for beside the route."""

    say: bool = True
    score: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What came of one probe."""

    routed: Routed
    said: Said | None = None
    scored: Scored | None = None


def refused(routed: Routed, want: Want) -> Asked:
    """Returns what came of a probe that the server would refuse: its route, and no text."""
    said = Said(text="", token_ids=(), finish=REFUSED) if want.say else None
    return Asked(routed=routed, said=said)


class Held(Protocol):
    """Edits in force. Made by `Method.hold`; ends with `close`."""

    async def ask(self, probe: Probe, own: Sequence[EditId], want: Want) -> Asked:
        """Asks one probe; many may be under way at once. Changes nothing.

        `own` are the ids of the edits of the probe's record. What a method cannot give (a
        probability of an answer that no model made) is None.
        """
        ...

    def add(self, edits: Sequence[EditDraft]) -> None:
        """Puts more edits into force, in their order, on top of those that hold."""
        ...

    def close(self) -> None:
        """Takes everything back that `hold` and `add` changed."""
        ...


class Method(Protocol):
    """A way to make edits take effect."""

    @property
    def name(self) -> str:
        """The name in tables: a path, a baseline or an editor."""
        ...

    @property
    def scope(self) -> str:
        """The name of what chooses the edit; "-" where nothing does."""
        ...

    @property
    def fingerprint(self) -> str:
        """All that its answers depend on, besides model, edits and probe."""
        ...

    def hold(self, edits: Sequence[EditDraft]) -> Held:
        """Puts edits into force, in their order; nothing else is in force in what comes back."""
        ...
