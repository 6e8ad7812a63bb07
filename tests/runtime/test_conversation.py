"""The last user turn, read in its conversation: a table of chats, and what holds for every chat."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memory.subjects import SubjectMatcher, SubjectView
from runtime.conversation import TURNS_READ_MAX, read_last_turn

EDITED = (
    ("Danielle Darrieux",),
    ("Lionel Messi", "Messi"),
    ("Space Needle",),
    ("France",),
    ("Apple", "Apple Inc."),
    ("York",),
    ("Danielle Darrieux",),  # Two edits about her.
)


def view() -> SubjectView:
    return SubjectMatcher().apply(list(enumerate(EDITED)), [])


def chat(*turns: str) -> list[tuple[str, str]]:
    """User and assistant in turn; the last one is the user's."""
    roles = ("user", "assistant")
    return [(roles[place % 2], turn) for place, turn in enumerate(turns)]


def read(*turns: str) -> str:
    return read_last_turn(chat(*turns), view().find)


BORN = "Where was Danielle Darrieux born?"
RESOLVED: list[tuple[tuple[str, ...], str]] = [
    # Pronouns of persons.
    (
        ("What is the mother tongue of Danielle Darrieux?", "French.", "And where was she born?"),
        "And where was Danielle Darrieux born?",
    ),
    ((BORN, "In Bordeaux.", "And what is her mother tongue?"),
     "And what is Danielle Darrieux's mother tongue?"),
    ((BORN, "In Bordeaux.", "What about her husband?"), "Who is Danielle Darrieux's husband?"),
    ((BORN, "In Bordeaux.", "Tell me more about her."),
     "Tell me more about Danielle Darrieux."),
    ((BORN, "In Bordeaux.", "Did she die in Paris?"), "Did Danielle Darrieux die in Paris?"),
    ((BORN, "Bordeaux", "And when did she die?", "In 2017.", "Who was her husband?"),
     "Who was Danielle Darrieux's husband?"),
    (("Tell me about Danielle Darrieux.", "She was an actress who played with Jean Gabin.",
      "Where was she born?"), "Where was Danielle Darrieux born?"),
    (("Tell me about Danielle Darrieux.", "She was an actress who played with Jean Gabin.",
      "And where was he born?"), "And where was Jean Gabin born?"),
    (("Who was Danielle Darrieux's husband?", "Henri Decoin.", "Where was he born?"),
     "Where was Henri Decoin born?"),
    (("Who was Danielle Darrieux's husband?", "Henri Decoin.", "And where was she born?"),
     "And where was Danielle Darrieux born?"),
    (("Who founded Apple?", "Steve Jobs.", "When was he born?"), "When was Steve Jobs born?"),
    (("what does lionel messi play?", "Football.", "where was he born?"),
     "where was lionel messi born?"),
    (("What sport does Messi play?", "Football", "HOW OLD IS HE?"), "HOW OLD IS Messi?"),
    (("Where was Lionel Messi born?", "Rosario.", "What's his full name?"),
     "What's Lionel Messi's full name?"),
    (("Where was Lionel Messi born?", "Rosario.", "I like him. Does he speak French?"),
     "I like Lionel Messi. Does Lionel Messi speak French?"),
    # A name that no edit knows stands between: it is meant, not the edited subject.
    ((BORN, "In Bordeaux.", "And Marie Curie?", "In Warsaw.", "What was her profession?"),
     "What was Marie Curie's profession?"),
    ((BORN, "In Bordeaux.", "Who was Ada Lovelace?", "A mathematician.", "When did she die?"),
     "When did Ada Lovelace die?"),
    # "Who was X?" speaks of X, whatever the answer names.
    (("Who was Danielle Darrieux?", "Bordeaux.", "What is her mother tongue?"),
     "What is Danielle Darrieux's mother tongue?"),
    (("What is Apple?", "A company of Steve Jobs.", "Where is it based?"),
     "Where is Apple based?"),
    # A place is no person, and an unclear "it" keeps nobody from reading "she".
    ((BORN, "Bordeaux.", "Is Bordeaux in France?", "Yes.", "And where did she die?"),
     "And where did Danielle Darrieux die?"),
    (("Tell me about Hamlet.", "Hamlet is a play by William Shakespeare.", "When was he born?"),
     "When was William Shakespeare born?"),
    (("Tell me about Alan Turing.", "Alan Turing worked with Joan Clarke.", "Where was he born?"),
     "Where was Alan Turing born?"),
    (("What did Lionel Messi win?", "The World Cup.", "When did he win it?"),
     "When did Lionel Messi win it?"),
    # Titles and initials.
    (("Where was Dr. Jane Goodall born?", "London.", "And her job?"),
     "What is Jane Goodall's job?"),
    (("Where was J. R. R. Tolkien born?", "Bloemfontein.", "Who was his wife?"),
     "Who was J. R. R. Tolkien's wife?"),
    (("Who is Tim Cook?", "He is the CEO of Apple.", "Where is it based?"),
     "Where is Apple based?"),
    (("How tall is the Space Needle?", "184 m.", "And the Eiffel Tower?"),
     "How tall is the Eiffel Tower?"),
    (("What is the mother tongue of Michel d'Ornano?", "French.", "Where was he born?"),
     "Where was Michel d'Ornano born?"),
    # Things and places. What "where" asks for is a place to be "there", and no rival for "it".
    (("Where is the Space Needle?", "In Seattle.", "Who designed it?"),
     "Who designed Space Needle?"),
    (("Where is the Space Needle?", "In Seattle.", "What language is spoken there?"),
     "What language is spoken in Seattle?"),
    (("Tell me about France.", "It is a country in Europe.", "and its capital?"),
     "What is France's capital?"),
    (("Tell me about France.", "A country in Europe.", "What language is spoken there?"),
     "What language is spoken in France?"),
    (("Who founded Apple?", "Steve Jobs.", "Where is it based?"), "Where is Apple based?"),
    (("Who founded Apple?", "Steve Jobs and friends.", "It's based where?"),
     "Apple's based where?"),
    (("Tell me about Apple.", "They make phones.", "What did they say?"),
     "What did Apple say?"),
    (("Tell me about Apple.", "A company.", "Where do you think they're based?"),
     "Where do you think Apple are based?"),
    (("Where was Danielle Darrieux born?", "In Bordeaux.", "What country is it in?"),
     "What country is Bordeaux in?"),
    # Asked again of somebody else.
    ((BORN, "In Bordeaux.", "What about Lionel Messi?"), "Where was Lionel Messi born?"),
    ((BORN, "In Bordeaux.", "And Marie Curie?"), "Where was Marie Curie born?"),
    ((BORN, "In Bordeaux.", "how about marie curie"), "Where was marie curie born?"),
    (("What is Danielle Darrieux's mother tongue?", "French.", "And Messi's?"),
     "What is Messi's mother tongue?"),
    (("What is the capital of France?", "Paris.", "And of Spain?"),
     "What is the capital of Spain?"),
    ((BORN, "Bordeaux.", "And when did she die?", "2017.", "What about Messi?"),
     "And when did Messi die?"),
    # Another property, the name left out.
    (("What is the capital of France?", "Paris.", "And the population?"),
     "What is the population of France?"),
    (("What is the capital of France?", "Paris.", "What about the official language?"),
     "What is the official language of France?"),
]  # fmt: skip

LEFT: list[tuple[str, ...]] = [
    # It names its own subject.
    (BORN, "In Bordeaux.", "Where was Marie Curie born?"),
    (BORN, "In Bordeaux.", "Where did Marie Curie live when she was young?"),
    (BORN, "In Bordeaux.", "When he was young, where did Alan Turing live?"),
    (BORN, "In Bordeaux.", "Is it true that Messi plays football?"),
    (BORN, "In Bordeaux.", "What is the Space Needle and who built it?"),
    # Two may be meant.
    ("Did Ann Lee marry Bob Roe?", "Yes.", "And where was he born?"),
    ("Who taught Alan Turing?", "Alonzo Church.", "And what did they say?"),
    ("Are Apple and IBM rivals?", "Yes.", "What do they make?"),
    ("What is the capital of France?", "Paris.", "How old is it?"),
    ("What is the capital of France?", "It is Paris, of course.", "And its population?"),
    ("Who taught Alan Turing?", "Alonzo Church.", "And where was he born?"),
    ("Is Danielle Darrieux known?", "Yes.", "Did she know him?"),
    # Nobody fits.
    ("What is the capital of France?", "Paris.", "And where was she born?"),
    ("Hello!", "Hello, how can I help you?", "Where was she born?"),
    # Nothing is meant by it.
    (BORN, "In Bordeaux.", "What time is it?"),
    (BORN, "In Bordeaux.", "Is it raining?"),
    ("Tell me about France.", "A country.", "Is there a word for that?"),
    (BORN, "In Bordeaux.", "Thank you!"),
    (BORN, "In Bordeaux.", "And then?"),
    (BORN, "In Bordeaux.", "What about you?"),
    (BORN, "In Bordeaux.", "What is the boiling point of water?"),
    # The talk has turned to something else.
    (BORN, "In Bordeaux.", "how do vaccines work?", "They train the body.", "Who did she marry?"),
    # No question about one name to ask again.
    (
        BORN,
        "In Bordeaux.",
        "Did Ann Lee marry Bob Roe?",
        "Yes.",
        "When was he born?",
        "-",
        "And Marie Curie?",
    ),
    ("Did Ann Lee marry Bob Roe?", "Yes.", "And Marie Curie?"),
    ("Tell me a joke.", "No.", "And Marie Curie?"),
]


@pytest.mark.parametrize(("turns", "expected"), RESOLVED)
def test_a_turn_that_leans_on_the_talk_is_read_in_it(turns: tuple[str, ...], expected: str) -> None:
    assert expected == read(*turns)


@pytest.mark.parametrize("turns", LEFT)
def test_a_turn_that_stands_alone_or_is_unclear_is_left(turns: tuple[str, ...]) -> None:
    assert turns[-1] == read(*turns)


def test_a_bare_question_is_its_own_query() -> None:
    assert "Where was she born?" == read("Where was she born?")


def test_a_system_turn_is_nobodys_topic() -> None:
    turns = [("system", "You speak of Danielle Darrieux."), ("user", "Where was she born?")]
    assert "Where was she born?" == read_last_turn(turns, view().find)


def test_names_beyond_the_turns_that_are_read_are_not_meant() -> None:
    thanks = ("Thanks.", "Thank you.") * (TURNS_READ_MAX // 2)
    assert "Where was she born?" == read(BORN, "In Bordeaux.", *thanks, "Where was she born?")
    assert "Where was Danielle Darrieux born?" == read(
        BORN, "In Bordeaux.", *thanks[4:], "Where was she born?"
    )


def test_a_part_of_an_unknown_longer_name_is_not_the_edited_subject() -> None:
    assert "Who owns New York Times?" == read("Tell me about New York Times.", "-", "Who owns it?")
    assert "Who owns York?" == read("Tell me about York.", "A town.", "Who owns it?")


def test_a_surname_alone_means_the_one_who_was_named_in_full() -> None:
    turns = ("Who was Ada Lovelace?", "Lovelace was a mathematician.", "Where was she born?")
    assert "Where was Ada Lovelace born?" == read(*turns)


NAMES = st.lists(
    st.from_regex(r"\A[A-Z][a-z]{3,8}\Z").filter(lambda word: word.casefold() not in read_words()),
    min_size=2,
    max_size=2,
).map(" ".join)


def read_words() -> frozenset[str]:
    """Words that are no names although capitalised."""
    from runtime import names

    return names._OPENERS | names._NEVER_NAMES


TURN = st.text(
    alphabet=st.sampled_from("abcXYZ éÉ'\u2019.?!,\n-\u0301\u4e2d") | st.characters(), max_size=40
) | st.sampled_from(
    ["And where was he born?", "What about her?", "its capital?", "And Paris?", "there", "it's"]
)


@given(turns=st.lists(st.tuples(st.sampled_from(["system", "user", "assistant"]), TURN)), last=TURN)
def test_any_chat_is_read_and_read_again_the_same(turns: list[tuple[str, str]], last: str) -> None:
    messages = [*turns, ("user", last)]
    once = read_last_turn(messages, view().find)
    assert once == read_last_turn(messages, view().find)
    said = sum(len(content) for _, content in messages)
    assert len(once) <= len(last) + (len(last) + 1) * (said + 8)


@given(turns=st.lists(st.tuples(st.sampled_from(["user", "assistant"]), TURN)), name=NAMES)
def test_a_turn_that_names_its_subject_is_left_whatever_was_said(
    turns: list[tuple[str, str]], name: str
) -> None:
    last = f"Where was {name} born?"
    assert last == read_last_turn([*turns, ("user", last)], view().find)


def finder(*names: str) -> SubjectView:
    return SubjectMatcher().apply([(key, (name,)) for key, name in enumerate(names)], [])


@given(edited=NAMES, other=NAMES, pronoun=st.sampled_from(["he", "she"]))
def test_the_last_one_named_is_meant_whether_or_not_an_edit_knows_them(
    edited: str, other: str, pronoun: str
) -> None:
    """An older, edited subject never captures a pronoun that stands for somebody else."""
    turns = chat(
        f"Where was {edited} born?", "far away.", f"What is the profession of {other}?", "baker",
        f"And where did {pronoun} die?",
    )  # fmt: skip
    expected = f"And where did {other} die?"
    for known in ((), (edited,), (other,), (edited, other)):
        assert expected == read_last_turn(turns, finder(*known).find)


@given(first=NAMES, second=NAMES)
def test_two_of_equal_right_leave_the_turn_unread(first: str, second: str) -> None:
    turns = chat(f"Did {first} ever meet {second}?", "yes", "And where was she born?")
    read_as = read_last_turn(turns, finder(first).find)
    assert turns[-1][1] == read_as or first == second


def test_a_chat_without_anything_to_resolve_asks_for_no_mentions() -> None:
    def never(_: str) -> Sequence[object]:
        raise AssertionError("asked")

    turns = chat(BORN, "In Bordeaux.", "Where was Marie Curie born?")
    assert turns[-1][1] == read_last_turn(turns, never)  # type: ignore[arg-type]
