"""Hooks see and change what they should, and are gone whatever happens."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from runtime.consolidation.trace import at_last_token, hooked, replaced, trace
from runtime.sites import FAMILIES, sites_of
from tests.tiny_models import Tiny, random_prompt


def hook_count(model: Any) -> int:
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules())


@pytest.mark.parametrize("where", ["input", "output", "body"])
def test_hooks_are_gone_after_an_error_inside(tiny: Tiny, where: str) -> None:
    model = tiny("llama").model
    name = sites_of(model).mlp_out(0)

    def fail(_: Tensor) -> None:
        raise RuntimeError("inside")

    def run() -> None:
        with hooked(
            model,
            inputs={name: fail} if where == "input" else {},
            outputs={name: fail} if where == "output" else {},
        ):
            if where == "body":
                fail(torch.zeros(1))
            model(torch.tensor([[1, 2, 3]]))

    with pytest.raises(RuntimeError, match="inside"):
        run()
    assert 0 == hook_count(model)


def test_a_wrong_name_sets_no_hook(tiny: Tiny) -> None:
    model = tiny("llama").model
    names = [sites_of(model).mlp_out(0), "model.nothing"]
    with pytest.raises(AttributeError), trace(model, inputs=names):
        pass
    assert 0 == hook_count(model)


def test_a_trace_stops_the_pass_as_soon_as_all_was_seen(tiny: Tiny) -> None:
    model = tiny("llama").model
    sites = sites_of(model)
    passed = []
    with hooked(model, outputs={sites.block(1): lambda _: passed.append(1)}):
        with trace(model, inputs=[sites.mlp_out(0)]) as seen:
            model(torch.tensor([[1, 2, 3]]))
        assert [] == passed
        with trace(model, inputs=[sites.mlp_out(0)], stop=False) as seen:
            model(torch.tensor([[1, 2, 3]]))
    assert [1] == passed
    assert (1, 3, 48) == seen.inputs[sites.mlp_out(0)].shape
    assert 0 == hook_count(model)


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_a_replaced_weight_computes_as_if_it_were_in_the_model(tiny: Tiny, family: str) -> None:
    model = tiny(family).model
    sites = sites_of(model)
    name = sites.mlp_out(0)
    module = model.get_submodule(name)
    before = module.weight.detach().clone()
    change = torch.randn(before.shape, generator=torch.Generator().manual_seed(1))
    new = before + change
    ids = torch.tensor([random_prompt(1, 9)])
    with torch.no_grad():
        with replaced(model, {name: new.T if sites.family.transposed else new}):
            actual = model(ids).logits
        assert torch.equal(before, module.weight)
        module.weight.copy_(new)
        expected = model(ids).logits
        module.weight.copy_(before)
    assert torch.allclose(expected, actual, atol=1e-4)
    assert 0 == hook_count(model)


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_what_stands_at_the_last_token_does_not_depend_on_the_batch(
    tiny: Tiny, family: str
) -> None:
    model = tiny(family).model
    sites = sites_of(model)
    rows = [random_prompt(seed, 3 + seed) for seed in range(5)]
    key, block = sites.mlp_out(1), sites.block(0)
    many = at_last_token(model, rows, batch_rows=3, inputs=[key], outputs=[block])
    for place, row in enumerate(rows):
        alone = at_last_token(model, [row], inputs=[key], outputs=[block])
        assert torch.allclose(alone.inputs[key][0], many.inputs[key][place], atol=1e-4)
        assert torch.allclose(alone.outputs[block][0], many.outputs[block][place], atol=1e-4)
