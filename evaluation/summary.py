"""From judged answers to metrics by name. Pure; every name stands in evaluation/glossary.py."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from evaluation.method import Said
from evaluation.metrics import Rate, mean, normalise, rate
from evaluation.outcome import Outcome
from evaluation.probes import Scope

INSIDE_KINDS = ("edit", "rephrase", "portability_subject_aliasing")
"""In-scope kinds that wrong_edit is counted over (a cleaned paraphrase is no further query)."""

NEIGHBOUR_KINDS = ("neighbour", "distracting")
Outcomes = Sequence[Outcome]


def summarise(
    outcomes: Outcomes, frozen: Mapping[str, Said], *, routes: bool = True
) -> list[tuple[Rate, float]]:
    """Returns every metric that the outcomes of one block give, with the seconds behind it.

    `frozen` holds the frozen model's answers by probe key, for locality; without them, and for
    metrics that need answers nobody asked for, there are no rows. Without `routes` there are none
    about routing either: an editor of weights does not route. A probe out of scope that the server
    would refuse is in no figure but `refused`; one in scope is not answered.
    """
    inside = [o for o in outcomes if o.probe.scope is Scope.INSIDE]  # Refused: not answered.
    others = [o for o in outcomes if o.probe.scope is not Scope.INSIDE]
    answered = [*inside, *(o for o in others if not o.refused)]
    rows: list[tuple[Rate, float]] = []
    for part in (_answers, _probabilities, _further):
        rows += part(_by_kind(answered))
    if routes:
        rows += _routes(_by_kind([*inside, *(o for o in others if not o.unrouted)]))
    rows += _locality(answered, frozen)
    if any(o.refused for o in outcomes):
        rows.append(_rate("refused", outcomes, lambda o: o.refused))
    return [(made, seconds) for made, seconds in rows if made.n > 0]


def _by_kind(outcomes: Outcomes) -> dict[str, list[Outcome]]:
    found: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        found.setdefault(outcome.kind, []).append(outcome)
    return found


def _answers(by_kind: Mapping[str, Outcomes]) -> Iterator[tuple[Rate, float]]:
    rephrases = by_kind.get("rephrase", ())
    for name, of in (
        ("reliability", by_kind.get("edit", ())),
        ("generalization", rephrases),
        ("generalization_cleaned", by_kind.get("rephrase_cleaned", ())),
        ("generalization_follows", [o for o in rephrases if o.follows]),
    ):
        said, scored = _said(of), _scored(of)
        yield _rate(f"{name}_exact", said, lambda o: o.exact)
        if name != "generalization_follows":
            shares = [o.asked.scored.target_share for o in scored if o.asked.scored]
            yield mean(f"{name}_token", shares, low=0.0, high=1.0), _seconds(scored)
    turns = _said(by_kind.get("turn", ()))
    yield _rate("turn_exact", turns, lambda o: o.exact)
    for name, kind in (("path_exact", "edit"), ("path_exact_paraphrase", "rephrase")):
        routed = [o for o in _said(by_kind.get(kind, ())) if o.right]
        yield _rate(name, routed, lambda o: o.exact)


def _probabilities(by_kind: Mapping[str, Outcomes]) -> Iterator[tuple[Rate, float]]:
    found: dict[str, Rate] = {}
    seconds = 0.0
    for name, kind in (
        ("es", "edit"),
        ("ps", "rephrase"),
        ("ns", "neighbour"),
        ("ns_distracting", "distracting"),
    ):
        compared = [o for o in by_kind.get(kind, ()) if _pair(o) is not None]
        pairs = [pair for o in compared if (pair := _pair(o)) is not None]
        taken = _seconds(compared)
        found[name] = rate(name, [target < former for target, former in pairs])
        seconds += taken
        yield found[name], taken
        if name != "ns_distracting":
            gaps = [math.exp(-target) - math.exp(-former) for target, former in pairs]
            yield mean(f"{name}_magnitude", gaps, low=-1.0, high=1.0), taken
    three = [found[name] for name in ("es", "ps", "ns")]
    if all(made.n for made in three):
        yield _harmonic("score_s", three), seconds


def _routes(by_kind: Mapping[str, Outcomes]) -> Iterator[tuple[Rate, float]]:
    rephrases = by_kind.get("rephrase", ())
    alias = "portability_subject_aliasing"
    for name, of in (
        ("router_recall", by_kind.get("edit", ())),
        ("router_recall_paraphrase", rephrases),
        ("router_recall_paraphrase_cleaned", by_kind.get("rephrase_cleaned", ())),
        ("router_recall_paraphrase_follows", [o for o in rephrases if o.follows]),
        ("router_recall_turn", by_kind.get("turn", ())),
        (f"router_recall_{alias}", by_kind.get(alias, ())),
    ):
        yield _rate(name, of, lambda o: o.right)
    inside = [o for kind in INSIDE_KINDS for o in by_kind.get(kind, ())]
    yield _rate("wrong_edit", inside, lambda o: o.wrong)
    everything = [o for of in by_kind.values() for o in of]
    yield _rate("filler_route", everything, lambda o: o.filler)
    for kind, of in by_kind.items():
        scope = of[0].probe.scope
        if scope is Scope.OUTSIDE:
            free = [o for o in of if not o.covered]
            yield _rate(f"false_route_{_outside_name(kind)}", free, lambda o: o.wrong)
            if kind in NEIGHBOUR_KINDS:
                yield _rate(f"false_route_{kind}_other_fact", free, lambda o: o.wrong_fact)
        elif scope is Scope.OPEN:
            yield _rate(f"routed_{kind}", of, lambda o: o.edited)


def _further(by_kind: Mapping[str, Outcomes]) -> Iterator[tuple[Rate, float]]:
    for kind, of in by_kind.items():
        said = _said(of)
        if kind.startswith("portability_"):
            wordings: dict[tuple[str, str], list[Outcome]] = {}
            for outcome in said:
                question = outcome.probe.group or outcome.probe.key
                wordings.setdefault((outcome.case, question), []).append(outcome)
            right = [any(o.exact for o in group) for group in wordings.values()]
            yield rate(kind, right), _seconds(said)
        elif kind == "forgetfulness":
            yield _rate("forgetfulness_exact", said, lambda o: o.exact)
        elif kind == "negation":
            yield _rate("negation_target", said, _still_says)


def _locality(outcomes: Outcomes, frozen: Mapping[str, Said]) -> Iterator[tuple[Rate, float]]:
    outside = [
        o
        for o in _said(outcomes)
        if o.probe.scope is Scope.OUTSIDE and not o.covered and o.probe.key in frozen
    ]

    def same(outcome: Outcome) -> bool:
        said = outcome.asked.said
        return said is not None and said.token_ids == frozen[outcome.probe.key].token_ids

    yield _rate("locality_identical", outside, same)
    for kind in dict.fromkeys(o.kind for o in outside):
        yield _rate(f"locality_{kind}", [o for o in outside if o.kind == kind], same)
    lost = [1 - _kept(o.asked.said, frozen[o.probe.key]) for o in outside if o.asked.said]
    yield mean("drawdown", lost, low=0.0, high=1.0), _seconds(outside)


def _kept(said: Said, frozen: Said) -> float:
    """The share of the frozen answer's tokens that stand in the answer at the same place."""
    theirs = frozen.token_ids
    if not theirs:
        return float(not said.token_ids)
    same = sum(a == b for a, b in zip(said.token_ids, theirs, strict=False))
    return same / len(theirs)


def _still_says(outcome: Outcome) -> bool:
    said = outcome.asked.said
    target = normalise(outcome.probe.answers[0]).casefold()
    return said is not None and target in normalise(said.text).casefold()


def _outside_name(kind: str) -> str:
    return "turn" if kind == "turn_elsewhere" else kind


def _pair(outcome: Outcome) -> tuple[float, float] | None:
    scored = outcome.asked.scored
    if scored is None or scored.former_nll is None:
        return None
    return scored.target_nll, scored.former_nll


def _said(outcomes: Iterable[Outcome]) -> list[Outcome]:
    return [o for o in outcomes if o.asked.said is not None]


def _scored(outcomes: Iterable[Outcome]) -> list[Outcome]:
    return [o for o in outcomes if o.asked.scored is not None]


def _seconds(outcomes: Iterable[Outcome]) -> float:
    return sum(o.seconds for o in outcomes)


def _rate(name: str, outcomes: Outcomes, holds: Callable[[Outcome], bool]) -> tuple[Rate, float]:
    return rate(name, [holds(o) for o in outcomes]), _seconds(outcomes)


def _harmonic(name: str, rates: Sequence[Rate]) -> Rate:
    """The harmonic mean of rates; its interval is that of their bounds, so wider than 95%."""

    def of(values: Sequence[float]) -> float:
        return len(values) / sum(1 / v for v in values) if all(values) else 0.0

    return replace(
        rates[0],
        metric=name,
        value=of([r.value for r in rates]),
        low=of([r.low for r in rates]),
        high=of([r.high for r in rates]),
        n=min(r.n for r in rates),
    )
