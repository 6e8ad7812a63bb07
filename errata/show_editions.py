"""Editions and consolidation jobs, for people: tables of the gate, of edits, of differences."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from errata.edition_results import (
    Edition,
    EditionState,
    HeldEdit,
    Matrix,
    Metric,
)
from errata.show import Row, Screen, answered_by, bytes_text, when

METRIC_COLUMNS = ("MEASURE", "BEFORE", "AFTER", "ASKED FOR", "PROBES", "PASSED")
EDIT_COLUMNS = ("EDIT", "TOOK", "FACT", "REASON")


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """What a second edition has that a first one has not, and the other way round."""

    first: Edition
    second: Edition
    added: tuple[HeldEdit, ...]
    removed: tuple[HeldEdit, ...]
    changed: tuple[tuple[HeldEdit, HeldEdit], ...]  # Took in one only, or of another revision.

    @classmethod
    def between(cls, first: Edition, second: Edition) -> Difference:
        """Compares two editions that came with their edits."""
        before = {held.edit: held for held in first.edits}
        after = {held.edit: held for held in second.edits}
        both = [(before[name], held) for name, held in after.items() if name in before]
        return cls(
            first=first,
            second=second,
            added=tuple(held for name, held in after.items() if name not in before),
            removed=tuple(held for name, held in before.items() if name not in after),
            changed=tuple(
                (one, other)
                for one, other in both
                if (one.took, one.revision) != (other.took, other.revision)
            ),
        )


def edit_id(held: HeldEdit) -> str:
    """Returns the short id of an edit that an edition holds."""
    return held.edit.rpartition("/")[2]


def figure(value: float | None) -> str:
    """Returns a figure of the gate; a dash where it has no meaning."""
    return "-" if value is None else f"{value:.3f}"


def metric_rows(metrics: Iterable[Metric]) -> list[Row]:
    """Returns what the gate measured as rows of METRIC_COLUMNS."""
    return [
        (
            one.name,
            figure(one.before),
            figure(one.after),
            one.limit,
            str(one.count),
            "yes" if one.passed else "NO",
        )
        for one in metrics
    ]


def show_editions(screen: Screen, editions: Sequence[Edition]) -> None:
    """Shows a table of editions."""
    rows = [
        (
            str(one.number),
            state_text(one),
            when(one.created_at) if one.number else "as published",
            one.editor,
            str(one.edits_taken) if one.number else "",
            str(one.edits_left) if one.number else "",
            bytes_text(one.bytes) if one.number else "",
            one.unusable_reason,
        )
        for one in editions
    ]
    columns = ("EDITION", "STATE", "CREATED", "EDITOR", "TAKEN", "LEFT", "SIZE", "REASON")
    screen.table(columns, rows)
    for one in editions:
        if one.active and one.unusable_reason:
            namespace = one.name.split("/")[1]
            answering = one.number if one.answers else 0
            screen.note(answered_by(namespace, one.number, answering), style="yellow")


def state_text(edition: Edition) -> str:
    """Returns an edition's state in a few words: "active, damaged"."""
    told = ["active"] if edition.active else []
    if edition.state is not EditionState.SOUND:
        told.append(edition.state.value.replace("_", " "))
    return ", ".join(told)


def show_edition(screen: Screen, edition: Edition) -> None:
    """Shows one edition with everything that is known of it."""
    screen.fields(
        (
            ("edition", edition.name),
            ("active", "yes" if edition.active else "no"),
            ("state", edition.state.value.replace("_", " ")),
            ("created", when(edition.created_at)),
            ("editor", edition.editor),
            ("matrices", matrices_text(edition.matrices) if edition.matrices else ""),
            ("size", bytes_text(edition.bytes) if edition.bytes else ""),
            ("sha256", edition.sha256),
            ("computed for", edition.base_fingerprint),
            ("cannot be used", edition.unusable_reason),
        )
    )
    if edition.active and edition.unusable_reason:
        namespace = edition.name.split("/")[1]
        answering = edition.number if edition.answers else 0
        screen.note(answered_by(namespace, edition.number, answering), style="yellow")
    if not edition.number:
        screen.line("The model as published; it holds no edits.")
        return
    if not edition.created_at:  # Its record cannot be read.
        return
    screen.line()
    screen.table(METRIC_COLUMNS, metric_rows(edition.metrics))
    screen.line()
    screen.table(EDIT_COLUMNS, [edit_row(held) for held in edition.edits])
    screen.line()
    screen.table(("MATRIX", "ROWS", "COLUMNS", "RANK"), [_matrix(one) for one in edition.matrices])


def show_difference(screen: Screen, found: Difference) -> None:
    """Shows what differs between two editions."""
    one, other = found.first.number, found.second.number
    rows = [
        *(("only in", str(other), edit_id(held), _statement(held)) for held in found.added),
        *(("only in", str(one), edit_id(held), _statement(held)) for held in found.removed),
        *(
            (_change(first, second), str(other), edit_id(second), _statement(second))
            for first, second in found.changed
        ),
    ]
    if rows:
        screen.table(("WHAT", "EDITION", "EDIT", "FACT"), rows)
    else:
        screen.line("Both hold the same edits.")
    screen.line()
    screen.table(("MEASURE", f"EDITION {one}", f"EDITION {other}"), metrics_beside(found))
    settings = settings_beside(found)
    if settings:
        screen.line()
        screen.table(("SETTING", f"EDITION {one}", f"EDITION {other}"), settings)


def metrics_beside(found: Difference) -> list[Row]:
    """Returns each measure's figure of both editions."""
    first = {metric.name: metric.after for metric in found.first.metrics}
    second = {metric.name: metric.after for metric in found.second.metrics}
    return [
        (name, figure(first.get(name)), figure(second.get(name))) for name in {**first, **second}
    ]


def settings_beside(found: Difference) -> list[Row]:
    """Returns the settings whose values differ, the editor and the size first."""
    first, second = (_flat(one) for one in (found.first, found.second))
    names = [name for name in {**first, **second} if first.get(name) != second.get(name)]
    return [(name, first.get(name, "-"), second.get(name, "-")) for name in names]


def _flat(edition: Edition) -> dict[str, str]:
    inner = edition.settings.get("objective")
    deeper = inner if isinstance(inner, dict) else {}
    plain = {name: value for name, value in edition.settings.items() if name != "objective"}
    return {
        "editor": edition.editor or "-",
        "matrices": matrices_text(edition.matrices),
        "size": bytes_text(edition.bytes),
        **{name: str(value) for name, value in {**plain, **deeper}.items()},
    }


def edit_row(held: HeldEdit) -> Row:
    """Returns an edit of an edition as a row of EDIT_COLUMNS."""
    took = "yes" if held.took else "no"
    return (edit_id(held), took, _statement(held), held.reason)


def _statement(held: HeldEdit) -> str:
    return held.statement


def _change(first: HeldEdit, second: HeldEdit) -> str:
    if first.took != second.took:
        return "took" if second.took else "did not take"
    return f"revision {first.revision} to {second.revision}"


def _matrix(one: Matrix) -> Row:
    return (one.module, str(one.rows), str(one.columns), str(one.rank) if one.rank else "full")


def matrices_text(matrices: Sequence[Matrix]) -> str:
    """Returns how many matrices there are and their ranks: "3 matrices of rank 56"."""
    if not matrices:
        return "no matrices"
    ranks = sorted({str(one.rank) if one.rank else "full" for one in matrices})
    noun = "matrix" if len(matrices) == 1 else "matrices"
    return f"{len(matrices)} {noun} of rank {', '.join(ranks)}"
