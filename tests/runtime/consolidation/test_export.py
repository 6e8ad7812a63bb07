"""Editions for other programs: the same bits as a checkpoint, the same logits as an adapter."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from transformers import AutoTokenizer

from memory.errors import EditionUnusable, InvalidInput, Unavailable
from memory.record import DEFAULT_NAMESPACE, Edit
from runtime.consolidation.apply import edited_parameters
from runtime.consolidation.contract import MatrixDelta
from runtime.consolidation.edition import EditionRecord
from runtime.consolidation.export import (
    adapter_config,
    export_adapter,
    export_checkpoint,
    lora_factors,
)
from runtime.consolidation.store import EditionStore
from runtime.engine.editions import with_parameters
from runtime.engine.load import LoadedModel
from runtime.sites import sites_of
from tests.edition_kit import low_rank, record_of
from tests.memory_kit import draft, open_memory
from tests.tiny_models import Tiny, load_reference, random_prompt, save_tiny_model

PROMPTS = torch.tensor([random_prompt(seed, 9) for seed in range(3)])


@pytest.fixture
def edits(tmp_path: Path) -> Iterator[list[Edit]]:
    memory = open_memory(tmp_path / "data")
    yield [memory.create(draft("one"), namespace=DEFAULT_NAMESPACE).edits[0]]
    memory.close()


def changes(model: Any) -> tuple[MatrixDelta, ...]:
    """One change of each kind: low rank in the last block, a full matrix in the first."""
    sites = sites_of(model)
    last = low_rank(model, rank=2, scale=0.1)
    assert last.left is not None
    assert last.right is not None
    generator = torch.Generator().manual_seed(3)
    full = 0.1 * torch.randn(len(last.left), last.right.shape[1], generator=generator)
    return last, MatrixDelta(module=sites.mlp_out(0), full=full)


@pytest.fixture
def stored(
    tmp_path: Path, edits: list[Edit]
) -> Callable[[LoadedModel], tuple[EditionStore, EditionRecord]]:
    def make(loaded: LoadedModel) -> tuple[EditionStore, EditionRecord]:
        store = EditionStore(tmp_path / "editions")
        record = record_of(edits, fingerprint=loaded.fingerprint)
        return store, store.write(record, changes(loaded.model), above=0)

    return make


def expected(loaded: LoadedModel, store: EditionStore, record: EditionRecord) -> Any:
    """The edition as the engine makes it."""
    parameters = edited_parameters(
        loaded.model.get_parameter, store.matrices(record), loaded.model.config.model_type
    )
    return with_parameters(loaded.model, parameters)


def logits(model: Any) -> Tensor:
    with torch.no_grad():
        found: Tensor = model(PROMPTS).logits
    return found


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_a_checkpoint_holds_the_edition_bit_for_bit(
    tiny: Tiny, stored: Callable[..., Any], tmp_path: Path, family: str
) -> None:
    loaded = tiny(family)
    before = {name: tensor.clone() for name, tensor in loaded.model.state_dict().items()}
    store, record = stored(loaded)
    export_checkpoint(store, record, loaded, tmp_path / "out")
    again = load_reference(tmp_path / "out")
    own = expected(loaded, store, record).state_dict()
    assert own.keys() == again.state_dict().keys()
    assert [] == [n for n, tensor in again.state_dict().items() if not torch.equal(own[n], tensor)]
    assert all(torch.equal(before[n], tensor) for n, tensor in loaded.model.state_dict().items())
    assert record.number == json.loads((tmp_path / "out" / "edition.json").read_text())["number"]
    assert len(loaded.tokenizer) == len(AutoTokenizer.from_pretrained(tmp_path / "out"))


@pytest.mark.parametrize("family", ["llama", "gpt2", "opt"])
def test_peft_loads_the_adapter_and_says_what_the_edition_says(
    tiny: Tiny, stored: Callable[..., Any], tmp_path: Path, family: str
) -> None:
    peft = pytest.importorskip("peft")
    loaded = tiny(family)
    store, record = stored(loaded)
    rank = export_adapter(store, record, loaded, tmp_path / "out", base=family)
    assert rank == 32
    base = load_reference(save_tiny_model(tmp_path / "base", family))
    plain = logits(base)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # peft warns of keys that are missing or too many.
        warnings.simplefilter("ignore", FutureWarning)  # What it still asks transformers for.
        adapted = peft.PeftModel.from_pretrained(base, str(tmp_path / "out")).eval()
    own = logits(expected(loaded, store, record))
    assert torch.allclose(own, logits(adapted), atol=1e-4)
    assert not torch.allclose(own, plain, atol=1e-2)


@pytest.mark.parametrize("family", ["llama", "gpt2", "opt"])
def test_the_adapter_s_product_is_the_change(
    tiny: Tiny, stored: Callable[..., Any], tmp_path: Path, family: str
) -> None:
    """The same without peft: names, shapes, scaling as its format has them."""
    loaded = tiny(family)
    store, record = stored(loaded)
    export_adapter(store, record, loaded, tmp_path / "out", base=family)
    config = json.loads((tmp_path / "out" / "adapter_config.json").read_text())
    tensors = load_file(tmp_path / "out" / "adapter_model.safetensors")
    assert 2 * len(config["target_modules"]) == len(tensors)
    assert (family == "gpt2") == config["fan_in_fan_out"]
    for change in store.matrices(record):
        name = f"base_model.model.{change.module}"
        down, up = tensors[f"{name}.lora_A.weight"], tensors[f"{name}.lora_B.weight"]
        rank = config["rank_pattern"].get(change.module, config["r"])
        alpha = config["alpha_pattern"].get(change.module, config["lora_alpha"])
        assert (len(down), 1.0) == (rank, alpha / rank)
        full = change.full if change.full is not None else change.left @ change.right
        assert torch.allclose(full, up @ down, atol=1e-5)


def test_a_full_change_of_low_rank_becomes_a_small_adapter() -> None:
    generator = torch.Generator().manual_seed(0)
    full = torch.randn(12, 3, generator=generator) @ torch.randn(3, 20, generator=generator)
    down, up = lora_factors(MatrixDelta(module="m", full=full))
    assert ((3, 20), (12, 3)) == (tuple(down.shape), tuple(up.shape))
    nothing, _ = lora_factors(MatrixDelta(module="m", full=torch.zeros(12, 20)))
    assert len(nothing) == 1


def test_ranks_that_differ_are_named_for_each_module() -> None:
    config = adapter_config({"a.x": 4, "b.x": 7}, model_type="llama", base="base")
    assert (7, 7, {"a.x": 4}) == (config["r"], config["lora_alpha"], config["rank_pattern"])
    assert config["rank_pattern"] == config["alpha_pattern"]


def test_what_cannot_be_exported_is_refused_and_leaves_nothing(
    tiny: Tiny, stored: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = tiny("llama")
    store, record = stored(loaded)
    out = tmp_path / "out"
    with pytest.raises(InvalidInput, match="has rank 32, above the 8"):
        export_adapter(store, record, loaded, out, base="b", rank_max=8)
    other = replace(loaded, fingerprint="0123")
    for export in (export_checkpoint, lambda *a: export_adapter(*a, base="b")):
        with pytest.raises(EditionUnusable, match="serve that model"):
            export(store, record, other, out)
    full = OSError(28, "No space left on device")

    def refuse(*_: Any, **__: Any) -> None:
        raise full

    monkeypatch.setattr("runtime.consolidation.export.save_file", refuse)
    with pytest.raises(Unavailable, match="No space left"):
        export_adapter(store, record, loaded, out, base="b")
    monkeypatch.undo()
    assert [] == [path for path in tmp_path.iterdir() if "out" in path.name]
    out.mkdir()  # An empty folder is as good as none.
    export_checkpoint(store, record, loaded, out)
    with pytest.raises(InvalidInput, match="is there already"):
        export_checkpoint(store, record, loaded, out)
