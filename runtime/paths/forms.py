"""What a query about an edit wants back, read off its words. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from enum import Enum

from memory.record import Edit

ASKS_WHETHER = re.compile(
    r"(am|is|isn't|are|aren't|was|wasn't|were|weren't|do|don't|does|doesn't|did|didn't|has|hasn't"
    r"|have|haven't|had|hadn't|can|can't|could|couldn't|will|won't|would|wouldn't|should)\s",
    re.IGNORECASE,
)
VERDICT_WANTED = re.compile(
    r"\b(true or false|yes or no)\b"
    r"|[,.]\s*(right|correct|true|yes|is that so|isn't that so|do you agree)\?$"
    r"|^(please\s+)?(check|confirm|verify|tell me whether|tell me if)\b",
    re.IGNORECASE,
)
SENTENCE_WANTED = re.compile(r"\b(full|complete|whole) sentence\b", re.IGNORECASE)
ALTERNATIVE = re.compile(r"\sor\s", re.IGNORECASE)
ASKS = re.compile(
    r"(who|whom|whose|what|what's|where|when|which|why|how|name|tell)\b", re.IGNORECASE
)
ASKS_POLITELY = re.compile(  # "Do you know the capital of X?" is no question of yes or no.
    r"(do|did|can|could|would|will|may)\s+(you|anyone|anybody|i)\s+(please\s+)?"
    r"(know|tell|name|say|give|remember|recall|ask)\b(?!.*\b(that|if|whether|is true)\b)",
    re.IGNORECASE,
)
ASKS_WITHIN = re.compile(r"\b(who|whom|whose|what|where|when|which|why|how)\b", re.IGNORECASE)
CLAIMS = re.compile(r"\s(is|was|are|were)\s+\w", re.IGNORECASE)
JOINS = re.compile(r"\b(and|both|as well as|along with)\b|&", re.IGNORECASE)
QUESTION_MARKS = re.compile(r"\?+")
SENTENCE_END = re.compile(r"(?<=[.!?])(?<!\b[A-Z]\.)\s+")  # Not after an initial.
WORD = re.compile(r"\w+")
KEYWORDS_MAX = 5  # Beside the subject.
JOINS_KEYWORDS = frozenset({"of", "for", "the", "s"})  # The last one of "Ann's".
ENDS_OPEN = frozenset({"of", "for", "the"})  # There something must follow: a sentence to be ended.
OF_SENTENCES = frozenset(
    {
        "is", "was", "are", "were", "be", "been", "has", "had", "have", "does", "did", "do", "can",
        "in", "at", "on", "by", "from", "as", "to", "with", "a", "an", "that", "which", "who",
        "what", "where", "when", "whose", "how", "why", "name", "tell", "it", "and", "or", "not",
    }
)  # fmt: skip
VERB = re.compile(r"[a-z]+([^s]s|ed)|died|became|grew|won|wrote|made|spoke")
LABELS = re.compile(r"^(q|question):\s*|(?<!\s)\s*(?<!\w)(a|answer):\s*$", re.IGNORECASE)


class Form(Enum):
    """What a query wants back."""

    QUESTION = "an answer to a question"
    BARE_QUESTION = "an answer to a question without its mark"
    CLOZE = "an end to a sentence"
    CHOICE = "one of two values"
    VERDICT = "a yes or no"
    SUBJECT = "the subject"
    SENTENCE = "a full sentence"
    KEYWORDS = "the value that its words search for"


def form_of(query: str, edit: Edit) -> Form:
    """Returns what a query about an edit wants back, read off its words."""
    text = LABELS.sub("", query.strip()).strip().replace("\u2019", "'")
    if SENTENCE_WANTED.search(text):
        return Form.SENTENCE
    sentences = SENTENCE_END.split(text)
    asked, target = sentences[-1], edit.target.casefold()
    if VERDICT_WANTED.search(text) or VERDICT_WANTED.search(asked) or _checks_a_claim(sentences):
        return Form.VERDICT
    if _are_keywords(text, edit):
        return Form.KEYWORDS
    asks_whether = not ASKS_POLITELY.match(asked) and any(
        ASKS_WHETHER.match(part) for part in asked.split(": ")
    )
    if not asks_whether and _gives_the_value_alone(text.casefold(), edit):
        return Form.SUBJECT
    if _offers(asked, target):
        return Form.CHOICE
    if asks_whether or _is_claim_with_question_mark(asked, edit):
        return Form.VERDICT
    if _tries_a_value(sentences):
        return Form.VERDICT
    if asked.endswith(("?", ":")):
        return Form.QUESTION
    return Form.BARE_QUESTION if ASKS.match(asked) else Form.CLOZE


def asks_for_several(query: str, edits: Sequence[Edit]) -> bool:
    """Whether more than one thing is asked: two questions, or an "and" that is part of no name."""
    text = " ".join(query.split())
    names = {name for edit in edits for name in (edit.subject, edit.target, *edit.aliases)}
    for name in sorted(names, key=len, reverse=True):
        text = whole_words(name).sub(" ", text)
    asked = SENTENCE_END.split(text.strip())[-1]
    first = WORD.search(asked)
    joined = first is not None and any(m.start() > first.start() for m in JOINS.finditer(asked))
    return joined or len(QUESTION_MARKS.findall(text)) > 1


def whole_words(name: str) -> re.Pattern[str]:
    """Returns a pattern for a name as whole words, whatever case; of a blank one for nothing."""
    words = r"\s+".join(map(re.escape, name.split())) or r"(?!)"
    return re.compile(rf"(?<!\w){words}(?!\w)", re.IGNORECASE)


def _are_keywords(text: str, edit: Edit) -> bool:
    """Whether it is the subject and a few words that make no sentence: "Falcon X200 warranty".

    "Ann plays" may pass for such: in scope the edit's prompt and it are ended by the same target.
    A claim must not, so with a question mark no verb follows the subject and no value is named.
    """
    said = text.casefold().rstrip(" .:!?")
    names = sorted((name.casefold() for name in (edit.subject, *edit.aliases)), key=len)
    name = next((name for name in reversed(names) if name in said), None)
    if name is None or WORD.findall(said) == WORD.findall(edit.prompt.casefold()):
        return False
    at = said.index(name)
    before, after = WORD.findall(text[:at]), WORD.findall(text[at + len(name) :])
    content = [word for word in before + after if word.casefold() not in JOINS_KEYWORDS]
    if not 0 < len(content) <= KEYWORDS_MAX or edit.target.casefold() in said:
        return False
    if not OF_SENTENCES.isdisjoint(word.casefold() for word in content):
        return False
    if after and after[-1].casefold() in ENDS_OPEN:
        return False
    if "?" not in text:
        return True
    claims = not before and VERB.fullmatch(after[0].casefold())
    return not claims and all(word.islower() or word.isupper() for word in content)


def _checks_a_claim(sentences: Sequence[str]) -> bool:
    """Whether a whole sentence stands at the end, after "Is this true?" and the like."""
    return (
        len(sentences) > 1
        and sentences[-1].endswith(".")
        and sentences[-2].endswith("?")
        and ASKS_WHETHER.match(sentences[-2]) is not None
    )


def _gives_the_value_alone(text: str, edit: Edit) -> bool:
    """Whether a text, case folded, holds the target and none of the subject's names."""
    names = (edit.subject, *edit.aliases)
    return edit.target.casefold() in text and not any(name.casefold() in text for name in names)


def _offers(asked: str, target: str) -> bool:
    """Whether the target stands beside an "or": "Is it Dutch or French?"."""
    value = re.escape(target)
    beside = rf"\bor\s+((the|an?)\s+)?{value}|{value},?\s+or\s"
    return bool(target) and re.search(beside, asked.casefold()) is not None


def _tries_a_value(sentences: Sequence[str]) -> bool:
    """Whether a question is followed by a bare value: "What does X speak? French?"."""
    return (
        len(sentences) > 1
        and sentences[-2].endswith("?")
        and ASKS_WITHIN.search(sentences[-2]) is not None
        and sentences[-1].endswith("?")
        and not ASKS_WITHIN.search(sentences[-1])
        and not ALTERNATIVE.search(sentences[-1])
    )


def _names_no_value(asked: str, edit: Edit) -> bool:
    """Whether every word is the edit's prompt's own: "The genus X is part of the family?"."""
    said = set(WORD.findall(asked.casefold()))
    return said <= OF_SENTENCES | set(WORD.findall(edit.prompt.casefold()))


def _is_claim_with_question_mark(asked: str, edit: Edit) -> bool:
    """Whether it says something and is a question by its mark alone: "X speaks Dutch?"."""
    if not asked.endswith("?") or ASKS_WITHIN.search(asked) or _names_no_value(asked, edit):
        return False
    said = asked.casefold()
    if edit.target.casefold() in said or CLAIMS.search(asked):
        return True
    return re.match(rf"(so\s+)?{re.escape(edit.subject.casefold())}\s+\w+\s+\w", said) is not None
