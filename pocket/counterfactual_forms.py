"""The forms in which a fact can be asked for, derived from its phrasings by rule.

A phrasing leaves a gap `{}` for the subject; a form leaves another, `{v}`, for a value. From the
cloze "The mother tongue of {} is" follow the verification "Is the mother tongue of {} {v}?", the
reversed question "Whose mother tongue is {v}?" and others. A phrasing that no rule fits has none.
"""

from __future__ import annotations

import re

from classifiers.yes_no import VALUE, lower_first, whether
from pocket.templates import is_question

WHETHER_WRAPS = (
    "Is it true that {claim}?",
    "Is it correct that {claim}?",
    "Is it right to say that {claim}?",
    "Is it so that {claim}?",
    "Is it the case that {claim}?",
    "Is it a fact that {claim}?",
    "Is this true: {claim}?",
    "Is this claim right? {Claim}.",
    "{Claim}, right?",
    "{Claim}, yes?",
    "{Claim}, is that so?",
    "{Claim}, isn't that so?",
    "{Claim}?",
    "{Claim}. Right?",
    "{Claim}. Yes or no?",
    "{Claim}. Is that right?",
    "{Claim}. Is this true?",
    "{Claim}. Does that hold?",
    "{Claim}. Do you agree?",
    "So {claim}?",
    "Yes or no: {claim}?",
    "Yes or no: {claim}.",
    "Answer yes or no: {claim}?",
    "Check this claim: {claim}.",
    "Can we say that {claim}?",
    "Does it hold that {claim}?",
    "Do you agree that {claim}?",
    "Am I right that {claim}?",
    "I think that {claim}. Am I right?",
    "I was told that {claim}. Is it true?",
    "I read that {claim}. Is that so?",
    "Somebody says that {claim}. Yes or no?",
    "Please confirm that {claim}.",
    "Tell me whether {claim}.",
)
FORM_WRAPS = (
    "{form} Yes or no?",
    "{form} Answer yes or no.",
    "Yes or no: {form}",
    "Answer with yes or no: {form}",
    "Please tell me: {form}",
    "I wonder: {form}",
    "One more question: {form}",
)
WHETHER_WRAPS_HELD_OUT = (  # Never trained: probes ask in them.
    "Would you say that {claim}?",
    "{Claim}. Correct?",
    "Is the following accurate? {Claim}.",
)
CLAIM_WRAPS = (  # Those that a denied claim reads well in.
    "Is it true that {claim}?",
    "Is it correct that {claim}?",
    "Is this true: {claim}?",
    "Is this claim right? {Claim}.",
    "{Claim}, right?",
    "{Claim}. Yes or no?",
    "{Claim}. Is this true?",
    "{Claim}. Is that right?",
    "Yes or no: {claim}.",
    "Yes or no: {claim}?",
    "Check this claim: {claim}.",
    "So {claim}?",
)
DENIAL_WRAPS = (  # Around a claim; they turn the verdict on it round.
    "Is it false that {claim}?",
    "Is it wrong that {claim}?",
    "Is it wrong to say that {claim}?",
    "Is it untrue that {claim}?",
    "Is it a mistake to say that {claim}?",
    "Am I wrong that {claim}?",
    "Yes or no: it is not so that {claim}.",
    "Yes or no: it is false that {claim}.",
    "{Claim}. Is that wrong?",
    "{Claim}. Is this false?",
    "Is this claim false? {Claim}.",
)
DENIAL_WRAPS_HELD_OUT = (  # Never trained: probes ask in them.
    "Would it be wrong to say that {claim}?",
    "Is the following false? {Claim}.",
    "Yes or no: it is wrong that {claim}.",
)
QUESTION_WRAPS = (
    "{question} Is it {v}?",
    "{question} {v}?",
    "{question} Would that be {v}?",
    "{question} Is the answer {v}?",
    "{question} I think {v}. Am I right?",
    "{question} {v}, right?",
)
TRUTH_WRAPS = (
    "True or false: {claim}.",
    "True or false? {Claim}.",
    "{Claim}. True or false?",
    "Is it true or false that {claim}?",
    "Answer true or false: {claim}.",
)
CHOICE_WRAPS = ("{question} {a} or {b}?", "{question} Is it {a} or {b}?", "{a} or {b}: {question}")
SENTENCE_WRAPS = (
    "{question} Answer in a full sentence.",
    "{question} Use a complete sentence.",
    "Answer in a full sentence: {question}",
    "{question} Give a full sentence.",
    "In a complete sentence: {question}",
    "Please answer with a whole sentence. {question}",
)
NOUN_REVERSALS = (
    "Whose {n} is {v}?",
    "{v} is the {n} of",
    "Who has {v} as {n}?",
    "What has {v} as its {n}?",
    "Who or what has {v} as its {n}?",
    "Of whom is {v} the {n}?",
    "Of what is {v} the {n}?",
    "Name one whose {n} is {v}.",
)
NAMING = (
    "I was reading about {}.",
    "We talked about {} yesterday.",
    "Let me ask about {}.",
    "You have heard of {}.",
    "My friend told me about {}.",
    "This is about {}.",
    "{} came up in the news.",
    "Somebody mentioned {} to me.",
)
PRONOUNS = {"he": ("he", "his", "him"), "she": ("she", "her", "her"), "it": ("it", "its", "it")}
OBJECT_BEFORE = {"of", "by", "for", "with", "from", "in", "on", "to", "about", "at"}


def is_statement(phrasing: str) -> bool:
    """Says whether a phrasing and a value after it make a claim that stands alone."""
    return bool(phrasing) and not is_question(phrasing) and phrasing[-1] not in ".:!"


def denied(phrasing: str) -> str | None:
    """Returns a cloze that says the opposite, with gaps: "The mother tongue of {} is not {v}"."""
    form = whether(phrasing)
    if form is None:
        return None
    if not phrasing.startswith("{} "):
        return f"{phrasing} not {VALUE}"
    verb, rest = form.removesuffix("?").split(" {}", 1)
    return f"{{}} {verb.lower()} not{rest}"


def doubted(form: str) -> str | None:
    """Returns a yes-or-no question with its verb denied, which has the same answer."""
    verb, rest = form.split(" ", 1)
    return f"{verb}n't {rest}" if verb in {"Is", "Was", "Are", "Were", "Does", "Did"} else None


def reversals(phrasing: str) -> tuple[str, ...]:
    """Returns forms that give the value and ask for the subject."""
    if not is_statement(phrasing):
        return ()
    noun = re.fullmatch(r"The ((?:\S+ ){0,3}\S+) of \{\} (?:is|was)", phrasing) or re.fullmatch(
        r"\{\}'s ((?:\S+ ){0,3}\S+) (?:is|was)", phrasing
    )
    if noun and "{}" not in noun[1]:
        return tuple(form.replace("{n}", noun[1]) for form in NOUN_REVERSALS)
    opening = re.fullmatch(r"\{\} ((?:\w+)(?: [^,{}]+)?)", phrasing)
    if opening:
        return tuple(f"{who} {opening[1]} {VALUE}?" for who in ("Who", "What", "Who or what"))
    return ()


def wrapped(wrap: str, claim: str) -> str:
    """Returns a wrap around a claim, whose first letter follows its place."""
    return wrap.replace("{claim}", lower_first(claim)).replace(
        "{Claim}", claim[:1].upper() + claim[1:]
    )


def with_pronoun(phrasing: str, gender: str) -> str | None:
    """Returns a phrasing with a pronoun for the subject, or None where it reads badly."""
    subject, possessive, other = PRONOUNS[gender]
    if phrasing.count("{}") != 1 or "{}," in phrasing or ", {}" in phrasing:
        return None
    if "{}'s" in phrasing:
        asked = phrasing.replace("{}'s", possessive)
    else:
        before, after = phrasing.split("{}")
        words = before.split()
        objective = bool(words) and (words[-1] in OBJECT_BEFORE or after in {"", "?", "."})
        asked = phrasing.replace("{}", other if objective else subject)
    return asked[0].upper() + asked[1:]
