"""The counterfactual path: one edit and the query, for a model of its own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from memory.errors import ContextTooLong
from memory.record import Edit, EditId, Namespace
from runtime.build import model_folder
from runtime.config import POCKET_COUNTERFACTUAL
from runtime.engine.contract import EngineRequest, Sampling
from runtime.engine.stream import collect
from runtime.engine.transformers_engine import TransformersEngine
from runtime.paths.contract import BASE_MODEL, COUNTERFACTUAL_MODEL, PathInput
from runtime.paths.counterfactual import AS_ASKED, CounterfactualPath
from runtime.paths.in_context import InContextPath
from runtime.paths.notes import CLAIM_NOTES
from tests.fakes import FakeEngine


def edit(subject: str, target: str = "English") -> Edit:
    return Edit(
        id=EditId(subject.lower().replace(" ", "-")),
        namespace=Namespace("default"),
        subject=subject,
        prompt=f"The mother tongue of {subject} is",
        target=target,
    )


def test_edit_and_query_stand_as_on_the_in_context_path() -> None:
    engine = FakeEngine()
    prepared = CounterfactualPath(engine).prepare(PathInput(prompt="Ann speaks"), [edit("Ann")])
    expected = "New Fact: The mother tongue of Ann is English\nPrompt: Ann speaks"
    assert expected == engine.detokenize(prepared.prompt_tokens)
    assert (edit("Ann"),) == prepared.edits_used
    assert 0 == prepared.demonstrations


def test_of_several_edits_only_the_first_is_read() -> None:
    engine, path = FakeEngine(), CounterfactualPath(FakeEngine())
    prepared = path.prepare(PathInput(prompt="Ann speaks"), [edit("Ann"), edit("Bob")])
    assert "Bob" not in engine.detokenize(prepared.prompt_tokens)
    assert ((edit("Ann"),), 1) == (prepared.edits_used, path.edits_max)


def test_of_a_chat_the_last_turn_is_read_as_the_conversation_gives_it() -> None:
    engine = FakeEngine()
    turns = (("user", "Do you know Ann?"), ("assistant", "Yes."), ("user", "What does she speak?"))
    for read_as, shown in ((None, turns[-1][1]), ("What does Ann speak?", "What does Ann speak?")):
        asked = PathInput(messages=turns, read_as=read_as)
        prepared = CounterfactualPath(engine).prepare(asked, [edit("Ann")])
        expected = f"system: New Fact: The mother tongue of Ann is English\nuser: {shown}\n"
        assert expected + "assistant:" == engine.detokenize(prepared.prompt_tokens)


WHETHER = "Is the mother tongue of Ann English?"
FACT = "New Fact: The mother tongue of Ann is English"


@pytest.mark.parametrize(
    "query",
    ["Ann mother tongue", "What did Ann speak as a child?", "tell me what ann speaks", "Ann spoke"],
)
def test_a_query_for_the_target_is_read_as_the_edits_prompt_by_the_model_that_ships(
    query: str,
) -> None:
    engine = FakeEngine(prompt_form=CLAIM_NOTES)
    path = CounterfactualPath(engine)
    prompt = "The mother tongue of Ann is"
    alone = path.prepare(PathInput(prompt=query), [edit("Ann")])
    assert engine.detokenize(alone.prompt_tokens) == f"{FACT}\nPrompt: {prompt}"
    asked = PathInput(messages=(("user", "And hers?"),), read_as=query)
    chat = path.prepare(asked, [edit("Ann")])
    assert f"user: {prompt}\nassistant:" in engine.detokenize(chat.prompt_tokens)


@pytest.mark.parametrize(
    ("query", "answer"),
    [
        ("Ann speaks", " English"),
        ("Which language did Ann grow up with?", " English"),
        ("Ann mother tongue", " English"),
        ("Is the mother tongue of Ann Dutch or English?", " English"),
        ("Whose mother tongue is English?", " Ann"),
        (WHETHER, ""),
        ("It is false that Ann speaks", ""),
        ("Which language does Ann not speak?", ""),
        ("What does Ann speak? Answer in a full sentence.", ""),
    ],
)
def test_a_value_that_the_form_asks_for_is_copied_and_the_rest_is_the_models(
    query: str, answer: str
) -> None:
    engine = FakeEngine(prompt_form=CLAIM_NOTES)
    prepared = CounterfactualPath(engine).prepare(PathInput(prompt=query), [edit("Ann")])
    assert engine.detokenize(prepared.answer_tokens) == answer
    measured = CounterfactualPath(engine).as_asked()
    assert (AS_ASKED, measured.model) == (measured.name, CounterfactualPath(engine).model)
    assert measured.prepare(PathInput(prompt=query), [edit("Ann")]).answer_tokens == ()
    other = CounterfactualPath(FakeEngine())  # A named model says what it likes.
    assert other.prepare(PathInput(prompt=query), [edit("Ann")]).answer_tokens == ()


@pytest.mark.parametrize("prompt", ["Is Ann alive?", "Ann does not speak"])
def test_the_edits_own_prompt_is_answered_with_the_target_whatever_its_form(prompt: str) -> None:
    engine = FakeEngine(prompt_form=CLAIM_NOTES)
    own = replace(edit("Ann"), prompt=prompt, target="No longer")
    prepared = CounterfactualPath(engine).prepare(PathInput(prompt=f" {prompt}"), [own])
    assert engine.detokenize(prepared.answer_tokens) == " No longer"
    assert "Named" not in engine.detokenize(prepared.prompt_tokens)


def test_a_model_trained_with_notes_is_told_whether_a_claim_names_the_target() -> None:
    engine = FakeEngine(prompt_form=CLAIM_NOTES)
    path = CounterfactualPath(engine)
    for query, note in (
        (WHETHER, "\nNamed: yes"),
        ("Is the mother tongue of Ann French?", "\nNamed: no"),
        ("The mother tongue of Ann is", ""),
        ("Who speaks English?", ""),
    ):
        prepared = path.prepare(PathInput(prompt=query), [edit("Ann"), edit("Bob", "French")])
        expected = f"{FACT}{note}\nPrompt: {query}"
        assert expected == engine.detokenize(prepared.prompt_tokens)
        assert (edit("Ann"),) == prepared.edits_used


def test_in_a_chat_the_note_is_on_the_last_turn_as_it_is_read_and_stands_after_the_fact() -> None:
    engine = FakeEngine(prompt_form=CLAIM_NOTES)
    turns = (("user", "Do you know Ann?"), ("assistant", "Yes."), ("user", "Is hers English?"))
    prepared = CounterfactualPath(engine).prepare(
        PathInput(messages=turns, read_as=WHETHER), [edit("Ann")]
    )
    expected = f"system: {FACT}\nNamed: yes\nuser: {WHETHER}\nassistant:"
    assert expected == engine.detokenize(prepared.prompt_tokens)


@pytest.mark.parametrize("form", ["", "notes of somebody else's"])
def test_a_model_that_was_not_trained_with_notes_gets_none(form: str) -> None:
    engine = FakeEngine(prompt_form=form)
    prepared = CounterfactualPath(engine).prepare(PathInput(prompt=WHETHER), [edit("Ann")])
    assert f"{FACT}\nPrompt: {WHETHER}" == engine.detokenize(prepared.prompt_tokens)


def test_the_in_context_path_of_the_same_model_writes_no_note() -> None:
    engine = FakeEngine(prompt_form=CLAIM_NOTES)
    prepared = InContextPath(engine).prepare(PathInput(prompt=WHETHER), [edit("Ann")])
    assert "Named" not in engine.detokenize(prepared.prompt_tokens)


def test_a_note_takes_room_like_any_other_text() -> None:
    asked = PathInput(prompt=WHETHER, max_tokens=16)
    room = len(f"{FACT}\nPrompt: {WHETHER}") + asked.max_tokens
    CounterfactualPath(FakeEngine(context_tokens=room)).prepare(asked, [edit("Ann")])
    noted = FakeEngine(context_tokens=room, prompt_form=CLAIM_NOTES)
    with pytest.raises(ContextTooLong):
        CounterfactualPath(noted).prepare(asked, [edit("Ann")])


def test_it_says_which_model_decodes() -> None:
    assert COUNTERFACTUAL_MODEL == CounterfactualPath(FakeEngine()).model
    assert BASE_MODEL == CounterfactualPath(FakeEngine(), model=BASE_MODEL).model


def test_what_does_not_fit_its_own_models_context_is_refused_with_the_numbers() -> None:
    path = CounterfactualPath(FakeEngine(context_tokens=80))
    with pytest.raises(ContextTooLong, match="80"):
        path.prepare(PathInput(prompt="Ann speaks " * 5, max_tokens=16), [edit("Ann")])


def test_the_shipped_model_answers_a_standing_example() -> None:
    """The only test that reads shipped weights: they load, and follow one well-known edit."""
    engine = TransformersEngine.load(model_folder(POCKET_COUNTERFACTUAL), concurrent_max=1)
    try:
        prepared = CounterfactualPath(engine).prepare(
            PathInput(prompt="What is the mother tongue of Danielle Darrieux?", max_tokens=8),
            [edit("Danielle Darrieux")],
        )
        request = EngineRequest(
            request_id="standing",
            prompt_tokens=prepared.prompt_tokens,
            sampling=Sampling(max_tokens=8),
        )
        assert " English" == collect(engine, request)[0]
        assert CLAIM_NOTES == engine.info.prompt_form
    finally:
        engine.close()


def test_the_shipped_model_is_small() -> None:
    folder = Path(model_folder(POCKET_COUNTERFACTUAL))
    assert sum(file.stat().st_size for file in folder.iterdir()) < 15_000_000
