"""The gate: every limit at its boundary, and bad editions refused, the subtle ones too."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from memory.record import EditId
from runtime.consolidation.comparing import Compared, Findings, known_apart
from runtime.consolidation.contract import Delta, Fact, MatrixDelta
from runtime.consolidation.contrasts import for_the_gate, other_subjects
from runtime.consolidation.edition import Measure
from runtime.consolidation.gate import weigh
from runtime.consolidation.measuring import Judged, Row
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
    told=tuple(f"K{n} is" for n in range(EDITS)),
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
        "told": Compared(before=judged(EDITS), after=judged(EDITS)),
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
            {"same_subject": Compared(before=judged(EDITS), after=judged(14))},
            {"same_subject": Compared(before=judged(EDITS), after=judged(13))},
        ),
        (
            "told_to_keep",
            {"told": Compared(before=judged(EDITS), after=judged(18))},
            {"told": Compared(before=judged(EDITS), after=judged(17))},
        ),
        ("told_drift_nats", {"told": drifted(0.0399)}, {"told": drifted(0.0401)}),
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


def test_the_drift_of_what_was_told_may_grow_with_the_edits() -> None:
    limits = GateLimits()
    few, many = (limits.told_drift_nats(edits) for edits in (10, 60))
    assert limits.told_drift_nats(1) == few == limits.told_drift_nats_max
    assert many == pytest.approx(few + 50 * limits.told_drift_nats_per_edit)
    fixed = replace(limits, told_drift_nats_per_edit=0.0)
    assert {"told_drift_nats"} == failed(findings(told=drifted(0.03)), limits=fixed)


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
        findings(paraphrases=empty, neighbours=empty, same_subject=empty, told=empty, bled=[]),
        GateLimits(),
        frozenset(),
    )
    assert found.passed
    counts = {one.name: one.count for one in found.measures}
    assert (0, 0, EDITS) == (counts["neighbours"], counts["perplexity_ratio"], counts["harm_nats"])
    assert (0, 0) == (counts["told_to_keep"], counts["told_drift_nats"])


def towns(folder: Path, count: int) -> PhraseBook:
    """A book of one relation."""
    facts = folder / "facts.jsonl"
    line = '{{"subject": "Town {0}", "relation": "river", "object": "R{0}"}}\n'
    facts.write_text("".join(line.format(n) for n in range(count)), encoding="utf-8")
    relations = folder / "relations.json"
    relations.write_text(
        '{"river": {"subject": "town", "cloze": ["The river of {} is"], "question": []}}'
    )
    return PhraseBook.load(str(facts), str(relations))


def river_of(number: int) -> Fact:
    prompt = f"The river of Town {number} is"
    subject = f"Town {number}"
    return Fact(edit_id=EditId("e"), revision=1, subject=subject, prompt=prompt, target="R")


def name_in(prompt: str) -> str:
    return prompt.removeprefix("The river of ")[:-3]


def test_a_single_edit_is_asked_about_many_neighbours(tmp_path: Path) -> None:
    book, one = towns(tmp_path, 300), river_of(0)
    settings = ProbeSettings()
    probes = build_probes([one], book, [], settings)
    assert settings.per_kind_min == len(probes.neighbours)
    assert len({asked.prompt for asked in probes.neighbours}) == len(probes.neighbours)
    assert not any("Town 0 " in asked.prompt for asked in probes.neighbours)
    assert all(for_the_gate(name_in(asked.prompt)) for asked in probes.neighbours)
    told = other_subjects(one, 20, 0, book.neighbours("Town 0", one.prompt))
    assert sum("Town" in text for text in told) == 20
    assert not {asked.prompt for asked in probes.neighbours} & set(told)


def test_a_single_edit_is_not_asked_about_what_its_editor_may_keep(tmp_path: Path) -> None:
    """Where the gate's half of the names is short, it asks fewer, not the other half."""
    book = towns(tmp_path, 30)
    one = river_of(0)
    probes = build_probes([one], book, [], ProbeSettings())
    assert 0 < len(probes.neighbours) < 29
    assert all(for_the_gate(name_in(asked.prompt)) for asked in probes.neighbours)


def test_what_the_editor_was_told_is_asked_once_each_and_drawn_when_it_is_much() -> None:
    told = [f"K{n} is" for n in range(30)] * 2
    few = ProbeSettings(per_kind_max=8)
    assert build_probes(FACTS, PhraseBook(), [], ProbeSettings(), told).told == tuple(told[:30])
    drawn = build_probes(FACTS, PhraseBook(), [], few, told).told
    assert len(set(drawn)) == 8
    assert set(drawn) <= set(told)
    assert drawn == build_probes(FACTS, PhraseBook(), [], few, told).told


def test_only_what_the_model_knows_and_the_edit_does_not_ask_tells_of_its_subject() -> None:
    own = [Row(tokens=(1, 2, 7), answer=1), Row(tokens=(1, 3, 8), answer=1)]
    cases = {  # Answer, its probability, ships: whether it is asked.
        "sure": ((9,), 0.6, False, True),
        "a guess": ((9,), 0.4, False, False),
        "a guess of two tokens, each likelier than not": ((9, 5), 0.4, False, False),
        "what the edit asks": ((7,), 0.9, False, False),
        "another fact with the same answer": ((7,), 0.9, True, True),
        "a guess that ships": ((9,), 0.4, True, False),
        "the answer of another edit": ((8,), 0.9, False, True),
    }
    found = known_apart(
        [Asked(fact=0, prompt=name, ships=ships) for name, (_, _, ships, _) in cases.items()],
        [Row(tokens=(1, *tokens), answer=len(tokens)) for tokens, *_ in cases.values()],
        [
            Judged(logprob=math.log(share) / len(tokens), greedy=True, first=None)
            for tokens, share, *_ in cases.values()
        ],
        own,
        sure_min=0.5,
    )
    assert [place for place, (*_, kept) in enumerate(cases.values()) if kept] == found


def test_subjects_of_a_kind_are_asked_what_their_wider_kind_is(tmp_path: Path) -> None:
    forms = {
        "sport": ("athlete", "{} plays"),
        "birth": ("person", "{} was born in"),
        "label": ("artist", "{} records for"),
        "site": ("place or building", "{} lies in"),
        "land": ("place", "{} belongs to"),
    }
    relations = {
        name: {"subject": kind, "cloze": [form], "question": []}
        for name, (kind, form) in forms.items()
    }
    (tmp_path / "relations.json").write_text(json.dumps(relations), "utf-8")
    line = json.dumps({"subject": "Ann", "relation": "birth", "object": "Oslo"})
    (tmp_path / "facts.jsonl").write_text(line + "\n", "utf-8")
    book = PhraseBook.load(str(tmp_path / "facts.jsonl"), str(tmp_path / "relations.json"))
    asked = book.other_prompts("Ann", "Ann plays")
    assert asked == {"Ann was born in": True, "Ann records for": False}
    assert book.other_prompts("Oslo", "Oslo belongs to") == {"Oslo lies in": False}


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


def test_a_change_of_what_the_editor_was_told_to_keep_is_refused(
    opened: Opened, loaded: LoadedModel
) -> None:
    """The same honest change, whose editor says that an edit's own prompt was to stay."""
    told = opened(gate=replace(OPEN_GATE, told_drift_nats_max=0.5))
    told.add(2)
    done = told.run()
    counts = {one.name: one.count for one in done.measures}
    assert (State.SUCCEEDED, 0) == (done.state, counts["told_drift_nats"])
    prompt = "The language of Person 0 is"
    bench = opened(
        gate=replace(OPEN_GATE, told_drift_nats_max=0.5),
        editors={"bad": spoiled(lambda delta: replace(delta, told=(prompt,)))},
    )
    bench.add(2)
    refused = bench.run()
    assert State.FAILED is refused.state
    assert "told_drift_nats is" in refused.error
    assert [1, 1] == [one.count for one in refused.measures if one.name.startswith("told")]
    assert {"told_drift_nats"} == {one.name for one in refused.measures if not one.passed}
