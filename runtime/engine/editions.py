"""Other weights beside the published ones: a model that shares all modules but the changed ones.

The copy is structural. Modules on the way to a changed parameter are copied shallowly, everything
else is the very object of the published model, whose own tree is never touched. So a step of any
edition is an ordinary call of an ordinary module: no hooks, no indirection, nothing to swap.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from memory.errors import InvalidInput


def with_parameters(model: Any, parameters: Mapping[str, Tensor]) -> Any:
    """Returns a model like `model` but for the named parameters ("model.layers.1.mlp.weight").

    They are cast to the dtype and put on the device of those that they replace; `model` is left as
    it is. Raises InvalidInput for a name or shape that the model does not have, and for a parameter
    that other names share (tied weights), which a change of one name would tear apart.
    """
    names = _names_of(model)
    other = _shallow(model)
    copied: dict[str, Any] = {"": other}
    for name, tensor in parameters.items():
        own = _checked(model, names, name, tensor)
        path, _, leaf = name.rpartition(".")
        module = _copy_path(copied, path)
        value = tensor.detach().to(device=own.device, dtype=own.dtype).contiguous()
        setattr(module, leaf, torch.nn.Parameter(value, requires_grad=False))
    return other


def parameter_of(model: Any, name: str) -> Tensor:
    """Returns a parameter, never to be written to. Raises InvalidInput for an unknown name."""
    try:
        found: Tensor = model.get_parameter(name)
    except AttributeError as error:
        raise InvalidInput(
            f"the model has no parameter {name!r}; it was computed for another architecture",
            field="module",
        ) from error
    return found.detach()


def _names_of(model: Any) -> dict[int, list[str]]:
    """Returns the names that each parameter object has."""
    names: dict[int, list[str]] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        names.setdefault(id(parameter), []).append(name)
    return names


def _checked(model: Any, names: dict[int, list[str]], name: str, tensor: Tensor) -> Any:
    parameter_of(model, name)
    own = model.get_parameter(name)
    shared = [other for other in names[id(own)] if other != name]
    if shared:
        raise InvalidInput(
            f"parameter {name} is tied to {', '.join(shared)}; an edition can only change "
            "parameters that stand for themselves",
            field="module",
        )
    if own.shape != tensor.shape:
        raise InvalidInput(
            f"parameter {name} is {tuple(own.shape)} in the model and {tuple(tensor.shape)} in the "
            "edition; it was computed for another architecture",
            field="module",
        )
    return own


def _copy_path(copied: dict[str, Any], path: str) -> Any:
    """Returns the copy of the module at `path`; copies what is on the way to it once."""
    if path not in copied:
        parent_path, _, leaf = path.rpartition(".")
        parent = _copy_path(copied, parent_path)
        copied[path] = _shallow(parent.get_submodule(leaf))
        setattr(parent, leaf, copied[path])
    return copied[path]


def _shallow(module: Any) -> Any:
    """Returns a copy of one module that shares its children, parameters and buffers."""
    other = copy.copy(module)
    for name in ("_modules", "_parameters", "_buffers"):
        # copy.copy shares the dictionaries; the copy must be able to point elsewhere.
        other.__dict__[name] = dict(module.__dict__[name])
    return other
