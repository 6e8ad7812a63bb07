"""Who and what a chat has spoken of so far, and what each of them is: person, thing, he or she.

Cues are words of the turns themselves ("born" and "who" speak of persons, "capital of" of things);
nothing is looked up. A pronoun is read in the nearest exchange (a user turn and its answer) that
names anything it could stand for, and stands for nothing when that exchange leaves two of equal
right.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum

from runtime.names import FindKnown, Name, names_in


class Kind(Enum):
    """What sort of thing a name stands for."""

    PERSON = "person"
    THING = "thing"  # Whatever is called "it": a place, a work, a company.


class Pronoun(Enum):
    """The families of pronouns that are read."""

    HE = "he"
    SHE = "she"
    IT = "it"
    THEY = "they"
    THERE = "there"


_PERSONS = re.compile(
    r"\b(?:born|die[sd]?|buried|mother tongue|native (?:language|tongue|speaker)|wife|husband|"
    r"spouse|married?|marry|children|parents|father|mother|brother|sister|son|daughter|siblings?|"
    r"occupation|profession|citizen(?:ship)?|nationality|religion|hobby|passport|grew up|grow up|"
    r"educated|studied|study|speaks?|spoke)\b",
    re.IGNORECASE,
)
_THINGS = re.compile(
    r"\b(?:capital|population|located|headquarter\w*|based|founded|founders?|released?|directed|"
    r"director|published|publisher|author of|wrote|written|produced|manufactur\w+|developed|"
    r"invented|currency|anthem|official language|situated|built|premiered?|aired|composed|area of|"
    r"ceo|employees|owners?|president of|king of|queen of|mayor of|(?:lies|lie|is|are) in)\b",
    re.IGNORECASE,
)
_IN = re.compile(r"\b(?:in|near|from)(?: the)? $", re.IGNORECASE)  # Places and times follow.
_WHO = re.compile(r"\bwho(?:m|se)?\b", re.IGNORECASE)
_WHICH = re.compile(r"\b(?:what|which|where|when|how|in which|name the|capital)\b", re.IGNORECASE)
_WHAT_IS = re.compile(
    r"^\W*(?:(?:and|so|ok(?:ay)?|then|but)[ ,]+)*(?:who|what)(?: is| was| are| were|['\u2019]s) "
    r"(?:the )?$",
    re.IGNORECASE,
)
_WHERE = re.compile(
    r"\b(?:where|located|(?:what|which) (?:city|country|town|place))\b", re.IGNORECASE
)
_MALE = "husband|father|son|brother|uncle|nephew|grandfather|grandson|actor|king|prince|man|boy"
_FEMALE = (
    "wife|mother|daughter|sister|aunt|niece|grandmother|granddaughter|actress|queen|princess|"
    "woman|girl"
)
_MADE = (
    "album|band|book|building|city|club|company|country|film|game|island|language|magazine|"
    "mountain|movie|museum|newspaper|novel|place|play|program|river|school|series|show|song|"
    "state|team|tower|town|university|village"
)
_SAID_TO_BE = re.compile(
    r"\s+(?:is|was)\s+(?:an?|the)\s+(?:[\w-]+\s+){0,4}?"
    rf"(?:(?P<he>{_MALE})|(?P<she>{_FEMALE})|(?P<it>{_MADE}))\b",
    re.IGNORECASE,
)
_ASKS_FOR = re.compile(
    rf"(?:['\u2019]s |\b(?:the|his|her|their) )(?:[\w-]+ )?"
    rf"(?:(?P<he>{_MALE})|(?P<she>{_FEMALE}))\b",
    re.IGNORECASE,
)
_ACKNOWLEDGED = re.compile(
    r"^\W*(?:thanks?|thank you|ok(?:ay)?|great|good|nice|cool|i see|got it|right|yes|no|really|wow|"
    r"sure|interesting|hm+|ah|oh|hi|hello|hey)\b[^?]{0,40}$",
    re.IGNORECASE,
)
PRONOUN = re.compile(
    r"\b(?:(?P<he>he|him|his)|(?P<she>she|hers?)|(?P<it>its?)|(?P<they>they|them|their)|"
    r"(?P<there>there))\b",
    re.IGNORECASE,
)


@dataclass(slots=True, kw_only=True, eq=False)
class Entity:
    """Someone or something that was named; what is known of it grows with the turns."""

    name: str
    keys: frozenset[int] = frozenset()
    kind: Kind | None = None
    gender: Pronoun | None = None  # HE or SHE.

    def learn(self, pronoun: Pronoun) -> None:
        """Notes that the pronoun stood for it."""
        if pronoun in (Pronoun.HE, Pronoun.SHE):
            self.kind, self.gender = Kind.PERSON, pronoun
        elif pronoun in (Pronoun.IT, Pronoun.THERE):
            self.kind = Kind.THING

    def allows(self, pronoun: Pronoun) -> bool:
        """Whether the pronoun can stand for it."""
        if pronoun in (Pronoun.HE, Pronoun.SHE):
            return self.kind is not Kind.THING and self.gender in (None, pronoun)
        if pronoun in (Pronoun.IT, Pronoun.THERE):
            return self.kind is not Kind.PERSON
        return True


@dataclass(slots=True, kw_only=True)
class Exchange:
    """A user turn, as it was read, and what was answered."""

    question: str  # With its pronouns resolved.
    names: list[Name]  # In `question`.
    asked: list[Entity]  # By the user, each once.
    answered: list[Entity] = field(default_factory=list)  # New in the answer.
    breaks: bool = False  # It speaks of something else, so that nothing before it is meant later.

    @property
    def asks(self) -> bool:
        """Whether the user turn asks for something that the answer may name.

        "Who was Ada Lovelace?" asks for none: the answer speaks of her.
        """
        if _asks_what_it_is(self.question, self.names):
            return False
        return bool(_WHO.search(self.question) or _WHICH.search(self.question))

    @property
    def is_talk(self) -> bool:
        """Whether the user turn only says "thanks" or "I see"."""
        return not self.names and bool(_ACKNOWLEDGED.match(self.question))


class Discourse:
    """The exchanges so far. For one reading of one chat; not shared."""

    def __init__(self, find_known: FindKnown) -> None:
        self._find_known = find_known
        self._entities: list[Entity] = []
        self.exchanges: list[Exchange] = []

    def asked(self, question: str, *, continues: bool) -> None:
        """Notes a user turn, as it was read; `continues`: it had a pronoun or left words out."""
        names = names_in(question, self._find_known)
        entities = self._entities_of(question, names)
        if len(entities) == 1:
            _learn_kind(entities[0], question, names)
        is_break = not (entities or continues or _ACKNOWLEDGED.match(question))
        self.exchanges.append(
            Exchange(question=question, names=names, asked=entities, breaks=is_break)
        )

    def answered(self, text: str) -> None:
        """Notes an assistant turn."""
        if not self.exchanges:
            self.exchanges.append(Exchange(question="", names=[], asked=[]))
        exchange = self.exchanges[-1]
        names = names_in(text, self._find_known)
        pronoun = PRONOUN.search(text)
        if pronoun and all(pronoun.start() < name.start for name in names):
            family = family_of(pronoun)
            meant = [entity for entity in exchange.asked if entity.allows(family)]
            if len(meant) == 1:
                meant[0].learn(family)
        entities = self._entities_of(text, names)
        new = [entity for entity in entities if entity not in exchange.asked]
        if new and exchange.asks and new[0].kind is None:
            _learn_from_question(new[0], exchange.question)
        for name in names:
            said = _SAID_TO_BE.match(text, name.end)
            if said:
                self._entity(name).learn(family_of(said))
        exchange.answered += [entity for entity in new if entity not in exchange.answered]

    def stands_for(self, pronoun: Pronoun) -> Entity | None:
        """Returns what a pronoun of the next user turn stands for, None when that is not clear."""
        for exchange in reversed(self.exchanges):
            named = [*exchange.asked, *exchange.answered]
            allowed = [entity for entity in named if entity.allows(pronoun)]
            if allowed:
                return _clear_one(allowed, exchange, pronoun)
            if exchange.breaks:
                return None
        return None

    def learn(self, entity: Entity, pronoun: Pronoun) -> None:
        """Notes that a pronoun of the user was read so."""
        entity.learn(pronoun)

    def _entities_of(self, text: str, names: Sequence[Name]) -> list[Entity]:
        entities = [self._entity(name) for name in names]
        for name, entity in zip(names, entities, strict=True):
            if (
                entity.kind is None
                and _IN.search(text[: name.start])
                and text[name.end :][:1] != "'"
            ):
                entity.kind = Kind.THING
        return list(dict.fromkeys(entities))

    def _entity(self, name: Name) -> Entity:
        """Returns the entity of a name: the same edits, the same name, or part of a longer one."""
        folded = name.text.casefold()
        for entity in reversed(self._entities):
            known = entity.name.casefold()
            same = folded == known or bool(name.keys & entity.keys)
            if same or (not name.keys and _is_part(folded, known)):
                return entity
        made = Entity(name=name.text, keys=name.keys)
        self._entities.append(made)
        return made


def family_of(match: re.Match[str]) -> Pronoun:
    """Returns the family of a match of PRONOUN."""
    assert match.lastgroup is not None
    return Pronoun(match.lastgroup)


def _clear_one(allowed: list[Entity], exchange: Exchange, pronoun: Pronoun) -> Entity | None:
    """Returns the one that is meant among the entities of an exchange, None when two may be.

    What is known to be of the pronoun's sort comes before what merely may be, and the user's own
    topic before what the answer mentions by the way. Where the answer is what was asked for, and
    the topic fits the pronoun too, either may be meant, unless one alone is known for a he or she.
    """
    sort = {
        Pronoun.HE: Kind.PERSON,
        Pronoun.SHE: Kind.PERSON,
        Pronoun.IT: Kind.THING,
        Pronoun.THERE: Kind.THING,
    }.get(pronoun)
    sure = [entity for entity in allowed if sort is not None and entity.kind is sort] or allowed
    topics = [entity for entity in allowed if entity in exchange.asked]
    answer = next(iter(exchange.answered), None) if exchange.asks else None
    if answer in sure and len(topics) == 1 and _WHERE.search(exchange.question):
        if pronoun is Pronoun.IT:
            return topics[0]  # "Where is the tower?" "In Seattle." "Who built it?"
        if pronoun is Pronoun.THERE:
            return answer
    if answer not in sure or not topics:
        if len(sure) == 1 and (exchange.asks or len(topics) != 1):
            return sure[0]
        topics = [entity for entity in topics if entity in sure] or topics
        return topics[0] if len(topics) == 1 else None
    gendered = [entity for entity in sure if entity.gender is pronoun]
    return answer if gendered == [answer] else None


def _asks_what_it_is(question: str, names: Sequence[Name]) -> bool:
    """Whether the question is "Who is X?" or "What is X?" and nothing more."""
    return (
        len(names) == 1
        and bool(_WHAT_IS.match(question[: names[0].start]))
        and not question[names[0].end :].strip(" ?!.")
    )


def _learn_kind(entity: Entity, question: str, names: Sequence[Name]) -> None:
    if entity.kind is not None:
        return
    if _asks_what_it_is(question, names):
        entity.kind = Kind.PERSON if _WHO.search(question) else Kind.THING
        return
    person, thing = _PERSONS.search(question), _THINGS.search(question)
    if person and not thing:
        entity.kind = Kind.PERSON
    elif thing and not person:
        entity.kind = Kind.THING


def _learn_from_question(answer: Entity, question: str) -> None:
    """Learns what an answer is from what was asked for: "who", "whose husband", "where"."""
    relative = _ASKS_FOR.search(question)
    if _WHO.search(question) or relative:
        answer.kind = Kind.PERSON
        if relative:
            answer.gender = Pronoun.HE if relative["he"] else Pronoun.SHE
    elif _WHICH.search(question):
        answer.kind = Kind.THING


def _is_part(short: str, long: str) -> bool:
    """Whether a name is the first or last words of a longer one: "Darrieux"."""
    return long.endswith(" " + short) or long.startswith(short + " ")
