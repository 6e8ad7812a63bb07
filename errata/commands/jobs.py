"""What commands do with a job that is there: name it, follow it, stop it, tell how it ended."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import typer

from errata.commands.outcome import INTERRUPTED, REFUSED, UsageProblem
from errata.edition_results import Operation, OperationState
from errata.job_meter import JobMeter
from errata.records import Json, to_record
from errata.show import Screen
from errata.show_operations import show_operation

if TYPE_CHECKING:
    from errata.client import Client

RUNNING = "running"  # Instead of an operation's id: the one that runs.


def operation_record(operation: Operation) -> dict[str, Json]:
    """Returns an operation as `--json` prints it."""
    record = to_record(replace(operation, error=None))
    if operation.error is not None:
        record["error"] = {"message": operation.error.message, "reason": operation.error.reason}
    return record


def named(client: Client, given: str) -> str:
    """Returns an operation's id. Raises UsageProblem when none runs."""
    if given != RUNNING:
        return given
    running = [one for one in client.list_operations() if not one.ended]
    if not running:
        raise UsageProblem(
            "No consolidation runs now; `errata operations list` shows those that ended."
        )
    return running[-1].id


def cancel_job(screen: Screen, client: Client, name: str) -> None:
    """Stops a job and waits for its end. Raises UsageProblem for one that ended otherwise."""
    before = client.operation(name)
    if before.ended and before.state is not OperationState.CANCELLED:
        raise UsageProblem(
            f"{before.id} has {before.state.value} already; there is nothing to cancel. "
            "`errata editions activate 0` leaves an edition."
        )
    client.cancel_operation(name)
    end(screen, client.wait_operation(name))


def follow(screen: Screen, client: Client, operation: Operation) -> None:
    """Waits for the end; Ctrl-C asks what shall become of the job."""
    screen_note = not screen.json and not operation.ended
    if screen_note:
        screen.note(f"Job {operation.id}: {operation.edits} edits, {operation.editor}")
    while not operation.ended:
        try:
            with JobMeter(screen) as meter:
                operation = client.wait_operation(operation.id, on_progress=meter.take)
        except KeyboardInterrupt:
            if not _stops(screen, operation.id):
                raise typer.Exit(INTERRUPTED) from None
            client.cancel_operation(operation.id)
    end(screen, operation)


def _stops(screen: Screen, name: str) -> bool:
    """Whether an interrupted job shall be cancelled; it goes on when nobody can be asked."""
    if not screen.json and sys.stdin.isatty():
        screen.note("")
        try:
            if typer.confirm("Cancel the job? (No: it goes on in the server)", err=True):
                return True
        except typer.Abort:  # Ctrl-C again is no answer.
            screen.note("")
    screen.note(
        f"The job goes on: errata consolidate --resume {name} follows it, --cancel {name} stops "
        "it.",
        style="yellow",
    )
    return False


def end(screen: Screen, operation: Operation) -> None:
    """Shows how a job ended, and ends the command with the fitting exit code."""
    if screen.json:
        screen.record(operation_record(operation))
    else:
        show_operation(screen, operation)
    if operation.state is OperationState.CANCELLED:
        screen.note("Cancelled; nothing was changed.", style="yellow")
        return
    if operation.error is not None:
        if not screen.json:
            screen.note(f"Error: {operation.error.message}", style="bold red")
            screen.note("Nothing was activated; the edits are answered from memory as before.")
        raise typer.Exit(REFUSED)
