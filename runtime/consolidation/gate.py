"""The gate: an edition is compared with the model as published before it may answer anybody.

Each edit is judged alone (did it take?), then the edition as a whole. An edition passes when it
harms nothing beyond the limits; what did not take stays in memory, as long as enough did.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from runtime.consolidation.contract import Fact
from runtime.consolidation.edition import Measure
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
from runtime.consolidation.spec import EditVerdict, GateLimits, ProbeSettings, Verdict
from runtime.consolidation.tokens import Codec


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """The same rows on the model as published and on the edition."""

    before: list[Judged]
    after: list[Judged]

    def kept(self) -> float | None:
        """Share of rows whose answer is still the model's own."""
        return _mean([one.greedy for one in self.after])


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """Everything that was measured."""

    targets: Compared  # One row for each edit.
    paraphrases: Compared
    neighbours: Compared  # The rows' answers are the published model's.
    same_subject: Compared
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

    def answers(asked: Sequence[Asked]) -> list[Row]:
        prompts = [one.prompt for one in asked]
        return greedy_answers(base, codec, prompts, settings.answer_tokens, tick)

    def targets(asked: Sequence[Asked]) -> list[Row]:
        return target_rows(codec, [(one.prompt, facts[one.fact].target) for one in asked])

    bleeding = compare(targets(probes.neighbours))
    return Findings(
        targets=compare(target_rows(codec, [(fact.prompt, fact.target) for fact in facts])),
        paraphrases=compare(targets(probes.paraphrases)),
        neighbours=compare(answers(probes.neighbours), keep_first=True),
        same_subject=compare(answers(probes.same_subject)),
        bled=[
            after.greedy and not before.greedy
            for before, after in zip(bleeding.before, bleeding.after, strict=True)
        ],
        nats=(
            mean_nats(base, codec, probes.texts, settings.text_tokens, tick),
            mean_nats(edition, codec, probes.texts, settings.text_tokens, tick),
        ),
    )


def rows_of(facts: Sequence[Fact], probes: Probes, settings: ProbeSettings) -> int:
    """Returns how many rows `measure` will tick, for progress."""
    near, same = len(probes.neighbours), len(probes.same_subject)
    judged = len(facts) + len(probes.paraphrases) + 2 * near + same + len(probes.texts)
    return 2 * judged + settings.answer_tokens * (near + same)


def weigh(
    facts: Sequence[Fact],
    probes: Probes,
    found: Findings,
    limits: GateLimits,
    former: frozenset[str],
) -> Verdict:
    """Returns the verdict. Pure. `former` are ids of edits that the former edition holds."""
    edits = [_edit(place, fact, found) for place, fact in enumerate(facts)]
    took = {place for place, edit in enumerate(edits) if edit.took}
    measures = _measures(facts, probes, found, limits, former, took)
    failed = [one for one in measures if not one.passed]
    return Verdict(
        passed=not failed,
        reason="; ".join(
            f"{one.name} is {_shown(one.after)}, asked for is {one.limit}" for one in failed
        ),
        measures=tuple(measures),
        edits=tuple(edits),
    )


def _edit(place: int, fact: Fact, found: Findings) -> EditVerdict:
    after = found.targets.after[place]
    reason = ""
    if not after.greedy:
        reason = f"the target is not the answer (mean log-probability {after.logprob:.2f})"
    return EditVerdict(edit_id=fact.edit_id, took=after.greedy, reason=reason)


def _measures(  # noqa: PLR0917  # All that the figures are made of.
    facts: Sequence[Fact],
    probes: Probes,
    found: Findings,
    limits: GateLimits,
    former: frozenset[str],
    took: set[int],
) -> list[Measure]:
    said = [place for place, one in enumerate(probes.paraphrases) if one.fact in took]
    again = [place for place, fact in enumerate(facts) if fact.edit_id in former]
    harm = [
        one.logprob - other.logprob
        for one, other in zip(found.targets.before, found.targets.after, strict=True)
    ]
    drift = [
        kl_nats(one.first, other.first)
        for one, other in zip(found.neighbours.before, found.neighbours.after, strict=True)
        if one.first is not None and other.first is not None
    ]
    before_nats, after_nats = found.nats
    ratio = math.exp(min(after_nats - before_nats, 50.0)) if probes.texts else None
    targets, others = found.targets, found.paraphrases
    return [
        _least(
            "reliability",
            _mean([one.greedy for one in targets.before]),
            _mean([one.greedy for one in targets.after]),
            limits.took_min,
            len(facts),
        ),
        _least(
            "generalization",
            _mean([others.before[place].greedy for place in said]),
            _mean([others.after[place].greedy for place in said]),
            limits.generalization_min,
            len(said),
        ),
        _least(
            "neighbours",
            None,
            found.neighbours.kept(),
            limits.neighbours_min,
            len(probes.neighbours),
        ),
        _most("bleeding", None, _mean(found.bled), limits.bleeding_max, len(found.bled)),
        _most("drift_nats", None, _mean(drift), limits.drift_nats_max, len(drift)),
        _least(
            "same_subject",
            None,
            found.same_subject.kept(),
            limits.same_subject_min,
            len(probes.same_subject),
        ),
        _most("perplexity_ratio", None, ratio, limits.perplexity_ratio_max, len(probes.texts)),
        _least(
            "former",
            None,
            _mean([targets.after[place].greedy for place in again]),
            limits.former_min,
            len(again),
        ),
        _most("harm_nats", None, max(harm, default=None), limits.harm_nats_max, len(harm)),
    ]


def _least(
    name: str, before: float | None, after: float | None, least: float, count: int
) -> Measure:
    passed = after is None or after >= least  # NaN does not pass.
    return Measure(
        name=name, before=before, after=after, limit=f">= {least:g}", passed=passed, count=count
    )


def _most(name: str, before: float | None, after: float | None, most: float, count: int) -> Measure:
    passed = after is None or after <= most
    return Measure(
        name=name, before=before, after=after, limit=f"<= {most:g}", passed=passed, count=count
    )


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _shown(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.3f}"
