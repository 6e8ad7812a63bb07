"""Makes labelled queries about a pool of edits, from train data and our own phrasings.

A *case* is a query, the edit it is about (its home), and whether the edit is in its scope. Each
kind of error the classifier must avoid is a kind of case, so that reports can tell them apart.
Reads only train files; dev subjects are left out (the caller gives the set).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Any

from classifiers.phrasebook import Phrasebook
from classifiers.wording import lengthen

CHATTER_SHARE = 0.25
VARIED_SHARE = 0.2
OTHER_NUMBER_SHARE = 0.7
_NUMBER = re.compile(r"\d{1,6}")
CHATTER = (
    "I was reading about this yesterday.",
    "Let me ask you something.",
    "The weather was fine and the market opened late.",
    "See also the second appendix.",
    "He moved there with his family in the spring.",
    "Thanks, that helps.",
    "Quick question for a quiz.",
    "They met again two years later, shortly before the war.",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolEdit:
    """An edit of the pool; `relation` is None where it is not known."""

    subject: str
    prompt: str
    target: str
    former: str | None
    relation: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A query about the edit `home`; out of its scope unless `in_scope`."""

    text: str
    home: int
    kind: str
    in_scope: bool
    subject: str = ""  # Whom the query asks about, where known.
    relation: str | None = None


def counterfact_edits(
    records: Sequence[Mapping[str, Any]],
    phrases: Mapping[str, Sequence[str]],
    allowed: Callable[[str], bool],
) -> list[tuple[PoolEdit, Mapping[str, Any]]]:
    """Returns the edits whose subject is allowed, with their records.

    An edit's relation is the one among whose `phrases` its prompt stands.
    """
    by_phrase = {phrase: relation for relation, listed in phrases.items() for phrase in listed}
    found = []
    for record in records:
        subject = record["subject"]
        if not allowed(subject):
            continue
        phrase = record["prompt"].replace(subject, "{}").strip()
        edit = PoolEdit(
            subject=subject,
            prompt=record["prompt"],
            target=record["target_new"],
            former=record["ground_truth"],
            relation=by_phrase.get(phrase),
        )
        found.append((edit, record))
    return found


def zsre_edits(
    records: Sequence[Mapping[str, Any]], allowed: Callable[[str], bool]
) -> list[tuple[PoolEdit, Mapping[str, Any]]]:
    """Returns the zsRE edits whose subject is allowed, with their records."""
    return [
        (
            PoolEdit(
                subject=record["subject"],
                prompt=record["src"],
                target=record["alt"],
                former=record["answers"][0],
                relation=None,
            ),
            record,
        )
        for record in records
        if allowed(record["subject"]) and record["alt"]
    ]


def own_edit(edit: PoolEdit, book: Phrasebook, random: Random) -> PoolEdit | None:
    """Returns an edit of ours about the same subject, in a relation and phrasing of the book."""
    if edit.relation is None or not book.types_of(edit.relation):
        return None
    relation = random.choice([edit.relation, *book.others(edit.relation)])
    answers = book.answers.get(relation) or (edit.target,)
    return PoolEdit(
        subject=edit.subject,
        prompt=random.choice(book.phrases[relation]).replace("{}", edit.subject),
        target=random.choice(answers),
        former=None,
        relation=relation,
    )


def relation_cases(
    home: int, edit: PoolEdit, book: Phrasebook, random: Random, other_subject: str
) -> Iterator[Case]:
    """Yields cases that need the edit's relation: the same one and others, of it and of others."""
    if edit.relation is None or not book.types_of(edit.relation):
        return
    own = book.phrases[edit.relation]

    def case(kind: str, subject: str, relation: str, *, in_scope: bool = False) -> Case:
        phrase = random.choice(book.phrases[relation])
        return Case(
            text=phrase.replace("{}", subject),
            home=home,
            kind=kind,
            in_scope=in_scope,
            subject=subject,
            relation=relation,
        )

    yield case("own_phrase", edit.subject, edit.relation, in_scope=True)
    yield case("own_phrase", edit.subject, edit.relation, in_scope=True)
    for other in random.sample(book.others(edit.relation), 3):
        yield case("same_subject", edit.subject, other)
    confusable = confuse(edit.subject, other_subject, random)
    yield case("confusable_subject", confusable, edit.relation)
    longer = lengthen(edit.subject, random)
    yield case("longer_name", longer, edit.relation)
    yield case("target_asked", edit.target, random.choice(book.others(edit.relation)))
    question = random.choice(own).replace("{}", other_subject)
    yield Case(
        text=f"{edit.prompt.rstrip('?')} {edit.target}. {question}",
        home=home, kind="distraction", in_scope=False, subject=other_subject,
        relation=edit.relation,
    )  # fmt: skip


def counterfact_cases(home: int, record: Mapping[str, Any]) -> Iterator[Case]:
    """Yields the cases of a CounterFact record: its paraphrase, its neighbour, and variations."""
    subject, prompt = record["subject"], record["prompt"]
    given, neighbour = record["rephrase_prompt"], record["locality_prompt"]
    cleaned = clean_paraphrase(given, subject)

    def yes(kind: str, text: str) -> Case:
        return Case(text=text, home=home, kind=kind, in_scope=True, subject=subject)

    yield yes("edit_prompt", prompt)
    yield yes("paraphrase", given)
    yield yes("paraphrase_cleaned", cleaned)
    yield Case(text=neighbour, home=home, kind="neighbour", in_scope=False)
    statement = f"{prompt} {record['target_new']}."
    yield Case(text=f"{statement} {neighbour}", home=home, kind="distraction", in_scope=False)


def zsre_cases(home: int, record: Mapping[str, Any]) -> Iterator[Case]:
    """Yields the cases of a zsRE record: question, rephrased question, an unrelated question."""
    subject = record["subject"]
    for kind, text in (("edit_prompt", record["src"]), ("paraphrase", record["rephrase"])):
        yield Case(text=text, home=home, kind=kind, in_scope=True, subject=subject)
    unrelated = record["loc"].removeprefix("nq question: ")
    yield Case(text=unrelated, home=home, kind="general", in_scope=False)


def roughen(case: Case, random: Random) -> Case:
    """Returns the case as people put it: now and then after chatter, or spelled otherwise.

    In-scope and out-of-scope queries alike, so that neither chatter nor spelling tells them apart.
    """
    text = case.text
    if random.random() < VARIED_SHARE:
        text = vary(text, random)
    if random.random() < CHATTER_SHARE:
        text = f"{random.choice(CHATTER)} {text}"
    return replace(case, text=text)


def clean_paraphrase(given: str, subject: str) -> str:
    """Returns a CounterFact paraphrase without the unrelated sentences before the subject's."""
    at = given.rfind(subject)
    if at < 0:
        return given
    ends = [match.end() for match in re.finditer(r"[.!?\n]['\")]*\s+", given[:at])]
    return given[ends[-1] :] if ends else given


def vary(text: str, random: Random) -> str:
    """Returns the text as people type it: lower case, a slip of the finger, other end marks."""
    choice = random.randrange(4)
    if choice == 0:
        return text.lower()
    if choice == 1 and len(text) > 8:
        at = random.randrange(4, len(text) - 1)
        swapped = text[at + 1] + text[at] if random.random() < 0.5 else text[at]
        return text[:at] + swapped + text[at + 2 :]
    if choice == 2:
        return f"{text.rstrip(' ?.')}{random.choice(('?', ' ...', ':', ''))}"
    return f"{random.choice(('Please complete: ', 'Question: ', 'Tell me, ', 'So, '))}{text}"


def confuse(subject: str, other: str, random: Random) -> str:
    """Returns another name: with another number where the subject has one, else sharing a word."""
    number = _NUMBER.search(subject)
    if number and random.random() < OTHER_NUMBER_SHARE:
        given = int(number.group())
        near = random.choice([n for n in range(max(0, given - 9), given + 10) if n != given])
        return f"{subject[: number.start()]}{near}{subject[number.end() :]}"
    words, theirs = subject.split(), other.split()
    if len(words) < 2:
        return other
    if random.random() < 0.5:
        return " ".join([*words[:-1], theirs[-1]]) if theirs[-1] != words[-1] else other
    return " ".join([theirs[0], *words[1:]]) if theirs[0] != words[0] else other
