"""The query of a chat: the last user turn, read in its conversation. Pure; it asks no model.

"And where was he born?" is read as "And where was Alan Turing born?", and "What about Paris?" as
the last question asked of Paris. What is routed is the reading; what the model decodes remains the
caller's own turns. A turn that names its own subject, and one whose pronoun may stand for two, are
left as they are: a missed edit is a lesser fault than a wrong one.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from runtime.discourse import PRONOUN, Discourse, Pronoun, family_of
from runtime.names import FindKnown, Name, names_in, word_set

TURNS_READ_MAX = 16  # The last ones; who is not named in them is not meant.
TURN_CHARS_MAX = 1000  # Read of an earlier turn: where a user ends, and where an answer begins.

_EXISTS = re.compile(  # "there is", "is there": nothing is meant by it.
    r"\bthere(?= (?:is|are|was|were|will|has|have|had|any|an?|no)\b|['\u2019]s\b)|"
    r"(?<=\bis )there|(?<=\bare )there|(?<=\bwas )there|(?<=\bwere )there|(?<=\bbe )there",
    re.IGNORECASE,
)
_EMPTY_IT = re.compile(  # "what time is it", "is it true", "it rains".
    r"\b(?:time|day|date|how|who|what) (?:is|was) it\b(?! \w+ed\b)(?=\W*$)|"
    r"\b(?:is|was|does|did|will|makes?|how['\u2019]?s|isn['\u2019]t) it "
    r"(?:true|possible|likely|raining|snowing|rain|snow|matter|mean that|seem|late|cold|hot|ok|"
    r"going|necessary|safe to say|take to)\b|"
    r"\bit (?:is|was|['\u2019]s) (?:true|possible|likely|raining|snowing|late|cold|hot)\b|"
    r"\bit(?:['\u2019]s)? (?:rains?|snows?|seems|depends|doesn['\u2019]t matter)\b",
    re.IGNORECASE,
)
_SUBORDINATE = re.compile(
    r"^\W*(?:when|while|after|before|since|as|if|although|though|because|until|once) "
    r"(?:he|she|his|her)\b",
    re.IGNORECASE,
)
# After "her" these show that no noun follows: "about her and", "with her in".
_NO_NOUN = word_set(
    """a about after again also an and as at be before but by during for from going how in into is
    it like living more most now of on or over than that the then there this through to today too
    under until was were what when where which while who why will with without"""
)
_ALSO = r"^\W*(?:(?:and|so|ok(?:ay)?|then|but|now)[ ,]+)*"
_WHAT_ABOUT = re.compile(_ALSO + r"(?:what|how) about (?P<rest>.+?)[\s?.!]*$", re.IGNORECASE)
_AND = re.compile(
    r"^\W*(?:and|or|so|but)[ ,]+(?:for |of |in )?(?P<rest>.+?)[\s?.!]*$", re.IGNORECASE
)
_ARTICLE = re.compile(r"^the ", re.IGNORECASE)
_POSSESSIVE = re.compile(r"['\u2019]s?$")
_ASPECT = re.compile(r"^(?:the|a|an) (?!same\b)(?P<what>[a-z][\w-]*(?: [a-z][\w-]*){0,3})$")
_PLAIN = re.compile(r"^[\w.'\u2019-]+(?: [\w.'\u2019-]+){0,4}$")
_NO_NAME = word_set(
    """the a an this that these those my your our his her its their it him them he she they there
    me you us when where why how who what which if in on at by for with then now today tomorrow
    yesterday is are was were did does do some any all more less both something someone"""
)
_OF_SOMEONE = re.compile(
    r"^(?:his|her|its|their) (?P<what>[a-z][\w-]*(?: [a-z][\w-]*){0,2})$", re.IGNORECASE
)
_SOMEONE = re.compile(
    r"\b(?:husband|wife|spouse|father|mother|parent|brother|sister|son|daughter|child|founder|"
    r"director|author|writer|inventor|owner|ceo|president|king|queen|mayor|leader|coach|composer|"
    r"architect|designer)$",
)
_CONTRACTED = {"re": " are", "ll": " will", "ve": " have", "d": " would"}


def read_last_turn(messages: Sequence[tuple[str, str]], find_known: FindKnown) -> str:
    """Returns the last user turn as it is to be read after the turns before it.

    `messages` are (role, content), the last one the user's; `find_known` finds edited subjects in a
    text. The turn itself comes back when nothing is to be resolved, or nothing can be, and when it
    is longer than TURN_CHARS_MAX: who writes so much says what it is about.
    """
    said = messages[-1][1]
    if len(messages) == 1 or len(said) > TURN_CHARS_MAX or not _may_refer(said):
        return said
    discourse = Discourse(find_known)
    for role, content in messages[-1 - TURNS_READ_MAX : -1]:
        if role == "assistant":
            discourse.answered(content[:TURN_CHARS_MAX])
        elif role == "user":
            turn = content[-TURN_CHARS_MAX:]
            read = _read(turn, discourse, find_known)
            discourse.asked(read, continues=read != turn or bool(PRONOUN.search(turn)))
    return _read(said, discourse, find_known)


def _may_refer(text: str) -> bool:
    """A cheap look, so that the common turn costs nothing more."""
    return bool(PRONOUN.search(text) or _WHAT_ABOUT.match(text) or _AND.match(text))


def _read(text: str, discourse: Discourse, find_known: FindKnown) -> str:
    """Reads one user turn: pronouns first, then what was left out."""
    names = names_in(text, find_known)
    read = _with_pronouns_read(text, names, discourse)
    if read is None:
        return text
    if read != text and (whole := _as_question(text, read)):
        return whole
    return _with_gaps_filled(read, discourse, find_known) or read


def _with_pronouns_read(text: str, names: Sequence[Name], discourse: Discourse) -> str | None:
    """Puts names for the pronouns that are clear; None when a name would be both he and she.

    In a turn with a name of its own, only "he" and "she" before the first name are read ("Was she
    born in Paris?"): what follows a name may stand for it.
    """
    first_name = names[0].start if names else len(text)
    if names and _SUBORDINATE.match(text):
        return text
    empty = [match.span() for pattern in (_EXISTS, _EMPTY_IT) for match in pattern.finditer(text)]
    pieces: list[str] = []
    end = 0
    meant: dict[str, Pronoun] = {}  # By name, so that nobody is both he and she.
    for match in PRONOUN.finditer(text):
        family = family_of(match)
        if any(start <= match.start() < stop for start, stop in empty):
            continue
        if match.start() > first_name:
            break
        if names and family not in (Pronoun.HE, Pronoun.SHE):
            return text
        entity = discourse.stands_for(family)
        if entity is None:
            continue
        if meant.setdefault(entity.name, family) is not family:
            return None
        put, after = _in_place(match, text, entity.name, family)
        pieces += [text[end : match.start()], put]
        end = after
    for name, family in meant.items():
        _learn(discourse, name, family)
    return "".join([*pieces, text[end:]])


def _learn(discourse: Discourse, name: str, family: Pronoun) -> None:
    entity = discourse.stands_for(family)
    if entity is not None and entity.name == name:
        discourse.learn(entity, family)


def _in_place(match: re.Match[str], text: str, name: str, family: Pronoun) -> tuple[str, int]:
    """Returns what stands for a pronoun, in its grammatical form, and where the text goes on."""
    word, end = match.group().casefold(), match.end()
    contracted = re.match(r"['\u2019](re|ll|ve|d)\b", text[end:])
    if contracted:
        return name + _CONTRACTED[contracted[1]], end + contracted.end()
    if family is Pronoun.THERE:
        before = text[: match.start()].rstrip().casefold()
        return (name if before.endswith((" from", " to", " in", " near")) else f"in {name}"), end
    following = re.match(r" ([\w-]+)", text[end:])
    has_noun = following is not None and following[1].casefold() not in _NO_NOUN
    possessive = word in ("his", "its", "their", "hers") or (word == "her" and has_noun)
    return (f"{name}'s" if possessive else name), end


def _with_gaps_filled(text: str, discourse: Discourse, find_known: FindKnown) -> str | None:
    """Reads "What about X?" and "And the capital?" by the question before; None when it is neither.

    The question before must be about exactly one name.
    """
    asked = next((e for e in reversed(discourse.exchanges) if not e.is_talk), None)
    gap = _WHAT_ABOUT.match(text) or _AND.match(text)
    if gap is None or asked is None or len(asked.names) != 1:
        return None
    rest, old = gap["rest"].strip(), asked.names[0]
    aspect = _ASPECT.match(rest)
    if aspect:
        return f"{_asking_for(rest)} {rest} of {old.text}?"
    named = _POSSESSIVE.sub("", rest)
    names = names_in(named, find_known)
    whole = len(names) == 1 and named.casefold().removeprefix("the ") == (
        names[0].text.casefold().removeprefix("the ")
    )
    lower = _WHAT_ABOUT.match(text) and _PLAIN.match(named) and not _starts_as_no_name(named)
    if not whole and not (lower and not names):
        return None
    before = asked.question[: old.start]
    if before.casefold().endswith("the "):
        named = _ARTICLE.sub("", named)
    return before + named + asked.question[old.end :]


def _as_question(said: str, read: str) -> str | None:
    """Makes a question of "And her mother tongue?"; None for what is none of that form.

    A whole question is nearer to edits, and small models answer it where they fail at the fragment.
    """
    before, after = (_WHAT_ABOUT.match(text) or _AND.match(text) for text in (said, read))
    of = _OF_SOMEONE.match(before["rest"]) if before else None
    if after is None or of is None or any(word in _NO_NOUN for word in of["what"].split()):
        return None
    return f"{_asking_for(of['what'])} {after['rest']}?"


def _asking_for(what: str) -> str:
    return "Who is" if _SOMEONE.search(what) else "What is"


def _starts_as_no_name(text: str) -> bool:
    return text.split(maxsplit=1)[0].casefold() in _NO_NAME
