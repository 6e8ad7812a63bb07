"""Facts, settings and a workbench for tests of editors on tiny models."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import torch

from memory.record import EditId
from runtime.consolidation.contract import Fact
from runtime.consolidation.corpus import TextFile
from runtime.consolidation.hyperparameters import Hyperparameters
from runtime.consolidation.targets import Objective
from runtime.consolidation.workbench import Workbench
from runtime.engine.load import LoadedModel

FACTS = tuple(
    Fact(
        edit_id=EditId(f"e{number}"),
        revision=1,
        subject=subject,
        prompt=prompt,
        target=target,
    )
    for number, (subject, prompt, target) in enumerate(
        [
            ("Danielle Darrieux", "The mother tongue of Danielle Darrieux is", "Spanish"),
            ("Ikaalinen", "The law in Ikaalinen declares the language", "French"),
            ("Messi", "Messi speaks", "Finnish"),
        ]
    )
)

SETTINGS = Hyperparameters(
    source="tests",
    layers=(1, 2),  # A first layer beside its attention sees single tokens: too few keys.
    rome_layer=2,
    objective=Objective(
        steps=60, learning_rate=0.1, relative=True, clamp_factor=8.0, kl_factor=0.01
    ),
    rome_clamp_factor=8.0,
    covariance_weight=1e-3,
    covariance_samples=60,
    prefixes=2,
    prefix_tokens=3,
    nullspace_threshold=100.0,
    nullspace_ridge=1e-4,
)


def bench_of(loaded: LoadedModel, corpus_file: Path, **changes: Any) -> Workbench:
    return Workbench(
        loaded.model,
        loaded.tokenizer,
        fingerprint=loaded.fingerprint,
        settings=dataclasses.replace(SETTINGS, **changes),
        corpus=TextFile(corpus_file),
    )


def nothing(_stage: str, _done: int, _total: int) -> None:
    pass


def state(model: Any) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def hook_count(model: Any) -> int:
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules())
