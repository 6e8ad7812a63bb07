"""The story of a route: one line under an answer, or every candidate with its reason."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text

from errata.answers import ChosenToken, Explanation, Provenance, RouteKind, ScoredEdit, Timings
from errata.show import Screen, one_line, printable

STATEMENT_CHARS = 80
CANDIDATE_COLUMNS = ("EDIT", "SCORE", "THRESHOLD", "COSINE", "MENTION", "REASON", "FACT")
BUDGET_SETTERS = {
    "request": "set by the request",
    "namespace": "set for this namespace",
    "server": "set for the server",
    "classifier": "the classifier's own",
}
TABLE_COLUMNS_MIN = 120  # Of the terminal; below, the facts would stand in columns of letters.


def route_note(
    provenance: Provenance, timings: Timings | None = None, *, statements: bool = True
) -> Text:
    """Tells in one line which way an answer went: route, edit, score, time.

    Without `statements` an edit is named by its id alone.
    """
    parts: list[Text] = []
    if provenance.route is RouteKind.EDITED:
        parts.append(Text(f"EDITED by {provenance.path}", "bold green"))
        parts += [Text(_used(edit, statement=statements)) for edit in provenance.edits]
    else:
        parts.append(Text("BASE", "bold blue"))
        parts.append(Text(printable(provenance.reason)))
    if provenance.query_read_as:
        parts.append(Text(f"read as “{one_line(provenance.query_read_as, STATEMENT_CHARS)}”"))
    if timings is not None:
        parts.append(Text(time_text(timings)))
    line = Text(style="dim")
    for number, part in enumerate(parts):
        line.append(" · " if number else "").append_text(part)
    return line


def time_text(timings: Timings) -> str:
    """Returns the time of an answer, and how much of it went into routing."""
    routing = timings.encode_ms + timings.retrieve_ms + timings.scope_ms
    return f"{timings.total_ms:.0f} ms (routing {routing:.1f} ms)"


def budget_text(provenance: Provenance) -> str:
    """Tells the error budget that the thresholds keep, and who set it; "" when none was asked."""
    setter = BUDGET_SETTERS.get(provenance.budget_source)
    if setter is None:
        return ""
    share = provenance.error_budget
    return f"error budget: {setter}" if share is None else f"error budget {share:.4g}, {setter}"


def _used(edit: ScoredEdit, *, statement: bool) -> str:
    fact = f" “{one_line(edit.statement, STATEMENT_CHARS)}”" if statement else ""
    return f"{edit.id}{fact} score {score_text(edit)}"


def score_text(edit: ScoredEdit) -> str:
    """Returns score and threshold of a candidate: "0.970 ≥ 0.500"."""
    sign = "≥" if edit.score >= edit.threshold else "<"
    return f"{edit.score:.3f} {sign} {edit.threshold:.3f}"


def show_explanation(screen: Screen, explained: Explanation) -> None:
    """Shows the decision, a table of all candidates and the prompt that would be decoded."""
    provenance = explained.provenance
    screen.line(route_note(provenance))
    if provenance.route is RouteKind.EDITED:
        screen.line(provenance.reason)
    kind = "calibrated probabilities" if provenance.calibrated else "not calibrated"
    screen.line(
        f"classifier {provenance.classifier or '-'} ({kind}) · sequence {provenance.sequence} · "
        f"edition {provenance.edition}",
        style="dim",
    )
    if budget := budget_text(provenance):
        screen.line(budget, style="dim")
    candidates = (*provenance.edits, *provenance.rejected)
    if candidates:
        screen.line()
        _show_candidates(screen, candidates)
    screen.line()
    screen.line(f"The model would read ({explained.prompt_tokens} tokens):", style="bold")
    screen.line(printable(explained.decoded_prompt))


def _show_candidates(screen: Screen, candidates: Sequence[ScoredEdit]) -> None:
    """A table where it fits; on a narrow terminal two lines a candidate."""
    rows = [_candidate_row(edit) for edit in candidates]
    if not screen.is_terminal or screen.out.width >= TABLE_COLUMNS_MIN:
        screen.table(CANDIDATE_COLUMNS, rows)
        return
    for edit, (name, _, _, cosine, mention, reason, fact) in zip(candidates, rows, strict=True):
        told = f"{reason} · score {score_text(edit)} · cosine {cosine} · mention {mention}"
        screen.line(Text(f"{name}  ", "bold").append(fact, ""))
        screen.line(f"  {told}", style="dim")


def _candidate_row(edit: ScoredEdit) -> tuple[str, ...]:
    return (
        edit.id,
        f"{edit.score:.3f}",
        f"{edit.threshold:.3f}",
        f"{edit.cosine:.3f}",
        edit.mention or "-",
        edit.reject_reason.replace("_", " ") or "used",
        edit.statement,
    )


def show_logprobs(screen: Screen, tokens: Sequence[ChosenToken]) -> None:
    """Shows each chosen token with its natural-log probability and the others at its place."""
    rows = []
    for token in tokens:
        others = "  ".join(f"{other.text!r} {other.logprob:.3f}" for other in token.top)
        rows.append((repr(token.chosen.text), f"{token.chosen.logprob:.3f}", others))
    screen.table(("TOKEN", "LOGPROB", "MOST PROBABLE"), rows)
