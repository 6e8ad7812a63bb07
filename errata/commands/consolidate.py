"""`errata consolidate`: writes edits into the weights, follows the job, shows what it came to."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from errata.commands.options import (
    DEFAULT_ADDRESS,
    DEFAULT_NAMESPACE,
    DEFAULT_TIMEOUT_S,
    Address,
    AsJson,
    Namespace,
    RequestId,
    Timeout,
)
from errata.commands.outcome import INTERRUPTED, REFUSED, UsageProblem
from errata.commands.parse import parse_labels
from errata.commands.session import connected
from errata.edition_results import Operation, OperationState
from errata.job_meter import JobMeter
from errata.records import Json, to_record
from errata.results import EditFilter
from errata.show import Screen
from errata.show_editions import show_estimate, show_operation

if TYPE_CHECKING:
    from errata.client import Client

RUNNING = "running"  # Instead of an operation's id: the one that runs.
SELECTING, COMPUTING, FOLLOWING = "Which edits", "How", "A job that is there already"


def consolidate(
    *,
    subject: Annotated[
        str,
        typer.Option(
            "--subject", "-s", metavar="NAME", help="About this.", rich_help_panel=SELECTING
        ),
    ] = "",
    text: Annotated[
        str,
        typer.Option(
            "--text",
            metavar="TEXT",
            help="Stands in subject, prompt or target.",
            rich_help_panel=SELECTING,
        ),
    ] = "",
    label: Annotated[
        list[str] | None,
        typer.Option(
            "--label",
            metavar="KEY=VALUE",
            help="With this label; repeatable.",
            rich_help_panel=SELECTING,
        ),
    ] = None,
    author: Annotated[
        str,
        typer.Option("--author", metavar="NAME", help="By this author.", rich_help_panel=SELECTING),
    ] = "",
    source: Annotated[
        str,
        typer.Option(
            "--source", metavar="TEXT", help="From this source.", rich_help_panel=SELECTING
        ),
    ] = "",
    editor: Annotated[
        str,
        typer.Option(
            "--editor",
            metavar="NAME",
            help="memit, rome, alphaedit or pmet.  \\[default: the server's setting]",
            rich_help_panel=COMPUTING,
        ),
    ] = "",
    setting: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=VALUE",
            help="A hyper-parameter of the editor, such as layers=[3,4]; repeatable.",
            rich_help_panel=COMPUTING,
        ),
    ] = None,
    activate: Annotated[
        bool,
        typer.Option(
            "--activate/--no-activate",
            help="Whether an edition that passes the gate answers at once.",
            rich_help_panel=COMPUTING,
        ),
    ] = True,
    validate_only: Annotated[
        bool,
        typer.Option(
            "--validate-only",
            help="Counts and estimates; writes nothing.",
            rich_help_panel=COMPUTING,
        ),
    ] = False,
    detach: Annotated[
        bool,
        typer.Option(
            "--detach",
            help="Begins the job and returns at once.",
            rich_help_panel=COMPUTING,
        ),
    ] = False,
    resume: Annotated[
        str,
        typer.Option(
            "--resume",
            metavar="OPERATION",
            help="Follows a job instead of beginning one; `running` for the one that runs.",
            rich_help_panel=FOLLOWING,
        ),
    ] = "",
    cancel: Annotated[
        str,
        typer.Option(
            "--cancel",
            metavar="OPERATION",
            help="Stops a job, which changes nothing then; `running` for the one that runs.",
            rich_help_panel=FOLLOWING,
        ),
    ] = "",
    request_id: RequestId = "",
    namespace: Namespace = DEFAULT_NAMESPACE,
    address: Address = DEFAULT_ADDRESS,
    timeout: Timeout = DEFAULT_TIMEOUT_S,
    as_json: AsJson = False,
) -> None:
    """Writes edits into the weights: a new edition, proved by a gate, then activated.

    Takes the edits in force that the options select (all without any) and those of the active
    edition. The server answers as before while the job runs. Edits that do not take stay in memory.
    Ctrl-C asks whether the job shall go on.

    Examples:
      errata consolidate --validate-only
      errata consolidate
      errata consolidate --label ticket=4711 --editor alphaedit --no-activate
      errata consolidate --set covariance_weight=1000 --set 'layers=[3,4,5]'
      errata consolidate --resume running
      errata consolidate --cancel running
    """
    screen = Screen.open(json=as_json)
    with connected(screen, address, namespace=namespace, timeout_s=timeout) as client:
        if cancel and resume:
            raise UsageProblem("--resume and --cancel are both given; give one of them.")
        if (cancel or resume) and (validate_only or detach or editor or setting):
            raise UsageProblem(
                "--resume and --cancel are about a job that is there: --validate-only, --detach, "
                "--editor and --set are for a new one."
            )
        if cancel:
            _cancel(screen, client, _named(client, cancel))
            return
        if resume:
            _follow(screen, client, client.operation(_named(client, resume)))
            return
        operation = client.consolidate(
            edit_filter=EditFilter(
                subject=subject,
                text=text,
                labels=parse_labels(label),
                author=author,
                source=source,
            ),
            editor=editor,
            settings=parse_settings(setting),
            activate=activate,
            validate_only=validate_only,
            request_id=request_id,
        )
        if validate_only or detach:
            _began(screen, operation)
            return
        _follow(screen, client, operation)


def parse_settings(pairs: list[str] | None) -> dict[str, Any]:
    """Reads "name=value" pairs; a value that is no JSON is a text."""
    found: dict[str, Any] = {}
    for pair in pairs or ():
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise UsageProblem(f'A setting is NAME=VALUE, such as layers=[3,4]; got "{pair}".')
        try:
            found[name] = json.loads(value)
        except ValueError:
            found[name] = value
    return found


def operation_record(operation: Operation) -> dict[str, Json]:
    """Returns an operation as `--json` prints it."""
    record = to_record(replace(operation, error=None))
    if operation.error is not None:
        record["error"] = {"message": operation.error.message, "reason": operation.error.reason}
    return record


def _named(client: Client, given: str) -> str:
    """Returns an operation's id. Raises UsageProblem when none runs."""
    if given != RUNNING:
        return given
    running = [one for one in client.list_operations() if not one.ended]
    if not running:
        raise UsageProblem("No consolidation runs now; `errata editions list` shows what there is.")
    return running[-1].id


def _cancel(screen: Screen, client: Client, name: str) -> None:
    """Stops a job and waits for its end. Raises UsageProblem for one that ended otherwise."""
    before = client.operation(name)
    if before.ended and before.state is not OperationState.CANCELLED:
        raise UsageProblem(
            f"{before.id} has {before.state.value} already; there is nothing to cancel. "
            "`errata editions activate 0` leaves an edition."
        )
    client.cancel_operation(name)
    _end(screen, client.wait_operation(name))


def _began(screen: Screen, operation: Operation) -> None:
    if screen.json:
        screen.record(operation_record(operation))
        return
    if operation.estimate is not None:
        show_estimate(screen, operation.estimate)
    if operation.edits_left_out:
        screen.note(f"{operation.edits_left_out} more name no subject that a prompt has.")
    if not operation.ended:
        screen.note(f"To follow it: errata consolidate --resume {operation.id}")


def _follow(screen: Screen, client: Client, operation: Operation) -> None:
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
    _end(screen, operation)


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


def _end(screen: Screen, operation: Operation) -> None:
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
