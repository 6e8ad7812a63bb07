"""The in-context path: what stands in the prompt, in which order, and what gives way first."""

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memory.errors import ContextTooLong, InvalidInput
from memory.record import Edit, EditId, Namespace
from runtime.paths.contract import PathInput
from runtime.paths.demonstrations import (
    Demonstration,
    DemonstrationKind,
    FixedDemonstrations,
)
from runtime.paths.in_context import InContextPath, InContextSettings
from tests.fakes import FakeEngine

DEMONSTRATIONS = tuple(
    Demonstration(kind=kind, fact=f"Fact {kind.value} {n}", prompt=f"Ask {n}", answer=f"Say {n}")
    for n in range(20)
    for kind in DemonstrationKind
)


def edit(subject: str, target: str = "English") -> Edit:
    return Edit(
        id=EditId(subject.lower()),
        namespace=Namespace("default"),
        subject=subject,
        prompt=f"The mother tongue of {subject} is",
        target=target,
    )


def path(engine: FakeEngine, *, demonstrations: int = 0, edits_max: int = 4) -> InContextPath:
    return InContextPath(
        engine,
        chooser=FixedDemonstrations(DEMONSTRATIONS),
        settings=InContextSettings(demonstrations=demonstrations, edits_max=edits_max),
    )


def text_of(engine: FakeEngine, tokens: tuple[int, ...]) -> str:
    return engine.detokenize(tokens)


def test_the_new_fact_and_the_prompt_stand_as_in_the_paper() -> None:
    engine = FakeEngine()
    prepared = path(engine).prepare(PathInput(prompt="Ann speaks"), [edit("Ann")])
    expected = "New Fact: The mother tongue of Ann is English\nPrompt: Ann speaks"
    assert expected == text_of(engine, prepared.prompt_tokens)
    assert 0 == prepared.prefix_tokens


def test_the_best_edit_stands_next_to_the_query() -> None:
    engine = FakeEngine()
    prepared = path(engine).prepare(PathInput(prompt="Ann speaks"), [edit("Ann"), edit("Bob")])
    text = text_of(engine, prepared.prompt_tokens)
    assert text.index("Bob") < text.index("Ann")
    assert ("ann", "bob") == tuple(e.id for e in prepared.edits_used)


def test_no_more_edits_than_the_path_takes() -> None:
    engine = FakeEngine()
    asked = PathInput(prompt="Ann speaks")
    prepared = path(engine, edits_max=2).prepare(asked, [edit(n) for n in ("Ann", "Bob", "Cid")])
    assert ("ann", "bob") == tuple(e.id for e in prepared.edits_used)


def test_demonstrations_keep_the_ratio_and_come_before_the_new_fact() -> None:
    engine = FakeEngine()
    prepared = path(engine, demonstrations=8).prepare(PathInput(prompt="Q"), [edit("Ann")])
    text = text_of(engine, prepared.prompt_tokens)
    assert 8 == prepared.demonstrations
    assert (1, 3, 4) == tuple(text.count(f"Fact {k}") for k in ("copy", "update", "retain"))
    assert text.rindex("Fact") < text.index("The mother tongue")


def test_fixed_demonstrations_are_a_prefix_that_requests_share() -> None:
    engine = FakeEngine()
    fixed = path(engine, demonstrations=8)
    one = fixed.prepare(PathInput(prompt="Q"), [edit("Ann")])
    other = fixed.prepare(PathInput(prompt="Another"), [edit("Bob")])
    assert one.prefix_tokens == other.prefix_tokens > 0
    shared = one.prompt_tokens[: one.prefix_tokens]
    assert shared == other.prompt_tokens[: other.prefix_tokens]
    assert "Ann" not in text_of(engine, shared)


@given(context=st.integers(90, 2000), demonstrations=st.integers(0, 32), edits=st.integers(1, 6))
@settings(deadline=None, max_examples=60)
def test_what_is_prepared_always_leaves_room_for_the_answer(
    context: int, demonstrations: int, edits: int
) -> None:
    engine = FakeEngine(context_tokens=context)
    asked = PathInput(prompt="Ann speaks", max_tokens=10)
    wanted = [edit(f"Person{n}") for n in range(edits)]
    prepared = path(engine, demonstrations=demonstrations).prepare(asked, wanted)
    assert len(prepared.prompt_tokens) + 10 <= context
    assert wanted[: len(prepared.edits_used)] == list(prepared.edits_used)
    assert text_of(engine, prepared.prompt_tokens).endswith("Prompt: Ann speaks")


def test_copy_gives_way_first_and_retain_last() -> None:
    whole = FakeEngine()
    asked = PathInput(prompt="Q", max_tokens=1)
    needed = len(path(whole, demonstrations=8).prepare(asked, [edit("Ann")]).prompt_tokens)
    tight = FakeEngine(context_tokens=needed - 1)
    prepared = path(tight, demonstrations=8).prepare(asked, [edit("Ann")])
    text = text_of(tight, prepared.prompt_tokens)
    assert (0, 3, 4) == tuple(text.count(f"Fact {k}") for k in ("copy", "update", "retain"))


def test_one_edit_that_does_not_fit_is_refused_with_the_numbers() -> None:
    engine = FakeEngine(context_tokens=40)
    with pytest.raises(ContextTooLong, match="context holds 40") as refused:
        path(engine).prepare(PathInput(prompt="Ann speaks", max_tokens=10), [edit("Ann")])
    assert 40 == refused.value.limit
    assert refused.value.given > 40


def test_a_chat_gets_the_new_fact_in_its_system_turn() -> None:
    engine = FakeEngine(chat=True)
    asked = PathInput(messages=(("system", "Be brief."), ("user", "What does Ann speak?")))
    text = text_of(engine, path(engine).prepare(asked, [edit("Ann")]).prompt_tokens)
    assert "Be brief.\nNew Fact: The mother tongue of Ann is English" in text
    bare = PathInput(messages=(("user", "What does Ann speak?"),))
    text = text_of(engine, path(engine).prepare(bare, [edit("Ann")]).prompt_tokens)
    assert "New Fact: The mother tongue of Ann is English" in text
    assert text.index("New Fact") < text.index("What does Ann speak?")


class NoSystemTurn(FakeEngine):
    """As Gemma and older Mistral models: the chat template refuses a system turn."""

    def tokenize_chat(self, messages: Sequence[tuple[str, str]]) -> list[int]:
        if messages[0][0] == "system":
            raise InvalidInput("System role not supported", field="messages")
        return super().tokenize_chat(messages)


def test_where_the_template_takes_no_system_turn_the_facts_open_the_last_users() -> None:
    engine = NoSystemTurn(chat=True)
    turns = (("user", "Hello"), ("assistant", "Hi"), ("user", "What does Ann speak?"))
    prepared = path(engine).prepare(PathInput(messages=turns), [edit("Ann")])
    expected = (
        "user: Hello\nassistant: Hi\n"
        "user: New Fact: The mother tongue of Ann is English\nWhat does Ann speak?\nassistant:"
    )
    assert expected == text_of(engine, prepared.prompt_tokens)


def test_a_system_turn_of_the_callers_own_that_the_template_refuses_stays_an_error() -> None:
    turns = (("system", "Be brief."), ("user", "What does Ann speak?"))
    with pytest.raises(InvalidInput, match="not supported"):
        path(NoSystemTurn(chat=True)).prepare(PathInput(messages=turns), [edit("Ann")])
