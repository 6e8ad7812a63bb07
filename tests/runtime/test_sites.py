"""Every family of the table has the parts that the table names, in the orientation it names."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from memory.errors import InvalidInput
from runtime.sites import FAMILIES, sites_of, weight_of
from tests.tiny_models import CONTEXT, VOCABULARY
from tests.tiny_models import FAMILIES as TINY


def build(family: str, **more: Any) -> Any:
    config = AutoConfig.for_model(family, vocab_size=VOCABULARY, **{**TINY[family], **more})
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return AutoModelForCausalLM.from_config(config).eval()


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_the_projections_of_a_family_add_to_its_residual_stream(family: str) -> None:
    """With both output projections at zero a block gives out exactly what it takes in."""
    model = build(family)
    sites = sites_of(model)
    assert 2 == sites.layers
    assert CONTEXT > 0
    with torch.no_grad():
        for name in (sites.mlp_out(1), sites.attention_out(1)):
            module = model.get_submodule(name)
            module.weight.zero_()
            if module.bias is not None:
                module.bias.zero_()
    seen: dict[str, Any] = {}
    block = model.get_submodule(sites.block(1))
    handles = [
        block.register_forward_pre_hook(
            lambda _, args, kw: seen.update(before=args[0] if args else kw["hidden_states"]),
            with_kwargs=True,
        ),
        block.register_forward_hook(
            lambda _, __, out: seen.update(after=out[0] if isinstance(out, tuple) else out)
        ),
        model.get_submodule(sites.family.final_norm).register_forward_pre_hook(
            lambda _, args: seen.update(last=args[0])
        ),
    ]
    model(torch.tensor([[5, 6, 7]]))
    for handle in handles:
        handle.remove()
    assert torch.equal(seen["before"], seen["after"])
    assert torch.equal(seen["after"], seen["last"])


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_a_weight_is_seen_as_out_times_in(family: str) -> None:
    model = build(family)
    sites = sites_of(model)
    name = sites.mlp_out(0)
    weight = weight_of(model, sites, name)
    module = model.get_submodule(name)
    x = torch.randn(3, weight.shape[1])
    expected = x @ weight.T + (module.bias if module.bias is not None else 0)
    assert torch.allclose(expected, module(x), atol=1e-6)
    assert model.config.hidden_size == weight.shape[0]


def test_an_unknown_family_is_an_error_that_lists_the_known_ones() -> None:
    model = SimpleNamespace(config=SimpleNamespace(model_type="mamba"))
    with pytest.raises(InvalidInput, match=r"'mamba'.*gemma, gpt2, gpt_neox, gptj, llama"):
        sites_of(model)


def test_a_model_that_normalises_after_adding_is_refused() -> None:
    with pytest.raises(InvalidInput, match="do_layer_norm_before"):
        sites_of(build("opt", do_layer_norm_before=False))


def test_a_layer_that_is_none_is_refused() -> None:
    with pytest.raises(InvalidInput, match="layer is 2; expected 0 to 1"):
        sites_of(build("gpt2")).mlp_out(2)
