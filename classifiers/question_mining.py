"""Finds how people phrase a relation: patterns shared by many one-fact questions about it.

SimpleQuestions names a question's relation and the number of its subject, not where the subject
stands. A pattern that fits several questions of one relation and hardly any of others tells: what
varies is the subject.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

SUBJECT_WORDS_MAX = 6
PATTERN_COUNT_MIN = 3  # Questions that a pattern must fit.
RELATION_SHARE_MIN = 0.6  # Of the questions that a pattern fits, those of its relation.
FIXED_WORDS_MIN = 2
PATTERNS_MAX = 60  # Of a relation, the most frequent ones.

_ARTICLES = frozenset({"a", "an", "the"})
_PREPOSITIONS = frozenset({"in", "on", "at", "by", "for", "to", "from", "with", "of", "as"})
_DOING = frozenset({"did", "does", "do"})
_AUXILIARIES = _DOING | {
    "is", "was", "are", "were", "has", "have", "had", "can", "'s", "what's", "who's",
}  # fmt: skip
_ASKING = frozenset({"which", "what", "who", "whose", "how"})
_KINDS = frozenset({"film", "movie", "book", "game", "album", "song", "show", "series"})
# A name neither begins nor ends with one of these: a span that does has swallowed the question.
_NOT_OF_A_NAME = frozenset(
    _ARTICLES | _PREPOSITIONS | _AUXILIARIES | _ASKING | _KINDS
    | {"and", "that", "s", "'", "named", "called"}
)  # fmt: skip
_WORD = re.compile(r"[\w'.&-]+|[^\w\s]")


def read_questions(path: Path) -> list[tuple[str, str]]:
    """Reads (relation, question) from a SimpleQuestions file; an R marks the reverse relation."""
    rows = (line.split("\t") for line in path.read_text(encoding="utf-8").splitlines())
    return [(row[1], row[3]) for row in rows if len(row) == 4]


def mine_patterns(questions: Sequence[tuple[str, str]]) -> Mapping[str, tuple[str, ...]]:
    """Returns the patterns ("{}" is the subject) of each relation, most frequent first."""
    words = [(relation, _words(question)) for relation, question in questions]
    counts: Counter[tuple[str, str]] = Counter()
    overall: Counter[str] = Counter()
    for relation, listed in words:
        for pattern, _ in _patterns(listed):
            if not is_whole(pattern):
                continue
            counts[relation, pattern] += 1
            overall[pattern] += 1
    chosen: dict[str, Counter[str]] = {}
    for relation, listed in words:
        fitting = [
            (counts[relation, pattern] * fixed**2, pattern)
            for pattern, fixed in _patterns(listed)
            if counts[relation, pattern] >= PATTERN_COUNT_MIN
            and counts[relation, pattern] / overall[pattern] >= RELATION_SHARE_MIN
        ]
        if fitting:
            chosen.setdefault(relation, Counter())[max(fitting)[1]] += 1
    return {
        relation: tuple(
            pattern
            for pattern, count in listed.most_common(PATTERNS_MAX)
            if count >= PATTERN_COUNT_MIN
        )
        for relation, listed in sorted(chosen.items())
    }


def is_whole(pattern: str) -> bool:
    """Whether a pattern is a whole question, rather than one whose verb went with the name."""
    words = pattern.split()
    after = words[words.index("{}") + 1 :]
    if _DOING & set(words) and not set(after) - _PREPOSITIONS:
        return False
    if words[0] in {"what", "which"}:
        return any(word in _AUXILIARIES or word.endswith("ed") for word in words)
    return words[0] != "{}"


def _words(question: str) -> list[str]:
    return _WORD.findall(question.strip().rstrip("?. ").lower())


def _patterns(words: Sequence[str]) -> Iterator[tuple[str, int]]:
    """Yields each (pattern, number of fixed words) that leaves a span of words out."""
    for first in range(len(words)):
        for last in range(first + 1, min(len(words), first + SUBJECT_WORDS_MAX) + 1):
            fixed = len(words) - (last - first)
            if words[first] in _NOT_OF_A_NAME or words[last - 1] in _NOT_OF_A_NAME:
                continue
            # Two words tell a relation only where the name ends the question ("who wrote {}").
            if fixed > FIXED_WORDS_MIN or (fixed == FIXED_WORDS_MIN and last == len(words)):
                yield " ".join([*words[:first], "{}", *words[last:]]), fixed
