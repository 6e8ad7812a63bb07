"""Loading says what it tried, quickly; what it loads is frozen."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from memory.errors import ModelLoadError
from runtime.engine.load import choose_device, fingerprint, load_model
from tests.tiny_models import save_tiny_model


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("/no/such/folder", "there is no model folder"),
        ("./nor/this/one", "there is no model folder"),
        ("pocket/base/missing", "there is no model folder"),
        ("", "there is no model folder"),
    ],
)
def test_a_missing_folder_is_named(name: str, message: str) -> None:
    with pytest.raises(ModelLoadError, match=message) as refusal:
        load_model(name)
    assert repr(name) in str(refusal.value)


@pytest.mark.parametrize("name", ["nobody/no-such-model", "no-such-model"])
def test_an_unknown_hub_name_without_a_hub_fails_at_once(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError("no route")

    for variable in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr("runtime.engine.load.socket.create_connection", refuse)
    begun = time.monotonic()
    with pytest.raises(ModelLoadError, match=r"does not answer.*give a folder"):
        load_model(name)
    assert time.monotonic() - begun < 10
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(ModelLoadError, match="HF_HUB_OFFLINE is set"):
        load_model(name)


def test_a_folder_without_a_model_says_what_is_expected(tmp_path: Path) -> None:
    with pytest.raises(ModelLoadError, match=r"no config\.json"):
        load_model(str(tmp_path))
    (tmp_path / "config.json").write_text("{ broken")
    with pytest.raises(ModelLoadError, match="cannot be loaded"):
        load_model(str(tmp_path))


@pytest.mark.parametrize("damage", ["weights", "tokenizer"])
def test_a_damaged_model_refuses_to_load(damage: str, tmp_path: Path) -> None:
    save_tiny_model(tmp_path, "llama")
    if damage == "weights":
        whole = (tmp_path / "model.safetensors").read_bytes()
        (tmp_path / "model.safetensors").write_bytes(whole[: len(whole) // 2])
    else:
        for file in tmp_path.glob("tokenizer*"):
            file.unlink()
    with pytest.raises(ModelLoadError, match="cannot be loaded"):
        load_model(str(tmp_path), device="cpu")


@pytest.mark.parametrize(
    "settings", [{"dtype": "int3"}, {"device": "abacus"}, {"device": "cuda:99"}, {"device": "mps"}]
)
def test_settings_that_cannot_be_are_refused(
    settings: dict[str, str], tiny_folder: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(ModelLoadError):
        load_model(str(tiny_folder("llama")), **settings)


def test_the_device_is_chosen_by_what_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert "cuda" == choose_device("auto")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert "cpu" == choose_device("auto") == choose_device("cpu")


def test_what_is_loaded_is_frozen_fp32_and_has_both_configs_ends(tmp_path: Path) -> None:
    folder = save_tiny_model(tmp_path / "m", "llama")
    model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16)
    model.generation_config.eos_token_id = [7, 9]
    model.save_pretrained(folder)
    loaded = load_model(str(folder), device="cpu")
    assert not loaded.model.training
    assert not any(parameter.requires_grad for parameter in loaded.model.parameters())
    assert {torch.float32} == {parameter.dtype for parameter in loaded.model.parameters()}
    assert {0, 7, 9} == loaded.eos_ids
    assert (256, "m") == (loaded.context_tokens, loaded.name)
    half = load_model(str(folder), device="cpu", dtype="bf16")
    assert torch.bfloat16 == half.model.dtype


def test_the_fingerprint_tells_weights_configs_and_dtypes_apart(tmp_path: Path) -> None:
    first = load_model(str(save_tiny_model(tmp_path / "a", "llama")), device="cpu")
    again = load_model(str(save_tiny_model(tmp_path / "b", "llama")), device="cpu")
    other = load_model(str(save_tiny_model(tmp_path / "c", "llama", seed=1)), device="cpu")
    assert first.fingerprint == again.fingerprint
    again.model.model.layers[1].mlp.down_proj.weight.data[0, 0] += 1e-3
    changed = fingerprint(again.model)
    half = load_model(str(tmp_path / "a"), device="cpu", dtype="bf16").fingerprint
    assert 4 == len({first.fingerprint, changed, other.fingerprint, half})
