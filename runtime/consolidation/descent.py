"""Moves a change of weights by descent: what it loses, and a step of Adam down it.

A change is `left @ right`; `left` moves, in the coordinates that the closed form found. Rows are
run in groups of few tokens, each of which gives its part of the slope before the next one is run,
so memory does not grow with a step's rows. Knows nothing of which rows a step takes.
Legend: r rank of a change, m positions, V vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

from runtime.consolidation.held import Held
from runtime.consolidation.solve import Factors
from runtime.consolidation.tokens import Lesson
from runtime.consolidation.trace import replaced

if TYPE_CHECKING:
    from runtime.consolidation.workbench import Workbench

SURE = 0.8
PASS_TOKENS = 1024  # Of one pass with a slope, padding included; one row may be longer.
ADAM_BETAS = (0.9, 0.999)


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """What a step found, nats."""

    missed: float  # Of the targets' tokens.
    moved: float  # Of what should stay.
    sure: tuple[bool, ...]  # Of each lesson: no token of its target is to be pressed.

    @property
    def finite(self) -> bool:
        """Whether both are numbers."""
        return math.isfinite(self.missed) and math.isfinite(self.moved)


class Descent:
    """The change as it moves: Adam over what is written, for the inputs that the solve found."""

    def __init__(self, bench: Workbench, changes: Mapping[str, Factors], rate: float) -> None:
        """Takes the changes to begin from; `rate` is in units of what each writes."""
        self._bench, self._given = bench, changes
        model = bench.model
        self._own = {name: bench.weight(name).to(model.device, model.dtype) for name in changes}
        self._right = {
            name: change.right.to(model.device, model.dtype) for name, change in changes.items()
        }
        self._left = {
            name: change.left.to(model.device, torch.float32) for name, change in changes.items()
        }
        groups = []
        for left in self._left.values():
            first = rate * float(left.square().mean().sqrt())
            groups.append({"params": [left], "lr": first, "first": first})
        self._adam = torch.optim.Adam(groups, betas=ADAM_BETAS)

    def changes(self) -> dict[str, Factors]:
        """Returns the changes as they are now, float64."""
        return {
            name: Factors(left=left.double().cpu(), right=self._given[name].right)
            for name, left in self._left.items()
        }

    def slopes(self) -> dict[str, Tensor]:
        """Returns the last step's slope of what is written, (d_out, r)."""
        return {name: left.grad for name, left in self._left.items() if left.grad is not None}

    def step(
        self, taught: Sequence[Lesson], kept: Sequence[Held], *, hold: float, share: float
    ) -> Loss:
        """Moves once, at a share of the first rate; not where the loss is not finite."""
        whole = {
            name: (own + self._left[name].to(own.dtype) @ self._right[name]).requires_grad_()
            for name, own in self._own.items()
        }  # (d_out, d_in)
        sure = [False] * len(taught)
        missed = moved = 0.0
        for group in _groups([len(one.prompt) + len(one.answer) for one in taught]):
            part, found = self._missed(whole, [taught[place] for place in group])
            missed += self._slope(part / len(taught))
            for place, settled in zip(group, found, strict=True):
                sure[place] = settled
        for group in _groups([len(one.tokens) for one in kept]) if hold else ():
            part = self._moved(whole, [kept[place] for place in group])
            moved += self._slope(hold * part / len(kept)) / hold
        loss = Loss(missed=missed, moved=moved, sure=tuple(sure))
        if loss.finite:
            for name, weight in whole.items():
                slope = torch.zeros_like(weight) if weight.grad is None else weight.grad
                self._left[name].grad = (slope @ self._right[name].T).float()
            for settings in self._adam.param_groups:
                settings["lr"] = settings["first"] * share
            self._adam.step()
        return loss

    @staticmethod
    def _slope(loss: Tensor) -> float:
        """Adds a loss's slope to the weights' and returns the loss."""
        if loss.requires_grad:
            loss.backward()  # type: ignore[no-untyped-call]
        return float(loss.detach())

    def _missed(
        self, whole: Mapping[str, Tensor], taught: Sequence[Lesson]
    ) -> tuple[Tensor, list[bool]]:
        """Sum over lessons of the mean over target tokens of what is not SURE yet; who is sure."""
        at = [
            (row, len(one.prompt) - 1 + token)
            for row, one in enumerate(taught)
            for token in range(len(one.answer))
        ]
        with torch.enable_grad(), replaced(self._bench.model, whole):
            scores = self._scores([one.prompt + one.answer for one in taught], at)
        labels = torch.tensor([t for one in taught for t in one.answer], device=scores.device)
        shares = torch.tensor([1.0 / len(one.answer) for one in taught for _ in one.answer])
        with torch.enable_grad():
            each = functional.nll_loss(scores, labels, reduction="none")
            pressed = (each.detach() > -math.log(SURE)).float()
            total = (each * pressed * shares.to(each.device)).sum()
        at_work = {row for (row, _), press in zip(at, pressed.tolist(), strict=True) if press}
        return total, [row not in at_work for row in range(len(taught))]

    def _moved(self, whole: Mapping[str, Tensor], kept: Sequence[Held]) -> Tensor:
        """Sum over rows of the mean over places of KL(before || after)."""
        at = [(row, place) for row, one in enumerate(kept) for place in one.places]
        rows = [one.tokens for one in kept]
        with torch.no_grad():
            before = self._scores(rows, at)
        shares = torch.tensor([1.0 / len(one.places) for one in kept for _ in one.places])
        with torch.enable_grad():
            with replaced(self._bench.model, whole):
                after = self._scores(rows, at)
            each = (before.exp() * (before - after)).sum(-1)  # (m,)
            return (each * shares.to(each.device)).sum()

    def _scores(self, rows: Sequence[Sequence[int]], at: Sequence[tuple[int, int]]) -> Tensor:
        """Log-distributions (m, V) float32 at (row, column), of rows padded on the right."""
        model, width = self._bench.model, max(map(len, rows))
        ids = torch.tensor([[*row, *[0] * (width - len(row))] for row in rows], device=model.device)
        hidden = model.base_model(input_ids=ids, use_cache=False)[0]  # (n, t, d)
        row, column = zip(*at, strict=True)
        logits: Tensor = model.get_output_embeddings()(hidden[list(row), list(column)]).float()
        cap = getattr(model.config, "final_logit_softcapping", None)
        return (torch.tanh(logits / cap) * cap if cap else logits).log_softmax(-1)


def _groups(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Yields places of rows that share a pass, alike in length."""
    group: list[int] = []
    for place in sorted(range(len(lengths)), key=lambda place: lengths[place]):
        if group and lengths[place] * (len(group) + 1) > PASS_TOKENS:
            yield group
            group = []
        group.append(place)
    if group:
        yield group
