import gc
import threading
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from memory.subjects import Mention, SubjectMatcher, SubjectView
from memory.surface import case_agrees, fold, is_boundary, read_text, spell

Names = dict[int, tuple[str, ...]]


def naive(names: Names, text: str) -> list[Mention]:
    """Every name at every place, by the rules of surface.py: the reference."""
    read = read_text(text)
    found: dict[tuple[int, int, int], Mention] = {}
    for key, surfaces in names.items():
        for name in {spell(surface) for surface in surfaces} - {""}:
            for start in range(len(read.spelled) - len(name) + 1):
                end = start + len(name)
                here = read.spelled[start:end]
                if (
                    fold(here) == fold(name)
                    and is_boundary(read.spelled, start)
                    and is_boundary(read.spelled, end)
                    and case_agrees(name, here, caseless=read.caseless)
                ):
                    begin, after = read.span(start, end)
                    found[begin, -after, key] = Mention(
                        key=key, surface=text[begin:after], start=begin, end=after
                    )
    flagged = []
    for mention in (found[place] for place in sorted(found)):
        covered = any(
            other.start <= mention.start
            and mention.end <= other.end
            and other.end - other.start > mention.end - mention.start
            for other in found.values()
        )
        flagged.append(
            Mention(
                key=mention.key,
                surface=mention.surface,
                start=mention.start,
                end=mention.end,
                covered=covered,
            )
        )
    return flagged


def matcher_of(names: Names) -> SubjectMatcher:
    matcher = SubjectMatcher()
    matcher.apply(list(names.items()), [])
    return matcher


WORDS: tuple[str, ...] = (
    "Paris",
    "paris",
    "New",
    "York",
    "new",
    "Ed",
    "a",
    "O'Brien",
    "Jean-Luc",
    "İz",
    "straße",
)
WORDS += (
    "cafe\u0301",
    "café",
    "東京",
    "都",
    "パリ",
    "서울",
    "은",
    "हिन्दी",
    ".NET",
    "C++",
    "(500)",
    "Σίσυφος",
)
LINKS = (" ", "  ", "\n", "-", "'", "\u2019", "", ", ", ".")
words = st.sampled_from(WORDS)
names = st.lists(words, min_size=1, max_size=3).map(" ".join) | st.sampled_from(
    ("", " ", "New  York", "Parisian", "-", "NEW YORK", "York's", "東京都")
)
texts = st.lists(st.tuples(words | names, st.sampled_from(LINKS)), max_size=8).map(
    lambda parts: "".join(word + link for word, link in parts)
)
any_texts = texts | texts.map(str.lower) | texts.map(str.upper) | st.text(max_size=20)


@given(st.dictionaries(st.integers(0, 9), st.lists(names, max_size=3).map(tuple)), any_texts)
@settings(max_examples=300, deadline=None)
def test_mentions_are_those_of_the_naive_search(known: Names, text: str) -> None:
    matcher = matcher_of(known)
    assert naive(known, text) == matcher.view().find(text)
    matcher.check_integrity()


@given(st.text(min_size=1, max_size=4), st.text(max_size=12), st.text(max_size=12))
@settings(max_examples=200, deadline=None)
def test_any_name_in_any_text(name: str, before: str, after: str) -> None:
    text = before + name + after
    assert naive({1: (name,)}, text) == matcher_of({1: (name,)}).view().find(text)


class MatcherAgainstNaive(RuleBasedStateMachine):
    """Any program of changes; old views are asked again after later changes and sweeps."""

    def __init__(self) -> None:
        super().__init__()
        self.matcher = SubjectMatcher()
        self.live: Names = {}
        self.pinned: list[tuple[Names, SubjectView]] = []

    @rule(data=st.data())
    def change(self, data: Any) -> None:
        gone = (
            data.draw(st.lists(st.sampled_from(sorted(self.live)), unique=True, max_size=4))
            if self.live
            else []
        )
        free = sorted(set(range(80)) - set(self.live) | set(gone))
        added = data.draw(
            st.dictionaries(
                st.sampled_from(free), st.lists(names, max_size=3).map(tuple), max_size=4
            )
        )
        self.matcher.apply(list(added.items()), gone)
        for key in gone:
            del self.live[key]
        self.live.update(added)

    @rule()
    def pin(self) -> None:
        self.pinned.append((dict(self.live), self.matcher.view()))

    @precondition(lambda self: self.pinned)
    @rule(data=st.data())
    def let_go(self, data: Any) -> None:
        self.pinned.pop(data.draw(st.integers(0, len(self.pinned) - 1)))

    @precondition(lambda self: self.pinned)
    @rule(data=st.data(), text=any_texts)
    def ask_an_old_view(self, data: Any, text: str) -> None:
        known, view = data.draw(st.sampled_from(self.pinned))
        assert len(known) == len(view)
        assert naive(known, text) == view.find(text)

    @rule(text=any_texts)
    def ask(self, text: str) -> None:
        assert naive(self.live, text) == self.matcher.view().find(text)

    @invariant()
    def agrees(self) -> None:
        assert len(self.live) == len(self.matcher.view())
        self.matcher.check_integrity()


TestMatcherAgainstNaive = MatcherAgainstNaive.TestCase
TestMatcherAgainstNaive.settings = settings(max_examples=15, stateful_step_count=15, deadline=None)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Is Paris's mayor a Parisian?", ["Paris"]),
        ("A Paris\u2019s mayor", ["Paris"]),
        ("Paris-based", ["Paris"]),
        ("comparison", []),
        ("i moved to paris", ["paris"]),
        ("I moved to paris", []),
        ("東京都の知事", ["東京"]),
        ("the cafe\u0301 de flore", ["cafe\u0301 de flore"]),
        ("The Café  de\nFlore!", ["Café  de\nFlore"]),
        ("", []),
        ("\x00\ud800 Paris", ["Paris"]),
    ],
)
def test_names_are_found_as_people_write_them(text: str, found: list[str]) -> None:
    view = matcher_of({1: ("Paris",), 2: ("東京",), 3: ("Café de Flore",)}).view()
    mentions = view.find(text)
    assert found == [mention.surface for mention in mentions]
    assert found == [text[mention.start : mention.end] for mention in mentions]


def test_a_name_of_several_keys_is_reported_for_each_and_longer_mentions_cover() -> None:
    view = matcher_of({1: ("York",), 2: ("New York", "NYC"), 3: ("York",), 4: ("New York",)}).view()
    mentions = view.find("From New York to York, NYC")
    assert [(2, False), (4, False), (1, True), (3, True), (1, False), (3, False), (2, False)] == [
        (mention.key, mention.covered) for mention in mentions
    ]


@pytest.mark.parametrize(
    ("add", "remove", "message"),
    [
        ([(1, ("x",))], [], "key 1 is to be added but is live"),
        ([(2, ("x",))], [9], "key 9 is to be removed but is not live"),
        ([(2, ()), (2, ())], [], "twice"),
        ([], [1, 1], "twice"),
    ],
)
def test_a_wrong_step_changes_nothing(add: list[Any], remove: list[int], message: str) -> None:
    matcher = matcher_of({1: ("Paris",)})
    before = matcher.view()
    with pytest.raises(ValueError, match=message):
        matcher.apply(add, remove)
    assert before is matcher.view()
    matcher.check_integrity()


def test_names_that_nobody_can_see_any_more_are_dropped() -> None:
    matcher = matcher_of({key: ("Shared Name", f"Own {key}") for key in range(200)})
    held = matcher.view()
    matcher.apply([], range(200))
    for key in range(1_000, 1_020):
        matcher.apply([(key, ("Later",))], [])
    assert 200 == len({mention.key for mention in held.find("Shared Name")})
    del held
    gc.collect()
    for key in range(2_000, 2_120):
        matcher.apply([(key, ("Later",))], [])
    assert ["later"] == list(matcher._tables.by_name)
    assert not matcher._gone
    matcher.check_integrity()


def test_readers_see_whole_steps() -> None:
    """Each step moves a name between two keys: a torn view would show both or none."""
    matcher = matcher_of({0: ("Paris",)})
    stop, wrong, seen = threading.Event(), [], []

    def read() -> None:
        while True:
            mentions = matcher.view().find("Where is Paris?")
            if len(mentions) != 1:
                wrong.append(mentions)
                return
            seen.append(mentions[0].key)
            if stop.is_set():
                return

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    for step in range(2_000):
        matcher.apply([((step + 1) % 2, ("Paris",))], [step % 2])
    stop.set()
    for reader in readers:
        reader.join(60)
    assert not wrong
    assert set(seen) <= {0, 1}
    matcher.check_integrity()


def test_a_text_made_to_be_slow_is_not() -> None:
    """Each token starts hundreds of names; the look-ups stay lengths times tokens."""
    known: Names = {length: ("a " * length + "b",) for length in range(1, 120)}
    view = matcher_of(known).view()
    assert [] == view.find("a " * 2_000)
    assert 119 == len(view.find("a " * 119 + "b"))
