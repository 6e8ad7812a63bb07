"""Runs only what an optimisation changes: the blocks above a layer, the columns after a token.

What stands before the fact token, and below the changed layer, is the same in every step. So rows
are run once: the columns before the fact token into a key-value cache (padded on the left, so that
every fact token stands in the same column), the rest to record what each upper block was called
with. A replay then calls those blocks again with another state. Nothing here names a family.
Legend: n rows, p prefix columns, q columns from the fact token on, d width, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache

from runtime.consolidation.tokens import Lesson
from runtime.consolidation.trace import Changing, hooked
from runtime.sites import Sites


class _Prefix:
    """The cache of the prefix, which an attention extends for itself and leaves as it was."""

    def __init__(self, states: Mapping[int, tuple[Tensor, Tensor]]) -> None:
        self._states = states

    def update(self, keys: Tensor, values: Tensor, layer: int, *_: Any) -> tuple[Tensor, Tensor]:
        if layer not in self._states:
            return keys, values
        before_keys, before_values = self._states[layer]
        return torch.cat((before_keys, keys), -2), torch.cat((before_values, values), -2)


@dataclass(frozen=True, slots=True)
class _Call:
    """How a block was called, its state left out."""

    block: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]


class Replay:
    """Rows prepared for being run again from block `first` on, from their fact token on."""

    def __init__(self, model: Any, sites: Sites, lessons: Sequence[Lesson], first: int) -> None:
        self._model, self._sites = model, sites
        self._norm = model.get_submodule(sites.family.final_norm)
        self._head = model.get_output_embeddings()
        self._cap = getattr(model.config, "final_logit_softcapping", None)
        self._calls: list[_Call] = []
        self.start: Tensor  # (n, q, d): the state that block `first` takes in.
        with torch.no_grad():
            self._run_once(lessons, first)

    def _run_once(self, lessons: Sequence[Lesson], first: int) -> None:
        device = self._model.device
        heads = [lesson.prompt[: lesson.site] for lesson in lessons]
        tails = [lesson.prompt[lesson.site :] + lesson.answer[:-1] for lesson in lessons]
        p, q = max(map(len, heads)), max(map(len, tails))
        pads = torch.tensor([p - len(head) for head in heads])
        ids = torch.tensor([[0] * (p - len(h)) + [*h] for h in heads], dtype=torch.long)
        rest = torch.tensor([[*tail] + [0] * (q - len(tail)) for tail in tails])
        places = torch.arange(p + q) - pads[:, None]  # (n, p + q), negative where padded
        mask = (places >= 0).long().to(device)
        places = places.clamp(min=0).to(device)
        cache = DynamicCache(config=self._model.config)
        if p:
            self._model.base_model(
                input_ids=ids.to(device),
                attention_mask=mask[:, :p],
                position_ids=places[:, :p],
                past_key_values=cache,
                use_cache=True,
            )
        before = {
            number: (layer.keys, layer.values)
            for number, layer in enumerate(cache.layers)
            if p and number >= first
        }
        with self._recording(first, cache, _Prefix(before)):
            self._model.base_model(
                input_ids=rest.to(device),
                attention_mask=mask,
                position_ids=places[:, p:],
                past_key_values=cache,
                use_cache=True,
            )

    @contextmanager
    def _recording(self, first: int, cache: Any, prefix: _Prefix) -> Iterator[None]:
        """Keeps how each upper block is called while the block runs, and the first one's state."""
        blocks = [
            self._model.get_submodule(self._sites.block(layer))
            for layer in range(first, self._sites.layers)
        ]
        starts: list[Tensor] = []

        def hook(block: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            if args:
                state, args = args[0], args[1:]
            else:
                kwargs = dict(kwargs)
                state = kwargs.pop("hidden_states")
            starts.append(state)
            named = {k: prefix if v is cache else v for k, v in kwargs.items()}
            placed = tuple(prefix if value is cache else value for value in args)
            self._calls.append(_Call(block, placed, named))

        handles = [block.register_forward_pre_hook(hook, with_kwargs=True) for block in blocks]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()
        if starts:
            self.start = starts[0]

    def run(
        self,
        added: Tensor | None,
        wanted: tuple[Tensor, Tensor],
        inside: Mapping[str, Tensor] | None = None,
    ) -> Tensor:
        """Returns the logits (m, V) float32 at `wanted` = (rows, columns from the fact token on).

        `added` (n, d) is added to the start state at the fact token; `inside` maps modules of the
        replayed blocks to what is added, (n, d), to their output there. Differentiable in both.
        """
        state = self.start
        if added is not None:
            state = torch.cat((state[:, :1] + added[:, None].to(state.dtype), state[:, 1:]), dim=1)
        adding = {name: _adder(tensor) for name, tensor in (inside or {}).items()}
        with hooked(self._model, outputs=adding):
            for call in self._calls:
                output = call.block(state, *call.args, **call.kwargs)
                state = output[0] if isinstance(output, tuple) else output
        logits: Tensor = self._head(self._norm(state[wanted])).float()
        return logits if self._cap is None else self._cap * torch.tanh(logits / self._cap)


def _adder(tensor: Tensor) -> Changing:
    def add(output: Tensor) -> Tensor:
        rows = output.reshape(len(tensor), -1, output.shape[-1])  # OPT's MLP is flat: (n q, d).
        first = rows[:, :1] + tensor[:, None].to(output.dtype)
        return torch.cat((first, rows[:, 1:]), dim=1).reshape(output.shape)

    return add
