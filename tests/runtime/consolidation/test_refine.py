"""Refining: what the solve missed takes, what is held stays, and the change keeps its form."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from evaluation.edited_model import EditedModel
from memory.errors import ConsolidationFailed
from runtime.consolidation.contract import Delta, Fact, MatrixDelta
from runtime.consolidation.descent import Descent
from runtime.consolidation.held import HeldRows, held_rows
from runtime.consolidation.measuring import judge, target_rows
from runtime.consolidation.refine import (
    FACTS_AT_ONCE,
    STEPS_MIN,
    Turns,
    hold_of,
    refined,
    refined_where_needed,
    steps_of,
    taken,
)
from runtime.consolidation.solve import Factors
from runtime.consolidation.tokens import Lesson
from runtime.consolidation.workbench import Workbench
from runtime.engine.load import LoadedModel
from tests.editor_kit import FACTS, SETTINGS, bench_of, hook_count, nothing, state
from tests.tiny_models import Tiny

SEED = 5
STEPS = 12


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fewer steps, and fewer rows in each, than any real change gets."""
    monkeypatch.setattr("runtime.consolidation.refine.STEPS_MIN", STEPS)
    small = {"neighbours": 4, "same_subject": 2, "texts": 2}
    monkeypatch.setattr("runtime.consolidation.refine.HELD_AT_ONCE", small)


def weak(bench: Workbench) -> dict[str, Factors]:
    """A change of rank 6 in each layer that does next to nothing: the tests' starting point."""
    draw = torch.Generator().manual_seed(SEED)
    found = {}
    for layer in bench.settings.layers:
        module = bench.sites.mlp_out(layer)
        d_out, d_in = bench.weight(module).shape
        found[module] = Factors(
            left=0.01 * torch.randn(d_out, 6, generator=draw, dtype=torch.float64),
            right=torch.randn(6, d_in, generator=draw, dtype=torch.float64),
        )
    return found


def held_of(bench: Workbench, loaded: LoadedModel) -> HeldRows:
    return held_rows(
        FACTS,
        loaded.model,
        bench.codec,
        bench.corpus,
        subjects=3,
        sentences=3,
        seed=SEED,
    )


def worn(loaded: LoadedModel, changes: dict[str, Factors]) -> EditedModel:
    edited = EditedModel(loaded.model, loaded.tokenizer)
    matrices = tuple(
        MatrixDelta(module=name, full=change.full().float()) for name, change in changes.items()
    )
    edited.wear(Delta(matrices=matrices, reports=(), settings={}))
    return edited


def missed_nats(bench: Workbench, model: object) -> float:
    """Mean negative log-likelihood of the targets."""
    rows = target_rows(bench.codec, [(fact.prompt, fact.target) for fact in FACTS])
    return -sum(one.logprob for one in judge(model, rows, lambda _: None)) / len(rows)


def moved_nats(loaded: LoadedModel, model: object, held: HeldRows) -> float:
    """Mean divergence of what should stay, computed row by row."""
    found = []
    for one in (*held.neighbours, *held.same_subject, *held.texts):
        ids = torch.tensor([one.tokens])
        with torch.no_grad():
            before = loaded.model(ids).logits[0].double().log_softmax(-1)
            after = model(ids).logits[0].double().log_softmax(-1)  # type: ignore[operator]
        each = (before.exp() * (before - after)).sum(-1)
        found.append(float(each[list(one.places)].mean()))
    return sum(found) / len(found)


@pytest.mark.parametrize("family", ["llama", "gpt2", "opt"])
def test_what_did_not_take_takes_and_the_form_is_kept(
    deep: Tiny, corpus_file: Path, family: str
) -> None:
    loaded = deep(family)
    bench = bench_of(loaded, corpus_file, refine_passes=1, refine_rate=3.0, refine_hold=0.0)
    before, live = weak(bench), state(loaded.model)
    after = refined(bench, bench.rows(FACTS), held_of(bench, loaded), before, nothing)
    assert set(before) == set(after)
    for name, change in after.items():
        assert torch.equal(change.right, before[name].right)
        assert before[name].left.shape == change.left.shape
    start = missed_nats(bench, worn(loaded, before).model)
    end = missed_nats(bench, worn(loaded, after).model)
    assert end < 0.7 * start
    assert all(torch.equal(live[key], value) for key, value in loaded.model.state_dict().items())
    assert 0 == hook_count(loaded.model)


def test_holding_keeps_what_should_stay(deep: Tiny, corpus_file: Path) -> None:
    loaded = deep("llama")
    moved = {}
    for hold in (0.0, 30.0):
        bench = bench_of(loaded, corpus_file, refine_passes=1, refine_rate=3.0, refine_hold=hold)
        held = held_of(bench, loaded)
        after = refined(bench, bench.rows(FACTS), held, weak(bench), nothing)
        moved[hold] = moved_nats(loaded, worn(loaded, after).model, held)
    assert moved[30.0] < 0.5 * moved[0.0]


def test_a_target_that_is_sure_is_not_pressed(
    deep: Tiny, corpus_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = deep("llama")
    monkeypatch.setattr("runtime.consolidation.descent.SURE", 1e-30)
    bench = bench_of(loaded, corpus_file, refine_passes=1, refine_hold=0.0)
    before = weak(bench)
    after = refined(bench, bench.rows(FACTS), held_of(bench, loaded), before, nothing)
    for name, change in after.items():
        assert torch.allclose(change.left, before[name].left, atol=1e-6)


def test_the_same_seed_gives_the_same_and_no_passes_give_what_was_given(
    deep: Tiny, corpus_file: Path
) -> None:
    loaded = deep("llama")
    bench = bench_of(loaded, corpus_file, refine_passes=1)
    rows, held, before = bench.rows(FACTS), held_of(bench, loaded), weak(bench)
    one = refined(bench, rows, held, before, nothing)
    torch.manual_seed(3)
    two = refined(bench, rows, held, before, nothing)
    assert all(torch.equal(one[name].left, two[name].left) for name in one)
    assert any(not torch.equal(one[name].left, before[name].left) for name in one)
    idle = bench_of(loaded, corpus_file)
    assert refined(idle, rows, held, before, nothing) == before


def test_a_loss_that_is_not_finite_says_so(deep: Tiny, corpus_file: Path) -> None:
    loaded = deep("llama")
    bench = bench_of(loaded, corpus_file, refine_passes=1)
    broken = weak(bench)
    next(iter(broken.values())).left[0, 0] = torch.nan
    with pytest.raises(ConsolidationFailed, match="refine_rate"):
        refined(bench, bench.rows(FACTS), held_of(bench, loaded), broken, nothing)
    assert 0 == hook_count(loaded.model)


def test_it_can_be_stopped_between_steps(deep: Tiny, corpus_file: Path) -> None:
    class Cancelled(Exception):
        pass

    seen = []

    def stop(stage: str, done: int, total: int) -> None:
        seen.append((stage, total))
        if done == 2:
            raise Cancelled

    loaded = deep("llama")
    bench = bench_of(loaded, corpus_file, refine_passes=1)
    with pytest.raises(Cancelled):
        refined(bench, bench.rows(FACTS), held_of(bench, loaded), weak(bench), stop)
    assert seen == [("refining", STEPS)] * 3
    assert 0 == hook_count(loaded.model)


def test_a_solve_that_took_is_left_alone(deep: Tiny, corpus_file: Path) -> None:
    loaded = deep("llama")
    bench = bench_of(loaded, corpus_file, refine_passes=1, refine_below=0.3)
    rows, start = bench.rows(FACTS), weak(bench)
    assert taken(bench, rows, start) < 0.3
    assert refined_where_needed(bench, FACTS, rows, start, nothing) is not start
    eager = bench_of(loaded, corpus_file, refine_passes=900, refine_rate=3.0, refine_hold=0.0)
    strong = refined(eager, rows, held_of(bench, loaded), start, nothing)
    assert taken(bench, rows, strong) >= 0.3
    assert refined_where_needed(bench, FACTS, rows, strong, nothing) is strong


def test_steps_grow_with_the_facts_and_with_phrasings(deep: Tiny, corpus_file: Path) -> None:
    bench = bench_of(deep("llama"), corpus_file, prefixes=1)
    alone, phrased = bench.rows(FACTS).lessons, bench.rows(with_phrasings(2)).lessons

    def steps(passes: float, given: float, facts: list[list[Lesson]]) -> int:
        how = replace(SETTINGS, refine_passes=passes, refine_passes_given=given)
        return steps_of(how, facts, 2)

    assert steps(0.0, 9.0, phrased) == 0
    assert steps(10.0, 0.0, alone) == STEPS < STEPS_MIN
    assert steps(500.0, 900.0, alone) == math.ceil(1500 / FACTS_AT_ONCE)
    assert steps(500.0, 900.0, phrased) == math.ceil(2700 / FACTS_AT_ONCE)
    assert steps(500.0, 0.0, phrased) == math.ceil(1500 / FACTS_AT_ONCE)
    assert steps(500.0, 900.0, [phrased[0], alone[1]]) == math.ceil(1400 / FACTS_AT_ONCE)


def test_facts_in_more_phrasings_are_held_harder(deep: Tiny, corpus_file: Path) -> None:
    bench = bench_of(deep("llama"), corpus_file, prefixes=1)
    alone, phrased = bench.rows(FACTS).lessons, bench.rows(with_phrasings(2)).lessons
    how = replace(SETTINGS, refine_hold=2.0, refine_hold_given=8.0)
    assert hold_of(how, alone, 2) == 2.0
    assert hold_of(how, phrased, 2) == 8.0
    assert hold_of(how, [phrased[0], alone[1], alone[0]], 2) == 4.0
    assert hold_of(replace(how, refine_hold=9.0), phrased, 2) == 9.0


def with_phrasings(count: int) -> list[Fact]:
    """The tests' facts, each with so many more phrasings."""
    return [
        replace(fact, paraphrases=tuple(f"{n}, {fact.subject} is of" for n in range(count)))
        for fact in FACTS
    ]


def test_a_row_that_was_sure_when_last_met_is_met_seldom(deep: Tiny, corpus_file: Path) -> None:
    bench = bench_of(deep("llama"), corpus_file, prefixes=0)
    turns = Turns(bench.rows(FACTS), SEED)
    assert sorted(turns.draw(3)) == [0, 1, 2]
    turns.note([0, 1], [True, False])
    met = [turns.draw(1)[0] for _ in range(300)]
    assert 3 < met.count(0) < 40 < 100 < met.count(1)
    turns.note([0], [False])
    assert 60 < [turns.draw(1)[0] for _ in range(300)].count(0)


@pytest.mark.parametrize(
    ("prefixes", "phrasings", "share"), [(0, 0, 1.0), (2, 0, 0.5), (2, 3, 0.5), (0, 3, 0.5)]
)
def test_an_edits_own_prompt_has_half_of_its_turns(
    deep: Tiny, corpus_file: Path, prefixes: int, phrasings: int, share: float
) -> None:
    bench = bench_of(deep("llama"), corpus_file, prefixes=prefixes)
    rows = bench.rows(with_phrasings(phrasings))
    turns = Turns(rows, SEED)
    first = turns.odds[: len(rows.lessons[0])]
    assert bench.codec.prompt(FACTS[0].prompt) == turns.lessons[0].prompt
    assert first.sum().item() == pytest.approx(1.0)
    assert first[0].item() == pytest.approx(share)
    assert len(first) == 1 or first[1:].min() > 0


def test_a_steps_rows_run_in_parts_that_sum_to_the_whole(
    deep: Tiny, corpus_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = deep("llama")
    bench = bench_of(loaded, corpus_file, refine_hold=1.0)
    taught = [one for listed in bench.rows(FACTS).lessons for one in listed]
    held = held_of(bench, loaded)
    kept = [*held.neighbours[:3], *held.same_subject[:3], *held.texts[:3]]
    moved, sizes = [], list[int]()

    def look(_: object, __: object, kwargs: dict[str, torch.Tensor]) -> None:
        sizes.append(kwargs["input_ids"].numel())

    for tokens in (10**6, 120):
        monkeypatch.setattr("runtime.consolidation.descent.PASS_TOKENS", tokens)
        descent = Descent(bench, weak(bench), 1e-3)
        handle = loaded.model.base_model.register_forward_pre_hook(look, with_kwargs=True)
        loss = descent.step(taught, kept, hold=1.0, share=1.0)
        handle.remove()
        moved.append((loss.missed, loss.moved, descent.slopes()))
    assert max(sizes[:3]) > 120 >= max(sizes[3:])
    whole, parts = moved
    assert whole[:2] == pytest.approx(parts[:2], rel=1e-4)
    for name, slope in whole[2].items():
        assert slope.abs().max() > 0
        assert torch.allclose(slope, parts[2][name], rtol=1e-3, atol=1e-6)
