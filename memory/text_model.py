"""Texts in, unit vectors out, on one thread: tokenizer and model, and how texts share a pass.

Texts are cut at 256 tokens as the reference (sentence-transformers) does. Those of like length
share a pass; queries in 8 bits go one by one (memory/int8_blocks.py). Knows no callers.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from tokenizers import Tokenizer

from memory.blocks import has_onnx_runtime
from memory.contracts import Matrix
from memory.int8_blocks import RANGES_FILE
from memory.minilm import MiniLm
from memory.record import Vector

logger = logging.getLogger(__name__)

TOKENS_MAX = 256  # The reference's max_seq_length.
PASS_TOKENS_CPU = 256  # Tokens of one pass: beyond, activations leave the cache, and it slows.
PASS_TOKENS_CUDA = 16_384


class Text(NamedTuple):
    """A text to encode."""

    text: str
    stored: bool  # Not a query: never in 8 bits.


class TextModel:
    """Tokenizer and model on one device. Used by one thread at a time."""

    def __init__(self, tokenizer: Any, model: MiniLm, *, device: torch.device) -> None:
        self._tokenizer = tokenizer
        self._model = model
        self._queries = model  # What encodes queries; the same, or its twin in 8 bits.
        self._not_int8 = ""
        self._device = device
        self._pass_tokens = PASS_TOKENS_CPU if device.type == "cpu" else PASS_TOKENS_CUDA

    @classmethod
    def load(
        cls, folder: Path, *, device: torch.device, dtype: torch.dtype, threads: int
    ) -> TextModel:
        """Reads tokenizer and weights; raises whatever the libraries do when they lack."""
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        tokenizer.no_padding()
        tokenizer.enable_truncation(TOKENS_MAX)
        model = MiniLm.load(folder, device=device, dtype=dtype, threads=threads)
        return cls(tokenizer, model, device=device)

    def take_int8(self, folder: Path, *, name: str, threads: int) -> None:
        """Lets queries be computed in 8 bits; where that cannot be, logs and says why not.

        `name` is the encoder's.
        """
        self._not_int8 = int8_lacks(self._device)
        try:
            if not self._not_int8:
                self._queries = self._model.in_8_bits(
                    folder, RANGES_FILE, name=name, threads=threads
                )
        except Exception as error:  # noqa: BLE001  ONNX Runtime has bare ones of its own.
            self._not_int8 = str(error) or type(error).__name__
        if self._not_int8:
            logger.warning("queries are encoded as edits are, not in int8: %s", self._not_int8)

    @property
    def dimension(self) -> int:
        """The length d of a vector."""
        return self._model.dimension

    @property
    def queries_apart(self) -> bool:
        """Whether queries are computed in 8 bits."""
        return self._queries is not self._model

    @property
    def described(self) -> str:
        """Number format, library and device of the products, for people."""
        said = f"{self._model.blocks.described} on {self._device}"
        if self.queries_apart:
            return f"{said}, queries {self._queries.blocks.described}"
        return f"{said}, not int8: {self._not_int8}" if self._not_int8 else said

    def encode(self, texts: Sequence[Text]) -> list[Vector]:
        """Returns the unit vectors (d,) of a batch: in 8 bits one by one, the rest in passes."""
        rows = [self._tokenizer.encode(_encodable(text)).ids for text, _ in texts]
        vectors: list[Vector | None] = [None] * len(rows)
        together = []
        for place, (_, stored) in enumerate(texts):
            if stored or not self.queries_apart:
                together.append(place)
            else:  # A scale of 8 bits is of the whole pass.
                embedded = self._queries.embed(torch.tensor([rows[place]]), None)
                vectors[place] = embedded[0].numpy()
        for found in passes([len(rows[place]) for place in together], self._pass_tokens):
            places = [together[number] for number in found]
            embedded_rows = self._pass([rows[place] for place in places])
            for place, vector in zip(places, embedded_rows, strict=True):
                vectors[place] = vector
        return [vector for vector in vectors if vector is not None]

    def _pass(self, rows: Sequence[Sequence[int]]) -> Matrix:
        """Runs the model once over rows of token ids, padded to the longest."""
        longest = max(len(row) for row in rows)
        ids = torch.zeros((len(rows), longest), dtype=torch.int64)  # 0 is [PAD].
        for place, row in enumerate(rows):
            ids[place, : len(row)] = torch.tensor(row)
        lengths = None
        if any(len(row) < longest for row in rows):
            lengths = torch.tensor([len(row) for row in rows]).to(self._device)
        vectors: Matrix = self._model.embed(ids.to(self._device), lengths).cpu().numpy()
        return vectors


def passes(lengths: Sequence[int], tokens_max: int) -> Iterator[list[int]]:
    """Splits texts, given by their token counts, into passes of their places, shortest first.

    A pass holds at most `tokens_max` tokens with its padding, or one text.
    """
    places: list[int] = []
    for place in sorted(range(len(lengths)), key=lengths.__getitem__):
        if places and (len(places) + 1) * lengths[place] > tokens_max:
            yield places
            places = []
        places.append(place)
    if places:
        yield places


def int8_lacks(device: torch.device) -> str:
    """Says what queries in 8 bits lack on a device; empty when nothing is."""
    if device.type != "cpu":
        return f"the device is {device}, not a CPU"
    return "" if has_onnx_runtime() else "ONNX Runtime or onnx is not installed"


def _encodable(text: str) -> str:
    """Replaces lone surrogates, which the tokenizer cannot take."""
    return text.encode("utf-8", "replace").decode("utf-8")
