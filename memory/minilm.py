"""The forward pass of all-MiniLM-L6-v2: token ids in, unit vectors out.

sentence-transformers is the reference (a test holds the agreement); this reads the same weights but
takes a fraction of the time for each question, because little but the products is left, and starts
without importing it. Knows nothing of text, threads or batching.

Legend: n texts, t tokens, d width (384).
BERT, Devlin et al. 2018, arXiv 1810.04805; mean pooling, Reimers & Gurevych 2019, 1908.10084.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional as F  # noqa: N812  The name every torch user reads.

from memory.blocks import Blocks, BlockTensors, make_blocks, make_int8_blocks
from memory.int8_blocks import load_ranges

WEIGHTS_FILE = "model.safetensors"


@dataclass(frozen=True, slots=True, kw_only=True)
class MiniLm:
    """The whole model on one device; the products in a dtype, norms and sums in fp32."""

    words: Tensor  # (vocabulary, d), fp32.
    places: Tensor  # (positions, d), fp32, with the one token type of a lone text added.
    norm: Tensor  # (d,)
    norm_bias: Tensor
    blocks: Blocks
    epsilon: float

    @classmethod
    def load(
        cls, folder: Path, *, device: torch.device, dtype: torch.dtype, threads: int = 1
    ) -> MiniLm:
        """Reads config.json and model.safetensors of `folder`; OSError or KeyError if they lack.

        `threads` is how many an engine of its own may use; torch's number is the caller's to set.
        """
        config, full = _read(folder, device)
        places = full["embeddings.position_embeddings.weight"]
        epsilon = config["layer_norm_eps"]
        return cls(
            words=full["embeddings.word_embeddings.weight"],
            places=places + full["embeddings.token_type_embeddings.weight"][0],
            norm=full["embeddings.LayerNorm.weight"],
            norm_bias=full["embeddings.LayerNorm.bias"],
            blocks=make_blocks(
                all_block_tensors(full, config),
                heads=config["num_attention_heads"],
                epsilon=epsilon,
                dtype=dtype,
                threads=threads,
            ),
            epsilon=epsilon,
        )

    def in_8_bits(self, folder: Path, ranges: Path, *, name: str, threads: int = 1) -> MiniLm:
        """Returns this model for one text at a time, its products in 8 bits; shares the words.

        `name` is the encoder's, for which the file of ranges must have been measured. Raises
        ValueError with the reason when it was not.
        """
        config, full = _read(folder, torch.device("cpu"))
        tensors = all_block_tensors(full, config)
        return self.with_blocks(
            make_int8_blocks(
                tensors,
                load_ranges(ranges, encoder=name, depth=len(tensors)),
                heads=config["num_attention_heads"],
                epsilon=self.epsilon,
                threads=threads,
            )
        )

    def with_blocks(self, blocks: Blocks) -> MiniLm:
        """Returns this model with other blocks; shares the words."""
        return replace(self, blocks=blocks)

    @torch.inference_mode()
    def embed(self, ids: Tensor, lengths: Tensor | None) -> Tensor:
        """Returns unit vectors (n, d) fp32 of ids (n, t) int64.

        `lengths` (n,) counts the tokens before the padding; None when nothing is padded.
        """
        assert ids.dim() == 2, f"ids have shape {tuple(ids.shape)}; expected (n, t)"
        t = ids.shape[1]
        hidden = self.words[ids] + self.places[:t]  # (n, t, d)
        hidden = F.layer_norm(hidden, self.norm.shape, self.norm, self.norm_bias, self.epsilon)
        hidden = self.blocks(hidden, lengths)
        if lengths is None:
            pooled = hidden.mean(dim=1)
        else:
            kept = torch.arange(t, device=ids.device) < lengths[:, None]  # (n, t)
            summed = hidden.masked_fill(~kept[:, :, None], 0.0).sum(dim=1)
            pooled = summed / lengths[:, None]
        return F.normalize(pooled, dim=1)

    @property
    def dimension(self) -> int:
        """The width d of a vector."""
        return self.words.shape[1]


def all_block_tensors(full: Mapping[str, Tensor], config: Mapping[str, Any]) -> list[BlockTensors]:
    """Returns the blocks that config.json counts, in their order, fp32."""
    return [block_tensors(full, number) for number in range(config["num_hidden_layers"])]


def block_tensors(full: Mapping[str, Tensor], number: int) -> BlockTensors:
    """Returns one block of a BERT by the names that transformers gives its weights, fp32."""

    def pair(*names: str) -> tuple[Tensor, Tensor]:
        """Puts the named layers side by side as one."""
        prefix = f"encoder.layer.{number}."
        weight = torch.cat([full[f"{prefix}{name}.weight"] for name in names])
        return weight, torch.cat([full[f"{prefix}{name}.bias"] for name in names])

    return BlockTensors(
        qkv=pair(*(f"attention.self.{name}" for name in ("query", "key", "value"))),
        out=pair("attention.output.dense"),
        norm1=pair("attention.output.LayerNorm"),
        up=pair("intermediate.dense"),
        down=pair("output.dense"),
        norm2=pair("output.LayerNorm"),
    )


def _read(folder: Path, device: torch.device) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Returns config.json and the weights, fp32."""
    config: dict[str, Any] = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    weights = load_file(folder / WEIGHTS_FILE)
    return config, {name: tensor.to(device, torch.float32) for name, tensor in weights.items()}
