"""Makes labelled pairs of frames that the cross-encoder is trained on.

A frame is a text with the subject replaced by MARK, so a lesson is about what is asked and about
whom, never about one entity. In-scope queries ask for the edit's relation of MARK; each kind of
out-of-scope query is a kind of its own, so that reports can tell them apart.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random

from classifiers import two_hops, wording
from classifiers.cross_pairs import MARK, edit_side
from classifiers.phrasebook import TRAIN, Phrasebook
from classifiers.qualifiers import qualified

IN_SCOPE = "in_scope"
IN_SCOPE_SHARE = 0.45
CHAT_SHARE, SLIP_SHARE, PRONOUN_SHARE, CHECK_SHARE = 0.15, 0.1, 0.1, 0.09
YES_NO_SHARE, CHOICE_SHARE = 0.6, 0.2  # Of checks, questions by the verb; of those, of two values.
KEYWORDS_SHARE = 0.4  # Of the one phrasing that words for a search field can be made of.
IDENTITY_SHARE = 0.06  # Of phrasings that name no value, "Who is the mayor of {}?" and the like.
HARMLESS_SHARE = 0.05
FRAGMENT_SHARE = 0.05  # Of queries, those behind words of a heading or menu that no mark ends.
REPHRASED_SHARE, QUALIFIED_SHARE, INVERSE_SHARE = 0.18, 0.08, 0.22  # Of lessons.
NESTED_SHARE = 0.25  # Of questions beyond the edit, those that go by way of a third.
CIRCUMSTANCE_SHARE = 0.15  # Of the same, why and since when.
BY_RELATION_SHARE = 0.65  # Of them, those that ask in another relation's words.
FREQUENT_SHARE = 0.32  # Of lessons, those about a relation of benchmark-like edits.
OPPOSED_TAUGHT = 0.2  # Of lessons, those about a relation that is easily taken for another.
OPPOSED_SHARE = 0.45  # Of other relations, those it is easily taken for, where there are any.
NEAR_SHARE = 0.4  # Of other relations, those taken from the nearest ones.
SAME_WORDS_SHARE, OTHER_QUESTION_SHARE = 0.5, 0.25  # Of what is asked after the edit's sentence.
# Kinds of out-of-scope queries and how often each is drawn.
OUT_OF_SCOPE: Mapping[str, float] = {
    "other_relation": 0.36,
    "other_noun": 0.09,  # Another relation whose name holds the edit's, or a word of it.
    "beyond": 0.08,  # About the one that the edit names, who is asked for by the edit's relation.
    "distraction": 0.09,
    "denied": 0.09,
    "comparison": 0.03,
    "detour": 0.06,  # The edit's relation, but of somebody who is named by way of the subject.
    "longer_name": 0.07,
    "generic": 0.05,
    "elsewhere": 0.04,
    "as_answer": 0.03,
    "running_text": 0.03,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameLesson:
    """An edit's frame, a query's frame, and whether the query is in the edit's scope."""

    edit: str
    query: str
    in_scope: bool
    kind: str
    relation: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Rephrased:
    """A question in two wordings, with wordings of questions that are far from it; frames."""

    edit: str
    query: str
    target: str
    unlike: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What an edit says: a phrasing of a relation, "{}" for its subject, and the target."""

    relation: str
    phrase: str
    target: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """What lessons are made of. `near` lists the relations that sound like a relation."""

    taught: Phrasebook  # Relations that edits are made in.
    asked: Phrasebook  # Relations that other questions are made in.
    answers: Mapping[str, tuple[str, ...]]
    near: Mapping[str, tuple[str, ...]]
    names: tuple[str, ...]  # Of others than the subject.
    sentences: tuple[str, ...]  # Running text with "{}" in it.
    frequent: tuple[str, ...]  # Relations to be drawn more often, those of benchmark-like edits.
    rephrased: tuple[Rephrased, ...]  # Questions whose relation has no name here.
    part: str = TRAIN  # The split of relations, and of qualifiers.


def lesson(material: Material, random: Random) -> FrameLesson:
    """Draws one lesson."""
    drawn = random.random()
    if material.rephrased and drawn < REPHRASED_SHARE:
        return _of_rephrased(random.choice(material.rephrased), random)
    if drawn < REPHRASED_SHARE + QUALIFIED_SHARE:
        return _of_qualified(material, random)
    if material.taught.inverse and drawn > 1 - INVERSE_SHARE:
        return _of_inverse(material, random)
    taught = material.taught
    relation = _relation(material, random)
    phrase = random.choice(taught.phrases[relation])
    target = _answer(material, relation, random)
    edit = edit_side(phrase.replace("{}", MARK), target)
    if random.random() < IN_SCOPE_SHARE:
        # Now and then the edit's own words, else another phrasing of the relation.
        asked = phrase if random.random() < 0.06 else random.choice(taught.phrases[relation])
        kind, query = IN_SCOPE, put(asked, relation, target, material, random)
    else:
        kind = random.choices(tuple(OUT_OF_SCOPE), tuple(OUT_OF_SCOPE.values()))[0]
        told = Told(relation=relation, phrase=phrase, target=target)
        query = out_of_scope(kind, told, material, random)
    return FrameLesson(
        edit=edit, query=query.replace("{}", MARK), in_scope=kind == IN_SCOPE, kind=kind,
        relation=relation,
    )  # fmt: skip


def _of_inverse(material: Material, random: Random) -> FrameLesson:
    """Draws a lesson in which the query asks for the edit's relation, or for its counterpart."""
    group = random.choice(material.taught.inverse)
    relation = random.choice(group)
    told = random.choice(material.taught.phrases[relation])
    target = _answer(material, relation, random)
    others = [other for other in group if material.taught.differ(relation, other)]
    in_scope = not others or random.random() < IN_SCOPE_SHARE
    asked = relation if in_scope else random.choice(others)
    phrases = material.taught.phrases[asked] if in_scope else _unshared(material, relation, asked)
    query = put(random.choice(phrases), asked, target, material, random)
    return FrameLesson(
        edit=edit_side(told.replace("{}", MARK), target), query=query.replace("{}", MARK),
        in_scope=in_scope, kind=IN_SCOPE if in_scope else "other_relation", relation=relation,
    )  # fmt: skip


def _of_qualified(material: Material, random: Random) -> FrameLesson:
    """Draws a lesson that one qualifying word decides."""
    told = qualified(material.part, material.names, random)
    in_scope = random.random() < IN_SCOPE_SHARE
    edit = edit_side(told.asked(random).replace("{}", MARK), told.target)
    query = told.asked_loosely(random) if in_scope else told.other(random).asked(random)
    query = _roughened(query, random)
    return FrameLesson(
        edit=edit, query=query.replace("{}", MARK), in_scope=in_scope,
        kind=IN_SCOPE if in_scope else "other_qualifier", relation="",
    )  # fmt: skip


def _relation(material: Material, random: Random) -> str:
    """Draws a relation: of benchmark-like edits, or easily taken for another, more often."""
    drawn = random.random()
    if drawn < OPPOSED_TAUGHT:
        pool = [r for r in material.taught.opposed if r in material.taught.phrases]
    else:
        pool = list(material.frequent) if drawn < OPPOSED_TAUGHT + FREQUENT_SHARE else []
    return random.choice(pool or list(material.taught.phrases))


def _of_rephrased(one: Rephrased, random: Random) -> FrameLesson:
    in_scope = random.random() < IN_SCOPE_SHARE
    text = one.query if in_scope else random.choice(one.unlike)
    if random.random() < CHAT_SHARE:
        text = wording.as_chat(text, random)
    return FrameLesson(
        edit=edit_side(one.edit, one.target), query=text, in_scope=in_scope,
        kind=IN_SCOPE if in_scope else "other_relation", relation="",
    )  # fmt: skip


def _answer(material: Material, relation: str, random: Random) -> str:
    known = material.answers.get(relation)
    return random.choice(known) if known else random.choice(material.names)


def put(phrase: str, relation: str, target: str, material: Material, random: Random) -> str:
    """Puts a phrasing about "{}" as people do: plainly, in a chat, with a pronoun, as a check."""
    drawn = random.random()
    if drawn < PRONOUN_SHARE and "{}" in phrase:
        naming = random.choice(wording.NAMINGS)
        if random.random() < 0.35:  # A fact about the subject names it as well.
            other = random.choice(_others(material, relation, random))
            told = _cloze(material.asked.phrases[other], random)
            naming = f"{told} {_answer(material, other, random)}." if told else naming
        person = "person" in material.asked.types_of(relation)
        text = wording.after_naming(phrase, naming, random, person=person)
    elif drawn < PRONOUN_SHARE + CHECK_SHARE and not wording.is_question(phrase):
        text = _as_check(phrase, relation, target, material, random)
    elif drawn < PRONOUN_SHARE + CHECK_SHARE + CHAT_SHARE:
        text = wording.as_chat(phrase, random)
    else:
        text = _put_plainly(phrase, relation, material, random)
    if material.sentences and random.random() < FRAGMENT_SHARE:
        text = wording.after_fragment(text, random.choice(material.sentences), random)
    return wording.slip(text, random) if random.random() < SLIP_SHARE else text


def _put_plainly(phrase: str, relation: str, material: Material, random: Random) -> str:
    """Returns a phrasing as it is, or as the relation's noun alone serves to ask for the same."""
    phrases, drawn = material.asked.phrases.get(relation, ()), random.random()
    if drawn < IDENTITY_SHARE and phrase in phrases:  # Not where its noun has become another.
        noun_phrase = two_hops.asked_for(phrases, random)
        return phrase if noun_phrase is None else two_hops.identity(noun_phrase, random)
    if drawn > 1 - HARMLESS_SHARE:
        return wording.with_harmless(phrase, random)
    keywords = wording.as_keywords(phrase, random) if random.random() < KEYWORDS_SHARE else None
    return keywords or phrase


def _as_check(cloze: str, relation: str, target: str, material: Material, random: Random) -> str:
    other = _answer(material, relation, random)
    answer = target if random.random() < 0.5 else other
    if random.random() < YES_NO_SHARE:
        values = (target, other) if random.random() < CHOICE_SHARE else (answer,)
        if question := wording.as_yes_no(cloze, values, random):
            return question
    return wording.as_check(f"{cloze} {answer}", random)


def out_of_scope(kind: str, told: Told, material: Material, random: Random) -> str:
    """Returns a query with "{}" that is out of scope of the edit, of one of the kinds."""
    relation, phrase, target = told.relation, told.phrase, told.target
    phrases = material.taught.phrases[relation]
    asked, name = random.choice(phrases), random.choice(material.names)
    if kind == "denied":
        text = wording.denied(asked, target, random)
    elif kind == "distraction":
        text = f"{phrase.rstrip(' ?')} {target}. {_asked_next(told, material, random)}"
    elif kind == "comparison":
        text = random.choice(wording.COMPARISONS).replace("{other}", name)
    elif kind == "detour":
        text = asked.replace("{}", _whom(material, random))
    elif kind == "beyond" and (further := _beyond(phrases, target, material, random)):
        text = further
    elif kind == "longer_name":
        text = asked.replace("{}", wording.lengthen("{}", random, material.names))
    elif kind == "generic":
        text = random.choice(wording.GENERIC)
    elif kind == "elsewhere":
        about = asked.replace("{}", name)
        text = random.choice(wording.ELSEWHERE).replace("{about}", about)
    elif kind == "as_answer":
        text = f"{asked.replace('{}', name).rstrip(' ?')} {{}}"
    elif kind == "running_text" and material.sentences:
        return random.choice(material.sentences)
    elif kind == "other_noun" and (altered := wording.of_another_noun(phrases, random)):
        return put(altered, relation, target, material, random)
    else:
        other = random.choice(_others(material, relation, random))
        answer = target if random.random() < 0.3 else _answer(material, other, random)
        other_phrase = random.choice(_unshared(material, relation, other))
        return put(other_phrase, other, answer, material, random)
    return _roughened(text, random)


def _roughened(text: str, random: Random) -> str:
    if random.random() < CHAT_SHARE:
        text = wording.as_chat(text, random)
    return wording.slip(text, random) if random.random() < SLIP_SHARE else text


def _whom(material: Material, random: Random) -> str:
    """Names somebody, or something, by way of "{}": "the spouse of {}", "the place {} died in"."""
    asked = material.asked.phrases
    noun = random.choice(wording.DETOURS)
    plain = random.choice((f"the {noun} of {{}}", f"{{}}'s {noun}"))
    if random.random() < 0.5:
        return plain
    return two_hops.asked_for(asked[random.choice(tuple(asked))], random) or plain


def _beyond(phrases: Sequence[str], target: str, material: Material, random: Random) -> str | None:
    """Asks about what an edit names, or about somebody whom that leads to, or why it is so."""
    if random.random() < CIRCUMSTANCE_SHARE:
        cloze = _cloze(phrases, random)
        return two_hops.circumstance(cloze, target, random) if cloze else None
    noun_phrase = two_hops.asked_for(phrases, random)
    if noun_phrase is None:
        return None
    asked = material.asked.phrases
    if random.random() < NESTED_SHARE:
        noun_phrase = _whom(material, random).replace("{}", noun_phrase)
    by_relation = random.random() < BY_RELATION_SHARE
    other = random.choice(asked[random.choice(tuple(asked))]) if by_relation else None
    return two_hops.beyond(noun_phrase, other, random)


def _asked_next(told: Told, material: Material, random: Random) -> str:
    """Returns a question about somebody else, to stand after the edit's sentence.

    Mostly in the edit's relation and often in its very words: only the name tells that the subject
    is no longer meant, and where it is short ("Riga, in") little else stands there.
    """
    drawn, phrase = random.random(), told.phrase
    if drawn > SAME_WORDS_SHARE:
        other = told.relation
        if drawn > 1 - OTHER_QUESTION_SHARE:
            other = random.choice(_others(material, told.relation, random))
        phrase = random.choice(material.asked.phrases[other])
    return phrase.replace("{}", random.choice(material.names))


def _others(material: Material, relation: str, random: Random) -> Sequence[str]:
    opposed = material.asked.opposed.get(relation, ())
    known = [other for other in opposed if other in material.asked.phrases]
    if known and random.random() < OPPOSED_SHARE:
        return known
    near = material.near.get(relation, ())
    if near and random.random() < NEAR_SHARE:
        return near
    same_type = material.asked.others(relation)
    if same_type and random.random() < 0.8:
        return same_type
    return [r for r in material.asked.phrases if material.asked.differ(relation, r)]


def _unshared(material: Material, relation: str, other: str) -> Sequence[str]:
    """Returns the other relation's phrasings that do not serve this relation as well."""
    own = set(material.taught.phrases[relation])
    return [p for p in material.asked.phrases[other] if p not in own] or ["Who is {}?"]


def _cloze(phrases: Sequence[str], random: Random) -> str | None:
    clozes = [phrase for phrase in phrases if not wording.is_question(phrase)]
    return random.choice(clozes) if clozes else None
