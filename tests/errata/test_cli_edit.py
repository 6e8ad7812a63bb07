"""`errata edit ...` against a real server: what it does, what it prints, how it refuses."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from errata.commands.outcome import UsageProblem
from errata.commands.parse import parse_expiry, parse_labels, parse_states, unbrace
from errata.results import EditState
from tests.cli_kit import CLOZE, MARKED, Ran

Run = Callable[..., Ran]


def test_add_takes_the_subject_from_braces_and_serves_at_once(run: Run) -> None:
    ran = run("edit", "add", MARKED, "English", "--id", "darrieux")
    assert f"darrieux created: {CLOZE} English\n" == ran.out
    assert "sequence" in ran.err
    assert " English\n" == run("generate", CLOZE).out


def test_add_keeps_every_field(run: Run) -> None:
    edit = run(
        *("edit", "add", CLOZE, "English", "--subject", "Danielle Darrieux", "--former", "French"),
        *("--alias", "D. Darrieux", "--author", "me", "--source", "ticket", "--label", "a=b=c"),
        *("--expires", "2040-01-31T12:00Z", "--json"),
    ).record
    kept = ("subject", "former", "aliases", "author", "source", "labels", "expires_at", "outcome")
    assert (
        "Danielle Darrieux",
        "French",
        ["D. Darrieux"],
        "me",
        "ticket",
        {"a": "b=c"},
        "2040-01-31T12:00:00Z",
        "created",
    ) == tuple(edit[key] for key in kept)


def test_a_conflict_names_the_edit_in_the_way_and_the_way_out(run: Run) -> None:
    run("edit", "add", MARKED, "English", "--id", "first")
    ran = run("edit", "add", MARKED, "Italian", code=4)
    assert "" == ran.out
    assert "first" in ran.err
    assert "--on-conflict supersede" in ran.err
    done = run("edit", "add", MARKED, "Italian", "--on-conflict", "supersede", "--json").record
    assert "superseded" == done["outcome"]
    assert done["supersedes"].endswith("/edits/first")
    assert " Italian\n" == run("generate", CLOZE).out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((CLOZE, "English"), "Mark the subject with braces"),
        (("{Danielle} {Darrieux} speaks", "English"), "2 parts are in braces"),
        ((MARKED, "English", "--subject", "Somebody"), "give one"),
        ((MARKED, "English", "--label", "noequals"), "KEY=VALUE"),
        ((MARKED, "English", "--expires", "soon"), "is no time"),
        ((CLOZE, "English", "--subject", "Lionel Messi"), "subject"),
        ((MARKED, ""), "target"),
        ((MARKED, "English", "--id", "No Such Id"), "edit_id"),
    ],
)
def test_wrong_input_says_what_is_wrong(run: Run, words: tuple[str, ...], message: str) -> None:
    ran = run("edit", "add", *words, code=2)
    assert message in ran.err
    assert "" == ran.out


def test_a_dry_run_writes_nothing(run: Run) -> None:
    ran = run("edit", "add", MARKED, "English", "--id", "ghost", "--dry-run")
    assert "would be created" in ran.out
    run("edit", "show", "ghost", code=4)


def test_a_request_id_is_carried_out_once(run: Run) -> None:
    words = ("edit", "add", MARKED, "English", "--request-id", "once", "--json")
    first, second = run(*words).record, run(*words).record
    assert (False, True) == (first["replayed"], second["replayed"])
    assert first["id"] == second["id"]


def test_list_filters_and_limits(run: Run) -> None:
    for number in range(5):
        label = f"half={number % 2}"
        run("edit", "add", f"{{Person {number}}} speaks", "Greek", "--label", label)
    assert 5 == len(run("edit", "list", "--json").records)
    assert ["Person 3"] == [
        edit["subject"] for edit in run("edit", "list", "-s", "person 3", "--json").records
    ]
    assert 3 == len(run("edit", "list", "--label", "half=0", "--json").records)
    assert 2 == len(run("edit", "list", "--limit", "2", "--json").records)
    table = run("edit", "list", "--limit", "2")
    assert ["EDIT", "STATE", "FORMER", "FACT"] == table.out.splitlines()[0].split("\t")
    assert 3 == len(table.out.splitlines())
    assert "--limit 0 shows all" in table.err
    assert "Unknown state" in run("edit", "list", "--state", "gone", code=2).err


def test_an_empty_list_says_so_beside_the_result(run: Run) -> None:
    run("edit", "add", MARKED, "English")
    ran = run("edit", "list", "--text", "nothing like it")
    assert ("", "No edits here.\n") == (ran.out, ran.err)


def test_show_tells_everything_and_not_found_is_exit_code_4(run: Run) -> None:
    run("edit", "add", MARKED, "English", "--id", "darrieux", "--label", "k=v")
    shown = run("edit", "show", "darrieux").out
    for part in ("/edits/darrieux", "active", "English", "k=v", "etag", "revision"):
        assert part in shown
    assert "errata edit list" in run("edit", "show", "nobody", code=4).err


def test_update_makes_a_revision_and_an_old_etag_is_refused(run: Run) -> None:
    old = run(
        "edit", "add", MARKED, "English", "--id", "dddd", "--former", "French", "--json"
    ).record
    new = run("edit", "update", "dddd", "--target", "Italian", "--former", "", "--json").record
    assert (2, "Italian", None) == (new["revision"], new["target"], new["former"])
    refused = run("edit", "update", "dddd", "--target", "Greek", "--etag", old["etag"], code=4)
    assert "edit show" in refused.err
    assert "Nothing to change" in run("edit", "update", "dddd", code=2).err
    expiring = run("edit", "update", "dddd", "--expires", "1h", "--json").record
    assert expiring["expires_at"]
    assert None is run("edit", "update", "dddd", "--expires", "", "--json").record["expires_at"]


def test_retire_and_restore_move_an_edit_and_history_tells_it(run: Run) -> None:
    run("edit", "add", MARKED, "English", "--id", "dddd")
    assert "dddd updated" in run("edit", "retire", "dddd", "--reason", "a mistake").out
    assert " base\n" == run("generate", CLOZE).out
    assert [] == run("edit", "list", "--json").records
    assert ["retired"] == [
        e["state"] for e in run("edit", "list", "--state", "all", "--json").records
    ]
    run("edit", "restore", "dddd")
    assert " English\n" == run("generate", CLOZE).out
    states = [edit["state"] for edit in run("edit", "history", "dddd", "--json").records]
    assert ["active", "retired", "active"] == states
    assert 4 == len(run("edit", "history", "dddd").out.splitlines())


def test_a_full_resource_name_reaches_another_namespace(run: Run) -> None:
    run("edit", "add", MARKED, "English", "--id", "dddd", "--namespace", "elsewhere")
    shown = run("edit", "show", "namespaces/elsewhere/edits/dddd", "--json").record
    assert "elsewhere" == shown["namespace"]


def test_unbrace_marks_the_subject() -> None:
    assert ("A b is", "b") == unbrace("A {b} is")
    assert ("A b is", "") == unbrace("A b is")
    assert ("an empty {} stays", "") == unbrace("an empty {} stays")


def test_expiry_is_an_instant_or_a_span_in_utc() -> None:
    now = datetime(2030, 1, 1, tzinfo=UTC)
    assert None is parse_expiry("")
    assert now + timedelta(days=30) == parse_expiry("30d", now)
    assert now + timedelta(minutes=90) == parse_expiry("1.5h", now)
    assert datetime(2030, 1, 31, tzinfo=UTC) == parse_expiry("2030-01-31")
    given = parse_expiry("2030-01-31T12:00+02:00")
    assert given is not None
    assert datetime(2030, 1, 31, 10, tzinfo=UTC) == given.astimezone(UTC)
    with pytest.raises(UsageProblem):
        parse_expiry("d30")


def test_states_and_labels_are_read_by_name() -> None:
    assert () == parse_states(None)
    assert tuple(EditState) == parse_states(["active", "all"])
    assert {"a": "1", "b": ""} == parse_labels(["a=1", "b="])
    with pytest.raises(UsageProblem):
        parse_labels(["=1"])
