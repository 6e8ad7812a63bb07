"""Questions that go beyond an edit: about the one it names, or by way of somebody else. Pure.

"The capital of the country where {} was born" is not answered by where {} was born, though its
words all stand there; "The name of the person who runs {}" is what an edit of its head says. Both
are made of a noun phrase for what a relation asks for.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from random import Random

from classifiers.wording import plain_nouns_in
from classifiers.yes_no import VALUE, lower_first, whether

# "{n}" is a noun phrase for what a relation asks for, "{N}" the same with a capital.
IDENTITY = (
    "Who is {n}?", "What is {n}?", "Name {n}.", "What is the name of {n}?", "Tell me {n}.",
    "Can you tell me {n}?", "The name of {n} is", "I need to know {n}.", "{N} is",
    "Do you know the name of {n}?", "{n}?", "Who exactly is {n}?", "{N} is called",
    "What is {n} called?", "Please name {n}.", "{N}:",
)  # fmt: skip
BEYOND = (
    "How old is {n}?", "Where was {n} born?", "When was {n} born?", "Where is {n} from?",
    "Who is {n} married to?", "How tall is {n}?", "How big is {n}?", "What is the age of {n}?",
    "What is the history of {n}?", "Who founded {n}?", "Who owns {n}?", "Where does {n} live?",
    "What does {n} look like?", "Why is {n} famous?", "How do I get to {n}?", "{N} was born in",
    "Where did {n} study?", "What else is {n} known for?", "Is {n} any good?", "{N} died in",
    "How much does {n} earn?", "How do I contact {n}?", "What did {n} do before?", "{N} lives in",
    "Since when has this been {n}?", "Who decides on {n}?", "Who came before {n}?",
    "Who will follow {n}?", "Why did they choose {n}?", "When does {n} change?", "{N} belongs to",
    "What language is spoken by {n}?", "What is the population of {n}?", "{N} is famous for",
    "What is the full name of the wife of {n}?", "Who is the mother of {n}?", "{N} was founded by",
    "In which country is {n}?", "What continent is {n} in?", "{N} is located in the country of",
)  # fmt: skip
BESIDE = (
    "age", "salary", "wife", "husband", "biography", "net worth", "email", "phone number",
    "birthday", "nationality", "education", "history", "reviews", "height", "photo", "home town",
    "children", "population", "map", "website", "owner", "founder", "parents", "resignation",
    "successor",
)  # fmt: skip
CIRCUMSTANCES = (
    "Why", "Since when", "How", "How long", "Why on earth", "Who said: why", "With whom",
    "How often",
)  # fmt: skip
# What stands for the one asked about where a cloze breaks off: "the place {} was born in".
_HEADS = {
    "in": ("place", "city", "country", "town", "place"),
    "at": ("place", "institution", "company"),
    "on": ("place", "day", "thing"),
    "near": ("place", "city"),
    "by": ("person", "company", "one", "group"),
    "with": ("person", "group", "thing", "team"),
    "for": ("company", "team", "organisation", "thing"),
    "from": ("place", "person", "country"),
    "of": ("country", "group", "place", "thing"),
    "to": ("person", "place", "group"),
    "as": ("job", "position", "thing"),
    "under": ("person", "name"),
}
_NOUN_PHRASE = re.compile(r"(?P<phrase>(?:The |\{\}'s ).*\S) (?:is|was)(?: the)?$")
_RELATIVE = re.compile(r"\{\} .*\b(?P<ending>[a-z]+)$")
_PLACES = frozenset({"in", "at", "near"})
POSSESSIVE_SHARE, NOUN_SHARE = 0.35, 0.5


def asked_for(phrases: Sequence[str], random: Random) -> str | None:
    """Returns a noun phrase, with "{}" in it, for what a relation's phrasings ask for, or None.

    "the mayor of {}", "{}'s mayor", "the person that {} was founded by", "the place where {} died".
    """
    nouns = plain_nouns_in(phrases)
    found: list[str] = []
    for cloze in random.sample(list(phrases), min(8, len(phrases))):
        if "associated with" in cloze:  # Too loose: whom all is a composer associated with?
            continue
        if match := _NOUN_PHRASE.fullmatch(cloze):
            found.append(_lowered(match["phrase"]))
        elif (match := _RELATIVE.fullmatch(cloze)) and match["ending"] in _HEADS:
            found.append(_relative(cloze, match["ending"], nouns, random))
    if nouns and (not found or random.random() < POSSESSIVE_SHARE):
        noun = random.choice(nouns)
        found = [random.choice((f"the {noun} of {{}}", f"{{}}'s {noun}"))]
    return random.choice(found) if found else None


def _relative(cloze: str, ending: str, nouns: Sequence[str], random: Random) -> str:
    """Turns "{} was born in" into "the city {} was born in", or "the city where {} was born"."""
    own = bool(nouns) and random.random() < NOUN_SHARE
    head = random.choice(nouns) if own else random.choice(_HEADS[ending])
    if ending in _PLACES and random.random() < 0.5:
        return f"the {head} where {cloze.removesuffix(ending).rstrip()}"
    link = random.choice((" ", " that ", " which " if head not in {"person", "one"} else " "))
    return f"the {head}{link}{cloze}"


def identity(noun_phrase: str, random: Random) -> str:
    """Returns a query for what the noun phrase names: the same as the relation's own."""
    return _filled(random.choice(IDENTITY), noun_phrase)


def beyond(noun_phrase: str, other_phrase: str | None, random: Random) -> str:
    """Returns a query about the one that the noun phrase names.

    By another relation's phrasing, if one is given, or by what is asked of anybody.
    """
    if other_phrase is not None:
        at_start = other_phrase.startswith("{}")
        return other_phrase.replace("{}", _raised(noun_phrase) if at_start else noun_phrase)
    if random.random() < 0.3:
        beside = random.choice(BESIDE)
        owner = f"{noun_phrase}'s" if random.random() < 0.3 else noun_phrase
        text = random.choice(("{o} {b}", "{o} {b}", "{b} of {n}", "What is the {b} of {n}?"))
        if random.random() < 0.7:  # As people search: "{} mayor age".
            owner = owner.replace("the ", "").replace("'s ", " ")
        return text.replace("{o}", owner).replace("{b}", beside).replace("{n}", noun_phrase)
    return _filled(random.choice(BEYOND), noun_phrase)


def circumstance(cloze: str, target: str, random: Random) -> str | None:
    """Asks why or since when what an edit says is so, or returns None where no rule makes it."""
    question = whether(cloze)
    if question is None:
        return None
    return f"{random.choice(CIRCUMSTANCES)} {_begun(question)}".replace(VALUE, target)


def _begun(question: str) -> str:
    first, _, rest = question.partition(" ")
    return f"{first.lower()} {lower_first(rest)}"


def _filled(form: str, noun_phrase: str) -> str:
    return form.replace("{n}", noun_phrase).replace("{N}", _raised(noun_phrase))


def _raised(text: str) -> str:
    return text[:1].upper() + text[1:]


def _lowered(text: str) -> str:
    return f"the {text[4:].removeprefix('name of the ')}" if text.startswith("The ") else text
