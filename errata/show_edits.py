"""Edits, their histories and the server's state, for people."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from errata.results import Change, Edit, ServerStatus, Written
from errata.show import Screen, answered_by, bytes_text, one_line, when
from errata.show_overlaps import show_overlaps
from errata.sizes import NamespaceStatus

FACT_CHARS = 100
COLUMNS = ("EDIT", "STATE", "FORMER", "FACT")


def show_edit(screen: Screen, edit: Edit) -> None:
    """Shows every field of one edit that says something."""
    screen.fields(
        (
            ("edit", edit.name),
            ("state", edit.state.value),
            ("fact", edit.statement),
            ("subject", edit.subject),
            ("prompt", edit.prompt),
            ("target", edit.target),
            ("former", edit.former or ""),
            ("aliases", ", ".join(edit.aliases)),
            ("labels", labels_text(edit)),
            ("author", edit.author),
            ("source", edit.source),
            ("created", when(edit.created_at)),
            ("updated", when(edit.updated_at)),
            ("expires", when(edit.expires_at)),
            ("supersedes", edit.supersedes),
            ("superseded by", edit.superseded_by),
            ("revision", str(edit.revision)),
            ("sequence", str(edit.sequence)),
            ("edition", "" if edit.edition is None else str(edit.edition)),
            ("etag", edit.etag),
        )
    )


def labels_text(edit: Edit) -> str:
    """Returns an edit's labels as "key=value, key=value"."""
    return ", ".join(f"{key}={value}" for key, value in sorted(edit.labels.items()))


def edit_row(edit: Edit) -> tuple[str, ...]:
    """Returns an edit as a row of COLUMNS."""
    return (edit.id, edit.state.value, edit.former or "", edit.statement)


def show_edits(screen: Screen, edits: Iterable[Edit]) -> None:
    """Shows a table of edits."""
    screen.table(COLUMNS, [edit_row(edit) for edit in edits])


def show_written(screen: Screen, written: Written, *, dry_run: bool) -> None:
    """Says what a write did, in one line, and where the edit is."""
    done = f"would be {written.outcome.value}" if dry_run else written.outcome.value
    edit = written.edit
    screen.line(f"{edit.id} {done}: {one_line(edit.statement)}")
    beside = [f"state {edit.state.value}", f"revision {edit.revision}"]
    if not dry_run:
        beside.append(f"sequence {written.sequence}")
    if edit.supersedes:
        beside.append(f"supersedes {edit.supersedes.rpartition('/')[2]}")
    if written.replayed:
        beside.append("carried out before under this request id")
    screen.note(" · ".join(beside))
    show_overlaps(screen, written, dry_run=dry_run)


def show_history(screen: Screen, revisions: Sequence[Edit]) -> None:
    """Shows the revisions of one edit, oldest first."""
    rows = [
        (
            str(edit.revision),
            str(edit.sequence),
            when(edit.updated_at),
            edit.state.value,
            edit.author,
            edit.statement,
        )
        for edit in revisions
    ]
    screen.table(("REVISION", "SEQUENCE", "WHEN", "STATE", "AUTHOR", "FACT"), rows)


def show_change(screen: Screen, change: Change) -> None:
    """Shows one entry of the log as one line."""
    kind = change.kind.value if change.kind else "?"
    where = f"{change.edit.namespace}/{change.edit.id}" if change.edit else ""
    fact = one_line(change.edit.statement, FACT_CHARS) if change.edit else ""
    if change.activation is not None:
        where = f"{change.activation.namespace}/editions/{change.activation.edition}"
        fact = f"holds {len(change.activation.took)} edits"
    reason = f" ({one_line(change.reason)})" if change.reason else ""
    screen.line(f"{change.sequence:>8}  {when(change.at)}  {kind:<12}  {where}  {fact}{reason}")


def show_status(screen: Screen, status: ServerStatus, *, health: str) -> None:
    """Shows health, what is served, and the size of each namespace."""
    model = status.model
    screen.fields(
        (
            ("health", health),
            ("version", status.version),
            ("started", when(status.started_at)),
            ("model", f"{model.model} ({model.model_type}, {model.parameters / 1e6:.1f}M)"),
            ("computes", f"{model.device}, {model.dtype}, context {model.context_tokens} tokens"),
            ("chat template", "yes" if model.chat else "no"),
            ("requests", f"{model.running} running, {model.waiting} waiting"),
            ("encoder", status.encoder),
            ("classifier", status.classifier),
            ("log", f"sequence {status.sequence}, {bytes_text(status.log_bytes)}"),
            ("read-only", status.read_only_reason),
        )
    )
    rows = [
        (
            space.name.removeprefix("namespaces/"),
            str(space.active),
            str(space.superseded),
            str(space.retired),
            str(space.expired),
            str(space.consolidated),
            _edition(space),
            f"{space.index_kind} {bytes_text(space.index_bytes)}".strip(),
        )
        for space in status.namespaces
    ]
    screen.line()
    screen.table(
        (
            "NAMESPACE",
            "ACTIVE",
            "SUPERSEDED",
            "RETIRED",
            "EXPIRED",
            "CONSOLIDATED",
            "EDITION",
            "INDEX",
        ),
        rows,
    )
    for space in status.namespaces:
        if space.edition_problem:
            screen.note(f"{space.name}: {space.edition_problem}.", style="yellow")
            screen.note(answered_by(space.name, space.edition, space.answering_edition), style="")


def _edition(space: NamespaceStatus) -> str:
    if not space.edition_problem:
        return str(space.edition)
    return f"{space.edition} (unusable; {space.answering_edition} answers)"
