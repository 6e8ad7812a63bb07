"""generate, explain, search and chat against a real server with a scripted model."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli_kit import CLOZE, MARKED, Shell, run_command, shell
from tests.fakes import FakeEngine


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    with shell(tmp_path_factory.mktemp("memory")) as opened:
        opened("edit", "add", MARKED, "English", "--id", "darrieux", "--former", "French")
        yield opened


def test_generate_writes_the_text_to_stdout_and_its_route_to_stderr(server: Shell) -> None:
    ran = server("generate", CLOZE)
    assert " English\n" == ran.out
    assert "EDITED by in_context" in ran.err
    assert "darrieux" in ran.err
    assert "score 1.000 ≥ 0.500" in ran.err
    assert " ms" in ran.err


def test_a_query_out_of_scope_says_base_and_why(server: Shell) -> None:
    ran = server("generate", "The capital of Peru is")
    assert " base\n" == ran.out
    assert ran.err.startswith("BASE · ")


def test_no_edits_asks_the_frozen_model(server: Shell) -> None:
    ran = server("generate", CLOZE, "--no-edits")
    assert " base\n" == ran.out
    assert "Edits are off" in ran.err


def test_force_uses_the_edit_that_is_named(server: Shell) -> None:
    answer = server("generate", "What else?", "--force", "darrieux", "--json").record
    assert " English" == answer["text"]
    assert ["darrieux"] == [edit["id"] for edit in answer["edits"]]


def test_json_has_stable_keys_and_nothing_else_on_stdout(server: Shell) -> None:
    ran = server("generate", CLOZE, "--json", "--logprobs", "1")
    assert {
        "text",
        "finish_reason",
        "stop_match",
        "usage",
        "timings",
        "logprobs",
        "token_ids",
        "prompt_token_ids",
        "request_id",
        "namespace",
        "route",
        "path",
        "reason",
        "edits",
        "rejected",
        "sequence",
        "edition",
        "classifier",
        "calibrated",
        "query_read_as",
        "error_budget",
        "budget_source",
    } == ran.record.keys()
    assert "edited" == ran.record["route"]
    assert "eos" == ran.record["finish_reason"]
    assert ran.record["logprobs"]
    assert "" == ran.err


def test_sampling_options_reach_the_model(server: Shell) -> None:
    answer = server("generate", CLOZE, "--max-tokens", "3", "--json").record
    assert ("length", 3) == (answer["finish_reason"], answer["usage"]["completion_tokens"])
    stopped = server("generate", CLOZE, "--stop", "li", "--json").record
    assert (" Eng", "li") == (stopped["text"], stopped["stop_match"])
    sampled = server("generate", CLOZE, "-t", "0.5", "--seed", "7", "--top-k", "3", "--json").record
    assert 7 == sampled["usage"]["seed"]


def test_logprobs_are_a_table(server: Shell) -> None:
    ran = server("generate", CLOZE, "--logprobs", "1", "--max-tokens", "2")
    lines = ran.out.splitlines()
    assert ["TOKEN", "LOGPROB", "MOST PROBABLE"] == lines[1].split("\t")
    assert "-0.105" == lines[2].split("\t")[1]


@pytest.mark.parametrize("words", [(), ("-",)])
def test_a_prompt_can_come_from_stdin(server: Shell, words: tuple[str, ...]) -> None:
    assert " English\n" == server("generate", *words, given=CLOZE + "\n").out


def test_an_empty_stdin_is_wrong_input(server: Shell) -> None:
    assert "stdin was empty" in server("generate", given="", code=2).err


def test_contradicting_options_are_wrong_input(server: Shell) -> None:
    ran = server("generate", CLOZE, "--no-edits", "--force", "darrieux", code=2)
    assert "contradict" in ran.err


def test_a_bad_value_names_the_field(server: Shell) -> None:
    ran = server("generate", CLOZE, "--top-p", "1.5", "-t", "1", code=2)
    assert "" == ran.out
    assert "top_p" in ran.err


def test_an_unknown_namespace_is_refused_with_a_hint(server: Shell) -> None:
    ran = server("generate", CLOZE, "--namespace", "nowhere", code=4)
    assert "nowhere" in ran.err
    assert "errata status" in ran.err


def test_no_server_is_exit_code_3_and_says_how_to_start_one() -> None:
    ran = run_command("generate", CLOZE)
    assert 3 == ran.code
    assert "errata serve" in ran.err
    assert "--address" in ran.err


def test_with_json_an_error_is_one_object_on_stderr() -> None:
    ran = run_command("generate", CLOZE, "--json")
    assert (3, "") == (ran.code, ran.out)
    assert "UNAVAILABLE" == json.loads(ran.err)["error"]["code"]


def test_a_wrong_flag_is_exit_code_2() -> None:
    assert 2 == run_command("generate", CLOZE, "--no-such-flag").code


def test_explain_shows_every_candidate_and_the_final_prompt(server: Shell) -> None:
    ran = server("explain", CLOZE)
    assert "EDITED by in_context" in ran.out
    assert "EDIT\tSCORE\tTHRESHOLD\tCOSINE\tMENTION\tREASON\tFACT" in ran.out
    assert "darrieux\t1.000\t0.500\t1.000\tDanielle Darrieux\tused" in ran.out
    assert f"New Fact: {CLOZE} English" in ran.out


def test_explain_says_why_a_candidate_was_turned_down(server: Shell) -> None:
    told = server("explain", "The capital of Peru is", "--json").record
    assert "base" == told["route"]
    assert ["below_threshold"] == [edit["reject_reason"] for edit in told["rejected"]]
    assert "The capital of Peru is" == told["decoded_prompt"]


@pytest.mark.parametrize("address", ["nonsense", "127.0.0.1", "tls://somewhere", "http://a:1"])
def test_an_address_without_a_port_is_the_command_line_s_fault(address: str) -> None:
    ran = run_command("generate", "Messi plays", "--address", address)
    assert 2 == ran.code
    assert f'The address is "{address}"; expected HOST:PORT' in ran.err


def test_search_finds_edits_near_a_text(server: Shell) -> None:
    ran = server("search", "what does Danielle Darrieux speak?")
    assert ran.out.splitlines()[1].startswith("darrieux\t")
    found = server("search", "Danielle Darrieux", "--limit", "1", "--json").record
    assert ("darrieux", "Danielle Darrieux") == (found["edit"]["id"], found["mention"])


def test_chat_answers_line_by_line_and_takes_commands(server: Shell) -> None:
    server("edit", "add", "{Lyon} lies in", "Peru", "--namespace", "talk")
    lines = [
        "The capital of {France} is",
        "/edit The capital of {France} is => Lyon",
        "The capital of France is",
        "/route",
        "/explain",
        "/nonsense",
        "/edit no arrow",
        "/edit no braces => Lyon",
        "/clear",
        "/route",
        "/quit",
        "never said",
    ]
    ran = server("chat", "--namespace", "talk", given="\n".join(lines))
    assert ran.out.startswith(" base\n")
    assert "created: The capital of France is Lyon" in ran.out
    assert " Lyon\n" in ran.out
    assert f"New Fact: {'The capital of France is Lyon'}" in ran.out
    assert 2 == ran.err.count("EDITED by in_context")
    assert "There is no such command" in ran.err
    assert "Write /edit" in ran.err
    assert "Mark the subject with braces: /edit The capital of {France} is => Lyon" in ran.err
    assert "--subject" not in ran.err
    assert "Nothing was answered yet" in ran.err


def test_a_chat_s_turns_are_read_in_their_conversation(tmp_path: Path) -> None:
    """The reading stands in the route line and, after the turns before it, in /explain."""
    said = ["Where was Danielle Darrieux born?", "And what is her mother tongue?", "/explain"]
    read = "read as “And what is Danielle Darrieux's mother tongue?”"
    with shell(tmp_path, engine=FakeEngine(chat=True)) as typed:
        typed("edit", "add", MARKED, "English")
        ran = typed("chat", given="\n".join(said))
        assert 1 == ran.err.count(read)
        assert read in ran.out
        assert "error budget: the classifier's own" in ran.out
        first, second = typed("chat", "--json", given="\n".join(said[:2])).records
        assert "" == first["query_read_as"]
        assert "And what is Danielle Darrieux's mother tongue?" == second["query_read_as"]
        assert "classifier" == second["budget_source"]


def test_chat_ends_with_the_input(server: Shell) -> None:
    answers = server("chat", "--json", given=f"{CLOZE}\n\nWhat else?\n").records
    assert [" English", " base"] == [answer["text"] for answer in answers]
