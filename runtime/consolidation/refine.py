"""Refines a closed-form change by descent: what did not take is pressed, what should stay is held.

MEMIT's least squares take the model to be linear around each projection and every fact to stand
alone. Of many facts in one change much is lost to that. Here the change itself is moved, from where
the closed form left it, down

    mean over facts of -log p(target)  +  hold * mean over what should stay of KL(before || after),

where a token that is SURE already is not pressed further. A change is `left @ right`: `right`, for
which inputs to act and away from those of running text, stays as the solve found it, and so do rank
and size; `left`, what to write for each, moves for all facts together. Not in the papers; what is
old is held as by fine-tuning with a penalty (Zhu et al. 2020, arXiv 2012.00363), but in
probabilities instead of norms. Legend: r rank of a change, m positions, V vocabulary.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

from memory.errors import ConsolidationFailed
from runtime.consolidation.contract import Fact, Progress
from runtime.consolidation.held import Held, HeldRows, held_rows
from runtime.consolidation.measuring import Row, judge
from runtime.consolidation.solve import Factors
from runtime.consolidation.tokens import Lesson
from runtime.consolidation.trace import replaced

if TYPE_CHECKING:
    from runtime.consolidation.workbench import Rows, Workbench

SURE = 0.95
FACTS_AT_ONCE = 64
HELD_AT_ONCE = {"neighbours": 44, "same_subject": 12, "texts": 16}
STEPS_MIN = 40  # Few facts need as many steps as many do, if not as many passes.
RATE_END = 0.05  # Of the first rate, at the last step; a cosine between them.
ADAM_BETAS = (0.9, 0.999)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Loss:
    """What a step found, nats."""

    missed: Tensor  # Of the targets' tokens.
    moved: Tensor  # Of what should stay.


def steps_of(passes: float, facts: int) -> int:
    """Returns how many steps `passes` over so many facts take; 0 for none."""
    return max(STEPS_MIN, math.ceil(passes * facts / FACTS_AT_ONCE)) if passes > 0 else 0


def refined_where_needed(
    bench: Workbench,
    facts: Sequence[Fact],
    rows: Rows,
    changes: dict[str, Factors],
    progress: Progress,
) -> dict[str, Factors]:
    """Returns the changes after `refine_passes` of descent.

    Those given where that is 0, or where `refine_below` of the facts take already: few facts do,
    and what the solve overshoots is what lets them hold in other words. Raises as `refined` does.
    """
    how = bench.settings
    if not how.refine_passes or taken(bench, rows, changes) >= how.refine_below:
        return changes
    held = held_rows(
        facts,
        bench.model,
        bench.codec,
        bench.corpus,
        subjects=how.refine_subjects,
        sentences=how.refine_sentences,
        seed=how.seed,
    )
    return refined(bench, rows, held, changes, progress)


def taken(bench: Workbench, rows: Rows, changes: Mapping[str, Factors]) -> float:
    """Returns the share of facts whose bare prompt is answered with the target, greedily."""
    weights = {
        name: (bench.weight(name) + change.full()).to(bench.model.device, bench.model.dtype)
        for name, change in changes.items()
    }
    bare = [fact[0] for fact in rows.lessons]
    asked = [Row(tokens=one.prompt + one.answer, answer=len(one.answer)) for one in bare]
    with replaced(bench.model, weights):
        judged = judge(bench.model, asked, lambda _: None)
    return sum(one.greedy for one in judged) / len(judged)


def refined(
    bench: Workbench,
    rows: Rows,
    held: HeldRows,
    changes: Mapping[str, Factors],
    progress: Progress,
) -> dict[str, Factors]:
    """Returns the changes after descent; those given where the settings ask for no passes.

    Draws follow the seed. Raises ConsolidationFailed for a loss that is not finite, and what
    `progress` raises.
    """
    how = bench.settings
    steps = steps_of(how.refine_passes, rows.facts)
    if not steps:
        return dict(changes)
    descent = _Descent(bench, changes, how.refine_rate)
    facts = _facts_in_turn(rows, random.Random(f"{how.seed}/facts"))  # noqa: S311
    stay = _held_in_turn(held, how.seed)
    for step in range(steps):
        progress("solving", step, steps)
        taught = [next(facts) for _ in range(min(FACTS_AT_ONCE, rows.facts))]
        found = descent.step(
            taught, next(stay), hold=how.refine_hold, share=_rate_share(step, steps)
        )
        if not bool(torch.isfinite(found.missed + found.moved)):
            raise ConsolidationFailed(
                f"step {step} of refining gave a loss that is not finite; nothing was changed."
                " Lower refine_rate, or set refine_passes to 0"
            )
    progress("solving", steps, steps)
    return descent.changes()


class _Descent:
    """The change as it moves: Adam over what is written, for the inputs that the solve found."""

    def __init__(self, bench: Workbench, changes: Mapping[str, Factors], rate: float) -> None:
        self._bench, self._given = bench, changes
        model = bench.model
        self._own = {name: bench.weight(name).to(model.device, model.dtype) for name in changes}
        self._right = {
            name: change.right.to(model.device, model.dtype) for name, change in changes.items()
        }
        self._left = {
            name: change.left.to(model.device, torch.float32).requires_grad_()
            for name, change in changes.items()
        }
        groups = []
        for left in self._left.values():
            first = rate * float(left.detach().square().mean().sqrt())
            groups.append({"params": [left], "lr": first, "first": first})
        self._adam = torch.optim.Adam(groups, betas=ADAM_BETAS)

    def changes(self) -> dict[str, Factors]:
        """Returns the changes as they are now, float64."""
        return {
            name: Factors(left=left.detach().double().cpu(), right=self._given[name].right)
            for name, left in self._left.items()
        }

    def step(
        self, taught: Sequence[Lesson], kept: Sequence[Held], *, hold: float, share: float
    ) -> _Loss:
        """Moves once, at a share of the first rate."""
        with torch.enable_grad():
            with replaced(self._bench.model, self._now()):
                missed = self._missed(taught)
                after = self._said(kept) if kept else None
            moved = torch.zeros(())
            if after is not None:
                with torch.no_grad():
                    before = self._said(kept)
                each = (before.exp() * (before - after)).sum(-1)  # (m,)
                shares = [1.0 / len(one.places) for one in kept for _ in one.places]
                moved = (each * torch.tensor(shares, device=each.device)).sum() / len(kept)
            self._adam.zero_grad()
            torch.autograd.backward(missed + hold * moved, inputs=list(self._left.values()))
        for group in self._adam.param_groups:
            group["lr"] = group["first"] * share
        self._adam.step()
        return _Loss(missed=missed.detach().cpu(), moved=moved.detach().cpu())

    def _now(self) -> dict[str, Tensor]:
        """The projections' weights with the change on them, (d_out, d_in), differentiable."""
        return {
            name: self._own[name] + left.to(self._own[name].dtype) @ self._right[name]
            for name, left in self._left.items()
        }

    def _missed(self, taught: Sequence[Lesson]) -> Tensor:
        """Mean over facts of the mean over the target's tokens of what is not SURE yet, nats."""
        at = [
            (row, len(one.prompt) - 1 + token)
            for row, one in enumerate(taught)
            for token in range(len(one.answer))
        ]
        scores = self._scores([one.prompt + one.answer for one in taught], at)
        labels = torch.tensor([t for one in taught for t in one.answer], device=scores.device)
        each = functional.nll_loss(scores, labels, reduction="none")
        shares = torch.tensor([1.0 / len(one.answer) for one in taught for _ in one.answer])
        pressed = (each.detach() > -math.log(SURE)).float()
        return (each * pressed * shares.to(each.device)).sum() / len(taught)

    def _said(self, kept: Sequence[Held]) -> Tensor:
        """Log-distributions (m, V) of all judged positions."""
        at = [(row, place) for row, one in enumerate(kept) for place in one.places]
        return self._scores([one.tokens for one in kept], at)

    def _scores(self, rows: Sequence[Sequence[int]], at: Sequence[tuple[int, int]]) -> Tensor:
        """Log-distributions (m, V) float32 at (row, column), of rows padded on the right."""
        model, width = self._bench.model, max(map(len, rows))
        ids = torch.tensor([[*row, *[0] * (width - len(row))] for row in rows], device=model.device)
        hidden = model.base_model(input_ids=ids, use_cache=False)[0]  # (n, t, d)
        row, column = zip(*at, strict=True)
        logits: Tensor = model.get_output_embeddings()(hidden[list(row), list(column)]).float()
        cap = getattr(model.config, "final_logit_softcapping", None)
        return (torch.tanh(logits / cap) * cap if cap else logits).log_softmax(-1)


def _facts_in_turn(rows: Rows, draw: random.Random) -> Iterator[Lesson]:
    """Yields a row of every fact, in another order each time; rows by their weights."""
    while True:
        order = draw.sample(range(rows.facts), rows.facts)
        for place in order:
            lessons = rows.lessons[place]
            yield draw.choices(lessons, [one.weight for one in lessons])[0]


def _held_in_turn(held: HeldRows, seed: int) -> Iterator[list[Held]]:
    """Yields each step's rows: so many of each kind, all of a kind before one comes again."""
    kinds = [
        (_for_ever(rows, random.Random(f"{seed}/{name}")), min(count, len(rows)))  # noqa: S311
        for name, count in HELD_AT_ONCE.items()
        for rows in (getattr(held, name),)
    ]
    while True:
        yield [next(rows) for rows, count in kinds for _ in range(count)]


def _for_ever(held: Sequence[Held], draw: random.Random) -> Iterator[Held]:
    while held:
        yield from draw.sample(held, len(held))


def _rate_share(step: int, steps: int) -> float:
    return RATE_END + (1 - RATE_END) * 0.5 * (1 + math.cos(math.pi * step / steps))
