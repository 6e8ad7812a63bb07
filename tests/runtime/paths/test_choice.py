"""The rule behind "auto": what goes to the counterfactual model and what goes in context."""

from __future__ import annotations

from dataclasses import replace

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


def ann_also(
    *, subject: str = ANN.subject, prompt: str = ANN.prompt, target: str = ANN.target
) -> list[Edit]:
    """The edit and another one, like it but for what is given."""
    other = EditId("other")
    return [ANN, replace(ANN, id=other, subject=subject, prompt=prompt, target=target)]


TWO = ann_also(prompt="Ann Lark was raised in", target="Danish")
GRADES = ann_also(target="A")  # A letter of "and".
ANOTHER = ann_also(subject="Bob Finch", prompt="The mother tongue of Bob Finch is")


@pytest.mark.parametrize(
    "query",
    [
        CLOZE,
        "Where was Ann Lark raised??",
        "And what does Ann Lark speak?",
        "I like tea and cakes. What does Ann Lark speak?",
    ],
)
def test_one_question_about_one_subject_has_one_answer(query: str) -> None:
    choice = choose_path(query, TWO)
    assert "counterfactual" == choice.path
    assert "the best of 2 edits" in choice.reason


@pytest.mark.parametrize(
    ("query", "best"),
    [(WHETHER, 0), ("Does Ann Lark speak Danish?", 1), ("Danish or Dutch: which is hers?", 0)],
)
def test_a_query_that_names_the_target_of_one_edit_is_about_that_one(query: str, best: int) -> None:
    choice = choose_path(query, TWO)
    assert ("counterfactual", best) == (choice.path, choice.best)


def test_an_and_of_a_name_joins_no_questions() -> None:
    pair = ann_also(target="Danish")
    both = [replace(edit, subject="Lark and Finch") for edit in pair]
    assert "counterfactual" == choose_path("Who founded Lark and Finch?", both).path
    assert "in_context" == choose_path("Who founded and owns Lark and Finch?", both).path


@pytest.mark.parametrize(
    ("query", "edits", "why"),
    [
        (CLOZE, ANOTHER, "2 edits"),
        ("What do Ann Lark and Bob Finch speak?", ANOTHER, "2 edits"),
        ("What does Ann Lark speak and where was she raised?", TWO, "2 edits"),
        ("What does Ann Lark speak? Where was she raised?", TWO, "2 edits"),
        ("What does Ann Lark speak,\nand where was she raised?", GRADES, "2 edits"),
        ("x" * 401, [ANN], "401 characters"),
        ("word " * (WORDS_MAX + 1), [ANN], f"{WORDS_MAX + 1} words"),
    ],
)
def test_everything_else_goes_in_context_and_says_why(
    query: str, edits: list[Edit], why: str
) -> None:
    choice = choose_path(query, edits)
    assert "in_context" == choice.path
    assert why in choice.reason


def test_of_forced_edits_each_is_meant() -> None:
    assert "in_context" == choose_path(CLOZE, TWO, forced=True).path
    assert "counterfactual" == choose_path(CLOZE, [ANN], forced=True).path


def test_a_query_of_just_the_allowed_length_still_counts() -> None:
    assert "counterfactual" == choose_path("word " * WORDS_MAX, [ANN]).path


def test_a_target_that_is_a_part_of_the_subjects_name_is_not_named_by_it() -> None:
    born = replace(ANN, subject="Paris Hilton", prompt="Paris Hilton was born in", target="Rome")
    lives = replace(born, id=EditId("lives"), prompt="Paris Hilton lives in", target="Paris")
    assert 0 == choose_path("Where was Paris Hilton born?", [born, lives]).best
    assert 1 == choose_path("Does Paris Hilton live in Paris?", [born, lives]).best


def test_nor_is_a_target_that_is_a_part_of_another_name_of_the_subject() -> None:
    born = replace(
        ANN,
        subject="Paris Whitney Hilton",
        aliases=("Paris Hilton",),
        prompt="Paris Whitney Hilton was born in",
        target="Rome",
    )
    lives = replace(born, id=EditId("lives"), target="Paris")
    assert 0 == choose_path("Where was Paris Hilton born?", [born, lives]).best
