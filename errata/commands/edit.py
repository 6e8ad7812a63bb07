"""`errata edit ...`: add, list, show, update, retire, restore, history."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from errata.commands.options import (
    DEFAULT_ADDRESS,
    DEFAULT_NAMESPACE,
    DEFAULT_TIMEOUT_S,
    Address,
    AsJson,
    DryRun,
    EditId,
    Etag,
    Namespace,
    OnConflict,
    Reason,
    RequestId,
    Timeout,
)
from errata.commands.outcome import UsageProblem
from errata.commands.parse import (
    one_subject,
    parse_expiry,
    parse_labels,
    parse_states,
    unbrace,
)
from errata.commands.session import connected
from errata.results import Edit, EditFilter, EditState, Written
from errata.show import Screen
from errata.show_edits import show_edit, show_edits, show_history, show_written

if TYPE_CHECKING:
    from collections.abc import Iterable

Aliases = Annotated[
    list[str] | None,
    typer.Option("--alias", metavar="NAME", help="Another name of the subject; repeatable."),
]
Author = Annotated[
    str, typer.Option("--author", envvar="ERRATA_AUTHOR", metavar="NAME", help="Who says so.")
]
Source = Annotated[
    str, typer.Option("--source", metavar="TEXT", help="Where the fact comes from: a link, ...")
]
Labels = Annotated[
    list[str] | None,
    typer.Option("--label", metavar="KEY=VALUE", help="A mark for filtering; repeatable."),
]
Expires = Annotated[
    str,
    typer.Option(
        "--expires",
        metavar="WHEN",
        help="When it ends: 2030-01-31, 2030-01-31T12:00Z, or from now: 90s, 15m, 12h, 30d.",
    ),
]


def add(
    prompt: Annotated[
        str,
        typer.Argument(
            metavar="PROMPT",
            help="A cloze that TARGET completes, or a question that it answers; the {subject} may "
            "be marked with braces.",
        ),
    ],
    target: Annotated[str, typer.Argument(metavar="TARGET", help="The new answer.")],
    *,
    subject: Annotated[
        str,
        typer.Option(
            "--subject",
            "-s",
            metavar="NAME",
            help="What the fact is about; must stand in the prompt. Not needed with braces.",
        ),
    ] = "",
    former: Annotated[
        str | None, typer.Option("--former", metavar="TEXT", help="The old answer, if known.")
    ] = None,
    alias: Aliases = None,
    author: Author = "",
    source: Source = "",
    label: Labels = None,
    expires: Expires = "",
    edit_id: Annotated[
        str,
        typer.Option("--id", metavar="ID", help="Its id: letters, digits, dashes. Default: drawn."),
    ] = "",
    on_conflict: OnConflict = "fail",
    check: Annotated[
        bool,
        typer.Option(
            "--check/--no-check",
            help="Tells which edits in force answer the same question otherwise.",
        ),
    ] = True,
    request_id: RequestId = "",
    dry_run: DryRun = False,
    namespace: Namespace = DEFAULT_NAMESPACE,
    address: Address = DEFAULT_ADDRESS,
    timeout: Timeout = DEFAULT_TIMEOUT_S,
    as_json: AsJson = False,
) -> None:
    """Adds an edit: from the next request on, PROMPT is answered with TARGET.

    Examples:
      errata edit add "The mother tongue of {Danielle Darrieux} is" English
      errata edit add "Messi plays" basketball --subject Messi --expires 30d
      errata edit add "{Messi} plays" golf --on-conflict supersede
    """
    screen = Screen.open(json=as_json)
    with connected(screen, address, namespace=namespace, timeout_s=timeout) as client:
        plain, marked = unbrace(prompt)
        written = client.create_edit(
            subject=one_subject(subject, marked),
            prompt=plain,
            target=target,
            former=former,
            aliases=alias or (),
            author=author,
            source=source,
            labels=parse_labels(label),
            expires_at=parse_expiry(expires),
            edit_id=edit_id,
            on_conflict=on_conflict,
            request_id=request_id,
            validate_only=dry_run,
            check_overlaps=check,
        )
    _show(screen, written, dry_run=dry_run)


def list_(
    *,
    state: Annotated[
        list[str] | None,
        typer.Option(
            "--state",
            metavar="STATE",
            help="active, superseded, retired, expired, consolidated or all; repeatable. Default: "
            "those in service.",
        ),
    ] = None,
    subject: Annotated[
        str, typer.Option("--subject", "-s", metavar="NAME", help="About this subject.")
    ] = "",
    text: Annotated[
        str,
        typer.Option("--text", metavar="TEXT", help="Stands in subject, prompt or target."),
    ] = "",
    label: Labels = None,
    author: Annotated[str, typer.Option("--author", metavar="NAME", help="By this author.")] = "",
    source: Annotated[str, typer.Option("--source", metavar="TEXT", help="From this source.")] = "",
    limit: Annotated[
        int,
        typer.Option("--limit", "-l", min=0, metavar="N", help="How many at most; 0 for all."),
    ] = 50,
    namespace: Namespace = DEFAULT_NAMESPACE,
    address: Address = DEFAULT_ADDRESS,
    timeout: Timeout = DEFAULT_TIMEOUT_S,
    as_json: AsJson = False,
) -> None:
    """Lists edits, oldest first.

    Examples:
      errata edit list --subject "Lionel Messi"
      errata edit list --state all --label ticket=4711 --json
    """
    screen = Screen.open(json=as_json)
    with connected(screen, address, namespace=namespace, timeout_s=timeout) as client:
        wanted = EditFilter(
            states=parse_states(state),
            subject=subject,
            text=text,
            labels=parse_labels(label),
            author=author,
            source=source,
        )
        size = min(limit or 500, 500)
        found = client.list_edits(wanted, page_size=size)
        edits, more = _take(found, limit)
        if as_json:
            for edit in edits:
                screen.record(edit)
        elif edits:
            show_edits(screen, edits)
    if more:
        screen.note(f"The first {limit}; --limit 0 shows all.")
    elif not edits and not as_json:
        screen.note("No edits here.")


def show(
    edit: EditId,
    *,
    namespace: Namespace = DEFAULT_NAMESPACE,
    address: Address = DEFAULT_ADDRESS,
    timeout: Timeout = DEFAULT_TIMEOUT_S,
    as_json: AsJson = False,
) -> None:
    """Shows one edit with everything that is known of it, in whatever state it is.

    Examples:
      errata edit show darrieux-tongue
      errata edit show namespaces/staging/edits/darrieux-tongue --json
    """
    screen = Screen.open(json=as_json)
    with connected(screen, address, namespace=namespace, timeout_s=timeout) as client:
        found = client.get_edit(edit)
    if as_json:
        screen.record(found)
    else:
        show_edit(screen, found)


def update(
    edit: EditId,
    *,
    target: Annotated[
        str | None, typer.Option("--target", metavar="TEXT", help="The new answer.")
    ] = None,
    prompt: Annotated[
        str | None, typer.Option("--prompt", metavar="TEXT", help="The cloze or question.")
    ] = None,
    subject: Annotated[
        str | None, typer.Option("--subject", "-s", metavar="NAME", help="What it is about.")
    ] = None,
    former: Annotated[
        str | None, typer.Option("--former", metavar="TEXT", help="The old answer; '' clears it.")
    ] = None,
    alias: Aliases = None,
    author: Annotated[
        str | None, typer.Option("--author", metavar="NAME", help="Who says so.")
    ] = None,
    source: Annotated[
        str | None, typer.Option("--source", metavar="TEXT", help="Where it comes from.")
    ] = None,
    label: Labels = None,
    expires: Annotated[
        str | None,
        typer.Option("--expires", metavar="WHEN", help="A new end, as for `add`; '' for none."),
    ] = None,
    etag: Etag = "",
    request_id: RequestId = "",
    dry_run: DryRun = False,
    namespace: Namespace = DEFAULT_NAMESPACE,
    address: Address = DEFAULT_ADDRESS,
    timeout: Timeout = DEFAULT_TIMEOUT_S,
    as_json: AsJson = False,
) -> None:
    """Changes the fields given and keeps the old revision in the history.

    Examples:
      errata edit update darrieux-tongue --target Italian
      errata edit update darrieux-tongue --expires 12h --etag 1f0c2a9be64d7788
    """
    changes: dict[str, Any] = {
        "target": target,
        "prompt": prompt,
        "subject": subject,
        "former": former,
        "aliases": alias or None,
        "author": author,
        "source": source,
    }
    given = {key: value for key, value in changes.items() if value is not None}
    screen = Screen.open(json=as_json)
    with connected(screen, address, namespace=namespace, timeout_s=timeout) as client:
        if label:
            given["labels"] = parse_labels(label)
        if expires is not None:
            given["expires_at"] = parse_expiry(expires)
        if not given:
            raise UsageProblem("Nothing to change: give --target, --prompt or another field.")
        if given.get("former") == "":
            given["former"] = None
        written = client.update_edit(
            edit, etag=etag, request_id=request_id, validate_only=dry_run, **given
        )
    _show(screen, written, dry_run=dry_run)


def retire(
    edit: EditId,
    *,
    reason: Reason = "",
    etag: Etag = "",
    request_id: RequestId = "",
    dry_run: DryRun = False,
    namespace: Namespace = DEFAULT_NAMESPACE,
    address: Address = DEFAULT_ADDRESS,
    timeout: Timeout = DEFAULT_TIMEOUT_S,
    as_json: AsJson = False,
) -> None:
    """Takes an edit out of service; its history stays, `restore` brings it back.

    Examples:
      errata edit retire darrieux-tongue --reason "was a mistake"
    """
    screen = Screen.open(json=as_json)
    with connected(screen, address, namespace=namespace, timeout_s=timeout) as client:
        written = client.retire_edit(
            edit, reason=reason, etag=etag, request_id=request_id, validate_only=dry_run
        )
    _show(screen, written, dry_run=dry_run)


def restore(
    edit: EditId,
    *,
    reason: Reason = "",
    expires: Expires = "",
    etag: Etag = "",
    request_id: RequestId = "",
    dry_run: DryRun = False,
    namespace: Namespace = DEFAULT_NAMESPACE,
    address: Address = DEFAULT_ADDRESS,
    timeout: Timeout = DEFAULT_TIMEOUT_S,
    as_json: AsJson = False,
) -> None:
    """Brings a retired, expired or superseded edit back into service.

    Examples:
      errata edit restore darrieux-tongue
      errata edit restore darrieux-tongue --expires 30d
    """
    screen = Screen.open(json=as_json)
    with connected(screen, address, namespace=namespace, timeout_s=timeout) as client:
        written = client.restore_edit(
            edit,
            reason=reason,
            expires_at=parse_expiry(expires),
            etag=etag,
            request_id=request_id,
            validate_only=dry_run,
        )
    _show(screen, written, dry_run=dry_run)


def history(
    edit: EditId,
    *,
    namespace: Namespace = DEFAULT_NAMESPACE,
    address: Address = DEFAULT_ADDRESS,
    timeout: Timeout = DEFAULT_TIMEOUT_S,
    as_json: AsJson = False,
) -> None:
    """Shows all revisions of an edit, oldest first.

    Examples:
      errata edit history darrieux-tongue
    """
    screen = Screen.open(json=as_json)
    with connected(screen, address, namespace=namespace, timeout_s=timeout) as client:
        current = client.get_edit(edit)
        every = client.export_edits(
            EditFilter(states=tuple(EditState)), history=True, namespace=current.namespace
        )
        revisions = sorted(
            (found for found in every if found.name == current.name),
            key=lambda found: found.revision,
        )
    if as_json:
        for revision in revisions:
            screen.record(revision)
    else:
        show_history(screen, revisions)


def _take(edits: Iterable[Edit], limit: int) -> tuple[list[Edit], bool]:
    """Returns up to `limit` edits (0: all) and whether there are more."""
    taken: list[Edit] = []
    for edit in edits:
        if limit and len(taken) == limit:
            return taken, True
        taken.append(edit)
    return taken, False


def _show(screen: Screen, written: Written, *, dry_run: bool) -> None:
    if screen.json:
        screen.record(written)
    else:
        show_written(screen, written, dry_run=dry_run)
