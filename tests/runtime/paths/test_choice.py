"""The rule behind "auto": what goes to the counterfactual model and what goes in context."""

from __future__ import annotations

import pytest

from runtime.paths.choice import WORDS_MAX, choose_path

SHORT = "What is the mother tongue of Ann?"


def test_one_fact_asked_briefly_goes_to_the_counterfactual_model() -> None:
    assert "counterfactual" == choose_path(SHORT, (), facts=1).path
    assert "counterfactual" == choose_path("", (("user", SHORT),), facts=1).path


@pytest.mark.parametrize(
    ("prompt", "messages", "facts", "why"),
    [
        (SHORT, (), 2, "2 edits"),
        ("", (("user", "Hi"), ("assistant", "Yes?"), ("user", SHORT)), 1, "conversation"),
        ("", (("system", "Speak like a pirate."), ("user", SHORT)), 1, "conversation"),
        ("word " * (WORDS_MAX + 1), (), 1, f"{WORDS_MAX + 1} words"),
        ("", (("user", "word " * (WORDS_MAX + 1)),), 1, f"{WORDS_MAX + 1} words"),
    ],
)
def test_everything_else_goes_in_context_and_says_why(
    prompt: str, messages: tuple[tuple[str, str], ...], facts: int, why: str
) -> None:
    choice = choose_path(prompt, messages, facts=facts)
    assert "in_context" == choice.path
    assert why in choice.reason


def test_a_query_of_just_the_allowed_length_still_counts_as_brief() -> None:
    assert "counterfactual" == choose_path("word " * WORDS_MAX, (), facts=1).path
