"""Consolidation jobs, for people: which there are, how far one is, how it ended."""

from __future__ import annotations

from collections.abc import Iterable

from errata.edition_results import Edition, Estimate, Operation, OperationState
from errata.job_meter import STAGES
from errata.show import Screen, bytes_text, one_line, when
from errata.show_editions import (
    EDIT_COLUMNS,
    METRIC_COLUMNS,
    edit_row,
    matrices_text,
    metric_rows,
)

LEFT_SHOWN_MAX = 20
RESULT_CHARS = 120
COLUMNS = (
    "OPERATION",
    "STATE",
    "STAGE",
    "DONE",
    "NAMESPACE",
    "EDITS",
    "EDITOR",
    "BEGAN",
    "TOOK",
    "RESULT",
)


def show_operations(screen: Screen, operations: Iterable[Operation]) -> None:
    """Shows a table of operations."""
    screen.table(
        COLUMNS,
        [
            (
                one.id,
                one.state.value,
                "" if one.state is OperationState.SUCCEEDED else one.stage,
                done_text(one),
                one.namespace,
                str(one.edits),
                one.editor,
                when(one.created_at),
                took_text(one),
                one_line(result_text(one), RESULT_CHARS),
            )
            for one in operations
        ],
    )


def show_one(screen: Screen, operation: Operation) -> None:
    """Shows one operation with everything that is known of it."""
    stage = STAGES.get(operation.stage, operation.stage)
    screen.fields(
        (
            ("operation", operation.id),
            ("state", operation.state.value),
            ("stage", " ".join(part for part in (stage, done_text(operation)) if part)),
            ("namespace", operation.namespace),
            ("edits", str(operation.edits)),
            ("left out", str(operation.edits_left_out or "")),
            ("editor", operation.editor),
            ("began", when(operation.created_at)),
            ("ended" if operation.ended else "last heard of", when(operation.updated_at)),
            ("took" if operation.ended else "runs for", took_text(operation)),
            ("begun again", times_text(operation.restarts)),
            ("result", result_text(operation)),
        )
    )
    if operation.validate_only and operation.estimate is not None:
        show_estimate(screen, operation.estimate)
        return
    metrics = operation.edition.metrics if operation.edition else operation.metrics
    if metrics:
        screen.line()
        screen.table(METRIC_COLUMNS, metric_rows(metrics))
    if not operation.ended:
        screen.note(
            f"`errata operations wait {operation.id}` follows it, `errata operations cancel "
            f"{operation.id}` stops it."
        )


def done_text(operation: Operation) -> str:
    """Returns how far the stage is: "3 of 10"; empty where that is not known, or at the end."""
    if operation.ended or not operation.total:
        return ""
    return f"{operation.done} of {operation.total}"


def took_text(operation: Operation) -> str:
    """Returns how long a job took, up to when it was last heard of: "64 s", "12 min 5 s"."""
    if operation.created_at is None or operation.updated_at is None:
        return ""
    seconds = max(0.0, (operation.updated_at - operation.created_at).total_seconds())
    if seconds < 10:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def times_text(count: int) -> str:
    """Returns how often something happened: "once", "2 times"; empty for never."""
    return "once" if count == 1 else f"{count} times" if count else ""


def result_text(operation: Operation) -> str:
    """Returns what came of a job, in a few words; empty while it runs."""
    if operation.error is not None and operation.state is not OperationState.CANCELLED:
        return operation.error.message
    if operation.validate_only:
        return "only estimated"
    if operation.state is not OperationState.SUCCEEDED:
        return ""
    if operation.edition is None:
        return "its edition is not there any more"
    how = ["used again"] if operation.reused else []
    how += ["activated"] if operation.activated else ["not activated"]
    return f"edition {operation.edition.number}, {', '.join(how)}"


def show_operation(screen: Screen, operation: Operation) -> None:
    """Shows how a job ended: the gate's table, the edits that stay in memory, how to undo."""
    edition = operation.edition
    metrics = edition.metrics if edition else operation.metrics
    if metrics:
        screen.table(METRIC_COLUMNS, metric_rows(metrics))
    if edition:
        _show_left(screen, edition)
        if operation.reused:
            screen.line(
                f"Edition {edition.number} was made from the same edits in the same way; it is "
                "used again, nothing was computed."
            )
        state = "active" if operation.activated else "not activated"
        screen.line(
            f"Edition {edition.number} holds {edition.edits_taken} of {operation.edits} edits in "
            f"{matrices_text(edition.matrices)}, {bytes_text(edition.bytes)}; {state}."
        )
    if operation.edits_left_out:
        screen.note(
            f"{operation.edits_left_out} edits name their subject in no words that their prompt "
            "has; they stay in memory."
        )
    if edition and operation.activated:
        screen.note("To undo: errata editions activate 0")
    elif edition:
        screen.note(f"To use it: errata editions activate {edition.number}")


def show_estimate(screen: Screen, estimate: Estimate) -> None:
    """Shows what a job would need."""
    cap = estimate.memory_cap_bytes
    enough = not cap or estimate.memory_bytes <= cap
    allowed = f" of {bytes_text(cap)} allowed" if cap else ""
    screen.fields(
        (
            ("edits", str(estimate.edits)),
            ("memory", f"{bytes_text(estimate.memory_bytes)}{allowed}"),
            ("edition", f"{bytes_text(estimate.edition_bytes)} on disk at most"),
        )
    )
    if not enough:
        screen.note(
            "It would be refused: raise consolidation.memory_mb, or select fewer edits.",
            style="yellow",
        )


def _show_left(screen: Screen, edition: Edition) -> None:
    left = [held for held in edition.edits if not held.took]
    if not left:
        return
    screen.line()
    screen.note(f"{len(left)} edits did not take and stay in memory:", style="yellow")
    screen.table(EDIT_COLUMNS, [edit_row(held) for held in left[:LEFT_SHOWN_MAX]])
    if len(left) > LEFT_SHOWN_MAX:
        more = len(left) - LEFT_SHOWN_MAX
        screen.note(f"and {more} more: errata editions show {edition.number}")
