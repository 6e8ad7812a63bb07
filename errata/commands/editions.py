"""`errata editions ...`: list, show, diff, activate (undo), export."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from errata.commands.options import (
    DEFAULT_ADDRESS,
    DEFAULT_NAMESPACE,
    DEFAULT_TIMEOUT_S,
    Address,
    AsJson,
    Namespace,
    Reason,
    RequestId,
    Timeout,
)
from errata.commands.outcome import UsageProblem, reported
from errata.commands.serve import Config, DataDir, Device, Dtype, Flags, Model, read
from errata.commands.session import connected
from errata.show import Screen
from errata.show_editions import Difference, show_difference, show_edition, show_editions

if TYPE_CHECKING:
    from errata.client import Client

Number = Annotated[
    int, typer.Argument(min=0, metavar="EDITION", help="Its number; 0 is the model as published.")
]


def list_(
    *,
    namespace: Namespace = DEFAULT_NAMESPACE,
    address: Address = DEFAULT_ADDRESS,
    timeout: Timeout = DEFAULT_TIMEOUT_S,
    as_json: AsJson = False,
) -> None:
    """Lists the editions of a namespace, newest first.

    Examples:
      errata editions list
      errata editions list --namespace staging --json
    """
    screen = Screen.open(json=as_json)
    with connected(screen, address, namespace=namespace, timeout_s=timeout) as client:
        found = client.list_editions()
    if not as_json:
        show_editions(screen, found)
        return
    for edition in found:
        screen.record(edition)


def show(
    edition: Number,
    *,
    namespace: Namespace = DEFAULT_NAMESPACE,
    address: Address = DEFAULT_ADDRESS,
    timeout: Timeout = DEFAULT_TIMEOUT_S,
    as_json: AsJson = False,
) -> None:
    """Shows one edition: its edits, what the gate measured, its matrices.

    Examples:
      errata editions show 3
      errata editions show 3 --json
    """
    screen = Screen.open(json=as_json)
    with connected(screen, address, namespace=namespace, timeout_s=timeout) as client:
        found = client.edition(edition)
    if as_json:
        screen.record(found)
    else:
        show_edition(screen, found)


def diff(
    first: Number,
    second: Annotated[
        int | None,
        typer.Argument(
            min=0,
            metavar="OTHER",
            help="Another.  \\[default: the active one, or 0 if EDITION is that one]",
        ),
    ] = None,
    *,
    namespace: Namespace = DEFAULT_NAMESPACE,
    address: Address = DEFAULT_ADDRESS,
    timeout: Timeout = DEFAULT_TIMEOUT_S,
    as_json: AsJson = False,
) -> None:
    """Shows what differs between two editions: edits, measures, settings.

    Examples:
      errata editions diff 2 3
      errata editions diff 2
    """
    screen = Screen.open(json=as_json)
    with connected(screen, address, namespace=namespace, timeout_s=timeout) as client:
        if second is None:
            second = _to_compare_with(screen, first, client)
        found = Difference.between(client.edition(first), client.edition(second))
    if not as_json:
        show_difference(screen, found)
        return
    screen.record(
        {
            "first": first,
            "second": second,
            "added": found.added,
            "removed": found.removed,
            "changed": [{"first": one, "second": other} for one, other in found.changed],
            "metrics": {"first": found.first.metrics, "second": found.second.metrics},
            "settings": {"first": found.first.settings, "second": found.second.settings},
        }
    )


def _to_compare_with(screen: Screen, first: int, client: Client) -> int:
    """Returns the active edition, or what was published when the active one is compared."""
    active = next(one.number for one in client.list_editions() if one.active)
    if active != first:
        return active
    if not first:
        raise UsageProblem(
            "Edition 0 is the active one; name a second edition (`errata editions list`)."
        )
    screen.note(f"Edition {first} is the active one; compared with 0, the model as published.")
    return 0


def activate(
    edition: Number,
    *,
    reason: Reason = "",
    request_id: RequestId = "",
    namespace: Namespace = DEFAULT_NAMESPACE,
    address: Address = DEFAULT_ADDRESS,
    timeout: Timeout = DEFAULT_TIMEOUT_S,
    as_json: AsJson = False,
) -> None:
    """Gives the namespace an edition; an older one, or 0, undoes, bit for bit.

    Running answers end on the edition that they began with; no request waits or fails.

    Examples:
      errata editions activate 3
      errata editions activate 0 --reason "too many neighbours changed"
    """
    screen = Screen.open(json=as_json)
    with connected(screen, address, namespace=namespace, timeout_s=timeout) as client:
        done = client.activate_edition(edition, reason=reason, request_id=request_id)
    if as_json:
        screen.record(done)
        return
    what = f"Edition {edition}" if edition else "Edition 0, the model as published,"
    screen.line(f"{what} answers namespace {namespace} from sequence {done.sequence} on.")
    screen.note(f"{done.edits_changed} edits changed state.")


def export(
    edition: Number,
    out: Annotated[Path, typer.Argument(metavar="FOLDER", help="A new folder to write.")],
    *,
    form: Annotated[
        Literal["checkpoint", "lora"],
        typer.Option(
            "--format", "-f", help="A whole model for transformers, or an adapter for peft."
        ),
    ] = "checkpoint",
    rank_max: Annotated[
        int,
        typer.Option(
            "--rank-max",
            min=0,
            metavar="N",
            help="Refuses an adapter of a higher rank; 0 allows any.",
        ),
    ] = 0,
    namespace: Namespace = DEFAULT_NAMESPACE,
    model: Model = None,
    dtype: Dtype = None,
    device: Device = None,
    data_dir: DataDir = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Writes an edition for other programs. Reads the data directory itself; asks no server.

    Give --data-dir and --model as to `serve`. The checkpoint's weights are those that answer here,
    bit for bit; the adapter's sum with the base is theirs but for rounding.

    Examples:
      errata editions export 3 edited-model
      errata editions export 3 adapter --format lora --rank-max 64
    """
    screen = Screen.open(json=as_json)
    flags: Flags = {
        "model": {"name": model, "dtype": dtype, "device": device},
        "memory": {"directory": data_dir},
    }
    with reported(screen):
        settings = read(flags, config)
        from errata.edition_export import write_edition  # noqa: PLC0415  # torch.

        written = write_edition(
            settings, edition, out, form=form, rank_max=rank_max, namespace=namespace
        )
    if as_json:
        screen.record(written)
    else:
        screen.line(f"Edition {edition} written to {out}: {written.told}.")
