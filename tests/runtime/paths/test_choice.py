"""The rule behind "auto": what goes to the counterfactual model and what goes in context."""

from __future__ import annotations

import pytest

from memory.record import Edit, EditId, Namespace
from runtime.paths.choice import WORDS_MAX, choose_path

ANN = Edit(
    id=EditId("ann"),
    namespace=Namespace("default"),
    subject="Ann Lark",
    prompt="The mother tongue of Ann Lark is",
    target="Dutch",
)
WHETHER = "Is the mother tongue of Ann Lark Dutch?"


CLOZE = "The mother tongue of Ann Lark is"


@pytest.mark.parametrize(
    "query",
    [
        CLOZE,
        WHETHER,
        "Whose mother tongue is Dutch?",
        "what does ann lark speak",
        "What does Ann Lark speak?",
        "Do you know the mother tongue of Ann Lark?",
    ],
)
def test_one_query_about_one_edit_goes_to_the_counterfactual_model(query: str) -> None:
    choice = choose_path(query, [ANN])
    assert "counterfactual" == choice.path
    assert "it asks for" in choice.reason


@pytest.mark.parametrize(
    ("query", "edits", "turns", "why"),
    [
        (WHETHER, 2, 1, "2 edits"),
        (WHETHER, 1, 2, "conversation"),
        (CLOZE, 2, 1, "2 edits"),
        (CLOZE, 1, 2, "conversation"),
        ("word " * (WORDS_MAX + 1), 1, 1, f"{WORDS_MAX + 1} words"),
    ],
)
def test_everything_else_goes_in_context_and_says_why(
    query: str, edits: int, turns: int, why: str
) -> None:
    choice = choose_path(query, [ANN] * edits, turns=turns)
    assert "in_context" == choice.path
    assert why in choice.reason


def test_a_query_of_just_the_allowed_length_still_counts() -> None:
    assert "counterfactual" == choose_path("word " * WORDS_MAX, [ANN]).path
