"""A small honest editor: closed-form least squares on the last MLP.

At every place where a fact's answer is predicted, the state is moved along the unembedding of the
token that should follow, as far as it takes to make it the first choice; the moves are written by
MEMIT's equation against the second moments of running text. No gradients, so it is quick; it knows
nothing of subjects, so it generalises no better than its keys do.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from runtime.consolidation.contract import Delta, EditorReport, Fact, MatrixDelta, Progress
from runtime.consolidation.solve import memit
from runtime.consolidation.workbench import Workbench

MARGIN = 2.0  # Nats between the wanted token and the next one.
DOUBLINGS = 12


class ReadoutEditor:
    """Implements Editor for tests; `spoil` changes the finished delta."""

    name = "readout"

    def __init__(
        self, bench: Workbench, spoil: Callable[[Delta], Delta] | None = None, layer: int = -1
    ) -> None:
        self._bench = bench
        self._spoil = spoil
        self._layer = layer % bench.sites.layers

    def compute(self, facts: Sequence[Fact], progress: Progress) -> Delta:
        bench = self._bench
        module = bench.sites.mlp_out(self._layer)
        moment = bench.moments((self._layer,), progress)[self._layer]
        keys: list[Tensor] = []
        moves: list[Tensor] = []
        for place, fact in enumerate(facts):
            for prompt in (fact.prompt, *fact.paraphrases):
                answer = bench.codec.answer(prompt, fact.target)
                tokens = (*bench.codec.prompt(prompt), *answer)
                found = self._moves(module, tokens, len(answer))
                keys += found[0]
                moves += found[1]
            progress("targets", place + 1, len(facts))
        progress("solving", 0, 1)
        factors = memit(
            torch.stack(keys, 1), torch.stack(moves, 1), moment, bench.settings.covariance_weight
        )
        progress("solving", 1, 1)
        delta = Delta(
            matrices=(
                MatrixDelta(module=module, left=factors.left.float(), right=factors.right.float()),
            ),
            reports=tuple(
                EditorReport(edit_id=fact.edit_id, loss=0.0, steps=1, took=True) for fact in facts
            ),
            settings={"editor": self.name, "seed": 0},
        )
        return self._spoil(delta) if self._spoil else delta

    @torch.inference_mode()
    def _moves(
        self, module: str, tokens: tuple[int, ...], answer: int
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Returns the keys (d_in,) and moves (d_out,) at the places that predict the answer."""
        model = self._bench.model
        seen: dict[str, Tensor] = {}
        site = model.get_submodule(module)
        adding = torch.zeros(len(tokens), site.weight.shape[0])

        mine = threading.get_ident()

        def hook(_: Any, args: tuple[Any, ...], output: Tensor) -> Tensor:
            if threading.get_ident() != mine:
                return output  # Tests serve the very model that is edited here; no server does.
            seen["keys"] = args[0][0]
            return output + adding

        unembedding = model.get_output_embeddings().weight
        handle = site.register_forward_hook(hook)
        try:
            for place in range(len(tokens) - answer - 1, len(tokens) - 1):
                wanted = tokens[place + 1]
                direction = unembedding[wanted] - unembedding.mean(0)
                step = direction / direction.norm()
                for power in range(DOUBLINGS):
                    adding[place] = step * 2.0**power
                    logits = model(torch.tensor([tokens])).logits[0, place]
                    rival = logits.clone()
                    rival[wanted] = -torch.inf
                    if logits[wanted] > rival.max() + MARGIN:
                        break
        finally:
            handle.remove()
        places = range(len(tokens) - answer - 1, len(tokens) - 1)
        return (
            [seen["keys"][place].double().clone() for place in places],
            [adding[place].double().clone() for place in places],
        )
