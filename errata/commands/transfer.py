"""`errata import` and `errata export`: files into the memory and out of it."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated

import typer

from errata.commands.options import (
    DEFAULT_ADDRESS,
    DEFAULT_NAMESPACE,
    DEFAULT_TIMEOUT_S,
    Address,
    AsJson,
    DryRun,
    Namespace,
    OnConflict,
    Timeout,
)
from errata.commands.outcome import INTERRUPTED, PARTLY, UsageProblem
from errata.commands.parse import parse_labels, parse_states
from errata.commands.session import connected
from errata.errors import ServerUnavailable
from errata.progress import ImportMeter
from errata.results import Edit, EditFilter, ImportProgress
from errata.show import Screen, one_line

if TYPE_CHECKING:
    from errata.file_import import Refused

GROUPS_MAX = 10
EXPORT_NOTE_EVERY = 10_000

FormatName = Annotated[
    str,
    typer.Option(
        "--format",
        "-f",
        metavar="NAME",
        help="jsonl, counterfact, zsre, csv, parquet; auto looks at the file.",
    ),
]


def import_(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The file of edits.")],
    *,
    format_name: FormatName = "auto",
    on_conflict: OnConflict = "skip",
    import_id: Annotated[
        str,
        typer.Option(
            "--import-id",
            metavar="TEXT",
            help="Names the import; rows taken under this name are not taken again. Default: from "
            "the file's content, the namespace and --on-conflict.",
        ),
    ] = "",
    report: Annotated[
        Path | None,
        typer.Option("--report", metavar="FILE", help="Writes every refused row there, as JSONL."),
    ] = None,
    dry_run: DryRun = False,
    namespace: Namespace = DEFAULT_NAMESPACE,
    address: Address = DEFAULT_ADDRESS,
    timeout: Timeout = DEFAULT_TIMEOUT_S,
    as_json: AsJson = False,
) -> None:
    """Imports a file: Errata's JSONL, CounterFact (both kinds), zsRE, CSV or Parquet.

    A bad row is reported and never stops the others. After an interruption the same command goes
    on where it stopped, without duplicates.

    Examples:
      errata import edits.jsonl
      errata import counterfact.json --on-conflict supersede --report bad.jsonl
      errata import facts.csv --dry-run
    """
    screen = Screen.open(json=as_json)
    with connected(screen, address, namespace=namespace, timeout_s=timeout) as client:
        from errata.file_import import FileSource, import_id_of  # noqa: PLC0415  # numpy.

        source = FileSource(path=file, format_name=format_name)
        records = source.open()
        total = source.count() if screen.err.is_terminal and not as_json else None
        name = import_id or import_id_of(
            file, namespace=namespace, on_conflict=on_conflict, format_name=format_name
        )
        with ImportMeter(screen, total=total) as meter, _resumable(screen, file, name, meter):
            done = client.import_edits(
                records,
                import_id=name,
                on_conflict=on_conflict,
                validate_only=dry_run,
                progress=meter.take,
            )
        refused = source.refused(done.errors)
        if report is not None:
            _write_report(report, refused)
    _tell(screen, done, refused, import_id=name, dry_run=dry_run, report=report)
    if refused:
        raise typer.Exit(PARTLY)


@contextmanager
def _resumable(screen: Screen, file: Path, import_id: str, meter: ImportMeter) -> Iterator[None]:
    """Says how to go on when the import is interrupted or the server goes away."""
    try:
        yield
    except (KeyboardInterrupt, ServerUnavailable) as error:
        meter.stop()
        screen.note(
            f"Stopped; the rows up to {meter.durable_row} are durable. To go on: the same command "
            f"again, or errata import {file} --import-id {import_id}",
            style="yellow",
        )
        if isinstance(error, KeyboardInterrupt):
            raise typer.Exit(INTERRUPTED) from error
        raise


def _write_report(report: Path, refused: Iterable[Refused]) -> None:
    try:
        with report.open("w", encoding="utf-8") as file:
            for row in refused:
                file.write(json.dumps(asdict(row), ensure_ascii=False) + "\n")
    except OSError as error:
        raise UsageProblem(f"The report cannot be written to {report}: {error.strerror}") from error


def _tell(
    screen: Screen,
    done: ImportProgress,
    refused: list[Refused],
    *,
    import_id: str,
    dry_run: bool,
    report: Path | None,
) -> None:
    figures = {
        "created": done.created,
        "superseded": done.superseded,
        "skipped": done.skipped,
        "already_imported": done.already_imported,
        "refused": len(refused),
    }
    if screen.json:
        for row in refused:
            screen.record({"kind": "refused", **asdict(row)})
        screen.record(
            {
                "kind": "summary",
                **figures,
                "sequence": done.sequence,
                "import_id": import_id,
                "dry_run": dry_run,
            }
        )
        return
    head = "Nothing was written (--dry-run); it would be: " if dry_run else ""
    counted = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in figures.items())
    screen.line(f"{head}{counted}")
    if done.already_imported:
        screen.note("To import those already imported once more, give another --import-id.")
    if refused:
        _tell_refused(screen, refused, report)


def _tell_refused(screen: Screen, refused: list[Refused], report: Path | None) -> None:
    from errata.file_import import grouped  # noqa: PLC0415

    screen.note("Refused rows, by reason:", style="bold yellow")
    groups = grouped(refused)
    for group in groups[:GROUPS_MAX]:
        lines = ", ".join(str(line) for line in group.lines)
        more = ", …" if group.count > len(group.lines) else ""
        screen.note(f"{group.count:>8} x {one_line(group.message, 200)} (line {lines}{more})", "")
    if len(groups) > GROUPS_MAX:
        screen.note(f"         and {len(groups) - GROUPS_MAX} reasons more", style="")
    where = f"All of them are in {report}." if report else "--report FILE writes them all down."
    screen.note(where)


def export(
    *,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Where to write. Default: stdout."),
    ] = None,
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
    label: Annotated[
        list[str] | None,
        typer.Option("--label", metavar="KEY=VALUE", help="With this label; repeatable."),
    ] = None,
    history: Annotated[
        bool,
        typer.Option("--history", help="With revisions that are no longer current."),
    ] = False,
    namespace: Namespace = DEFAULT_NAMESPACE,
    address: Address = DEFAULT_ADDRESS,
    timeout: Timeout = DEFAULT_TIMEOUT_S,
) -> None:
    """Writes edits as Errata's JSONL, which `import` reads; oldest first, as of one instant.

    Examples:
      errata export > edits.jsonl
      errata export --output all.jsonl --state all --history
    """
    screen = Screen.open()
    with connected(screen, address, namespace=namespace, timeout_s=timeout) as client:
        wanted = EditFilter(states=parse_states(state), subject=subject, labels=parse_labels(label))
        edits = client.export_edits(wanted, history=history)
        if output is None:
            _write_edits(edits, sys.stdout, lambda _: None)
            return
        with _replacing(output) as file, screen.err.status("Exporting ...") as bar:
            count = _write_edits(edits, file, lambda n: bar.update(f"Exporting ... {n:,} edits"))
    screen.note(f"{count} edits written to {output}.")


def _write_edits(edits: Iterable[Edit], out: IO[str], notify: Callable[[int], None]) -> int:
    from errata.jsonl import edit_line  # noqa: PLC0415  # numpy.

    count = 0
    for edit in edits:
        out.write(edit_line(edit) + "\n")
        count += 1
        if count % EXPORT_NOTE_EVERY == 0:
            notify(count)
    return count


@contextmanager
def _replacing(path: Path) -> Iterator[IO[str]]:
    """Opens a file that takes the place of `path` only when it is complete."""
    partial = path.with_name(path.name + ".partial")
    try:
        with partial.open("w", encoding="utf-8") as file:
            yield file
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise UsageProblem(f"{path} cannot be written: {error.strerror}") from error
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    partial.replace(path)
