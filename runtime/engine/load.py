"""Loads a causal model and its tokenizer from a folder or a hub name, frozen, or says why not."""

from __future__ import annotations

import hashlib
import json
import os
import socket
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer
from transformers.utils import logging as transformers_logging

from memory.errors import ModelLoadError

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
DEVICES = ("auto", "cpu", "cuda", "mps")
HUB_ANSWER_S = 3.0  # How long a hub may take to accept a connection.
HASHED_BYTES_MAX = 2**30  # Larger tensors sets are hashed by an even sample of each tensor.


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedModel:
    """A frozen model with what belongs to it."""

    model: Any  # PreTrainedModel, in eval mode, no gradients.
    tokenizer: Any  # PreTrainedTokenizerBase
    name: str
    fingerprint: str
    context_tokens: int
    eos_ids: frozenset[int]


def check_model(name_or_path: str, *, device: str = "auto") -> None:
    """Raises ModelLoadError for a name that leads to no model, or a device that is not there.

    Loads nothing but a config: at once for a folder or a cached model, else within seconds.
    """
    choose_device(device)
    _find(name_or_path)


def load_model(
    name_or_path: str,
    *,
    device: str = "auto",
    dtype: str = "auto",
    architecture: Any = AutoModelForCausalLM,
) -> LoadedModel:
    """Loads and freezes a model of transformers, causal unless another `architecture` is given.

    `dtype` auto is fp32 on a CPU, whatever the file holds: answers are then the same alone and in a
    batch, and bf16 products only pay from about a hundred million parameters on. On an accelerator
    it is the file's own. Raises ModelLoadError, within seconds also without a network.
    """
    if name_or_path and Path(name_or_path).expanduser().is_dir():
        name_or_path = str(Path(name_or_path).expanduser())
    place = choose_device(device)
    if dtype != "auto" and dtype not in DTYPES:
        raise ModelLoadError(f"dtype is {dtype!r}; expected auto, {', '.join(DTYPES)}")
    local_only = _find(name_or_path)
    try:
        config = AutoConfig.from_pretrained(name_or_path, local_files_only=local_only)
        tokenizer = AutoTokenizer.from_pretrained(name_or_path, local_files_only=local_only)
        with no_progress_bar():
            model = architecture.from_pretrained(
                name_or_path,
                config=config,
                dtype=_choose_dtype(dtype, place),
                local_files_only=local_only,
            )
        model = model.to(place).eval().requires_grad_(requires_grad=False)
    except Exception as error:
        raise ModelLoadError(
            f"the model {name_or_path!r} cannot be loaded: {type(error).__name__}:"
            f" {_first_line(error)}; expected a language model of transformers (config.json,"
            " safetensors weights and tokenizer files)"
        ) from error
    return LoadedModel(
        model=model,
        tokenizer=tokenizer,
        name=Path(name_or_path).name if Path(name_or_path).is_dir() else name_or_path,
        fingerprint=fingerprint(model),
        context_tokens=_context_tokens(model.config, tokenizer),
        eos_ids=eos_ids(model),
    )


def is_encoder_decoder(name_or_path: str) -> bool:
    """Whether the model reads with an encoder and writes with a decoder. Raises ModelLoadError."""
    if name_or_path and Path(name_or_path).expanduser().is_dir():
        name_or_path = str(Path(name_or_path).expanduser())
    local_only = _find(name_or_path)
    try:
        config = AutoConfig.from_pretrained(name_or_path, local_files_only=local_only)
    except Exception as error:
        raise ModelLoadError(
            f"the model {name_or_path!r} cannot be loaded: {type(error).__name__}:"
            f" {_first_line(error)}; expected a config.json of transformers"
        ) from error
    return bool(getattr(config, "is_encoder_decoder", False))


@contextmanager
def no_progress_bar() -> Iterator[None]:
    """Keeps transformers' bars out of a server's log; its setting is given back."""
    shown = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            transformers_logging.enable_progress_bar()


def choose_device(device: str) -> str:
    """Returns the torch device for a setting. Raises ModelLoadError when it is not there."""
    if device.split(":", maxsplit=1)[0] not in DEVICES:
        raise ModelLoadError(f"device is {device!r}; expected one of {', '.join(DEVICES)}")
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    missing = (device.startswith("cuda") and not torch.cuda.is_available()) or (
        device == "mps" and not torch.backends.mps.is_available()
    )
    if missing:
        raise ModelLoadError(f"device is {device!r} but torch finds none; use --device cpu or auto")
    return device


def fingerprint(model: Any) -> str:
    """Returns a hash of config and weights, 16 hex digits; it depends on the dtype in use."""
    digest = hashlib.blake2b(digest_size=8)
    config = {k: v for k, v in model.config.to_dict().items() if not k.startswith("_")}
    digest.update(json.dumps(config, sort_keys=True, default=str).encode())
    tensors = sorted(model.state_dict().items())
    total = sum(tensor.numel() * tensor.element_size() for _, tensor in tensors)
    stride = -(-total // HASHED_BYTES_MAX)
    for name, tensor in tensors:
        digest.update(f"{name}{tuple(tensor.shape)}{tensor.dtype}".encode())
        sample = tensor.detach().flatten()[::stride].contiguous().cpu()
        digest.update(memoryview(sample.view(torch.uint8).numpy()))
    return digest.hexdigest()


def _choose_dtype(dtype: str, device: str) -> torch.dtype | str:
    """Returns what from_pretrained takes."""
    if dtype != "auto":
        return DTYPES[dtype]
    return torch.float32 if device == "cpu" else "auto"


def _find(name_or_path: str) -> bool:
    """Returns whether only local files may be used. Raises ModelLoadError when there are none."""
    path = Path(name_or_path).expanduser()
    if name_or_path and path.is_dir():
        if not (path / "config.json").is_file():
            raise ModelLoadError(
                f"the folder {name_or_path!r} has no config.json; expected a model saved by"
                " transformers' save_pretrained"
            )
        return True
    hub_name = name_or_path and not name_or_path.startswith((".", "/", "~"))
    if not hub_name or name_or_path.count("/") > 1 or path.exists():
        raise ModelLoadError(
            f"there is no model folder {name_or_path!r}; give the folder of a model (with its"
            " config.json) or a hub name such as Qwen/Qwen2.5-1.5B-Instruct"
        )
    return _hub_only_local(name_or_path)


def _hub_only_local(name: str) -> bool:
    """Returns whether a hub name is in the local cache; else checks that a hub can be reached."""
    try:
        AutoConfig.from_pretrained(name, local_files_only=True)
    except Exception as error:
        unreachable = _why_no_hub()
        if unreachable:
            raise ModelLoadError(
                f"the model {name!r} is neither a folder nor in the local hub cache, and it cannot"
                f" be downloaded: {unreachable}; give a folder, or download it where there is a hub"
            ) from error
        return False
    return True


def _why_no_hub() -> str:
    """Returns why no hub can be asked, or "" when one answers."""
    if os.environ.get("HF_HUB_OFFLINE", "").lower() in {"1", "on", "yes", "true"}:
        return "HF_HUB_OFFLINE is set"
    if any(os.environ.get(key) for key in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY")):
        return ""  # The proxy knows; its answer is reported as it comes.
    hub = urlsplit(os.environ.get("HF_ENDPOINT", "https://huggingface.co"))
    port = hub.port or (80 if hub.scheme == "http" else 443)
    try:
        socket.create_connection((hub.hostname or "", port), timeout=HUB_ANSWER_S).close()
    except OSError as error:
        return f"{hub.hostname} does not answer ({error})"
    return ""


def _context_tokens(config: Any, tokenizer: Any) -> int:
    """Returns how many tokens the model can hold, prompt and answer together."""
    text = config.get_text_config(decoder=True)
    for name in ("max_position_embeddings", "n_positions", "max_seq_len", "seq_length"):
        value = getattr(text, name, None)
        if isinstance(value, int) and value > 0:
            return value
    return min(int(tokenizer.model_max_length), 4096)


def eos_ids(model: Any) -> frozenset[int]:
    """Returns the ids that end an answer, of the generation config and of the config."""
    ids: set[int] = set()
    for source in (model.generation_config, model.config.get_text_config(decoder=True)):
        value: int | Collection[int] | None = getattr(source, "eos_token_id", None)
        if value is not None:
            ids.update([value] if isinstance(value, int) else value)
    return frozenset(ids)


def _first_line(error: Exception) -> str:
    """Returns the first line of an error's message, shortened."""
    return (str(error).strip().splitlines() or [""])[0][:300]
