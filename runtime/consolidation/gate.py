"""The gate: an edition is compared with the model as published before it may answer anybody.

Each edit is judged alone (did it take?), then the edition as a whole. An edition passes when it
harms nothing beyond the limits; what did not take stays in memory, as long as enough did. What no
editor was told of and what it was told to keep have limits of their own: the second cannot speak
for the first.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from runtime.consolidation.comparing import Findings
from runtime.consolidation.contract import Fact
from runtime.consolidation.edition import Measure
from runtime.consolidation.probes import Probes
from runtime.consolidation.spec import EditVerdict, GateLimits, Verdict


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
        *_left_alone(found, probes, limits, len(facts)),
        _least(
            "former",
            None,
            _mean([targets.after[place].greedy for place in again]),
            limits.former_min,
            len(again),
        ),
        _most("harm_nats", None, max(harm, default=None), limits.harm_nats_max, len(harm)),
    ]


def _left_alone(found: Findings, probes: Probes, limits: GateLimits, edits: int) -> list[Measure]:
    """What must stay: of which no editor was told first, then what it was told to keep."""
    near, same, told = found.neighbours, found.same_subject, found.told
    near_count, told_count = len(probes.neighbours), len(probes.told)
    before_nats, after_nats = found.nats
    ratio = math.exp(min(after_nats - before_nats, 50.0)) if probes.texts else None
    told_drift_max = limits.told_drift_nats(edits)
    return [
        _least("neighbours", None, near.kept(), limits.neighbours_min, near_count),
        _most("bleeding", None, _mean(found.bled), limits.bleeding_max, len(found.bled)),
        _most("drift_nats", None, near.drift_nats(), limits.drift_nats_max, near_count),
        _least("same_subject", None, same.kept(), limits.same_subject_min, len(same.after)),
        _least("told_to_keep", None, told.kept(), limits.told_to_keep_min, told_count),
        _most("told_drift_nats", None, told.drift_nats(), told_drift_max, told_count),
        _most("perplexity_ratio", None, ratio, limits.perplexity_ratio_max, len(probes.texts)),
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
