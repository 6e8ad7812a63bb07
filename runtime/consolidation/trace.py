"""Looks at, and temporarily replaces, what modules take in and give out. Hooks always come off.

Hooks stand on the module objects, so a model that is traced must not serve others meanwhile; its
weights are never written to. Legend: n rows, t columns, d width.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

Seeing = Callable[[Tensor], None]
Changing = Callable[[Tensor], Tensor | None]


class Stop(Exception):  # Control flow, not an error.
    """Ends a forward pass early; `hooked` swallows it."""


@dataclass(slots=True)
class Seen:
    """First positional inputs and outputs of modules, by module name, of one pass."""

    inputs: dict[str, Tensor] = field(default_factory=dict)
    outputs: dict[str, Tensor] = field(default_factory=dict)


@contextmanager
def hooked(
    model: Any,
    *,
    inputs: Mapping[str, Seeing] | None = None,
    outputs: Mapping[str, Changing] | None = None,
) -> Iterator[None]:
    """Calls functions with modules' inputs and outputs while the block runs.

    An output function may return a tensor that takes the output's place (of a tuple, its first
    member's). Stop, raised in a function, ends the block. All hooks are gone afterwards, whatever
    happened; a name that is no module raises AttributeError before any is set.
    """
    before = {model.get_submodule(name): call for name, call in (inputs or {}).items()}
    after = {model.get_submodule(name): call for name, call in (outputs or {}).items()}
    with ExitStack() as stack:
        for module, see in before.items():
            handle = module.register_forward_pre_hook(_on_input(see), with_kwargs=True)
            stack.callback(handle.remove)
        for module, change in after.items():
            stack.callback(module.register_forward_hook(_on_output(change)).remove)
        with suppress(Stop):
            yield


def _on_input(see: Seeing) -> Callable[..., None]:
    def hook(_: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        see(args[0] if args else kwargs["hidden_states"])

    return hook


def _on_output(change: Changing) -> Callable[..., Any]:
    def hook(_: Any, __: Any, output: Any) -> Any:
        first = output[0] if isinstance(output, tuple) else output
        changed = change(first)
        if changed is None:
            return None
        return (changed, *output[1:]) if isinstance(output, tuple) else changed

    return hook


@contextmanager
def trace(
    model: Any, *, inputs: Sequence[str] = (), outputs: Sequence[str] = (), stop: bool = True
) -> Iterator[Seen]:
    """Records what the named modules take in and give out in the block's forward pass.

    With `stop` the pass ends, and the block with it, as soon as each of them was seen.
    """
    seen = Seen()

    def finish() -> None:
        if stop and len(seen.inputs) == len(inputs) and len(seen.outputs) == len(outputs):
            raise Stop

    def keep(place: dict[str, Tensor], name: str) -> Seeing:
        def see(tensor: Tensor) -> None:
            place[name] = tensor
            finish()

        return see

    with hooked(
        model,
        inputs={name: keep(seen.inputs, name) for name in inputs},
        outputs={name: keep(seen.outputs, name) for name in outputs},
    ):
        yield seen


@contextmanager
def replaced(model: Any, weights: Mapping[str, Tensor]) -> Iterator[None]:
    """Lets linear modules compute with other weights, `(d_out, d_in)`, than their own.

    The modules' own weights stay untouched: their output is computed anew from their input.
    """
    taken: dict[str, Tensor] = {}

    def take(name: str) -> Seeing:
        return lambda tensor: taken.__setitem__(name, tensor)

    def compute(name: str, weight: Tensor) -> Changing:
        bias = model.get_submodule(name).bias

        def change(output: Tensor) -> Tensor:
            return torch.nn.functional.linear(taken.pop(name), weight, bias).to(output.dtype)

        return change

    with hooked(
        model,
        inputs={name: take(name) for name in weights},
        outputs={name: compute(name, weight) for name, weight in weights.items()},
    ):
        yield


def at_last_token(
    model: Any,
    rows: Sequence[Sequence[int]],
    *,
    inputs: Sequence[str] = (),
    outputs: Sequence[str] = (),
    batch_rows: int = 64,
) -> Seen:
    """Returns what the named modules take in and give out at each row's last token, (n, d) each.

    Rows alike in length share a pass, padded on the right, where a causal model never looks.
    """
    parts: list[Seen] = []
    order = sorted(range(len(rows)), key=lambda place: len(rows[place]))
    for start in range(0, len(rows), batch_rows):
        chunk = [rows[place] for place in order[start : start + batch_rows]]
        width = max(map(len, chunk))
        ids = torch.tensor([[*row, *[0] * (width - len(row))] for row in chunk])
        last = torch.tensor([len(row) - 1 for row in chunk])
        with torch.no_grad(), trace(model, inputs=inputs, outputs=outputs) as seen:
            model.base_model(input_ids=ids.to(model.device), use_cache=False)
        places = torch.arange(len(chunk)) * width + last
        # OPT's blocks flatten rows and columns before the MLP; others do not.
        parts.append(
            Seen(
                {name: seen.inputs[name].flatten(0, -2)[places] for name in inputs},
                {name: seen.outputs[name].flatten(0, -2)[places] for name in outputs},
            )
        )
    back = torch.tensor(order).argsort()
    return Seen(
        {name: torch.cat([part.inputs[name] for part in parts])[back] for name in inputs},
        {name: torch.cat([part.outputs[name] for part in parts])[back] for name in outputs},
    )
