"""Labelled queries about a pool of edits, for the second stage, calibration and thresholds.

The queries of a benchmark record, and every kind of frame lesson with its real subject put in:
what the lessons cannot show is who is meant, how the name is spelled, and what else is in memory.
Reads only train files; dev subjects are left out by the caller.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from classifiers import wording
from classifiers.frame_lessons import Material, Told, out_of_scope, put
from classifiers.name_making import vary_name
from classifiers.near_names import NearTexts
from classifiers.phrasebook import Phrasebook
from classifiers.qualifiers import Qualified, qualified
from classifiers.training_pairs import (
    CHATTER,
    CHATTER_SHARE,
    Case,
    PoolEdit,
    clean_paraphrase,
    confuse,
    vary,
)

OWN_PHRASES, OTHER_RELATIONS, GENERAL_QUESTIONS, NEIGHBOURS = 3, 4, 3, 2
SAME_WORDS, SAME_WORDS_AMONG = 2, 8
NEAR_NAMES, NEAR_QUESTIONS = 2, 1
VARIANTS = 2  # Of the edit's name; half of them in the edit's own words.
QUALIFIED, OTHER_QUALIFIERS = 2, 3  # Of an edit that a qualifying word may tell apart.
VARIED_SHARE = 0.12
IN_SCOPE = ("own_phrase", "edit_prompt", "name_variant", "qualified")
DENIED = "denied"
LESSON_KINDS = (
    DENIED, "comparison", "detour", "longer_name", "generic", "elsewhere", "as_answer",
    "distraction", "running_text", "beyond", "other_noun",
)  # fmt: skip
LESSONS_EACH = 4  # Besides a denial.


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseMaterial:
    """What cases are made of: the lessons' material, and questions about nothing in memory."""

    lessons: Material
    questions: tuple[str, ...]
    near_names: NearTexts
    near_questions: NearTexts


def book_cases(home: int, edit: PoolEdit, material: CaseMaterial, random: Random) -> Iterator[Case]:
    """Yields the cases of an edit in a relation that the lessons' book teaches."""
    lessons, relation = material.lessons, edit.relation
    if relation is None or relation not in lessons.taught.phrases:
        return
    own = lessons.taught.phrases[relation]
    phrase = edit.prompt.replace(edit.subject, "{}")
    told = Told(relation=relation, phrase=phrase, target=edit.target)

    def case(
        kind: str, text: str, *, asked: str | None = relation, subject: str = edit.subject
    ) -> Case:
        return Case(
            text=text.replace("{}", edit.subject), home=home, kind=kind,
            in_scope=kind in IN_SCOPE, subject=subject, relation=asked,
        )  # fmt: skip

    yield case("edit_prompt", phrase)
    for _ in range(OWN_PHRASES):
        asked = put(random.choice(own), relation, edit.target, lessons, random)
        yield case("own_phrase", asked)
    person = "person" in lessons.taught.types_of(relation)
    for number in range(VARIANTS):
        name = vary_name(edit.subject, random, person=person)
        if name is not None:
            asked = (
                phrase
                if number % 2
                else put(random.choice(own), relation, edit.target, lessons, random)
            )
            yield case("name_variant", asked.replace("{}", name))
    for _ in range(OTHER_RELATIONS):
        text = out_of_scope("other_relation", told, lessons, random)
        yield case("same_subject", text, asked=None)
    for text in _same_words(phrase, relation, lessons.taught, random):
        yield case("same_words", text, asked=None)
    # A denial for every edit, and some more lesson kinds; all come up over many edits.
    more = [kind for kind in LESSON_KINDS if kind != DENIED]
    for kind in (DENIED, *random.sample(more, LESSONS_EACH)):
        text = out_of_scope(kind, told, lessons, random)
        # Most of these name somebody else as well, whom the pool may hold an edit about.
        yield case(kind, text, asked=None, subject="")
    others = random.sample(lessons.names, min(NEIGHBOURS, len(lessons.names)))
    named = [("other_edit", other) for other in others]  # The pool holds an edit of each.
    named.append(("confusable_subject", confuse(edit.subject, others[0], random)))
    for kind, name in named:
        if name.casefold() != edit.subject.casefold():
            text = put(random.choice(own), relation, edit.target, lessons, random)
            yield case(kind, text.replace("{}", name), subject=name)
    for name in material.near_names.near(edit.subject, random, NEAR_NAMES):
        text = put(random.choice(own), relation, edit.target, lessons, random)
        yield case("near_name", text.replace("{}", name), subject=name)
    for question in material.near_questions.near(edit.subject, random, NEAR_QUESTIONS):
        yield Case(text=question, home=home, kind="near_question", in_scope=False)
    about_target = random.choice(tuple(lessons.asked.phrases))
    text = random.choice(lessons.asked.phrases[about_target]).replace("{}", edit.target)
    yield case("target_asked", text, asked=None, subject=edit.target)
    for general in random.sample(material.questions, GENERAL_QUESTIONS):
        yield Case(text=general, home=home, kind="general", in_scope=False)


def qualified_edit(subject: str, lessons: Material, random: Random) -> tuple[PoolEdit, Qualified]:
    """Returns an edit of ours about a subject that one word tells from others, and what it says."""
    told = qualified(lessons.part, lessons.names, random)
    prompt = told.asked(random).replace("{}", subject)
    return PoolEdit(
        subject=subject, prompt=prompt, target=told.target, former=None, relation=None
    ), told


def qualified_cases(home: int, edit: PoolEdit, told: Qualified, random: Random) -> Iterator[Case]:
    """Yields queries about such an edit, some of which ask for another qualifier or another noun.

    Their relation is not known: what other edits of the subject say of them is left open.
    """
    asked = [("qualified", told.asked_loosely(random)) for _ in range(QUALIFIED)]
    asked += [
        ("other_qualifier", told.other(random).asked(random)) for _ in range(OTHER_QUALIFIERS)
    ]
    for kind, text in asked:
        yield Case(
            text=text.replace("{}", edit.subject), home=home, kind=kind,
            in_scope=kind in IN_SCOPE, subject=edit.subject,
        )  # fmt: skip


def _same_words(phrase: str, relation: str, book: Phrasebook, random: Random) -> list[str]:
    """Returns phrasings of other relations that share most words with the edit's own phrase.

    "The name of the father of {} is", of an edit of the mother's name: what many edits come in.
    """
    told = _words(phrase)
    near = sorted(
        (
            (-len(told & words) / len(told | words), other_phrase)
            for other in book.others(relation)
            for other_phrase in book.phrases[other]
            if (words := _words(other_phrase))
        ),
    )[:SAME_WORDS_AMONG]
    return [text for _, text in random.sample(near, min(SAME_WORDS, len(near)))]


def _words(phrase: str) -> frozenset[str]:
    return frozenset(re.findall(r"\w+", phrase.casefold()))


def record_cases(
    home: int, record: Mapping[str, Any], book: Phrasebook, relation: str | None = None
) -> Iterator[Case]:
    """Yields the cases of a CounterFact record: its paraphrase, its neighbour, a distraction.

    Most of the paraphrases do not follow from the edit; the book knows those wordings, and the ones
    that may follow are left out.
    """
    subject = record["subject"]
    cleaned = clean_paraphrase(record["rephrase_prompt"], subject)
    follows = book.follows(cleaned.replace(subject, "{}").strip(), relation)
    if follows is not None:
        kind = "paraphrase" if follows else "astray"
        text = record["rephrase_prompt"]
        yield Case(text=text, home=home, kind=kind, in_scope=follows, subject=subject)
    yield from neighbour_cases(home, record)


def neighbour_cases(home: int, record: Mapping[str, Any]) -> Iterator[Case]:
    """Yields a CounterFact record's neighbour, and the same after the edit's own sentence."""
    neighbour = record["locality_prompt"]
    yield Case(text=neighbour, home=home, kind="neighbour", in_scope=False)
    text = f"{record['prompt']} {record['target_new']}. {neighbour}"
    yield Case(text=text, home=home, kind="distraction", in_scope=False)


def own_edit(
    edit: PoolEdit, relations: Sequence[str], lessons: Material, random: Random
) -> PoolEdit:
    """Returns an edit of ours about the same subject in one of the given relations."""
    relation = random.choice(relations)
    answers = lessons.answers.get(relation) or (random.choice(lessons.names),)
    return PoolEdit(
        subject=edit.subject,
        prompt=random.choice(lessons.taught.phrases[relation]).replace("{}", edit.subject),
        target=random.choice(answers),
        former=None,
        relation=relation,
    )


def roughened(case: Case, random: Random) -> Case:
    """Returns the case as people type it; in-scope and out-of-scope queries alike."""
    text = case.text
    if random.random() < VARIED_SHARE:
        text = vary(text, random)
    if random.random() < VARIED_SHARE / 2:
        text = wording.slip(text, random)
    if random.random() < CHATTER_SHARE:
        text = f"{random.choice(CHATTER)} {text}"
    return Case(
        text=text, home=case.home, kind=case.kind, in_scope=case.in_scope, subject=case.subject,
        relation=case.relation,
    )  # fmt: skip
