"""The form of a query, read off its words: what it wants back."""

from __future__ import annotations

from dataclasses import replace

import pytest

from memory.record import Edit, EditId, Namespace
from runtime.paths.forms import Form, form_of

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
        ("what does ann lark speak", Form.BARE_QUESTION),
        ("Tell me the mother tongue of Ann Lark.", Form.BARE_QUESTION),
        ("Name the mother tongue of Ann Lark:", Form.QUESTION),
        ("It rained. What is the mother tongue of Ann Lark?", Form.QUESTION),
        ("This is about Ann Lark. Which language is hers?", Form.QUESTION),
        ("Do you know the mother tongue of Ann Lark?", Form.QUESTION),
        ("Could you please tell me what Ann Lark speaks?", Form.QUESTION),
        ("Can anyone name the mother tongue of Ann Lark?", Form.QUESTION),
        ("Do you know whether Ann Lark speaks Dutch?", Form.VERDICT),
        ("Can you tell me if Ann Lark speaks Dutch?", Form.VERDICT),
        ("Did you know that Ann Lark speaks Dutch?", Form.VERDICT),
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
        ("Ann Lark speaks French?", Form.VERDICT),
        ("So Ann Lark speaks French?", Form.VERDICT),
        ("One more question: does Ann Lark speak French?", Form.VERDICT),
        ("Is it right to say that Ann Lark met John F. Kennedy?", Form.VERDICT),
        ("Ann Lark's mother tongue?", Form.KEYWORDS),
        ("ann lark mother tongue", Form.KEYWORDS),
        ("mother tongue of Ann Lark", Form.KEYWORDS),
        ("The mother tongue of Ann Lark", Form.KEYWORDS),
        ("Ann Lark tongue?", Form.KEYWORDS),
        ("Ann Lark language", Form.KEYWORDS),
        ("ann lark native language?", Form.KEYWORDS),
        ("IATA code Ann Lark", Form.KEYWORDS),
        ("Ann Lark speaks", Form.KEYWORDS),  # Ended by the target, as the prompt is.
        ("Ann Lark, speaker of", Form.CLOZE),
        ("Ann Lark Dutch", Form.CLOZE),
        ("ann lark speaks french?", Form.VERDICT),
        ("Check this claim: Ann Lark speaks Latin.", Form.VERDICT),
        ("Ann Lark", Form.CLOZE),
        ("Ann Lark's mother tongue is", Form.CLOZE),
        ("Is Ann Lark's mother tongue?", Form.VERDICT),
        ("the mother tongue of Bob Lark", Form.CLOZE),
        ("So the mother tongue of Ann Lark is French?", Form.VERDICT),
        ("Is the following accurate? Ann Lark speaks French.", Form.VERDICT),
        ("It rained. Please confirm that Ann Lark speaks French.", Form.VERDICT),
        ("Tell me whether Ann Lark speaks French.", Form.VERDICT),
        ("Isn't the mother tongue of Ann Lark Dutch?", Form.VERDICT),
        ("Isn\u2019t the mother tongue of Ann Lark Dutch?", Form.VERDICT),
        ("Am I wrong that Ann Lark speaks Dutch?", Form.VERDICT),
        ("Is it false that Ann Lark speaks French?", Form.VERDICT),
        ("Ann Lark does not speak Dutch, right?", Form.VERDICT),
        ("What does Ann Lark speak? French?", Form.VERDICT),
        ("The mother tongue of Ann Lark is?", Form.QUESTION),  # No value is claimed.
        ("Ann Lark is of the tongue?", Form.QUESTION),
        ("What does Ann Lark speak? Dutch or French?", Form.CHOICE),
        ("What does Ann Lark speak? The Dutch or the French?", Form.CHOICE),
        ("Is Ann Lark someone or something that speaks Dutch?", Form.VERDICT),
        ("Is Lark's mother tongue Dutch?", Form.VERDICT),
        ("True or false: Lark speaks Dutch.", Form.VERDICT),
        ("The mother tongue of Ann Lark?", Form.KEYWORDS),
        ("The mother tongue of Ann Lark is what?", Form.QUESTION),
        ("In which language was Ann Lark raised?", Form.QUESTION),
        ("Is it raining? The mother tongue of Ann Lark is", Form.CLOZE),
        ("Whose mother tongue is Dutch?", Form.SUBJECT),
        ("What does Ann Lark speak in Canada:", Form.QUESTION),
        ("What does Ann Lark speak? A:", Form.QUESTION),
        ("dutch is the mother tongue of", Form.SUBJECT),
        ("What does Ann Lark speak? Answer in a full sentence.", Form.SENTENCE),
        ("", Form.CLOZE),
    ],
)
def test_a_form_is_read_off_the_words(query: str, form: Form) -> None:
    assert form is form_of(query, ANN)


def test_a_target_without_letters_offers_nothing_by_chance() -> None:
    edit = replace(ANN, target="C++ (language)")
    assert Form.CHOICE is form_of("Does Ann Lark speak C++ (language) or Java?", edit)
    assert Form.VERDICT is form_of("Does Ann Lark speak C or Java?", edit)


def test_an_alias_names_the_subject_as_well() -> None:
    query = "Dutch is what the lark speaks: which language is it?"
    assert Form.SUBJECT is form_of(query, ANN)
    assert Form.QUESTION is form_of(query, replace(ANN, aliases=("The Lark",)))


def test_a_prompt_that_is_keywords_itself_is_continued_as_it_stands() -> None:
    edit = replace(ANN, prompt="Ann Lark mother tongue:", aliases=("A. Lark",))
    assert form_of("Ann Lark mother tongue", edit) is Form.CLOZE
    assert form_of("A. Lark mother tongue", edit) is Form.KEYWORDS


def test_blanks_without_end_cost_no_more_than_their_number() -> None:
    """Quadratic work would take minutes here."""
    assert form_of("x" + " " * 200_000 + "y", ANN) is Form.CLOZE
