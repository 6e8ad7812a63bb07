"""An edition for other programs: a plain checkpoint, or a LoRA adapter in peft's format.

Legend: d_in and d_out the widths of a projection, r the rank of its change. An adapter's product
`lora_B (d_out, r) @ lora_A (r, d_in)` is the change itself: its scaling, alpha / r, is 1.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from memory.errors import InvalidInput, Unavailable
from runtime.consolidation.apply import edited_parameters, full_delta
from runtime.consolidation.contract import MatrixDelta
from runtime.consolidation.edition import EditionRecord
from runtime.consolidation.store import RECORD, EditionStore, check_base
from runtime.engine.editions import parameter_of, with_parameters
from runtime.engine.load import LoadedModel, no_progress_bar
from runtime.sites import FAMILIES

ADAPTER, ADAPTER_CONFIG = "adapter_model.safetensors", "adapter_config.json"
PREFIX = "base_model.model."  # Of every module's name in peft's files.


def export_checkpoint(
    store: EditionStore, record: EditionRecord, loaded: LoadedModel, out: Path
) -> None:
    """Writes the edition's model as a folder that transformers loads, in the loaded dtype.

    The weights in it are those that answer here, bit for bit. Raises NotFound, EditionUnusable,
    InvalidInput (the folder is there already), Unavailable.
    """
    check_base(record, loaded.fingerprint)
    model = loaded.model
    made = edited_parameters(
        lambda name: parameter_of(model, name), store.matrices(record), model.config.model_type
    )
    with _new_folder(out) as folder:
        with no_progress_bar():
            with_parameters(model, made).save_pretrained(folder)
        loaded.tokenizer.save_pretrained(folder)
        _write_record(store, record, folder)


def export_adapter(
    store: EditionStore,
    record: EditionRecord,
    loaded: LoadedModel,
    out: Path,
    *,
    base: str,
    rank_max: int = 0,
) -> int:
    """Writes the edition as a LoRA adapter; returns its largest rank.

    `base` is the name by which peft finds the model that it adapts; `rank_max` is what the program
    that is to load it allows, 0 for any. Raises NotFound, EditionUnusable, InvalidInput (a rank
    above it, or the folder is there already), Unavailable.
    """
    check_base(record, loaded.fingerprint)
    factors = {matrix.module: lora_factors(matrix) for matrix in store.matrices(record)}
    ranks = {module: len(down) for module, (down, _) in factors.items()}
    largest = max(ranks.values(), default=0)
    if rank_max and largest > rank_max:
        module = max(ranks, key=lambda name: ranks[name])
        raise InvalidInput(
            f"the change of {module} has rank {largest}, above the {rank_max} that were allowed; "
            "allow more, or export a checkpoint",
            field="rank_max",
        )
    tensors: dict[str, Tensor] = {}
    for module, (down, up) in factors.items():
        tensors[f"{PREFIX}{module}.lora_A.weight"] = down
        tensors[f"{PREFIX}{module}.lora_B.weight"] = up
    with _new_folder(out) as folder:
        save_file(tensors, folder / ADAPTER, metadata={"format": "pt"})
        config = adapter_config(ranks, model_type=loaded.model.config.model_type, base=base)
        (folder / ADAPTER_CONFIG).write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")
        _write_record(store, record, folder)
    return largest


def lora_factors(matrix: MatrixDelta) -> tuple[Tensor, Tensor]:
    """Returns a change as `lora_A (r, d_in)` and `lora_B (d_out, r)`, float32.

    A change that is stored in full is decomposed; singular values under float32's noise are left
    out, each factor takes the root of the others.
    """
    if matrix.left is not None and matrix.right is not None:
        return matrix.right.float().contiguous(), matrix.left.float().contiguous()
    full = full_delta(matrix)  # (d_out, d_in) float64
    left, values, right = torch.linalg.svd(full, full_matrices=False)
    noise = torch.finfo(torch.float32).eps * float(values[0])
    kept = max(1, int((values > noise).sum()))
    root = values[:kept].sqrt()
    up, down = left[:, :kept] * root, root[:, None] * right[:kept]
    return down.float().contiguous(), up.float().contiguous()


def adapter_config(ranks: dict[str, int], *, model_type: str, base: str) -> dict[str, Any]:
    """Returns the adapter's config as peft reads it: each module by its full name."""
    family = FAMILIES.get(model_type)
    largest = max(ranks.values(), default=1)
    apart = {module: rank for module, rank in ranks.items() if rank != largest}
    return {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base,
        "inference_mode": True,
        "r": largest,
        "lora_alpha": largest,
        "rank_pattern": apart,
        "alpha_pattern": apart,
        "target_modules": sorted(ranks),
        "fan_in_fan_out": family is not None and family.transposed,
        "lora_dropout": 0.0,
        "bias": "none",
        "use_rslora": False,
        "use_dora": False,
        "init_lora_weights": True,
        "modules_to_save": None,
    }


def _write_record(store: EditionStore, record: EditionRecord, folder: Path) -> None:
    """Puts beside the weights what they hold and how they were made."""
    shutil.copyfile(store.path(record.number) / RECORD, folder / RECORD)


@contextmanager
def _new_folder(out: Path) -> Iterator[Path]:
    """Yields a folder that takes the name `out` when it is complete.

    Raises InvalidInput when something of that name is there, Unavailable when it cannot be written.
    """
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise InvalidInput(f"{out} is there already; name a new folder", field="out")
    unfinished = out.with_name(f".{out.name}.unfinished")
    try:
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
        yield unfinished
        if out.is_dir():
            out.rmdir()
        unfinished.rename(out)
    except OSError as error:
        raise Unavailable(
            f"{out} cannot be written: {error.strerror or error}", reason="STORAGE_FULL"
        ) from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
