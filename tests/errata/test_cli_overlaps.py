"""What the command line says of edits that answer the same question otherwise."""

from __future__ import annotations

from collections.abc import Callable

from tests.cli_kit import Ran

Run = Callable[..., Ran]
LED = ("edit", "add", "{Acme} is led by", "Jane", "--id", "jane")
BOSS = ("edit", "add", "The boss of {Acme} is", "Tom", "--id", "boss")


def test_add_says_what_else_answers_and_what_to_do(run: Run, namespace: str) -> None:
    assert "answers" not in run(*LED).err
    ran = run(*BOSS)
    assert "boss created: The boss of Acme is Tom\n" == ran.out
    name = f"namespaces/{namespace}/edits"
    assert f"Also answers this prompt: Acme is led by Jane (edit {name}/jane, score 1.00)." in (
        ran.err
    )
    assert f"errata edit retire {name}/jane; to take it back: errata edit retire {name}/boss" in (
        ran.err
    )
    run("edit", "retire", f"{name}/jane")
    assert "Tom" in run("generate", "Who leads Acme?").out


def test_a_dry_run_says_it_before(run: Run) -> None:
    run(*LED)
    ran = run(*BOSS, "--dry-run")
    assert "Also answers this prompt: Acme is led by Jane" in ran.err
    assert "Once both are in force" in ran.err
    assert "retire" not in ran.err


def test_no_check_says_nothing(run: Run) -> None:
    run(*LED)
    assert "answers" not in run(*BOSS, "--no-check").err


def test_json_carries_them(run: Run) -> None:
    first = run(*LED, "--json").record
    assert ([], True) == (first["overlaps"], first["overlaps_checked"])
    second = run(*BOSS, "--json")
    (overlap,) = second.record["overlaps"]
    assert ("jane", 1.0, 0.5, False) == (
        overlap["edit"]["id"],
        overlap["score"],
        overlap["threshold"],
        overlap["reverse"],
    )
    assert "" == second.err


def test_more_than_a_few_are_counted(run: Run) -> None:
    for number in range(7):
        run("edit", "add", f"Fact {number} of {{Acme}} is", f"answer {number}", "--no-check")
    ran = run(*BOSS)
    assert 5 == ran.err.count("Also answers")
    assert ", and the others likewise; to take it back" in ran.err
    assert "And 2 more" in ran.err


def test_the_list_is_a_table_with_a_limit(run: Run) -> None:
    run(*LED)
    empty = run("edit", "overlaps")
    assert ("", "No overlaps among 1 edit in force.\n") == (empty.out, empty.err)
    run(*BOSS)
    ran = run("edit", "overlaps")
    head, line = ran.out.splitlines()
    assert ["EDIT", "FACT", "OVERLAPS", "FACT", "SCORE"] == head.split("\t")
    assert [
        *("boss", "The boss of Acme is Tom", "jane", "Acme is led by Jane", "1.00"),
    ] == line.split("\t")
    assert "1 overlap among 2 edits" in ran.err
    run("edit", "add", "{Acme} answers to", "Ann")
    limited = run("edit", "overlaps", "--limit", "1")
    assert 2 == len(limited.out.splitlines())
    assert "--limit 0 shows all" in limited.err
    assert 3 == len(run("edit", "overlaps", "--limit", "0", "--json").records)


def test_the_list_can_be_of_one_subject(run: Run) -> None:
    run(*LED)
    run(*BOSS)
    (pair,) = run("edit", "overlaps", "--subject", "acme", "--everywhere", "--json").records
    assert ("boss", "jane") == (pair["edit"]["id"], pair["overlap"]["edit"]["id"])
    assert [] == run("edit", "overlaps", "--subject", "Bolt", "--json").records
