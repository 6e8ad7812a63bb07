"""Memories of N edits: which records share one, and what fills it.

Every record is probed once for each N. N = 1 gives each record a memory of its own; for larger N
the records are dealt out in the file's order, and a memory that they do not fill takes edits of
other records, then fillers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from evaluation.probes import Probe, Record, edit_key
from memory.errors import InvalidInput
from memory.record import EditDraft, EditId


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Edits that are in force together, and the records that are probed against them."""

    edits: tuple[EditDraft, ...]
    records: tuple[Record, ...]
    fillers: frozenset[EditId]
    far: tuple[Probe, ...] = ()  # Questions that belong to no record.


def make_groups(
    records: Sequence[Record],
    size: int,
    *,
    limit: int | None = None,
    fillers: Sequence[EditDraft] = (),
    far: Sequence[Probe] = (),
) -> list[Group]:
    """Deals the first `limit` records out to memories of `size` edits.

    A record with several edits keeps them together, so a memory may hold a few more than `size`.
    Raises InvalidInput when records and fillers together are too few.
    """
    if size < 1:
        raise InvalidInput(f"--edits {size}: expected 1 or more", field="edits")
    probed = list(records if limit is None else records[:limit])
    groups = []
    start = 0
    while start < len(probed):
        held: dict[EditId, EditDraft] = {}
        end = start
        while end < len(probed) and len(held) < size:
            _take(held, probed[end].edits)
            end += 1
        groups.append((tuple(probed[start:end]), held))
        start = end
    made = []
    for number, (own, held) in enumerate(groups):
        filling = _fill(held, size, records, fillers)
        made.append(
            Group(
                edits=tuple(held.values()),
                records=own,
                fillers=filling,
                far=tuple(far[number :: len(groups)]),
            )
        )
    return made


def _fill(
    held: dict[EditId, EditDraft],
    size: int,
    records: Sequence[Record],
    fillers: Sequence[EditDraft],
) -> frozenset[EditId]:
    """Adds edits up to `size`; returns the ids of those that come from the fillers."""
    for record in records:
        if len(held) >= size:
            return frozenset()
        _take(held, record.edits[: size - len(held)])
    facts = {edit_key(edit) for edit in held.values()}
    added = set()
    for filler in fillers:
        if len(held) >= size:
            break
        if edit_key(filler) not in facts and filler.edit_id is not None:
            facts.add(edit_key(filler))
            held[filler.edit_id] = filler
            added.add(filler.edit_id)
    if len(held) < size:
        raise InvalidInput(
            f"--edits {size}: records and fillers give {len(held)} edits; ask for fewer, or name a "
            "file with more of them with --fillers",
            field="edits",
        )
    return frozenset(added)


def _take(held: dict[EditId, EditDraft], edits: Sequence[EditDraft]) -> None:
    for edit in edits:
        assert edit.edit_id is not None, "edits are named when they are read"
        held[edit.edit_id] = edit
