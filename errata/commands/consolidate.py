"""`errata consolidate`: writes edits into the weights, follows the job, shows what it came to."""

from __future__ import annotations

import json
from typing import Any

from errata.commands.consolidate_options import (
    Activate,
    Author,
    Cancel,
    Detach,
    Editor,
    Label,
    Resume,
    Setting,
    Source,
    Subject,
    Text,
    ValidateOnly,
)
from errata.commands.jobs import cancel_job, follow, named, operation_record
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
from errata.commands.outcome import UsageProblem
from errata.commands.parse import parse_labels
from errata.commands.session import connected
from errata.edition_results import Operation
from errata.results import EditFilter
from errata.show import Screen
from errata.show_operations import show_estimate


def consolidate(
    *,
    subject: Subject = "",
    text: Text = "",
    label: Label = None,
    author: Author = "",
    source: Source = "",
    editor: Editor = "",
    setting: Setting = None,
    activate: Activate = True,
    validate_only: ValidateOnly = False,
    detach: Detach = False,
    resume: Resume = "",
    cancel: Cancel = "",
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
            cancel_job(screen, client, named(client, cancel))
            return
        if resume:
            follow(screen, client, client.operation(named(client, resume)))
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
        follow(screen, client, operation)


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
