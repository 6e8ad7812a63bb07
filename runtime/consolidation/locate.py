"""Causal tracing: at which token and layer a model recalls a fact.

ROME (Meng et al. 2022, arXiv 2202.05262, section 2 and figure 1): the subject's embeddings are
drowned in noise, then one state of the clean run is put back, and the answer's probability tells
what that state carries. Many restorations run as rows of one batch. Legend: n rows, t tokens, L
layers, d width.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

import torch
from torch import Tensor

from memory.errors import InvalidInput
from runtime.consolidation.tokens import Codec
from runtime.consolidation.trace import Changing, hooked, trace
from runtime.sites import Sites, sites_of

NOISE_SIGMAS = 3.0  # Of the embeddings' own standard deviation, as in ROME.
ROWS_MAX = 128


class Kind(Enum):
    """What is restored: a whole state, or what one part of each block in a window writes."""

    STATE = "state"
    MLP = "mlp"
    ATTENTION = "attention"


@dataclass(frozen=True, slots=True, kw_only=True)
class CausalTrace:
    """What restoring each state brings back; probabilities of the answer's first token."""

    tokens: tuple[str, ...]
    subject: range  # Places of the subject's tokens.
    answer: str  # The clean run's own first token.
    clean: float
    corrupted: float
    window: int  # Layers restored together for MLP and attention.
    scores: dict[Kind, Tensor]  # (t, L) each


@dataclass(frozen=True, slots=True, kw_only=True)
class Peak:
    """Where a trace is highest."""

    token: int
    layer: int
    probability: float


def peak(scores: Tensor) -> Peak:
    """Returns the place of the largest value of (t, L)."""
    flat = int(scores.argmax())
    token, layer = divmod(flat, scores.shape[1])
    return Peak(token=token, layer=layer, probability=float(scores[token, layer]))


class Locator:
    """Traces facts through one model. Changes nothing; used by one thread at a time."""

    def __init__(self, model: Any, tokenizer: Any, *, samples: int = 8, seed: int = 0) -> None:
        self._model, self._codec = model, Codec(tokenizer)
        self._sites: Sites = sites_of(model)
        self._samples, self._seed = samples, seed
        embedding = model.get_input_embeddings()
        self._embedding = next(n for n, module in model.named_modules() if module is embedding)
        self._sigma = NOISE_SIGMAS * float(embedding.weight.float().std())

    @property
    def layers(self) -> int:
        """How many blocks the model has."""
        return self._sites.layers

    def trace(
        self,
        prompt: str,
        subject: str,
        *,
        window: int | None = None,
        progress: Callable[[int, int], None] = lambda _done, _total: None,
    ) -> CausalTrace:
        """Returns the trace of one prompt. `window` is a fifth of the layers where unset.

        Raises ConsolidationFailed when the subject is not in the prompt, InvalidInput for a window
        that is not 1 to the number of layers.
        """
        layers = self._sites.layers
        window = max(1, round(layers / 5)) if window is None else window
        if not 1 <= window <= layers:
            raise InvalidInput(f"window is {window}; expected 1 to {layers}", field="window")
        ids = self._codec.prompt(prompt)
        places = self._subject_places(prompt, subject)
        clean, states = self._clean(ids)
        answer = int(clean.argmax())
        noise = self._noise(len(places))
        low = self._run(ids, places, noise, {})[:, answer].mean()
        scores = {}
        for number, kind in enumerate(Kind):
            scores[kind] = self._restore_all(
                ids, places, noise, states=states, kind=kind, window=window, answer=answer
            )
            progress(number + 1, len(Kind))
        return CausalTrace(
            tokens=tuple(self._codec.tokenizer.decode([token]) for token in ids),
            subject=places,
            answer=self._codec.tokenizer.decode([answer]),
            clean=float(clean[answer]),
            corrupted=float(low),
            window=window,
            scores=scores,
        )

    def _subject_places(self, prompt: str, subject: str) -> range:
        last = self._codec.subject_last(prompt, subject)
        begin = prompt.casefold().rindex(subject.casefold())
        offsets = self._codec.tokenizer(prompt, return_offsets_mapping=True)["offset_mapping"]
        first = min(place for place, (a, b) in enumerate(offsets) if a < b and b > begin)
        return range(first, last + 1)

    def _noise(self, tokens: int) -> Tensor:
        generator = torch.Generator().manual_seed(self._seed)
        width = self._model.get_input_embeddings().weight.shape[1]
        drawn = torch.randn(self._samples, tokens, width, generator=generator)
        return (drawn * self._sigma).to(self._model.device, self._model.dtype)

    def _module(self, kind: Kind, layer: int) -> str:
        site = {
            Kind.STATE: self._sites.block,
            Kind.MLP: self._sites.mlp_out,
            Kind.ATTENTION: self._sites.attention_out,
        }
        return site[kind](layer)

    def _clean(self, ids: Sequence[int]) -> tuple[Tensor, dict[str, Tensor]]:
        """Returns the clean next-token probabilities (V,) and each module's output (t, d)."""
        names = [self._module(kind, layer) for kind in Kind for layer in range(self.layers)]
        row = torch.tensor([list(ids)], device=self._model.device)
        with torch.no_grad(), trace(self._model, outputs=names, stop=False) as seen:
            logits = self._model(row, use_cache=False).logits[0, -1]
        states = {name: seen.outputs[name].flatten(0, -2) for name in names}
        return logits.float().softmax(-1), states

    def _run(
        self, ids: Sequence[int], places: range, noise: Tensor, restored: dict[str, Changing]
    ) -> Tensor:
        """Returns next-token probabilities (n, V) of noisy rows with some outputs put back."""
        rows = torch.tensor([list(ids)] * len(noise), device=self._model.device)

        def corrupt(output: Tensor) -> Tensor:
            output = output.clone()
            output[:, places.start : places.stop] += noise
            return output

        hooks = {self._embedding: corrupt, **restored}
        with torch.no_grad(), hooked(self._model, outputs=hooks):
            logits: Tensor = self._model(rows, use_cache=False).logits[:, -1]
        return logits.float().softmax(-1)

    def _restore_all(
        self,
        ids: Sequence[int],
        places: range,
        noise: Tensor,
        *,
        states: dict[str, Tensor],
        kind: Kind,
        window: int,
        answer: int,
    ) -> Tensor:
        """Returns (t, L): the answer's mean probability with each cell restored."""
        cells = [(token, layer) for token in range(len(ids)) for layer in range(self.layers)]
        size = max(1, ROWS_MAX // len(noise))
        found = torch.zeros(len(ids), self.layers)
        for start in range(0, len(cells), size):
            chunk = cells[start : start + size]
            restored = self._restoring(chunk, states, kind, window, len(noise))
            chances = self._run(ids, places, noise.repeat(len(chunk), 1, 1), restored)
            means = chances[:, answer].reshape(len(chunk), len(noise)).mean(1)
            for (token, layer), mean in zip(chunk, means.tolist(), strict=True):
                found[token, layer] = mean
        return found

    def _restoring(
        self,
        cells: Sequence[tuple[int, int]],
        states: dict[str, Tensor],
        kind: Kind,
        window: int,
        samples: int,
    ) -> dict[str, Changing]:
        """Returns, for each module concerned, what puts its clean output back into its rows."""
        span = 1 if kind is Kind.STATE else window
        rows_of: dict[str, list[tuple[int, int]]] = {}
        for number, (token, layer) in enumerate(cells):
            begin = max(0, layer - span // 2)
            for one in range(begin, min(self.layers, begin + span)):
                rows_of.setdefault(self._module(kind, one), []).append((number, token))

        def putting(name: str, pairs: list[tuple[int, int]]) -> Changing:
            def put(output: Tensor) -> Tensor:
                rows = output.clone().reshape(-1, len(states[name]), output.shape[-1])
                for number, token in pairs:
                    rows[number * samples : (number + 1) * samples, token] = states[name][token]
                return rows.reshape(output.shape)

            return put

        return {name: putting(name, pairs) for name, pairs in rows_of.items()}


ROLES = ("before", "subject first", "subject middle", "subject last", "after", "prompt last")


def by_role(found: Sequence[CausalTrace], kind: Kind) -> Tensor:
    """Returns (roles, L): the mean share of the lost probability that a restoration brings back.

    ROME's figure 2 in numbers: 0 is the corrupted run, 1 the clean one. A role that no trace has is
    NaN. Expects at least one trace, all of one model.
    """
    layers = found[0].scores[kind].shape[1]
    total, count = torch.zeros(len(ROLES), layers), torch.zeros(len(ROLES), 1)
    for one in found:
        lost = max(one.clean - one.corrupted, 1e-9)
        for token, row in enumerate(one.scores[kind]):
            role = ROLES.index(_role(one, token))
            total[role] += (row - one.corrupted) / lost
            count[role] += 1
    return total / count


def _role(found: CausalTrace, token: int) -> str:
    subject = found.subject
    if token == len(found.tokens) - 1:
        return "prompt last"
    if token in subject:
        if token == subject[-1]:
            return "subject last"
        return "subject first" if token == subject[0] else "subject middle"
    return "before" if token < subject.start else "after"
