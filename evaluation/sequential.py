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
    makes_anew: bool = False,
) -> dict[Block, list[Outcome]]:
    """Puts the group's edits into force, `step` records at a time; returns outcomes of both kinds.

    What is in the group besides the records' own edits is in force before the first. Where all
    answers are known, nothing is put into force, unless the method `makes_anew` what it is to tell
    the costs of.
    """
    own = {edit.edit_id for record in group.records for edit in record.edits}
    in_force = [edit for edit in group.edits if edit.edit_id not in own]
    immediate, final = (
        replace(block, protocol=f"{block.protocol}_{name}") for name in (IMMEDIATE, FINAL)
    )
    steps = _steps(group, in_force, step)
    last = replace(group, edits=steps[-1][1].edits if steps else tuple(in_force))

    def keys_of(part: Block, now: Group, tasks: Sequence[Task]) -> list[str]:
        return [asker.key(method, part, fingerprint(now.edits), task) for task in tasks]

    parts = [*((immediate, now) for _, now in steps), (final, last)]
    known = all(asker.knows(keys_of(part, now, tasks_of(now))) for part, now in parts)
    held = None if known and not makes_anew else method.hold(in_force)

    async def ask(part: Block, now: Group) -> list[Outcome]:
        tasks = tasks_of(now)
        answers = await asker.ask_held(held, part, tasks, keys_of(part, now, tasks))
        return asker.judged(now, tasks, answers)

    try:
        outcomes: list[Outcome] = []
        for new, now in steps:
            if held is not None:
                held.add(new)
            outcomes += await ask(immediate, now)
        return {immediate: outcomes, final: await ask(final, last)}
    finally:
        if held is not None:
            held.close()


def _steps(
    group: Group, in_force: Sequence[EditDraft], step: int
) -> list[tuple[list[EditDraft], Group]]:
    """Returns, step by step, the new edits and the records asked right after them."""
    steps, held = [], list(in_force)
    for start in range(0, len(group.records), step):
        records = group.records[start : start + step]
        new = _new_edits(records, held)
        held = [*held, *new]
        steps.append((new, replace(group, edits=tuple(held), records=records, far=())))
    return steps


def _new_edits(records: Sequence[Record], in_force: list[EditDraft]) -> list[EditDraft]:
    """Returns the records' edits that are not in force yet, each once."""
    known = {edit.edit_id for edit in in_force}
    new = {edit.edit_id: edit for record in records for edit in record.edits}
    return [edit for edit_id, edit in new.items() if edit_id not in known]
