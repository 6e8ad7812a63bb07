"""Asks the model as published and the edition the gate's questions; judges nothing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from runtime.consolidation.contract import Fact
from runtime.consolidation.held import answer_of
from runtime.consolidation.measuring import (
    Judged,
    Row,
    Tick,
    greedy_answers,
    judge,
    kl_nats,
    mean_nats,
    target_rows,
)
from runtime.consolidation.probes import Asked, Probes
from runtime.consolidation.spec import ProbeSettings
from runtime.consolidation.tokens import Codec


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """The same rows on the model as published and on the edition."""

    before: list[Judged]
    after: list[Judged]

    def kept(self) -> float | None:
        """Share of rows whose answer is still the model's own; None without rows."""
        return sum(one.greedy for one in self.after) / len(self.after) if self.after else None

    def drift_nats(self) -> float | None:
        """Mean KL of the next-token distributions; None where none were asked for."""
        nats = [
            kl_nats(one.first, other.first)
            for one, other in zip(self.before, self.after, strict=True)
            if one.first is not None and other.first is not None
        ]
        return sum(nats) / len(nats) if nats else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """Everything that was measured."""

    targets: Compared  # One row for each edit.
    paraphrases: Compared
    neighbours: Compared  # The rows' answers are the published model's, from here on.
    same_subject: Compared  # Those alone that the published model knows.
    told: Compared
    bled: list[bool]  # Neighbours that now answer with the edit's target.
    nats: tuple[float, float]  # A token of running text.


def measure(  # noqa: PLR0917  # The pieces of one comparison.
    base: Any,
    edition: Any,
    codec: Codec,
    facts: Sequence[Fact],
    probes: Probes,
    settings: ProbeSettings,
    tick: Tick,
) -> Findings:
    """Asks both models everything. `tick` hears of every row."""

    def compare(rows: Sequence[Row], *, keep_first: bool = False) -> Compared:
        return Compared(
            before=judge(base, rows, tick, keep_first=keep_first),
            after=judge(edition, rows, tick, keep_first=keep_first),
        )

    def answers(prompts: Sequence[str]) -> list[Row]:
        return greedy_answers(base, codec, prompts, settings.answer_tokens, tick)

    def targets(asked: Sequence[Asked]) -> list[Row]:
        return target_rows(codec, [(one.prompt, facts[one.fact].target) for one in asked])

    bleeding = compare(targets(probes.neighbours))
    own = answers([fact.prompt for fact in facts])
    same = answers([one.prompt for one in probes.same_subject])
    before = judge(base, same, tick)
    known = known_apart(probes.same_subject, same, before, own, settings.sure_min)
    tick(len(same) - len(known))
    return Findings(
        targets=compare(target_rows(codec, [(fact.prompt, fact.target) for fact in facts])),
        paraphrases=compare(targets(probes.paraphrases)),
        neighbours=compare(answers([one.prompt for one in probes.neighbours]), keep_first=True),
        same_subject=Compared(
            before=[before[place] for place in known],
            after=judge(edition, [same[place] for place in known], tick),
        ),
        told=compare(answers(probes.told), keep_first=True),
        bled=[
            after.greedy and not before.greedy
            for before, after in zip(bleeding.before, bleeding.after, strict=True)
        ],
        nats=(
            mean_nats(base, codec, probes.texts, settings.text_tokens, tick),
            mean_nats(edition, codec, probes.texts, settings.text_tokens, tick),
        ),
    )


def known_apart(
    asked: Sequence[Asked],
    rows: Sequence[Row],
    judged: Sequence[Judged],
    own: Sequence[Row],
    sure_min: float,
) -> list[int]:
    """Returns the places of questions that tell whether an edit's subject is otherwise as it was.

    `rows` are the published model's answers to them, `judged` what it says of these, `own` its
    answers to the edits' own prompts. Left out is what it does not know, an answer of less
    probability than `sure_min`, for a guess flips at any touch; and what it answers as it answers
    the edit's own prompt: to it, that asks the same in other words (`held.sentences_apart` does not
    keep it either), unless the answer ships as a fact of its own.
    """
    return [
        place
        for place, (one, row, said) in enumerate(zip(asked, rows, judged, strict=True))
        if said.logprob * row.answer >= math.log(sure_min)
        and (one.ships or answer_of(row) != answer_of(own[one.fact]))
    ]


def rows_of(facts: Sequence[Fact], probes: Probes, settings: ProbeSettings) -> int:
    """Returns how many rows `measure` will tick, for progress."""
    near, same, told = len(probes.neighbours), len(probes.same_subject), len(probes.told)
    judged = len(facts) + len(probes.paraphrases) + 2 * near + same + told + len(probes.texts)
    return 2 * judged + settings.answer_tokens * (len(facts) + near + same + told)
