"""The sequential protocols: each record asked right after its own edit, and again at the end.

"Sequential" means both in the literature (EasyEdit changed its meaning in 2026), so both are kept
apart: `sequential_immediate` and `sequential_final` (retention). `stacked` is the same for editors
whose every change is computed on the weights that the former ones left.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from evaluation.asking import Asker, Block, Task
from evaluation.groups import Group
from evaluation.method import Method
from evaluation.outcome import Outcome
from evaluation.probes import Record
from memory.record import EditDraft

IMMEDIATE, FINAL = "immediate", "final"  # After the protocol's own name.


async def ask_sequentially(
    asker: Asker,
    method: Method,
    block: Block,
    group: Group,
    tasks_of: Callable[[Group], list[Task]],
    *,
    step: int = 1,
    always_held: bool = False,
) -> dict[Block, list[Outcome]]:
    """Puts the group's edits into force, `step` records at a time; returns outcomes of both kinds.

    What is in the group besides the records' own edits is in force before the first. Where all
    answers are known nothing is put into force, unless the edits are `always_held`: for a method
    whose costs are told by what it does when it holds them.
    """
    own = {edit.edit_id for record in group.records for edit in record.edits}
    first = tuple(edit for edit in group.edits if edit.edit_id not in own)
    immediate, final = (
        replace(block, protocol=f"{block.protocol}_{name}") for name in (IMMEDIATE, FINAL)
    )
    keys, last = [], replace(group, edits=first)
    for _, now in _steps(group, first, step):
        keys.append(asker.keys(method, immediate, now, tasks_of(now)))
        last = replace(group, edits=now.edits)
    last_keys = asker.keys(method, final, last, tasks_of(last))
    known = all(map(asker.knows, [*keys, last_keys]))
    held = None if known and not always_held else method.hold(first)
    try:
        outcomes: list[Outcome] = []
        for (new, now), asked in zip(_steps(group, first, step), keys, strict=True):
            if held is not None:
                held.add(new)
            tasks = tasks_of(now)
            answers = await asker.ask_held(held, immediate, tasks, asked)
            outcomes += asker.judged(now, tasks, answers)
        tasks = tasks_of(last)
        answers = await asker.ask_held(held, final, tasks, last_keys)
        return {immediate: outcomes, final: asker.judged(last, tasks, answers)}
    finally:
        if held is not None:
            held.close()


def _steps(
    group: Group, first: Sequence[EditDraft], step: int
) -> Iterator[tuple[list[EditDraft], Group]]:
    """Yields, step by step, the new edits and the records asked right after them.

    One after the other: each group holds all edits so far, and all groups at once would be many.
    """
    held = list(first)
    for start in range(0, len(group.records), step):
        records = group.records[start : start + step]
        new = _new_edits(records, held)
        held = [*held, *new]
        yield new, replace(group, edits=tuple(held), records=records, far=())


def _new_edits(records: Sequence[Record], in_force: list[EditDraft]) -> list[EditDraft]:
    """Returns the records' edits that are not in force yet, each once."""
    known = {edit.edit_id for edit in in_force}
    new = {edit.edit_id: edit for record in records for edit in record.edits}
    return [edit for edit_id, edit in new.items() if edit_id not in known]
