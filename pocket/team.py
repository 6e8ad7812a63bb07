"""Several processes that train one model, started by `torch.distributed.run --nproc-per-node N`.

On a CPU one single-threaded process a core beats one process with as many threads: the many small
operations of a small model lose more at their barriers than one gradient exchange a step costs.
Alone, every function here does nothing.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

Item = TypeVar("Item")


def join() -> None:
    """Joins the team that the launcher's environment names, if any."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        dist.init_process_group("gloo")


def leave() -> None:
    """Leaves the team."""
    if dist.is_initialized():
        dist.destroy_process_group()


def size() -> int:
    """Returns the number of processes."""
    return dist.get_world_size() if dist.is_initialized() else 1


def rank() -> int:
    """Returns this process's number; 0 leads."""
    return dist.get_rank() if dist.is_initialized() else 0


def agree(value: Any) -> Any:
    """Returns the leader's value in every process."""
    if size() == 1:
        return value
    box = [value]
    dist.broadcast_object_list(box)
    return box[0]


def portion(items: Iterable[Item], cost: Callable[[Item], float]) -> list[Item]:
    """Returns this process's items, such that the processes' costs are nearly equal."""
    totals, mine = [0.0] * size(), []
    for item in sorted(items, key=cost, reverse=True):
        least = totals.index(min(totals))
        totals[least] += cost(item)
        if least == rank():
            mine.append(item)
    return mine


def add_gradients(network: nn.Module) -> None:
    """Replaces every gradient by its sum over the processes."""
    if size() == 1:
        return
    for parameter in network.parameters():
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
    gradients = [p.grad for p in network.parameters() if p.grad is not None]
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    dist.all_reduce(flat)
    parts = torch.split(flat, [gradient.numel() for gradient in gradients])
    for gradient, part in zip(gradients, parts, strict=True):
        gradient.copy_(part.view_as(gradient))


def share_rows(stack: Tensor, work: Callable[[Tensor], Tensor]) -> Tensor:
    """Returns `work(stack)` as float32, each process doing a slice of the first dimension."""
    if size() == 1:
        return work(stack).float()
    result = torch.zeros_like(stack, dtype=torch.float32)
    mine = slice(rank() * len(stack) // size(), (rank() + 1) * len(stack) // size())
    result[mine] = work(stack[mine]).float()
    dist.all_reduce(result)
    return result
