"""Overlaps for people: which edits answer the same question otherwise, and what to do about it."""

from __future__ import annotations

from collections.abc import Sequence

from errata.results import Edit, Overlap, OverlapPair, Written
from errata.show import Screen, one_line

COLUMNS = ("EDIT", "FACT", "OVERLAPS", "FACT", "SCORE")
SHOWN_MAX = 5
DEFAULT = "default"


def show_overlaps(screen: Screen, written: Written, *, dry_run: bool) -> None:
    """Says beside a write what overlaps it, and the ways out; nothing when nothing does."""
    if not written.overlaps:
        return
    for overlap in written.overlaps[:SHOWN_MAX]:
        screen.note(_sentence(overlap, dry_run=dry_run), style="yellow")
    more = len(written.overlaps) - SHOWN_MAX
    if more > 0:
        screen.note(f"And {more} more: --json tells all of them.", style="yellow")
    first = reference(written.overlaps[0].edit)
    if dry_run:
        screen.note(
            "Once both are in force, the later one answers what both could, and each one its own "
            f"words: errata edit show {first}"
        )
    else:
        others = ", and the others likewise" if len(written.overlaps) > 1 else ""
        screen.note(
            "What both could answer, the later one does, and each one its own words. To keep this "
            f"one alone: errata edit retire {first}{others}; to take it back: errata edit retire "
            f"{reference(written.edit)}"
        )


def _sentence(overlap: Overlap, *, dry_run: bool) -> str:
    other = overlap.edit
    fact = f"{one_line(other.statement)} (edit {reference(other)}, score {overlap.score:.2f})"
    if not overlap.reverse:
        return f"Also answers this prompt: {fact}."
    return f"This {'would also answer' if dry_run else 'also answers'} the prompt of: {fact}."


def overlap_row(pair: OverlapPair) -> tuple[str, ...]:
    """Returns a pair as a row of COLUMNS."""
    other = pair.overlap.edit
    return (
        pair.edit.id,
        pair.edit.statement,
        other.id,
        other.statement,
        f"{pair.overlap.score:.2f}",
    )


def show_pairs(screen: Screen, pairs: Sequence[OverlapPair]) -> None:
    """Shows a table of pairs."""
    screen.table(COLUMNS, [overlap_row(pair) for pair in pairs])


def reference(edit: Edit) -> str:
    """Returns what a command takes for an edit, whatever namespace it is given."""
    return edit.id if edit.namespace == DEFAULT else edit.name
