"""Wordings change how something is asked, not what; a denial does change it."""

from __future__ import annotations

import re
from random import Random

import pytest

from classifiers import wording

PHRASES = ("The mother tongue of {} is", "Where was {} born?", "{}'s wife is", "{} works as a")


@pytest.mark.parametrize("phrase", PHRASES)
@pytest.mark.parametrize("seed", range(10))
def test_chat_and_check_keep_the_phrase_and_its_subject(phrase: str, seed: int) -> None:
    assert phrase in wording.as_chat(phrase, Random(seed))
    checked = wording.as_check(f"{phrase.rstrip('?')} Paris", Random(seed))
    assert checked.count("{}") == 1
    assert "Paris" in checked


@pytest.mark.parametrize(
    ("phrase", "wanted"),
    [
        ("The wife of {} is", {"The wife of him is", "The wife of her is", "The wife of them is"}),
        ("Where was {} born?", {"Where was he born?", "Where was she born?",
                                "Where was they born?"}),
        ("{}'s wife is", {"His wife is", "Her wife is", "Their wife is"}),
    ],
)  # fmt: skip
def test_pronouns_stand_in_the_case_of_their_place(phrase: str, wanted: set[str]) -> None:
    found = {wording.with_pronoun(phrase, Random(seed), person=True) for seed in range(30)}
    assert found == wanted


def test_a_thing_is_no_person() -> None:
    found = {wording.with_pronoun("{} is in", Random(seed), person=False) for seed in range(30)}
    assert found == {"It is in", "They is in"}


@pytest.mark.parametrize("phrase", PHRASES)
def test_a_denial_differs_from_the_phrase_and_keeps_the_subject(phrase: str) -> None:
    for seed in range(20):
        text = wording.denied(phrase, "Paris", Random(seed))
        assert text.count("{}") == 1
        assert "not" in text.split() or "Paris" in text


def test_a_slip_touches_letters_alone() -> None:
    text = "Where was {} born in 1900?"
    slipped = {wording.slip(text, Random(seed)) for seed in range(200)}
    assert len(slipped) > 10
    assert all("{}" in one and "1900" in one for one in slipped)
    assert wording.slip("short", Random(0)) == "short"


def test_a_question_is_told_from_a_cloze() -> None:
    assert wording.is_question("who wrote {}")
    assert wording.is_question("Is {} male or female?")
    assert not wording.is_question("In {} people speak")
    assert not wording.is_question("")


def test_templates_name_the_subject_once() -> None:
    for listed in (wording.BEFORE, wording.AFTER, wording.NAMINGS, wording.CHECKS, wording.GENERIC):
        assert all(template.count("{}") == 1 for template in listed)
    assert all(t.count("{}") == 1 and "{other}" in t for t in wording.COMPARISONS)
    assert all(t.count("{}") == 1 and "{about}" in t for t in wording.ELSEWHERE)


def test_words_of_a_heading_stand_before_the_phrase_and_end_with_no_mark() -> None:
    sentence = "In the spring, {} went to Rome. It rained!"
    for seed in range(40):
        text = wording.after_fragment("The mayor of {} is", sentence, Random(seed))
        fragment = text.removesuffix(" The mayor of {} is")
        assert fragment != text
        assert 1 <= len(fragment.split()) <= 6
        assert not set(fragment) & set("{}.,!")
    assert wording.after_fragment("{} is", "{} !", Random(0)) == "{} is"


def test_longer_names_take_words_of_other_names_and_numbers() -> None:
    names = ["Lotte Hotels", "Nat King Cole"]
    made = {wording.lengthen("{}", Random(seed), names) for seed in range(400)}
    assert {"{} Hotels", "{} & Cole", "Nat {}", "{} King Cole", "{} II"} <= made
    assert any(name[3:].isdigit() for name in made)
    assert all("{}" in name and name != "{}" for name in made)


def test_another_noun_asks_for_another_thing_in_the_same_words() -> None:
    phrases = ["The hair colour of {} is", "What is {}'s hair colour?", "{} dyes those curls"]
    assert wording.nouns_in(phrases) == ["hair colour"]
    made = {wording.of_another_noun(phrases, Random(seed)) for seed in range(300)}
    assert not made & set(phrases)
    assert all(text is not None and "{}" in text and "colour" in text for text in made)
    assert any(text and "hair colour" not in text for text in made)  # "eye colour".
    assert any(text and re.search(r"hair colour \w+", text) for text in made)
    assert wording.of_another_noun(["{} grew up speaking"], Random(0)) is None


def test_a_yes_or_no_question_names_subject_and_values_and_asks() -> None:
    seeds = range(60)
    made = {wording.as_yes_no("The mayor of {} is", ("Ann Lee",), Random(n)) for n in seeds}
    assert made >= {
        "Is the mayor of {} Ann Lee?",
        "Is Ann Lee the mayor of {}?",
        "Is Ann Lee {}'s mayor?",
    }
    assert all(text and text.startswith(("Is ", "Isn't ")) for text in made)
    both = wording.as_yes_no("{} was born in", ("Rome", "Oslo"), Random(0))
    assert both in {"Was {} born in Rome or Oslo?", "Was {} born in Oslo or Rome?"}
    assert wording.as_yes_no("{}, who was born in", ("Rome",), Random(0)) is None


def test_keywords_are_the_subject_and_the_noun_alone() -> None:
    made = {wording.as_keywords("The mayor of {} is", Random(seed)) for seed in range(60)}
    assert made >= {"{} mayor", "mayor {}", "mayor of {}"}
    assert wording.as_keywords("{} is governed by", Random(0)) is None
