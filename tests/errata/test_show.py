"""What the screen writes: on a terminal and elsewhere, safely, and as JSON."""

from __future__ import annotations

import io
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from rich.console import Console

from errata.answers import Answer, Provenance, RouteKind, ScoredEdit, Timings
from errata.job_meter import STAGES
from errata.records import to_line, to_record
from errata.results import Edit, EditState, ImportProgress, Outcome, Written
from errata.show import Screen, bytes_text, one_line, printable, when
from errata.show_edits import show_edits
from errata.show_route import budget_text, route_note
from runtime.consolidation.operations import Stage

USED = ScoredEdit(
    name="namespaces/default/edits/messi",
    statement="Messi plays golf",
    score=0.75,
    threshold=0.5,
    cosine=0.9,
)


def provenance(*edits: ScoredEdit) -> Provenance:
    return Provenance(
        request_id="r",
        namespace="default",
        route=RouteKind.EDITED if edits else RouteKind.BASE,
        path="in_context" if edits else "base",
        reason="No edit came near this query.",
        edits=edits,
    )


def terminal() -> tuple[Screen, io.StringIO]:
    file = io.StringIO()
    console = Console(file=file, force_terminal=True, width=60, color_system=None, highlight=False)
    return Screen(out=console, err=console), file


def test_control_characters_cannot_steer_the_terminal() -> None:
    assert "a\\x1b[31mb\n" == printable("a\x1b[31mb\n")
    assert "naïve 東京" == printable("naïve 東京")
    assert "a b" == one_line("a\n  b")
    assert "abc…" == one_line("abcdefgh", 4)


def test_markup_in_a_text_is_text(capsys: pytest.CaptureFixture[str]) -> None:
    screen = Screen.open()
    screen.line("[bold]not markup[/bold] [/]")
    screen.table(("A",), [("[red]x",)])
    assert "[bold]not markup[/bold] [/]\nA\n[red]x\n" == capsys.readouterr().out
    drawn, file = terminal()
    drawn.table(("A", "[B]"), [("[red]x", "active")])
    assert "[red]x" in file.getvalue()
    assert "[B]" in file.getvalue()


def test_elsewhere_than_on_a_terminal_nothing_is_cut_or_wrapped(
    capsys: pytest.CaptureFixture[str],
) -> None:
    long = "word " * 100
    screen = Screen.open()
    screen.line(long)
    screen.note(long)
    screen.table(("A", "B"), [(long, "x\ty\nz")])
    captured = capsys.readouterr()
    assert [long, "A\tB", f"{long.strip()}\tx y z"] == captured.out.splitlines()
    assert long == captured.err.rstrip("\n")


def test_a_long_fact_is_cut_on_a_terminal_alone(capsys: pytest.CaptureFixture[str]) -> None:
    long = "word " * 100 + "is"
    edit = Edit(name="namespaces/default/edits/one", subject="word", prompt=long, target="end")
    show_edits(Screen.open(), [edit])
    assert f"{long} end\n" in capsys.readouterr().out
    screen, file = terminal()
    show_edits(screen, [edit])
    assert "…" in file.getvalue()


def test_a_terminal_gets_a_table_that_fits_it() -> None:
    screen, file = terminal()
    screen.table(("EDIT", "FACT"), [("one", "word " * 30)])
    assert max(len(line.rstrip()) for line in file.getvalue().splitlines()) <= 60


def test_an_id_is_never_broken_on_a_terminal() -> None:
    screen, file = terminal()
    name = "e01a1fdee883c44f020dd385effdc"
    screen.table(("EDIT", "REASON", "FACT"), [(name, "below threshold", "word " * 30)])
    assert name in file.getvalue()


def test_no_color_is_respected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    file = io.StringIO()
    Screen(out=Console(file=file, force_terminal=True), err=Console()).line("red", style="red")
    assert "\x1b[31m" not in file.getvalue()


def test_fields_without_a_value_are_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    Screen.open().fields((("edit", "x"), ("former", ""), ("prompt", "y")))
    assert "edit    x\nprompt  y\n" == capsys.readouterr().out


def test_sizes_and_times_are_for_people() -> None:
    assert ["0 B", "999 B", "1.0 kB", "2.5 MB", "1000.0 TB"] == [
        bytes_text(count) for count in (0, 999, 1000, 2_500_000, 10**15)
    ]
    assert "2030-01-02 03:04:05Z" == when(datetime(2030, 1, 2, 3, 4, 5, 6, tzinfo=UTC))
    assert "" == when(None)


def test_the_route_line_tells_route_edit_score_and_time() -> None:
    timings = Timings(encode_ms=1.25, retrieve_ms=0.5, scope_ms=0.25, total_ms=41.6)
    told = route_note(provenance(USED), timings).plain
    assert (
        "EDITED by in_context · messi “Messi plays golf” score 0.750 ≥ 0.500 · "
        "42 ms (routing 2.0 ms)"
    ) == told
    assert "messi score" in route_note(provenance(USED), statements=False).plain
    assert "BASE · No edit came near this query." == route_note(provenance()).plain


def test_the_route_line_tells_how_a_chat_was_read() -> None:
    read = replace(provenance(USED), query_read_as="And what does Messi play?")
    assert "· read as “And what does Messi play?”" in route_note(read).plain
    assert "read as" not in route_note(provenance(USED)).plain


@pytest.mark.parametrize(
    ("share", "source", "told"),
    [
        (0.002, "namespace", "error budget 0.002, set for this namespace"),
        (0.01, "request", "error budget 0.01, set by the request"),
        (0.01, "server", "error budget 0.01, set for the server"),
        (0.02, "classifier", "error budget 0.02, the classifier's own"),
        (None, "classifier", "error budget: the classifier's own"),
        (None, "", ""),
    ],
)
def test_the_budget_is_told_with_who_set_it(share: float | None, source: str, told: str) -> None:
    asked = replace(provenance(), error_budget=share, budget_source=source)
    assert told == budget_text(asked)


def test_an_answer_s_record_has_its_route_beside_the_text() -> None:
    record = to_record(Answer(text="golf", provenance=provenance(USED)))
    assert ("golf", "edited", "in_context") == (record["text"], record["route"], record["path"])
    assert "provenance" not in record
    edits = record["edits"]
    assert isinstance(edits, list)
    assert isinstance(edits[0], dict)
    assert "messi" == edits[0]["id"]


def test_a_write_s_record_is_its_edit_and_what_was_done() -> None:
    edit = Edit(
        name="namespaces/ns/edits/e",
        subject="S",
        prompt="P",
        target="T",
        state=EditState.RETIRED,
        created_at=datetime(2030, 1, 1, tzinfo=UTC),
        labels={"k": "v"},
    )
    record = to_record(Written(edit=edit, outcome=Outcome.UPDATED, sequence=7))
    assert ("e", "ns", "retired", "updated", 7, "2030-01-01T00:00:00Z", {"k": "v"}) == tuple(
        record[key]
        for key in ("id", "namespace", "state", "outcome", "sequence", "created_at", "labels")
    )


def test_lines_are_one_line_and_keep_letters() -> None:
    assert '{"text": "naïve\\n東京", "score": 0.333333}' == to_line(
        {"text": "naïve\n東京", "score": 1 / 3}
    )
    assert "errors" not in to_record(ImportProgress(received=1))


def test_what_has_no_json_form_is_a_programmer_s_error() -> None:
    with pytest.raises(TypeError, match="object"):
        to_line({"x": object()})
    with pytest.raises(TypeError, match="EditState"):
        to_record(EditState.ACTIVE)


def test_every_stage_of_a_job_has_words() -> None:
    assert [stage.value for stage in Stage] == list(STAGES)
