"""Where the parts of a model family are: data by `config.model_type`, never a test on a name.

A site is a module's dotted path in the causal model. Knows nothing of editing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from memory.errors import InvalidInput


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """Paths of one family; those of a block's parts are relative to the block."""

    blocks: str  # The list of blocks.
    mlp_out: str  # The MLP's last projection, whose output is added to the residual stream.
    attention_out: str  # The attention's last projection, likewise.
    final_norm: str
    transposed: bool = False  # GPT-2's Conv1D stores weights as (d_in, d_out).


_LLAMA = Family(
    blocks="model.layers",
    mlp_out="mlp.down_proj",
    attention_out="self_attn.o_proj",
    final_norm="model.norm",
)

FAMILIES: dict[str, Family] = {
    "gpt2": Family(
        blocks="transformer.h",
        mlp_out="mlp.c_proj",
        attention_out="attn.c_proj",
        final_norm="transformer.ln_f",
        transposed=True,
    ),
    "gptj": Family(
        blocks="transformer.h",
        mlp_out="mlp.fc_out",
        attention_out="attn.out_proj",
        final_norm="transformer.ln_f",
    ),
    "gpt_neox": Family(
        blocks="gpt_neox.layers",
        mlp_out="mlp.dense_4h_to_h",
        attention_out="attention.dense",
        final_norm="gpt_neox.final_layer_norm",
    ),
    "opt": Family(
        blocks="model.decoder.layers",
        mlp_out="fc2",
        attention_out="self_attn.out_proj",
        final_norm="model.decoder.final_layer_norm",
    ),
    "llama": _LLAMA,
    "mistral": _LLAMA,
    "qwen2": _LLAMA,
    "qwen3": _LLAMA,
    "gemma": _LLAMA,
    "phi": Family(
        blocks="model.layers",
        mlp_out="mlp.fc2",
        attention_out="self_attn.dense",
        final_norm="model.final_layernorm",
    ),
}
"""Gemma 2 and 3 are left out on purpose: they normalise what the MLP writes before it is added to
the residual stream, so that a change of the projection does not add what the formulas assume."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sites:
    """The sites of one model."""

    family: Family
    model_type: str
    layers: int

    def block(self, layer: int) -> str:
        """Path of a block; its output is the residual stream after it."""
        if not 0 <= layer < self.layers:
            raise InvalidInput(
                f"layer is {layer}; expected 0 to {self.layers - 1}, the model's blocks",
                field="layers",
            )
        return f"{self.family.blocks}.{layer}"

    def mlp_out(self, layer: int) -> str:
        """Path of a block's MLP output projection, the matrix that editors change."""
        return f"{self.block(layer)}.{self.family.mlp_out}"

    def attention_out(self, layer: int) -> str:
        """Path of a block's attention output projection."""
        return f"{self.block(layer)}.{self.family.attention_out}"


def sites_of(model: Any) -> Sites:
    """Returns the sites of a causal model.

    Raises InvalidInput for a family that is not in the table, naming those that are, and for a
    variant whose blocks normalise after adding (OPT 350m).
    """
    model_type = str(model.config.model_type)
    family = FAMILIES.get(model_type)
    if family is None:
        raise InvalidInput(
            f"model_type is {model_type!r}, of which no sites are known; expected one of"
            f" {', '.join(sorted(FAMILIES))}. A family is added as one entry of runtime/sites.py",
            field="model",
        )
    if not getattr(model.config, "do_layer_norm_before", True):
        raise InvalidInput(
            f"this {model_type} normalises after each block (do_layer_norm_before is false);"
            " editors need a residual stream that blocks only add to",
            field="model",
        )
    return Sites(
        family=family, model_type=model_type, layers=len(model.get_submodule(family.blocks))
    )


def weight_of(model: Any, sites: Sites, module: str) -> Any:
    """Returns the live weight of a projection as `(d_out, d_in)`: a view, not to be written to."""
    weight = model.get_submodule(module).weight
    return weight.T if sites.family.transposed else weight
