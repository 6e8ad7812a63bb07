"""A folder like the packaged encoder's with tiny random blocks, and weights trained for it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import torch
from safetensors.torch import save_file

from classifiers.cross_encoder import encoder_folder, notes_of, packed
from classifiers.fit_cross import TrainableCross

WIDTH, INNER, LAYERS, HEADS, VOCABULARY, PLACES = 24, 48, 3, 2, 30_522, 128


def tiny_encoder(folder: Path, seed: int = 0) -> Path:
    """Writes config, weights and the real tokenizer; returns the folder."""
    torch.manual_seed(seed)
    folder.mkdir(parents=True, exist_ok=True)
    config = {
        "hidden_size": WIDTH, "intermediate_size": INNER, "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    shutil.copy(encoder_folder() / "tokenizer.json", folder / "tokenizer.json")
    tensors = {
        "embeddings.word_embeddings.weight": torch.randn(VOCABULARY, WIDTH),
        "embeddings.position_embeddings.weight": torch.randn(PLACES, WIDTH),
        "embeddings.token_type_embeddings.weight": torch.randn(2, WIDTH),
    }
    norms = ["embeddings.LayerNorm"]
    for number in range(LAYERS):
        prefix = f"encoder.layer.{number}"
        shapes = {
            "attention.self.query": (WIDTH, WIDTH), "attention.self.key": (WIDTH, WIDTH),
            "attention.self.value": (WIDTH, WIDTH), "attention.output.dense": (WIDTH, WIDTH),
            "intermediate.dense": (INNER, WIDTH), "output.dense": (WIDTH, INNER),
        }  # fmt: skip
        for name, (out, into) in shapes.items():
            tensors[f"{prefix}.{name}.weight"] = torch.randn(out, into) * into**-0.5
            tensors[f"{prefix}.{name}.bias"] = 0.1 * torch.randn(out)
        norms += [f"{prefix}.attention.output.LayerNorm", f"{prefix}.output.LayerNorm"]
    for name in norms:
        tensors[f"{name}.weight"] = 1 + 0.1 * torch.randn(WIDTH)
        tensors[f"{name}.bias"] = 0.1 * torch.randn(WIDTH)
    save_file(tensors, folder / "model.safetensors")
    return folder


def tiny_cross(folder: Path, path: Path, *, frozen_blocks: int = 1) -> TrainableCross:
    """Writes a file of random weights made for the encoder in `folder`; returns its source."""
    torch.manual_seed(1)
    model = TrainableCross(folder, frozen_blocks=frozen_blocks)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(0.05 * torch.randn_like(parameter))
    state = {name: tensor.contiguous() for name, tensor in packed(model.trained()).items()}
    save_file(state, path, metadata=notes_of(folder, {"seed": 1}))
    return model
