"""Writes a trained network as a plain transformers folder (bf16 safetensors, tokenizer)."""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

import torch
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from pocket.network import Network, Shape
from runtime.engine.contract import PROMPT_FORM


def to_llama(network: Network, tokenizer: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    """Returns the same model as a float32 LlamaForCausalLM."""
    shape = network.shape
    config = LlamaConfig(
        vocab_size=shape.vocabulary,
        hidden_size=shape.width,
        intermediate_size=shape.mlp_width,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.heads,
        max_position_embeddings=shape.context,
        rms_norm_eps=1e-5,
        rope_theta=shape.rope_theta,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        attention_bias=False,
        mlp_bias=False,
    )
    model = LlamaForCausalLM(config)
    missing, unexpected = model.load_state_dict(network.llama_state(), strict=False)
    if unexpected or set(missing) - {"lm_head.weight"}:
        raise ValueError(f"export does not fit: missing {missing}, unexpected {unexpected}")
    model.tie_weights()
    return model.eval()


def export(
    network: Network, tokenizer: PreTrainedTokenizerFast, folder: Path, *, prompt_form: str = ""
) -> None:
    """Replaces `folder` by the exported model, so that a reader never sees half of it.

    `prompt_form` tells the server what the prompts of its training had besides; "" is nothing.
    """
    fresh, stale = folder.with_name(folder.name + ".new"), folder.with_name(folder.name + ".old")
    for path in (fresh, stale):
        shutil.rmtree(path, ignore_errors=True)
    model = to_llama(network, tokenizer).to(torch.bfloat16)
    model.generation_config.max_new_tokens = 64
    model.generation_config.do_sample = False
    if prompt_form:
        setattr(model.config, PROMPT_FORM, prompt_form)
    model.save_pretrained(fresh)
    tokenizer.save_pretrained(fresh)
    for path in fresh.iterdir():
        path.chmod(0o644)
    if folder.exists():
        folder.rename(stale)
    fresh.rename(folder)
    shutil.rmtree(stale, ignore_errors=True)


def main() -> None:
    """Exports a checkpoint."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path, help="folder of a training run")
    parser.add_argument("out", type=Path, help="folder to write")
    arguments = parser.parse_args()
    state = torch.load(arguments.run / "checkpoint.pt", map_location="cpu", weights_only=True)
    network = Network(Shape(**state["shape"]))
    network.load_state_dict(state["network"])
    export(network, AutoTokenizer.from_pretrained(arguments.run / "tokenizer"), arguments.out)


if __name__ == "__main__":
    main()
