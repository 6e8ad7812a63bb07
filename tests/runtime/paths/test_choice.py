"""The rule behind "auto": what goes to the counterfactual model and what goes in context."""

from __future__ import annotations

import pytest

from memory.record import Edit, EditId, Namespace
from runtime.paths.choice import WORDS_MAX, Form, choose_path, form_of

ANN = Edit(
    id=EditId("ann"),
    namespace=Namespace("default"),
    subject="Ann Lark",
    prompt="The mother tongue of Ann Lark is",
    target="Dutch",
)
WHETHER = "Is the mother tongue of Ann Lark Dutch?"


@pytest.mark.parametrize(
    ("query", "form"),
    [
        ("The mother tongue of Ann Lark is", Form.CLOZE),
        ("It rained. Ann Lark, who speaks", Form.CLOZE),
        ("What is the mother tongue of Ann Lark?", Form.QUESTION),
        ("what does ann lark speak", Form.QUESTION),
        ("It rained. What is the mother tongue of Ann Lark?", Form.QUESTION),
        ("This is about Ann Lark. Which language is hers?", Form.QUESTION),
        ("Is the mother tongue of Ann Lark Dutch or French?", Form.CHOICE),
        ("Dutch or French: What does Ann Lark speak?", Form.CHOICE),
        ("Does Ann Lark live in a house or a flat?", Form.VERDICT),
        (WHETHER, Form.VERDICT),
        ("is the mother tongue of ann lark french?", Form.VERDICT),
        (f"Q: {WHETHER}\nA:", Form.VERDICT),
        (f"It rained. {WHETHER}", Form.VERDICT),
        ("Does Ann Lark speak French?", Form.VERDICT),
        ("True or false: Ann Lark speaks Dutch.", Form.VERDICT),
        ("Ann Lark speaks Dutch, right?", Form.VERDICT),
        ("Ann Lark speaks Dutch. Is that right?", Form.VERDICT),
        ("Ann Lark speaks Dutch, yes?", Form.VERDICT),
        ("Ann Lark speaks Dutch?", Form.VERDICT),
        ("So the mother tongue of Ann Lark is French?", Form.VERDICT),
        ("Is the following accurate? Ann Lark speaks French.", Form.VERDICT),
        ("It rained. Please confirm that Ann Lark speaks French.", Form.VERDICT),
        ("Tell me whether Ann Lark speaks French.", Form.VERDICT),
        ("The mother tongue of Ann Lark?", Form.QUESTION),
        ("The mother tongue of Ann Lark is what?", Form.QUESTION),
        ("In which language was Ann Lark raised?", Form.QUESTION),
        ("Is it raining? The mother tongue of Ann Lark is", Form.CLOZE),
        ("Whose mother tongue is Dutch?", Form.SUBJECT),
        ("dutch is the mother tongue of", Form.SUBJECT),
        ("What does Ann Lark speak? Answer in a full sentence.", Form.SENTENCE),
        ("", Form.CLOZE),
    ],
)
def test_a_form_is_read_off_the_words(query: str, form: Form) -> None:
    assert form is form_of(query, ANN)


CLOZE = "The mother tongue of Ann Lark is"


@pytest.mark.parametrize("query", [CLOZE, "Whose mother tongue is Dutch?"])
def test_the_forms_that_the_counterfactual_model_answers_better_go_to_it(query: str) -> None:
    choice = choose_path(query, [ANN])
    assert "counterfactual" == choice.path
    assert "it asks for" in choice.reason


@pytest.mark.parametrize(
    ("query", "edits", "turns", "why"),
    [
        ("What does Ann Lark speak?", 1, 1, "an answer to a question"),
        (WHETHER, 1, 1, "a yes or no"),
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
