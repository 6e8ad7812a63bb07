"""How people put a question: chat turns, slips of the finger, pronouns, checks, denials.

Pure text functions over phrasings with "{}" for the subject. What falls on in-scope queries falls
on out-of-scope ones alike, so that no manner of speaking tells them apart; only a denial, a
comparison and a detour change what is asked.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from random import Random

from classifiers.yes_no import VALUE, whether

BEFORE = (
    "Can you tell me: {}", "hey, {}", "Please complete: {}", "Quick question: {}", "Tell me, {}",
    "I would like to know: {}", "So, {}", "ok now: {}", "Question: {}", "Q: {} A:", "Hi! {}",
    "Complete the sentence: {}", "Fill in the blank: {} ___", "Answer in one word: {}",
    "do you happen to know, {}", "User: {}", "Just checking, {}", "For a quiz: {}", "{} Answer:",
    "My friend asked me this: {}", "Finish this: {}", "I keep forgetting, {}", "Remind me, {}",
)  # fmt: skip
AFTER = (
    "{} Thanks!", "{} please", "{} ...", "{}:", "{} I need it for school.", "{} Answer briefly.",
    "{} Do you know?", "{} One word is enough.", "{} I forgot.", "{}, if you know", "{} (short)",
)  # fmt: skip
NAMINGS = (
    "I just read about {}.", "We were talking about {} yesterday.", "My teacher mentioned {}.",
    "{} came up in a quiz.", "I have a question about {}.", "There is a chapter on {} in my book.",
    "Let us talk about {}.", "{} is really interesting.", "Do you know {}?", "Tell me about {}.",
    "I am writing a text on {}.", "The next entry is {}.", "{} was in the news again.",
)  # fmt: skip
PEOPLE = (("he", "him", "his"), ("she", "her", "her"), ("they", "them", "their"))
THINGS = (("it", "it", "its"), ("it", "it", "its"), ("they", "them", "their"))
CHECKS = (
    "Is it true that {}?", "{}, right?", "True or false: {}.", "{}, is that correct?",
    "Somebody told me that {}. Is that so?", "{}. Yes or no?", "Did you know that {}?",
)  # fmt: skip
KEYWORDS = ("{} {r}", "{} {r}", "{r} {}", "{} {r}?", "{r} of {}", "{}: {r}", "{r} for {}")
COMPARISONS = (
    "Who is older, {} or {other}?", "What do {} and {other} have in common?",
    "Is {} bigger than {other}?", "{} or {other}: which is better?", "Compare {} with {other}.",
    "What is the difference between {} and {other}?", "Did {} ever meet {other}?",
    "Is {} as famous as {other}?", "Which came first, {} or {other}?",
    "How far is {} from {other}?",
)  # fmt: skip
GENERIC = (
    "Tell me about {}.", "Who is {}?", "What is {}?", "Write a poem about {}.", "{}",
    "What do you think of {}?", "Summarise the article on {}.", "What is special about {}?",
    "Why is {} famous?", "{} is known for", "What happened to {}?", "Give me three facts about {}.",
    "Is {} worth reading about?", "How do you pronounce {}?", "How do you spell {}?",
    "What is the latest news on {}?", "I like {} because", "Do people like {}?",
    "{} is one of the most", "The history of {} begins", "In recent years, {} has",
    "A picture of {} shows", "The name {} comes up in", "{} and the people around",
    "Translate '{}' into German.", "Make a table about {}.", "Who wrote the biography of {}?",
    "Is there a film about {}?", "In a recent interview, {} said that", "Yesterday {} announced",
    "The best thing about {} is", "Critics of {} say that", "{} was surprised when",
)  # fmt: skip
DETOURS = (
    "spouse", "father", "mother", "author", "director", "founder", "brother", "child", "teacher",
    "successor", "best friend", "owner", "capital", "employer", "producer", "sister", "coach",
)  # fmt: skip
# What makes another thing of a relation's noun: its airport, but "airport code", "next airport".
NOUN_HEADS = (
    "code", "number", "price", "manager", "history", "rules", "list", "size", "colour", "logo",
    "budget", "museum", "owner", "address", "insurance", "website", "rating", "song", "shop", "tax",
    "salary", "age", "email", "contract", "discount", "election", "candidates", "news", "biography",
)  # fmt: skip
NOUN_MODIFIERS = (
    "former", "next", "second", "deputy", "favourite", "previous", "assistant", "future", "planned",
    "cheapest", "least favourite", "rejected", "temporary", "honorary", "fictional", "first",
    "first", "last", "original", "third", "acting", "interim", "early", "youngest", "richest",
)  # fmt: skip
HARMLESS = ("current", "present", "actual", "exact", "correct", "real")  # What a noun may bear.
NOUN_KINDS = (
    "eye", "skin", "team", "flag", "home", "guest", "stage", "air", "train", "market", "school",
    "company", "street", "summer", "night", "family", "army", "head", "test", "water", "emergency",
)  # fmt: skip
ELSEWHERE = (
    "According to {}, {about}", "{} once asked: {about}", "Unlike {}, {about}",
    "After meeting {}, I wonder: {about}", "A friend of {} wants to know: {about}",
    "Forget {}. {about}", "Not {} but somebody else: {about}", "I know about {}. But {about}",
)  # fmt: skip
NAME_TAILS = (
    "Foundation", "Jr.", "Airport", "University", "Street", "Memorial Hospital", "Records", "II",
    "Museum", "Park", "Award", "Festival", "County", "Trophy", "Square", "Institute", "Bridge",
    "River", "Railway Station", "Lake", "High School", "Library", "Stadium", "Society", "Prize",
)  # fmt: skip
NAME_HEADS = (
    "New", "Saint", "Port", "Baron", "Young", "North", "Mount", "Little", "Upper", "South", "Old",
)  # fmt: skip
NUMERALS = ("II", "III", "IV", "V", "VI", "VIII", "2", "3", "4", "7", "10", "3.0", "64", "Part 2")
FRAGMENT_WORDS_MAX = 6
OWN_WORDS_SHARE, NUMBER_SHARE = 0.4, 0.15  # Of longer names: by words of other names, by a number.
_VERB = re.compile(r"\b(is|was|are|were|has|does|did|can)\b")
_NAMED_BY = re.compile(r"The (?P<noun>[a-z][a-z' -]*[a-z]) of \{\} is$")
_BEFORE_NOMINATIVE = re.compile(r"(?:^|\b(?:did|does|do|is|was|has|have|are|were|can|that)\s)$")


def is_question(phrase: str) -> bool:
    """Whether a phrase asks, rather than leaves a gap at its end."""
    first = phrase.split(maxsplit=1)[0].lower() if phrase.strip() else ""
    asking = {"who", "what", "where", "when", "which", "how", "whom", "whose", "what's", "in", "is"}
    return phrase.endswith("?") or (first in asking - {"in", "is"})


def with_pronoun(phrase: str, random: Random, *, person: bool) -> str:
    """Replaces "{}" by a pronoun in the case that its place asks for."""
    nominative, objective, possessive = random.choice(PEOPLE if person else THINGS)
    text = re.sub(r"\{\}(?:'s|')", possessive, phrase)
    at = text.find("{}")
    if at >= 0:
        word = nominative if _BEFORE_NOMINATIVE.search(text[:at]) else objective
        text = text.replace("{}", word)
    return text[:1].upper() + text[1:]


def after_naming(phrase: str, naming: str, random: Random, *, person: bool) -> str:
    """Returns a sentence that names the subject and the phrase about it with a pronoun."""
    return f"{naming} {with_pronoun(phrase, random, person=person)}"


def as_chat(phrase: str, random: Random) -> str:
    """Returns the phrase as a turn of a chat."""
    return random.choice(BEFORE if random.random() < 0.65 else AFTER).replace("{}", phrase, 1)


def as_check(statement: str, random: Random) -> str:
    """Returns a yes-or-no question about a statement."""
    return random.choice(CHECKS).replace("{}", statement.rstrip(" .?"), 1)


def as_keywords(phrase: str, random: Random) -> str | None:
    """Returns "The mayor of {} is" as people type it into a search field: "{} mayor"; else None."""
    nouns = nouns_in([phrase])
    return random.choice(KEYWORDS).replace("{r}", nouns[0]) if nouns else None


def as_yes_no(cloze: str, values: Sequence[str], random: Random) -> str | None:
    """Asks whether one value, or which of two, ends a cloze; None where no rule makes a question.

    "The mayor of {} is": "Is the mayor of {} Ann Lee?", "Is Ann Lee {}'s mayor?".
    """
    forms = [form for form in (whether(cloze),) if form]
    for noun in nouns_in([cloze]):
        forms += [f"Is {VALUE} the {noun} of {{}}?", f"Is {VALUE} {{}}'s {noun}?"]
    if not forms:
        return None
    form = random.choice(forms)
    if len(values) == 1 and random.random() < 0.1:
        form = form.replace("Is ", "Isn't ", 1)
    return form.replace(VALUE, " or ".join(random.sample(values, len(values))), 1)


def denied(phrase: str, target: str, random: Random) -> str:
    """Returns a phrase that asks for what is not so, or for another answer than the target."""
    verb = _VERB.search(phrase)
    if verb is not None and random.random() < 0.5:
        return f"{phrase[: verb.end()]} not{phrase[verb.end() :]}"
    base = phrase.rstrip(" ?")
    if base.endswith((" is", " was", " are")):
        stem, verb_word = base.rsplit(" ", 1)
        return f"{stem}, which is not {target}, {verb_word}"
    ending = random.choice(
        (", other than {t},", ", not {t} but", " besides {t}", ", apart from {t}")
    )
    return f"{base}{ending.replace('{t}', target)}"


def nouns_in(phrases: Sequence[str]) -> list[str]:
    """Returns the nouns that phrasings name a relation by: airport of "The airport of {} is"."""
    found = (_NAMED_BY.match(phrase) for phrase in phrases)
    return list(dict.fromkeys(match["noun"] for match in found if match))


def plain_nouns_in(phrases: Sequence[str]) -> list[str]:
    """Returns those of them that are no more than the thing: not its "name of the airport"."""
    return [noun for noun in nouns_in(phrases) if not noun.startswith("name of the ")]


def of_another_noun(phrases: Sequence[str], random: Random) -> str | None:
    """Returns one of a relation's phrasings with another thing asked for, or None.

    "The airport code of {}" is not about its airport, nor "The eye colour of {}" about its hair.
    None if the phrasings name no noun.
    """
    nouns = plain_nouns_in(phrases)
    if not nouns:
        return None
    noun = random.choice(nouns)
    named = [phrase for phrase in phrases if re.search(rf"\b{re.escape(noun)}\b", phrase)]
    *first, last = noun.split()
    drawn = random.random()
    if len(first) == 1 and drawn < 0.3:
        other = f"{random.choice([kind for kind in NOUN_KINDS if kind != first[0]])} {last}"
    elif drawn < 0.6:
        other = f"{noun} {random.choice(NOUN_HEADS)}"
    else:
        other = f"{random.choice(NOUN_MODIFIERS)} {noun}"
    return _replaced(noun, other, random.choice(named))


def with_harmless(phrase: str, random: Random) -> str:
    """Returns the phrase with a word before its noun that changes nothing: "the current mayor"."""
    nouns = plain_nouns_in([phrase])
    return _replaced(nouns[0], f"{random.choice(HARMLESS)} {nouns[0]}", phrase) if nouns else phrase


def _replaced(noun: str, other: str, phrase: str) -> str:
    return re.sub(rf"\b{re.escape(noun)}\b", lambda _: other, phrase)


def slip(text: str, random: Random) -> str:
    """Returns the text with one slip of the finger: letters swapped, dropped or doubled."""
    if len(text) <= 8:
        return text
    at = random.randrange(4, len(text) - 1)
    if not (text[at].isalpha() and text[at + 1].isalpha()):
        return text
    kind = random.randrange(3)
    if kind == 0:
        return text[:at] + text[at + 1] + text[at] + text[at + 2 :]
    return text[:at] + text[at + 1 :] if kind == 1 else text[:at] + text[at] + text[at:]


def after_fragment(phrase: str, sentence: str, random: Random) -> str:
    """Returns the phrase behind words of running text that no mark ends: a heading, a menu."""
    words = [word.strip(".,;:!?\"'()") for word in sentence.replace("{}", " ").split()]
    words = [word for word in words if word]
    if not words:
        return phrase
    count = random.randint(1, min(FRAGMENT_WORDS_MAX, len(words)))
    first = random.randrange(len(words) - count + 1)
    fragment = " ".join(words[first : first + count])
    return f"{fragment.title() if random.random() < 0.5 else fragment} {phrase}"


def lengthen(subject: str, random: Random, names: Sequence[str] = ()) -> str:
    """Returns a longer name that contains the subject and means something else.

    Half of the time by a word of one of `names`, or by a number: "Windows 8" is not Windows.
    """
    drawn = random.random()
    if names and drawn < OWN_WORDS_SHARE:
        words = random.choice(names).split()
        tail = random.choice((words[-1], " ".join(words[-2:]), f"& {words[-1]}"))
        return f"{subject} {tail}" if random.random() < 0.6 else f"{words[0]} {subject}"
    if drawn < OWN_WORDS_SHARE + NUMBER_SHARE:
        return f"{subject} {random.choice((str(random.randint(2, 2030)), *NUMERALS))}"
    if random.random() < 0.7:
        return f"{subject} {random.choice(NAME_TAILS)}"
    return f"{random.choice(NAME_HEADS)} {subject}"
