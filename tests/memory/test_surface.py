import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memory.surface import case_agrees, fold, is_boundary, read_text, spell

# Letters that compose, expand under casefold, or have no case; blanks, marks and joiners.
ODD = "aAeEoO\u0301\u0308\u0327\u00e9\u00c5\u212b\u0130\u0131\u00df\u1e9e\u03c3\u03c2\u03a3\ufb01"
ODD += "\u1112\u1161\u11ab\ud55c\u0915\u093f\u0f71\u0f73\u0344\u0e33 \t\n\u00a0\u3000'\u2019-\u2010"
texts = st.text(alphabet=st.sampled_from(ODD) | st.characters(codec="utf-8"), max_size=30)


@given(texts)
def test_spelling_is_nfc_with_single_blanks_and_places_lead_back(text: str) -> None:
    read = read_text(text)
    assert len(read.spelled) == len(read.folded)
    assert "  " not in read.spelled
    assert read.starts is None or len(read.starts) == len(read.spelled)
    composed = unicodedata.normalize("NFC", text)
    squeezed = "".join(composed.split())
    assert len(squeezed) == len("".join(read.spelled.split()))
    for start in range(len(read.spelled)):
        for end in range(start + 1, len(read.spelled) + 1):
            begin, after = read.span(start, end)
            assert 0 <= begin <= after <= len(text)


@given(texts)
def test_the_span_of_a_whole_cluster_spells_the_same(text: str) -> None:
    read = read_text(text)
    places = range(len(read.spelled) + 1)
    starts = [place for place in places if is_boundary(read.spelled, place)]
    for start in starts:
        for end in starts:
            found = read.spelled[start:end]
            if start < end and found.strip() == found:
                begin, after = read.span(start, end)
                assert spell(text[begin:after]) == found


@given(texts)
def test_spelling_twice_changes_nothing_more(text: str) -> None:
    assert spell(text) == spell(spell(text))


@given(texts)
def test_folding_keeps_the_length_and_is_stable(text: str) -> None:
    folded = fold(text)
    assert len(text) == len(folded)
    assert folded == fold(folded)
    assert folded == "".join(fold(character) for character in text)


@pytest.mark.parametrize(
    ("name", "found", "caseless", "agrees"),
    [
        ("Paris", "Paris", False, True),
        ("Paris", "paris", False, False),
        ("Paris", "paris", True, True),
        ("Paris", "PARIS", True, True),
        ("Us", "us", True, False),  # Two letters: own case only.
        ("Oz", "Oz", True, True),
        ("Ida", "ida", True, False),  # A single short word.
        ("Ed Wu", "ed wu", True, True),  # Several words.
        ("football", "Football", False, True),  # At the start of a sentence.
        ("football", "FOOTBALL", False, False),
        ("iPhone", "IPhone", False, True),
        ("iPhone", "iphone", False, False),
    ],
)
def test_case_counts_where_the_text_has_case(
    name: str, found: str, caseless: bool, agrees: bool
) -> None:
    assert agrees is case_agrees(name, found, caseless=caseless)


@pytest.mark.parametrize(
    ("text", "place", "boundary"),
    [
        ("Parisian", 5, False),
        ("Paris's", 5, True),
        ("Paris-based", 5, True),
        ("Paris2", 5, False),
        ("Paris_", 5, False),
        ("cafe\u0301", 4, False),  # Before a combining mark.
        ("हिन्दी", 1, False),
        ("東京都", 2, True),
        ("서울은", 2, True),
        ("กรุงเทพมหานคร", 7, True),
        ("パリティ", 2, False),  # Inside a run of Katakana.
        ("パリの", 2, True),
        ("iPhoneを", 6, True),
        ("", 0, True),
    ],
)
def test_words_end_by_script(text: str, place: int, boundary: bool) -> None:
    assert boundary is is_boundary(text, place)
