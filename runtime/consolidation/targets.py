"""Finds, for many facts in one forward and backward pass, what to write at each fact token.

A target vector δ is added to the residual stream at the fact token so that the model says the new
answer (ROME, arXiv 2202.05262, eq. 4; MEMIT, arXiv 2210.07229, eq. 16). Rows are independent of
each other, and so are Adam's moments: a batch gives each fact what it would get alone. A fact that
is done leaves; others that wait take its place. Legend: n facts, d width, s sites of a fact (1, or
2 for PMET's attention and MLP).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from memory.errors import ConsolidationFailed
from runtime.consolidation.replay import Replay
from runtime.consolidation.tokens import Lesson
from runtime.sites import Sites

ADAM_BETAS, ADAM_EPS = (0.9, 0.999), 1e-8
# Of one pass on a CPU. The C library maps larger tensors anew at every step (above 32 MiB), and the
# page faults take longer than the arithmetic: batches of 64 facts half the speed of those of 16.
LOGITS_BYTES_MAX = 24 * 2**20
REFILL_SHARE = 0.5  # A batch is made anew when at most this share of it is still at work.


@dataclass(frozen=True, slots=True, kw_only=True)
class Objective:
    """What is minimised and how; names and defaults as in ROME's and MEMIT's code."""

    steps: int = 25
    learning_rate: float = 0.5
    relative: bool = False  # Rate (root mean square) and clamp (norm) go by the residual stream.
    weight_decay: float = 0.5
    kl_factor: float = 0.0625
    clamp_factor: float = 0.75  # The largest |δ| as a share of the state's own norm.
    stop_loss: float = 0.05  # Nats; ROME's and MEMIT's code stop a fact there.
    batch_facts: int = 64  # At most; on a CPU fewer where a pass's logits grow too large.


@dataclass(frozen=True, slots=True, kw_only=True)
class Targets:
    """What was found, in the order of the facts."""

    delta: Tensor  # (n, s, d) float32
    loss: tuple[float, ...]  # Mean negative log-likelihood of the target, nats a token.
    steps: tuple[int, ...]
    took: tuple[bool, ...]  # The bare prompt's greedy answer is the target.


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where δ goes: into the state that block `first` takes in, or onto outputs inside of it."""

    first: int
    inside: tuple[str, ...] = ()  # Module names, one for each of the s sites; empty: the state.


def find_targets(
    model: Any,
    sites: Sites,
    *,
    lessons: Sequence[Sequence[Lesson]],
    essence: Sequence[Lesson],
    initial: Tensor,
    place: Place,
    objective: Objective,
    progress: Callable[[int, int], None],
) -> Targets:
    """Returns a target vector for each fact.

    `lessons` are each fact's rows, the bare prompt first; `essence` the rows whose continuation
    should stay, one a fact, or none. `initial` (n, s, d) set the largest norm and the rate. Changes
    nothing. Raises ConsolidationFailed for a loss that is not finite, and what `progress` raises.
    """
    work = Work(model=model, sites=sites, place=place, lessons=lessons, essence=essence)
    search = _Search(work, initial.float().cpu(), objective)
    count = len(lessons)
    at_once = facts_at_once(work, objective.batch_facts)
    # Alike in length side by side: what is longer than the others of a batch costs all of them.
    waiting = sorted(range(count), key=lambda fact: _replayed_columns(lessons[fact]))
    active: list[int] = []
    while waiting or active:
        room = at_once - len(active)
        active, waiting = active + waiting[:room], waiting[room:]
        active = search.work(active)
        progress(count - len(waiting) - len(active), count)
    return Targets(
        delta=search.delta,
        loss=tuple(search.loss.tolist()),
        steps=tuple(search.steps.tolist()),
        took=tuple(search.took.tolist()),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What does not change while targets are sought."""

    model: Any
    sites: Sites
    place: Place
    lessons: Sequence[Sequence[Lesson]]
    essence: Sequence[Lesson]


def facts_at_once(work: Work, batch_facts: int) -> int:
    """Returns how many facts a batch takes: `batch_facts`; on a CPU by LOGITS_BYTES_MAX at most."""
    if work.model.device.type != "cpu" or not work.lessons:
        return batch_facts
    predicted = sum(len(row.answer) for rows in work.lessons for row in rows) + len(work.essence)
    vocabulary = work.model.get_output_embeddings().weight.shape[0]
    each = predicted / len(work.lessons) * vocabulary * 4  # float32
    return max(1, min(batch_facts, int(LOGITS_BYTES_MAX / each)))


class _Search:
    """The state of the optimisation: δ and Adam's moments of every fact."""

    def __init__(self, work: Work, initial: Tensor, objective: Objective) -> None:
        self._work, self._how = work, objective
        norm = initial.norm(dim=-1, keepdim=True)  # (n, s, 1)
        self._limit = objective.clamp_factor * norm
        self._decay = objective.weight_decay / norm.square().clamp(min=1e-12)
        rms = norm / initial.shape[-1] ** 0.5
        self._rate = objective.learning_rate * (rms if objective.relative else 1.0)
        self.delta = torch.zeros_like(initial)
        self._first, self._second = torch.zeros_like(initial), torch.zeros_like(initial)
        n = len(work.lessons)
        self.steps = torch.zeros(n, dtype=torch.long)
        self.loss = torch.full((n,), torch.inf)
        self.took = torch.zeros(n, dtype=torch.bool)

    def work(self, facts: list[int]) -> list[int]:
        """Steps the facts together until enough of them are done; returns those that are not."""
        batch = _Batch(self._work, facts)
        left = facts
        while len(left) > len(facts) * REFILL_SHARE:
            left = self._step(batch, facts, left)
        return left

    def _step(self, batch: _Batch, facts: list[int], left: list[int]) -> list[int]:
        chosen = torch.tensor(facts)
        delta = self.delta[chosen].requires_grad_()  # (b, s, d)
        nll, kept, right = batch.losses(delta)
        size = delta.norm(dim=-1, keepdim=True) * self._decay[chosen]
        total = nll + self._how.kl_factor * kept + size.sum((1, 2))
        if not bool(torch.isfinite(total).all()):
            wrong = sorted(facts[i] for i in (~torch.isfinite(total)).nonzero().flatten().tolist())
            raise ConsolidationFailed(
                f"the loss of facts {wrong[:8]} (counted from 0) is not finite; expected a model"
                " that computes in float32 or bfloat16 and targets within its context"
            )
        (slope,) = torch.autograd.grad(total.sum(), delta)
        at_work = set(left)
        for i, fact in enumerate(facts):
            if fact not in at_work:
                continue
            self.loss[fact], self.took[fact] = nll[i].detach(), right[i]
            last = int(self.steps[fact]) + 1 >= self._how.steps
            if float(total[i].detach()) < self._how.stop_loss or last:
                at_work.discard(fact)
            self.steps[fact] += 1
        going = torch.tensor([fact in at_work for fact in facts])
        self._adam(chosen[going], slope[going])
        return [fact for fact in left if fact in at_work]

    def _adam(self, facts: Tensor, slope: Tensor) -> None:
        """One step of Adam, then δ back into its ball; facts count their own steps."""
        (one, two), count = ADAM_BETAS, self.steps[facts][:, None, None]
        self._first[facts] = one * self._first[facts] + (1 - one) * slope
        self._second[facts] = two * self._second[facts] + (1 - two) * slope.square()
        mean = self._first[facts] / (1 - one**count)
        spread = (self._second[facts] / (1 - two**count)).sqrt()
        rate = self._rate[facts] if isinstance(self._rate, Tensor) else self._rate
        moved = self.delta[facts] - rate * mean / (spread + ADAM_EPS)
        norm = moved.norm(dim=-1, keepdim=True).clamp(min=1e-12)
        self.delta[facts] = moved * (self._limit[facts] / norm).clamp(max=1.0)


class _Batch:
    """Some facts' rows, prepared once."""

    def __init__(self, work: Work, facts: list[int]) -> None:
        model, place, lessons, essence = work.model, work.place, work.lessons, work.essence
        self._count, self._inside = len(facts), place.inside
        taught = [(i, row) for i, fact in enumerate(facts) for row in lessons[fact]]
        kept = [(i, essence[fact]) for i, fact in enumerate(facts)] if essence else []
        rows = taught + kept
        self._owner = torch.tensor([i for i, _ in rows])
        self._replay = Replay(model, work.sites, [row for _, row in rows], place.first)
        at = [(r, c) for r, (_, row) in enumerate(taught) for c in _columns(row)]
        at += [(len(taught) + r, len(row.prompt) - row.site - 1) for r, (_, row) in enumerate(kept)]
        device = model.device
        self._wanted = tuple(torch.tensor(list(x), device=device) for x in zip(*at, strict=True))
        self._labels = torch.tensor([t for _, row in taught for t in row.answer], device=device)
        spans = [(i, row) for i, row in taught for _ in row.answer]
        self._of = torch.tensor([i for i, _ in spans], device=device)
        self._share = torch.tensor(
            [row.weight / len(row.answer) for _, row in spans], device=device
        )
        bare = {i: r for r, (i, _) in reversed(list(enumerate(taught)))}
        first_rows = set(bare.values())
        self._is_bare = torch.tensor(
            [r in first_rows for r, (_, row) in enumerate(taught) for _ in row.answer],
            device=device,
        )
        self._clean: Tensor | None = None
        if kept:
            with torch.no_grad():
                tail = tuple(x[len(self._labels) :] for x in self._wanted)
                self._clean = self._replay.run(None, (tail[0], tail[1])).log_softmax(-1)

    def losses(self, delta: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Returns three tensors (b,) for δ (b, s, d).

        The targets' mean negative log-likelihood, the divergence of the essence from before, and
        whether the bare prompt's greedy answer is the target.
        """
        spread = delta[self._owner].to(self._replay.start.device)  # (rows, s, d)
        wanted = (self._wanted[0], self._wanted[1])
        if self._inside:
            inside = {name: spread[:, s] for s, name in enumerate(self._inside)}
            logits = self._replay.run(None, wanted, inside)
        else:
            logits = self._replay.run(spread[:, 0], wanted)
        taught = logits[: len(self._labels)]
        each = functional.cross_entropy(taught, self._labels, reduction="none")
        zeros = torch.zeros(self._count, device=each.device)
        nll = zeros.index_add(0, self._of, each * self._share)
        missed = (taught.argmax(-1) != self._labels) & self._is_bare
        right = zeros.index_add(0, self._of, missed.float()) == 0
        kept = zeros
        if self._clean is not None:
            now = logits[len(self._labels) :].log_softmax(-1)
            # ROME, eq. 4: D_KL(P before || P after) at the essence prompt's end.
            kept = (self._clean.exp() * (self._clean - now)).sum(-1)
        return nll.cpu(), kept.cpu(), right.cpu()


def _replayed_columns(rows: Sequence[Lesson]) -> int:
    """Returns how many columns from the fact token on a fact's longest row takes."""
    return max(len(row.prompt) - row.site + len(row.answer) for row in rows)


def _columns(row: Lesson) -> range:
    """Returns the columns, from the fact token on, that predict the answer's tokens."""
    begin = len(row.prompt) - row.site - 1
    return range(begin, begin + len(row.answer))
