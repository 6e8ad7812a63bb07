"""The sequential protocols: each record asked right after its own edit, and again at the end.

"Sequential" means both in the literature (EasyEdit changed its meaning in 2026), so both are kept
apart: `sequential_immediate` and `sequential_final` (retention). `stacked` is the same for editors
whose every change is computed on the weights that the former ones left.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from evaluation.asking import Asker, Block, Task
from evaluation.groups import Group
from evaluation.method import Method
from evaluation.outcome import Outcome
from evaluation.probes import Record, fingerprint
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
) -> dict[Block, list[Outcome]]:
    """Puts the group's edits into force, `step` records at a time; returns outcomes of both kinds.

    What is in the group besides the records' own edits is in force before the first.
    """
    own = {edit.edit_id for record in group.records for edit in record.edits}
    in_force = [edit for edit in group.edits if edit.edit_id not in own]
    immediate, final = (
        replace(block, protocol=f"{block.protocol}_{name}") for name in (IMMEDIATE, FINAL)
    )
    held = method.hold(in_force)

    async def ask(part: Block, now: Group) -> list[Outcome]:
        tasks = tasks_of(now)
        memory = fingerprint(now.edits)
        keys = [asker.key(method, part, memory, task) for task in tasks]
        return asker.judged(now, tasks, await asker.ask_held(held, part, tasks, keys))

    try:
        outcomes: list[Outcome] = []
        for start in range(0, len(group.records), step):
            records = group.records[start : start + step]
            new = _new_edits(records, in_force)
            held.add(new)
            in_force = [*in_force, *new]
            now = replace(group, edits=tuple(in_force), records=records, far=())
            outcomes += await ask(immediate, now)
        last = await ask(final, replace(group, edits=tuple(in_force)))
        return {immediate: outcomes, final: last}
    finally:
        held.close()


def _new_edits(records: Sequence[Record], in_force: list[EditDraft]) -> list[EditDraft]:
    """Returns the records' edits that are not in force yet, each once."""
    known = {edit.edit_id for edit in in_force}
    new = {edit.edit_id: edit for record in records for edit in record.edits}
    return [edit for edit_id, edit in new.items() if edit_id not in known]
