"""Where a query speaks of a subject, and the frame around it."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from classifiers.mention import (
    FRAME_CHARS_MAX,
    TEXT_CHARS_MAX,
    find_subject,
    focus_of,
    frame_of,
    is_covered,
    missing_likeness,
    missing_slips,
    names_in,
    number_differs,
    prepare,
    prepare_name,
    standing,
    tail_of,
)


@pytest.mark.parametrize(
    ("query", "subject", "frame"),
    [
        ("Lionel Messi plays the sport of", "Lionel Messi", "it plays the sport of"),
        ("where was lionel messi born", "Lionel Messi", "where was it born"),
        ("What is Messi's sport?", "Messi", "What is it's sport?"),
        ("It rained. Messi, by trade, is", "Messi", "it, by trade, is"),
        ("Messi rests. Later Messi plays. They play", "Messi", "Later it plays. They play"),
        (
            "J. R. R. Tolkien was born in St. Gallen",
            "St. Gallen",
            "J. R. R. Tolkien was born in it",
        ),
        ("梅西出生于", "梅西", "it出生于"),
    ],
)
def test_the_frame_is_the_mentions_sentence_and_what_follows(
    query: str, subject: str, frame: str
) -> None:
    text = prepare(query)
    place = find_subject(text, (prepare_name(subject),), subject if subject in query else "")
    assert place is not None
    assert frame_of(text, place) == frame


def test_part_of_a_name_is_a_partial_mention() -> None:
    place = find_subject(prepare("What did Darrieux speak?"), (prepare_name("Danielle Darrieux"),))
    assert place is not None
    assert 0 < place.share < 1


@pytest.mark.parametrize("query", ["", "What of the king?", "danielle's", "D. speaks", "the of"])
def test_too_little_of_a_name_is_no_mention(query: str) -> None:
    assert find_subject(prepare(query), (prepare_name("Danielle of the Darrieux Castle"),)) is None


@pytest.mark.parametrize(
    ("query", "covered"),
    [
        ("Paris Hilton was born in", True),
        ("Paris is in", False),
        ("The Old Paris was", True),
        ("Where is Paris?", False),
        ("In Paris, Texas", False),
        ("Where Paris lies", False),
        ("Paris-Roubaix is", True),
    ],
)
def test_an_adjoining_capitalised_word_covers_a_mention(query: str, covered: bool) -> None:
    text = prepare(query)
    place = find_subject(text, (prepare_name("Paris"),))
    assert place is not None
    assert is_covered(text, place) is covered


def test_other_names_leave_out_sentence_starts_and_the_mention() -> None:
    text = prepare("I know Rome. Does Messi live near Barcelona or Rosario?")
    place = find_subject(text, (prepare_name("Messi"),))
    assert names_in(text, focus_of(text, place), place) == {"barcelona", "rosario"}


@settings(deadline=None)
@given(st.text(max_size=200), st.text(max_size=20))
def test_any_text_has_a_frame_of_bounded_length(query: str, subject: str) -> None:
    text = prepare(query)
    place = find_subject(text, (prepare_name(subject),))
    assert len(frame_of(text, place)) <= FRAME_CHARS_MAX
    assert 0 <= focus_of(text, place) <= len(text.text)


def test_only_the_end_of_a_huge_text_is_read() -> None:
    text = prepare("Messi. " * 100_000 + "Where is Paris?")
    assert len(text.text) == TEXT_CHARS_MAX
    assert find_subject(text, (prepare_name("Paris"),)) is not None


@pytest.mark.parametrize(
    ("query", "low", "high"),
    [
        ("Which sport does Hristo Stoichhkov play?", 0.9, 1.0),  # A slip of the finger.
        ("Which sport does Hristo Botev play?", 0.0, 0.6),  # Somebody else.
        ("Which sport does Hristo play?", 0.0, 0.6),  # A name cut short.
        ("Which sport does Hristo Stoichkov play?", 1.0, 1.0),
    ],
)
def test_the_words_missing_of_a_name_are_looked_for_beside_its_mention(
    query: str, low: float, high: float
) -> None:
    text, name = prepare(query), prepare_name("Hristo Stoichkov")
    place = find_subject(text, (name,))
    assert place is not None
    assert low <= missing_likeness(text, place, name) <= high


@pytest.mark.parametrize(
    ("name", "query"),
    [
        ("Gregory IX", "Which position did Gregory X hold?"),
        ("Nissan R89C", "Who makes the Nissan R88C?"),
    ],
)
def test_a_number_is_no_slip_of_another_one(name: str, query: str) -> None:
    text, surface = prepare(query), prepare_name(name)
    place = find_subject(text, (surface,))
    assert place is not None
    assert missing_likeness(text, place, surface) == 0.0


@pytest.mark.parametrize(
    ("name", "query", "slips"),
    [
        ("Hristo Stoichkov", "Which sport does Hristo Stoichkov play?", 0),
        ("Hristo Stoichkov", "Which sport does Hristo Stoichhkov play?", 1),
        ("Hristo Stoichkov", "Which sport does Hristo Stoihckvo play?", 2),
        ("Hristo Stoichkov", "Which sport does Hristo Botev play?", 4),
        ("Hristo Stoichkov", "Which sport does Hristo play?", 4),
        ("Dodge Challenger", "Who makes the Dodge Charger?", 4),
        ("Casey Matthews", "Which sport does Clay Matthews Jr. play?", 4),
        ("Gregory IX", "Which position did Gregory X hold?", 4),
    ],
)
def test_slips_of_the_finger_are_counted(name: str, query: str, slips: int) -> None:
    text, surface = prepare(query), prepare_name(name)
    place = find_subject(text, (surface,))
    assert place is not None
    assert missing_slips(text, place, surface) == slips


def test_the_tail_is_what_follows_the_sentence_of_the_last_mention() -> None:
    text = prepare("Riga lies in Latvia. Milan, in")
    place = find_subject(text, (prepare_name("Riga"),))
    assert place is not None
    assert tail_of(text, place) == "Milan, in"
    place = find_subject(text, (prepare_name("Milan"),))
    assert place is not None
    assert tail_of(text, place) == ""


@pytest.mark.parametrize(
    ("name", "query", "differs"),
    [
        ("Windows 98", "Windows 8, a product developed by", True),
        ("Windows", "Windows 8, a product developed by", True),
        ("Windows 8", "Windows 8, a product developed by", False),
        ("Gregory", "Where did Gregory XIII work?", True),
        ("Malcolm X", "Where did Malcolm X work?", False),
        ("Malcolm X", "Where did Malcolm work?", True),
        ("Lionel Messi", "What sport does Lionel Messi play in 2022?", False),
        ("Lionel Messi", "Did I tell you what Lionel Messi did?", False),
    ],
)
def test_a_number_makes_another_name(name: str, query: str, *, differs: bool) -> None:
    text, surface = prepare(query), prepare_name(name)
    place = find_subject(text, (surface,))
    if place is None:  # Half of "Malcolm X" is there, or none of it.
        assert differs
    else:
        assert differs == number_differs(text, place, surface)


def test_a_mention_is_not_looked_for_inside_a_longer_word() -> None:
    text = prepare("Who designed Java? I do not mean JavaScript.")
    place = find_subject(text, (prepare_name("Java"),), "Java")
    assert place is not None
    assert "Java?" == text.text[place.start : place.end + 1]


def test_a_mention_that_stands_in_longer_words_alone_is_found_there() -> None:
    assert [0] == standing("Javas are", "Java")
    assert [0, 15] == standing("Ann and Annas, Ann", "Ann")
    assert [] == standing("Java", "")
