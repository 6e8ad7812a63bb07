"""The counterfactual path: one edit and the query, for a model of its own."""

from __future__ import annotations

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
from runtime.paths.counterfactual import CounterfactualPath
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
    finally:
        engine.close()


def test_the_shipped_model_is_small() -> None:
    folder = Path(model_folder(POCKET_COUNTERFACTUAL))
    assert sum(file.stat().st_size for file in folder.iterdir()) < 15_000_000
