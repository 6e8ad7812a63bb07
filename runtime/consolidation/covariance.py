"""Second moments of what enters MLP output projections: C = E[k kᵀ], uncentred.

ROME, arXiv 2202.05262, section 3.1, and MEMIT, arXiv 2210.07229, eq. 15: what the matrix already
holds is known by the keys that running text gives it. Streamed, cached under a hash of all it
depends on, and resumable: a partial sum is a file, replaced atomically. Legend: d_in the
projection's input width, m tokens.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from memory.errors import ConsolidationFailed
from runtime.consolidation.corpus import Corpus
from runtime.consolidation.trace import trace
from runtime.sites import Sites

log = logging.getLogger(__name__)

TEXT_TOKENS_MAX = 256
BATCH_TEXTS = 32
SAVE_EVERY_BATCHES = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class MomentKey:
    """All that a second moment depends on; its hash names the file."""

    weights: str  # The model's fingerprint: config, weights and dtype in use.
    module: str
    corpus: str
    samples: int
    seed: int
    text_tokens_max: int = TEXT_TOKENS_MAX
    dtype: str = "float64"

    @property
    def file_name(self) -> str:
        """Content address of the moment."""
        text = json.dumps(asdict(self), sort_keys=True)
        return hashlib.blake2b(text.encode(), digest_size=16).hexdigest() + ".safetensors"


@dataclass(slots=True)
class _Sum:
    """A sum under way."""

    total: Tensor  # (d_in, d_in) float64
    tokens: int = 0
    texts: int = 0  # How many of the corpus' texts are in it.
    done: bool = False


class MomentStore:
    """Second moments of one model over one corpus, kept in a folder; None keeps them in memory."""

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        sites: Sites,
        *,
        fingerprint: str,
        corpus: Corpus,
        samples: int,
        seed: int,
        folder: Path | None,
    ) -> None:
        self._model, self._tokenizer, self._sites = model, tokenizer, sites
        self._fingerprint, self._corpus = fingerprint, corpus
        self._samples, self._seed, self._folder = samples, seed, folder
        self._kept: dict[int, Tensor] = {}

    def moments(
        self, layers: Sequence[int], progress: Callable[[int, int], None]
    ) -> dict[int, Tensor]:
        """Returns C (d_in, d_in) float64 for each layer, from the cache or by running text.

        Raises ConsolidationFailed when the corpus holds no text or the sums are not finite, and
        what `progress` raises; what was summed until then is kept.
        """
        missing = [layer for layer in layers if layer not in self._kept]
        sums = {layer: self._load(layer) for layer in missing}
        if any(not one.done for one in sums.values()):
            self._stream({layer: one for layer, one in sums.items() if not one.done}, progress)
        for layer, one in sums.items():
            self._kept[layer] = self._mean(layer, one)
        return {layer: self._kept[layer] for layer in layers}

    def _mean(self, layer: int, one: _Sum) -> Tensor:
        if one.tokens == 0 or not bool(torch.isfinite(one.total).all()):
            raise ConsolidationFailed(
                f"the second moment of layer {layer} over {one.texts} texts ({one.tokens} tokens)"
                " is empty or not finite; expected a corpus with text and a model that computes in"
                " float32 or bfloat16"
            )
        return one.total / one.tokens

    def _stream(self, sums: dict[int, _Sum], progress: Callable[[int, int], None]) -> None:
        """Runs the texts that are missing; layers that stopped at different places catch up."""
        at = min(one.texts for one in sums.values())
        if at:
            log.info("second moments resume at text %d of %d", at, self._samples)
        texts = islice(self._corpus.texts(self._samples, self._seed), at, None)
        for number, batch in enumerate(_batched(texts, BATCH_TEXTS), start=1):
            behind = {layer: one for layer, one in sums.items() if one.texts == at}
            self._add(behind, batch)
            at += len(batch)
            if number % SAVE_EVERY_BATCHES == 0:
                self._save_all(sums)
            progress(at, self._samples)
        for one in sums.values():
            one.done = True
        self._save_all(sums)

    def _add(self, sums: dict[int, _Sum], texts: list[str]) -> None:
        rows = [self._tokenizer(text)["input_ids"][:TEXT_TOKENS_MAX] for text in texts]
        rows = [row for row in rows if row]
        if rows:
            width = max(map(len, rows))
            ids = torch.tensor([[*row, *[0] * (width - len(row))] for row in rows])
            real = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows]).bool()
            modules = {layer: self._sites.mlp_out(layer) for layer in sums}
            with torch.no_grad(), trace(self._model, inputs=list(modules.values())) as seen:
                self._model.base_model(input_ids=ids.to(self._model.device), use_cache=False)
            for layer, module in modules.items():
                states = seen.inputs[module].flatten(0, -2)  # OPT's are flat already.
                keys = states[real.flatten().to(states.device)].double()  # (m, d_in)
                sums[layer].total += (keys.T @ keys).cpu()
                sums[layer].tokens += len(keys)
        for one in sums.values():
            one.texts += len(texts)

    def _key(self, layer: int) -> MomentKey:
        return MomentKey(
            weights=self._fingerprint,
            module=self._sites.mlp_out(layer),
            corpus=self._corpus.digest,
            samples=self._samples,
            seed=self._seed,
        )

    def _load(self, layer: int) -> _Sum:
        """Reads a sum, whole or partial; a file that does not read is left out and made anew."""
        width = self._model.get_submodule(self._sites.mlp_out(layer)).weight.shape
        d_in = width[0] if self._sites.family.transposed else width[1]
        empty = _Sum(torch.zeros(d_in, d_in, dtype=torch.float64))
        if self._folder is None:
            return empty
        path = self._folder / self._key(layer).file_name
        if not path.exists():
            return empty
        try:
            with safe_open(path, "pt") as file:
                state = json.loads(file.metadata()["state"])
                total = file.get_tensor("total")
        except (SafetensorError, OSError, KeyError, ValueError) as error:
            log.warning("the second moment %s does not read (%s); it is made anew", path, error)
            return empty
        if total.shape != empty.total.shape:
            return empty
        return _Sum(total, state["tokens"], state["texts"], state["done"])

    def _save_all(self, sums: dict[int, _Sum]) -> None:
        if self._folder is None:
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        for layer, one in sums.items():
            key = self._key(layer)
            state = {"tokens": one.tokens, "texts": one.texts, "done": one.done}
            meta = {"state": json.dumps(state), "key": json.dumps(asdict(key))}
            path = self._folder / key.file_name
            partial = path.with_suffix(f".{os.getpid()}.partial")
            save_file({"total": one.total}, partial, metadata=meta)
            partial.replace(path)


def _batched(texts: Iterable[str], size: int) -> Iterable[list[str]]:
    texts = iter(texts)
    while batch := list(islice(texts, size)):
        yield batch
