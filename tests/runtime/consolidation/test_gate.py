"""The gate: every limit at its boundary, and bad editions refused, the subtle ones too."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from memory.record import EditId
from runtime.consolidation.contract import Delta, Fact, MatrixDelta
from runtime.consolidation.contrasts import for_the_gate, other_subjects
from runtime.consolidation.edition import Measure
from runtime.consolidation.gate import Compared, Findings, weigh
from runtime.consolidation.measuring import Judged
from runtime.consolidation.operations import State
from runtime.consolidation.phrasebook import PhraseBook
from runtime.consolidation.probes import Asked, Probes, build_probes
from runtime.consolidation.spec import GateLimits, ProbeSettings, Verdict
from runtime.engine.load import LoadedModel
from runtime.sites import sites_of
from tests.consolidation_kit import OPEN_GATE, Bench, load_tiny, spoiled
from tests.tiny_models import save_tiny_model

EDITS = 20
FACTS = tuple(
    Fact(edit_id=EditId(f"e{n}"), revision=1, subject=f"S{n}", prompt=f"S{n} is", target=f"t{n}")
    for n in range(EDITS)
)
PROBES = Probes(
    paraphrases=tuple(Asked(fact=n, prompt=f"And S{n} is") for n in range(EDITS)),
    neighbours=tuple(Asked(fact=n, prompt=f"N{n} is") for n in range(EDITS)),
    same_subject=tuple(Asked(fact=n, prompt=f"S{n} was") for n in range(EDITS)),
    texts=("some text",),
)
EVEN = torch.full((4,), math.log(0.25))


def judged(good: int, logprob: float = -1.0, count: int = EDITS) -> list[Judged]:
    """The first `good` of `count` rows are answered as asked."""
    return [Judged(logprob=logprob, greedy=n < good, first=EVEN) for n in range(count)]


def findings(**more: Any) -> Findings:
    """What an edition does that is as good as can be; `more` spoils parts of it."""
    perfect = {
        "targets": Compared(before=judged(0, -5.0), after=judged(EDITS, -0.1)),
        "paraphrases": Compared(before=judged(0), after=judged(EDITS)),
        "neighbours": Compared(before=judged(EDITS), after=judged(EDITS)),
        "same_subject": Compared(before=judged(EDITS), after=judged(EDITS)),
        "bled": [False] * EDITS,
        "nats": (2.0, 2.0),
    }
    return Findings(**{**perfect, **more})


def verdict(found: Findings, limits: GateLimits | None = None, former: int = 0) -> Verdict:
    held = frozenset(fact.edit_id for fact in FACTS[:former])
    return weigh(FACTS, PROBES, found, limits or GateLimits(), held)


def failed(found: Findings, **more: Any) -> set[str]:
    return {one.name for one in verdict(found, **more).measures if not one.passed}


def drifted(nats: float) -> Compared:
    """Neighbours whose next-token distribution moved by so many nats (KL from an even one)."""
    low, high = 0.0, 30.0
    for _ in range(80):
        middle = (low + high) / 2
        other = torch.tensor([middle, 0.0, 0.0, 0.0]).double().log_softmax(-1)
        kl = float((EVEN.double().exp() * (EVEN.double() - other)).sum())
        low, high = (middle, high) if kl < nats else (low, middle)
    after = [Judged(logprob=-1.0, greedy=True, first=other) for _ in range(EDITS)]
    return Compared(before=judged(EDITS), after=after)


def test_a_perfect_edition_passes_and_every_edit_took() -> None:
    found = verdict(findings())
    assert (True, "") == (found.passed, found.reason)
    assert all(edit.took for edit in found.edits)


@pytest.mark.parametrize(
    ("name", "just", "too_far"),
    [
        (
            "reliability",
            {"targets": Compared(before=judged(0, -5.0), after=judged(10, -0.1))},
            {"targets": Compared(before=judged(0, -5.0), after=judged(9, -0.1))},
        ),
        (
            "generalization",
            {"paraphrases": Compared(before=judged(0), after=judged(12))},
            {"paraphrases": Compared(before=judged(0), after=judged(11))},
        ),
        (
            "neighbours",
            {"neighbours": Compared(before=judged(EDITS), after=judged(18))},
            {"neighbours": Compared(before=judged(EDITS), after=judged(17))},
        ),
        (
            "same_subject",
            {"same_subject": Compared(before=judged(EDITS), after=judged(10))},
            {"same_subject": Compared(before=judged(EDITS), after=judged(9))},
        ),
        ("bleeding", {"bled": [False] * EDITS}, {"bled": [True] + [False] * (EDITS - 1)}),
        ("drift_nats", {"neighbours": drifted(0.249)}, {"neighbours": drifted(0.251)}),
        (
            "perplexity_ratio",
            {"nats": (2.0, 2.0 + math.log(1.0199))},
            {"nats": (2.0, 2.0 + math.log(1.0201))},
        ),
        (
            "harm_nats",
            {"targets": Compared(before=judged(0, -1.0), after=judged(EDITS, -1.5))},
            {"targets": Compared(before=judged(0, -1.0), after=judged(EDITS, -1.51))},
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_each_limit_holds_where_it_is_drawn(
    name: str, just: dict[str, Any], too_far: dict[str, Any]
) -> None:
    assert set() == failed(findings(**just))
    assert {name} == failed(findings(**too_far))
    assert f"{name} is" in verdict(findings(**too_far)).reason


def test_edits_of_the_former_edition_must_take_again() -> None:
    last_two_lost = findings(
        targets=Compared(before=judged(0, -5.0), after=judged(EDITS - 2, -0.1))
    )
    assert set() == failed(last_two_lost, former=10)
    assert set() == failed(last_two_lost, former=EDITS)  # 18 of 20 are 0.9.
    three_lost = findings(targets=Compared(before=judged(0, -5.0), after=judged(17, -0.1)))
    assert {"former"} == failed(three_lost, former=EDITS)


def test_one_edit_that_was_pushed_away_is_enough_to_refuse() -> None:
    after = judged(EDITS, -0.1)
    after[7] = Judged(logprob=-9.0, greedy=False, first=None)
    found = verdict(findings(targets=Compared(before=judged(0, -5.0), after=after)))
    assert ["harm_nats"] == [one.name for one in found.measures if not one.passed]
    assert [FACTS[7].edit_id] == [edit.edit_id for edit in found.edits if not edit.took]


@pytest.mark.parametrize("number", [math.nan, math.inf])
def test_numbers_that_are_none_never_pass(number: float) -> None:
    assert "perplexity_ratio" in failed(findings(nats=(2.0, number)))
    after = judged(EDITS, -number)
    assert "harm_nats" in failed(findings(targets=Compared(before=judged(0), after=after)))


def test_what_was_not_asked_does_not_fail_an_edition() -> None:
    nothing = Probes(paraphrases=(), neighbours=(), same_subject=(), texts=())
    empty = Compared(before=[], after=[])
    found = weigh(
        FACTS,
        nothing,
        findings(paraphrases=empty, neighbours=empty, same_subject=empty, bled=[]),
        GateLimits(),
        frozenset(),
    )
    assert found.passed
    counts = {one.name: one.count for one in found.measures}
    assert (0, 0, EDITS) == (counts["neighbours"], counts["perplexity_ratio"], counts["harm_nats"])


def test_a_single_edit_is_asked_about_many_neighbours(tmp_path: Path) -> None:
    facts = tmp_path / "facts.jsonl"
    line = '{{"subject": "Town {0}", "relation": "river", "object": "R{0}"}}\n'
    facts.write_text("".join(line.format(n) for n in range(90)), encoding="utf-8")
    relations = tmp_path / "relations.json"
    relations.write_text(
        '{"river": {"subject": "town", "cloze": ["The river of {} is"], "question": []}}'
    )
    book = PhraseBook.load(str(facts), str(relations))
    one = Fact(
        edit_id=EditId("e"),
        revision=1,
        subject="Town 0",
        prompt="The river of Town 0 is",
        target="R",
    )
    settings = ProbeSettings()
    probes = build_probes([one], book, [], settings)
    assert settings.per_kind_min == len(probes.neighbours)
    assert len({asked.prompt for asked in probes.neighbours}) == len(probes.neighbours)
    assert not any("Town 0 " in asked.prompt for asked in probes.neighbours)
    names = [asked.prompt.removeprefix("The river of ")[:-3] for asked in probes.neighbours]
    assert all(for_the_gate(name) for name in names)
    told = other_subjects(one, 20, 0, book.neighbours("Town 0", one.prompt))
    assert sum("Town" in text for text in told) == 20
    assert not {asked.prompt for asked in probes.neighbours} & set(told)


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    return load_tiny(save_tiny_model(tmp_path_factory.mktemp("llama"), "llama"))


Opened = Callable[..., Bench]


@pytest.fixture
def opened(tmp_path: Path, loaded: LoadedModel) -> Iterator[Opened]:
    benches: list[Bench] = []

    def make(**more: Any) -> Bench:
        benches.append(Bench(tmp_path / str(len(benches)), loaded, **more))
        return benches[-1]

    yield make
    for bench in benches:
        bench.close()


def _matrices(delta: Delta, change: Callable[[MatrixDelta], MatrixDelta]) -> Delta:
    return replace(delta, matrices=tuple(change(one) for one in delta.matrices))


def _left(change: Callable[[Any], Any]) -> Callable[[Delta], Delta]:
    return lambda delta: _matrices(delta, lambda one: replace(one, left=change(one.left)))


def _one_flipped(left: torch.Tensor) -> torch.Tensor:
    signs = torch.ones(left.shape[1])
    signs[0] = -1.0
    return left * signs


def _elsewhere(loaded: LoadedModel) -> Callable[[Delta], Delta]:
    module = sites_of(loaded.model).mlp_out(0)
    return lambda delta: _matrices(delta, lambda one: replace(one, module=module))


SPOILS: dict[str, Callable[[LoadedModel], Callable[[Delta], Delta]]] = {
    "nothing": lambda _: _left(torch.zeros_like),
    "half": lambda _: _left(lambda left: left * 0.5),
    "ten-times": lambda _: _left(lambda left: left * 10.0),
    "flipped": lambda _: _left(lambda left: -left),
    "one-edit-flipped": lambda _: _left(_one_flipped),
    "each-gets-another-s": lambda _: _left(lambda left: left.roll(1, 1)),
    "another-layer": _elsewhere,
}


def limits_of(measures: tuple[Measure, ...]) -> GateLimits:
    """A gate that asks for what an honest edition does, with a little room."""
    known = {one.name: one.after for one in measures}
    ratio, drift = known["perplexity_ratio"], known["drift_nats"]
    assert ratio is not None
    return replace(
        OPEN_GATE,
        took_min=1.0,
        harm_nats_max=0.0,
        perplexity_ratio_max=1.1 * ratio,
        drift_nats_max=1.1 * (drift or 0.0) + 1e-6,
    )


def test_a_gate_that_an_honest_edition_passes_refuses_every_spoiled_one(
    opened: Opened, loaded: LoadedModel
) -> None:
    honest = opened()
    honest.add(2)
    done = honest.run()
    assert done.state is State.SUCCEEDED
    limits = limits_of(done.measures)
    again = opened(gate=limits)
    again.add(2)
    assert again.run().state is State.SUCCEEDED
    for name, spoil in SPOILS.items():
        bench = opened(gate=limits, editors={"bad": spoiled(spoil(loaded))})
        bench.add(2)
        refused = bench.run()
        assert (State.FAILED, ()) == (refused.state, bench.store.numbers()), name
        assert "the gate refuses the edition" in refused.error, name
        assert not all(one.passed for one in refused.measures), name
