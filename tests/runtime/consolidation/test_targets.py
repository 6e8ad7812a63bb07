"""Targets: a replay is the model, a batch is one by one, and each fact stops by itself."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from memory.errors import ConsolidationFailed
from runtime.consolidation.replay import Replay
from runtime.consolidation.targets import (
    Objective,
    Place,
    Targets,
    Work,
    facts_at_once,
    find_targets,
)
from runtime.consolidation.tokens import Lesson
from runtime.consolidation.trace import at_last_token, hooked
from runtime.engine.load import LoadedModel
from runtime.sites import FAMILIES, sites_of
from tests.tiny_models import Tiny, random_prompt


def lesson(fact: int, length: int, site: int, answer: int) -> Lesson:
    return Lesson(
        fact=fact,
        prompt=random_prompt(fact, length),
        site=site,
        answer=random_prompt(50 + fact, answer) if answer else (),
        weight=1.0,
    )


SHAPES = [(5, 2, 3), (9, 8, 1), (12, 0, 2), (3, 1, 4), (7, 3, 2)]
FACTS = [[lesson(number, *shape)] for number, shape in enumerate(SHAPES)]


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_a_replay_gives_the_models_own_logits(tiny: Tiny, family: str) -> None:
    model = tiny(family).model
    sites = sites_of(model)
    rows = [fact[0] for fact in FACTS]
    replay = Replay(model, sites, rows, 1)
    delta = torch.randn(len(rows), 32, generator=torch.Generator().manual_seed(3))
    for number, row in enumerate(rows):
        ids = torch.tensor([row.prompt + row.answer[:-1]])

        def add(output: Tensor, row: Lesson = row, number: int = number) -> Tensor:
            output = output.clone()
            output[0, row.site] += delta[number]
            return output

        with torch.no_grad(), hooked(model, outputs={sites.block(0): add}):
            expected = model(ids).logits[0, row.site :]
        columns = torch.arange(len(expected))
        actual = replay.run(delta, (torch.full_like(columns, number), columns))
        assert torch.allclose(expected, actual, atol=2e-3, rtol=1e-4)


def find(
    loaded: LoadedModel,
    facts: Sequence[Sequence[Lesson]],
    *,
    essence: Sequence[Lesson] = (),
    place: Place | None = None,
    **how: Any,
) -> Targets:
    model = loaded.model
    sites = sites_of(model)
    objective = Objective(**{"steps": 12, "learning_rate": 0.3, "kl_factor": 0.0, **how})
    seen = at_last_token(model, [fact[0].to_site for fact in facts], outputs=[sites.block(0)])
    return find_targets(
        model,
        sites,
        lessons=facts,
        essence=essence,
        initial=seen.outputs[sites.block(0)][:, None],
        place=place or Place(first=1),
        objective=objective,
        progress=lambda _done, _total: None,
    )


@pytest.mark.parametrize("family", ["gpt2", "llama"])
@pytest.mark.parametrize("batch_facts", [2, 5])
def test_a_batch_gives_each_fact_what_it_gets_alone(
    tiny: Tiny, family: str, batch_facts: int
) -> None:
    together = find(tiny(family), FACTS, batch_facts=batch_facts, clamp_factor=4.0)
    for number, fact in enumerate(FACTS):
        alone = find(tiny(family), [[dataclasses.replace(fact[0], fact=0)]], clamp_factor=4.0)
        assert alone.steps[0] == together.steps[number]
        assert alone.took[0] == together.took[number]
        assert alone.loss[0] == pytest.approx(together.loss[number], abs=2e-2)
        cosine = torch.cosine_similarity(alone.delta[0, 0], together.delta[number, 0], dim=0)
        assert float(cosine) > 0.98


def test_one_step_is_adams_first_by_a_reference(tiny: Tiny) -> None:
    """The first step of Adam moves each number by the rate against the slope's sign."""
    model = tiny("llama").model
    sites = sites_of(model)
    row = FACTS[0][0]
    found = find(tiny("llama"), [[row]], steps=2, clamp_factor=100.0, weight_decay=0.0)
    added = torch.zeros(1, 32, requires_grad=True)

    def add(output: Tensor) -> Tensor:
        output = output.clone()
        output[0, row.site] = output[0, row.site] + added[0]
        return output

    ids = torch.tensor([row.prompt + row.answer[:-1]])
    with hooked(model, outputs={sites.block(0): add}):
        logits = model(ids).logits[0, len(row.prompt) - 1 :]
    loss = torch.nn.functional.cross_entropy(logits, torch.tensor(row.answer))
    (slope,) = torch.autograd.grad(loss, added)
    assert torch.allclose(-0.3 * slope.sign()[0], found.delta[0, 0], atol=1e-3)


def test_facts_stop_by_themselves_and_leave_room_for_others(tiny: Tiny) -> None:
    found = find(
        tiny("llama"),
        FACTS,
        batch_facts=2,
        steps=40,
        clamp_factor=50.0,
        stop_loss=10.0,
        weight_decay=0.0,
    )
    assert len(set(found.steps)) > 1
    assert all(1 <= steps <= 40 for steps in found.steps)
    for steps, loss in zip(found.steps, found.loss, strict=True):
        assert steps == 40 or loss < 10.0


def test_a_target_stays_in_its_ball(tiny: Tiny) -> None:
    model = tiny("llama").model
    sites = sites_of(model)
    found = find(tiny("llama"), FACTS, clamp_factor=0.1)
    states = at_last_token(
        model, [fact[0].to_site for fact in FACTS], outputs=[sites.block(0)]
    ).outputs[sites.block(0)]
    assert bool((found.delta[:, 0].norm(dim=-1) <= 0.1 * states.norm(dim=-1) + 1e-5).all())


def test_the_essence_is_kept_by_its_divergence(tiny: Tiny) -> None:
    """With a strong factor the essence prompt's prediction moves less than without."""
    kept = [lesson(number, 4, 1, 0) for number in range(len(FACTS))]
    loaded = tiny("llama")
    moved = []
    for factor in (1e-9, 30.0):
        found = find(loaded, FACTS, essence=kept, kl_factor=factor, clamp_factor=2.0)
        replay = Replay(loaded.model, sites_of(loaded.model), kept, 1)
        ends = (torch.arange(len(kept)), torch.full((len(kept),), 2))
        before = replay.run(None, ends).log_softmax(-1)
        after = replay.run(found.delta[:, 0], ends).log_softmax(-1)
        moved.append(float((before.exp() * (before - after)).sum(-1).mean()))
    assert moved[1] < 0.5 * moved[0]


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_targets_inside_a_block_add_to_its_parts(tiny: Tiny, family: str) -> None:
    """At the MLP's output δ is the block output's δ: PMET's place agrees with MEMIT's."""
    loaded = tiny(family)
    sites = sites_of(loaded.model)
    rows = [fact[0] for fact in FACTS]
    delta = torch.randn(len(rows), 32, generator=torch.Generator().manual_seed(2))
    wanted = (torch.arange(len(rows)), torch.zeros(len(rows), dtype=torch.long))
    outside = Replay(loaded.model, sites, rows, 1).run(delta, wanted)
    inside = Replay(loaded.model, sites, rows, 0).run(None, wanted, {sites.mlp_out(0): delta})
    assert torch.allclose(outside, inside, atol=1e-3)


def test_a_loss_that_is_no_number_fails_and_names_the_facts(tiny: Tiny) -> None:
    loaded = tiny("llama")
    with pytest.raises(ConsolidationFailed, match=r"facts \[0, 1, 2, 3, 4\]"):
        find_targets(
            loaded.model,
            sites_of(loaded.model),
            lessons=FACTS,
            essence=(),
            initial=torch.full((5, 1, 32), float("nan")),
            place=Place(first=1),
            objective=Objective(steps=3),
            progress=lambda _done, _total: None,
        )


def test_progress_can_stop_the_search(tiny: Tiny) -> None:
    loaded = tiny("llama")

    def stop(done: int, total: int) -> None:
        assert 5 == total
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        find_targets(
            loaded.model,
            sites_of(loaded.model),
            lessons=FACTS,
            essence=(),
            initial=torch.ones(5, 1, 32),
            place=Place(first=1),
            objective=Objective(steps=3, kl_factor=0.0, batch_facts=2),
            progress=stop,
        )


def test_a_large_vocabulary_makes_batches_small_and_changes_no_target(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = tiny("llama")
    work = Work(
        model=loaded.model, sites=sites_of(loaded.model), place=Place(first=1), lessons=FACTS,
        essence=(),
    )  # fmt: skip
    assert facts_at_once(work, 3) == 3
    together = find(loaded, FACTS, batch_facts=5)
    predicted = sum(len(row.answer) for rows in FACTS for row in rows) / len(FACTS)
    vocabulary = loaded.model.get_output_embeddings().weight.shape[0]
    room = int(2.5 * predicted * vocabulary * 4)
    monkeypatch.setattr("runtime.consolidation.targets.LOGITS_BYTES_MAX", room)
    assert facts_at_once(work, 5) == 2
    apart = find(loaded, FACTS, batch_facts=5)
    assert apart.took == together.took
    assert torch.allclose(apart.delta, together.delta, atol=1e-3)
    monkeypatch.setattr("runtime.consolidation.targets.LOGITS_BYTES_MAX", 1)
    assert facts_at_once(work, 5) == 1
