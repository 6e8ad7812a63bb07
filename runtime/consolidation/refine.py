"""Refines a closed-form change by descent: what did not take is pressed, what should stay is held.

MEMIT's least squares take the model to be linear around each projection and every fact to stand
alone. Of many facts in one change much is lost to that. Here the change itself is moved, from where
the closed form left it, down

    mean over facts of -log p(target)  +  hold * mean over what should stay of KL(before || after),

where a token that is SURE already is not pressed further, and a prompt that was sure when last met
is met seldom. A change is `left @ right`: `right`, for which inputs to act and away from those of
running text, stays as the solve found it, and so do rank and size; `left`, what to write for each,
moves for all facts together. Not in the papers; what is old is held as by fine-tuning with a
penalty (Zhu et al. 2020, arXiv 2012.00363), but in probabilities instead of norms.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import torch

from memory.errors import ConsolidationFailed
from runtime.consolidation.contract import Fact, Progress
from runtime.consolidation.descent import Descent
from runtime.consolidation.held import Held, HeldRows, held_rows
from runtime.consolidation.hyperparameters import Hyperparameters
from runtime.consolidation.measuring import Row, judge
from runtime.consolidation.solve import Factors
from runtime.consolidation.tokens import Lesson
from runtime.consolidation.trace import replaced

if TYPE_CHECKING:
    from runtime.consolidation.workbench import Rows, Workbench

FACTS_AT_ONCE = 64
HELD_AT_ONCE = {"neighbours": 44, "same_subject": 12, "texts": 16}
OWN_SHARE = 0.5  # Of a fact's turns, its bare prompt's; phrasings and prefixes share the rest.
STEPS_MIN = 40  # Few facts need as many steps as many do, if not as many passes.
RATE_END = 0.05  # Of the first rate, at the last step; a cosine between them.
SURE_SHARE = 0.1  # Of a turn: a row that was sure when last met.


def steps_of(how: Hyperparameters, facts: Sequence[Sequence[Lesson]], per_prompt: int) -> int:
    """Returns how many steps the settings' passes over facts take; 0 for none."""
    if not how.refine_passes:
        return 0
    given = max(how.refine_passes, how.refine_passes_given)
    turns = sum(given if len(one) > per_prompt else how.refine_passes for one in facts)
    return max(STEPS_MIN, math.ceil(turns / FACTS_AT_ONCE))


def hold_of(how: Hyperparameters, facts: Sequence[Sequence[Lesson]], per_prompt: int) -> float:
    """Returns what holding weighs: the mean over facts, which press harder in more phrasings."""
    given = max(how.refine_hold, how.refine_hold_given)
    return sum(given if len(one) > per_prompt else how.refine_hold for one in facts) / len(facts)


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
    steps = steps_of(how, rows.lessons, rows.per_prompt)
    held = held_rows(
        facts,
        bench.model,
        bench.codec,
        bench.corpus,
        subjects=how.refine_subjects,
        sentences=how.refine_sentences,
        seed=how.seed,
        tick=lambda _: progress("refining", 0, steps),
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
    steps = steps_of(how, rows.lessons, rows.per_prompt)
    if not steps:
        return dict(changes)
    descent = Descent(bench, changes, how.refine_rate)
    turns, stay = Turns(rows, how.seed), _held_in_turn(held, how.seed)
    hold = hold_of(how, rows.lessons, rows.per_prompt)
    for step in range(steps):
        progress("refining", step, steps)
        chosen = turns.draw(min(FACTS_AT_ONCE, rows.facts))
        found = descent.step(
            [turns.lessons[place] for place in chosen],
            next(stay),
            hold=hold,
            share=_rate_share(step, steps),
        )
        if not found.finite:
            raise ConsolidationFailed(
                f"step {step} of refining gave a loss that is not finite; nothing was changed."
                " Lower refine_rate, or set refine_passes to 0"
            )
        turns.note(chosen, found.sure)
    progress("refining", steps, steps)
    return descent.changes()


class Turns:
    """Which rows a step takes: by their weights, and seldom those that were sure when last met."""

    def __init__(self, rows: Rows, seed: int) -> None:
        self.lessons: list[Lesson] = [one for listed in rows.lessons for one in listed]
        weights = [weight for listed in rows.lessons for weight in _weights(listed)]
        self._weights = torch.tensor(weights, dtype=torch.float64)
        self._share = torch.ones_like(self._weights)
        self._draw = torch.Generator().manual_seed(seed)

    @property
    def odds(self) -> torch.Tensor:
        """Of each row to be drawn next, not summing to one."""
        return self._weights * self._share

    def draw(self, count: int) -> list[int]:
        """Returns the places of so many different rows."""
        places: list[int] = torch.multinomial(self.odds, count, generator=self._draw).tolist()
        return places

    def note(self, places: Sequence[int], sure: Sequence[bool]) -> None:
        """Takes what a step found of its rows."""
        for place, settled in zip(places, sure, strict=True):
            self._share[place] = SURE_SHARE if settled else 1.0


def _weights(listed: Sequence[Lesson]) -> list[float]:
    """Returns the odds of a fact's rows: OWN_SHARE for its own prompt, bare, where there are more.

    Efficacy is asked there. With phrasings and prefixes by their weights, each prompt of four would
    be met a quarter as often as one alone.
    """
    own = max(OWN_SHARE, listed[0].weight)
    rest = sum(one.weight for one in listed[1:])
    return [own if len(listed) > 1 else 1.0] + [
        one.weight * (1.0 - own) / rest for one in listed[1:]
    ]


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
