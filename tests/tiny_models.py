"""Tiny random models of each family, with a byte-level tokenizer, saved as transformers folders.

And the reference that engine tests hold answers against: transformers' own `generate`, alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    PreTrainedTokenizerFast,
    T5Config,
    T5ForConditionalGeneration,
)

from runtime.engine.load import LoadedModel

Tiny = Callable[[str], LoadedModel]  # From a family to its tiny model.
VOCABULARY = 320
CONTEXT = 256
NEAR_TIE = 1e-4  # Of the reference's own two best logits.
TEXTS = (
    "The mother tongue of Danielle Darrieux is French and that of Lionel Messi is Spanish.",
    "the law in Ikaalinen declares the language Finnish, naïve café, 東京都, 🙂👍🏽, Привет",
)

_COMMON = {
    "vocab_size": VOCABULARY,
    "bos_token_id": None,
    "eos_token_id": 0,
    "pad_token_id": None,
    "initializer_range": 0.3,  # Wide enough that answers vary and choices are clear.
}
_WIDE = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": CONTEXT,
    "head_dim": 8,
}
_GROUPED = {**_WIDE, "num_key_value_heads": 2}
_GPT = {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": CONTEXT}

FAMILIES: dict[str, dict[str, Any]] = {
    "gpt2": _GPT,
    "gptj": {**_GPT, "rotary_dim": 4},
    "gpt_neox": {k: v for k, v in _WIDE.items() if k != "head_dim"},
    "opt": {
        "hidden_size": 32,
        "word_embed_proj_dim": 32,
        "ffn_dim": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "max_position_embeddings": CONTEXT,
        "init_std": 0.3,
    },
    "llama": _GROUPED,
    "mistral": {**_GROUPED, "sliding_window": 8},
    "qwen2": {k: v for k, v in _GROUPED.items() if k != "head_dim"},
    "qwen3": _GROUPED,
    "gemma": _GROUPED,
    "gemma2": {**_GROUPED, "sliding_window": 8, "query_pre_attn_scalar": 8},
    "gemma3_text": {**_GROUPED, "sliding_window": 8, "query_pre_attn_scalar": 8},
    "phi": {k: v for k, v in _GROUPED.items() if k != "head_dim"},
    "phi3": {k: v for k, v in _GROUPED.items() if k != "head_dim"},
}


def byte_level_tokenizer() -> Tokenizer:
    """Returns a byte-level BPE tokenizer of VOCABULARY ids; id 0 ends a text."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=["<|end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(TEXTS * 3, trainer)
    return tokenizer


def save_tiny_model(folder: Path, family: str, seed: int = 0) -> Path:
    """Writes a tiny random model of a family with its tokenizer into `folder`."""
    settings = {**_COMMON, **FAMILIES[family]}
    model = _build(AutoConfig.for_model(family, **settings), seed)
    model.save_pretrained(folder)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=byte_level_tokenizer(), eos_token="<|end|>"
    )
    tokenizer.save_pretrained(folder)
    return folder


def save_tiny_t5(folder: Path) -> Path:
    """Writes a tiny random T5 with a tokenizer that ends what the encoder reads."""
    config = T5Config(
        vocab_size=VOCABULARY,
        d_model=32,
        d_kv=8,
        d_ff=48,
        num_layers=2,
        num_heads=4,
        n_positions=128,
        eos_token_id=0,
        pad_token_id=1,
        decoder_start_token_id=1,
        tie_word_embeddings=False,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = T5ForConditionalGeneration(config)
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.data.normal_(std=0.4)
    model.save_pretrained(folder)
    backend = byte_level_tokenizer()
    backend.post_processor = processors.TemplateProcessing(
        single="$A <|end|>", special_tokens=[("<|end|>", 0)]
    )
    PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<|end|>").save_pretrained(folder)
    return folder


def _build(config: Any, seed: int) -> Any:
    """Builds a model with random weights, norms and biases included, from its own seed."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = AutoModelForCausalLM.from_config(config)
        for parameter in model.parameters():
            if parameter.dim() == 1:  # Norms keep their mean of 1 (or 0, as Gemma writes it).
                parameter.data += 0.1 * torch.randn_like(parameter)
            else:
                parameter.data.normal_(std=0.5)
    return model


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """What `generate` answers to one prompt alone."""

    tokens: tuple[int, ...]
    gaps: tuple[float, ...]  # Between the two best logits, before each token.


def load_reference(folder: Path | str) -> Any:
    """Loads a model by transformers alone, in fp32."""
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()


def reference(model: Any, prompt: Sequence[int], max_tokens: int, **settings: Any) -> Reference:
    """Runs greedy `generate` on one prompt."""
    ids = torch.tensor([list(prompt)], device=model.device)
    output = model.generate(
        ids,
        attention_mask=torch.ones_like(ids),
        do_sample=False,
        max_new_tokens=max_tokens,
        pad_token_id=0,
        return_dict_in_generate=True,
        output_scores=True,
        **settings,
    )
    best = [scores[0].topk(2).values for scores in output.scores]
    return Reference(
        tokens=tuple(output.sequences[0, len(prompt) :].tolist()),
        gaps=tuple((two[0] - two[1]).item() for two in best),
    )


def near_tie(expected: Reference, actual: Sequence[int]) -> bool:
    """Whether `actual` leaves `expected` at a near-tie (True) or not at all (False).

    Raises AssertionError when it leaves it anywhere else.
    """
    if expected.tokens == tuple(actual):
        return False
    pairs = zip(expected.tokens, actual, strict=False)
    place = next((i for i, (a, b) in enumerate(pairs) if a != b), None)
    assert place is not None, f"one is longer: {expected.tokens} != {tuple(actual)}"
    assert expected.gaps[place] < NEAR_TIE, (
        f"token {place} differs where the reference's gap is {expected.gaps[place]:.2e}:"
        f" {expected.tokens} != {tuple(actual)}"
    )
    return True


def random_prompt(seed: int, length: int) -> tuple[int, ...]:
    """Returns `length` ids without the end of text."""
    generator = torch.Generator().manual_seed(seed)
    return tuple(torch.randint(1, VOCABULARY, (length,), generator=generator).tolist())
