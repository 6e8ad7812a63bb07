"""What the counterfactual path tells its model beside the fact: whether a claim names the target.

A model of four layers cannot tell in time whether a claimed value is the new fact's: the state at
the value's last token says so after the last layer alone, when none is left to fetch it
(docs/log.md). Comparing two strings needs no model, so the path does it, and the model reads the
outcome in one line. For a denied claim ("Is it false that ...", "X does not ...") the outcome is
turned round: the model did not learn to do that either. Only a model trained with the line gets it:
its config says so. Pure.
"""

from __future__ import annotations

import re
import unicodedata

from memory.record import Edit
from runtime.paths.forms import LABELS, SENTENCE_END, Form, form_of, whole_words

CLAIM_NOTES = "claim_notes"  # EngineInfo.prompt_form of a model that reads these notes.
NAMED = "Named: yes"  # Or the claim is denied and names another value: either way it holds.
NOT_NAMED = "Named: no"
BOTH = re.compile(r"\b(true or false|false or true|right or wrong|or not|not only)\b")
DENIES = re.compile(
    r"(?<!\bis it )\bnot\b"
    r"|\b(cannot|no longer|never|false|wrong|untrue|incorrect|inaccurate|mistaken?)\b"
    r"|(?<=\w )\w+n't\b"  # "X doesn't ..."; at the head, or in ", isn't it?", it merely doubts.
)
TAG_WORDS_MAX = 4  # Of "Is that wrong?", which is about the sentence before it.
WORD = re.compile(r"\w+")
ARTICLES = frozenset({"the", "a", "an"})


def claim_note(query: str, edit: Edit) -> str:
    """Returns the line for a query that wants a verdict on a claim, or "" for any other query."""
    if form_of(query, edit) is not Form.VERDICT:
        return ""
    return NAMED if names_target(query, edit) != is_denied(query, edit) else NOT_NAMED


def is_denied(query: str, edit: Edit) -> bool:
    """Whether the claim in a query is denied: an odd number of denials, names left aside."""
    text = query.replace("\u2019", "'")
    for name in sorted((edit.subject, *edit.aliases, edit.target), key=len, reverse=True):
        text = whole_words(name).sub("it", text)
    claim = _claim(LABELS.sub("", text.strip())).casefold()
    return len(DENIES.findall(BOTH.sub("", claim))) % 2 == 1


def _claim(text: str) -> str:
    """The sentences of a text that make and question a claim, the last one or two."""
    sentences = SENTENCE_END.split(text.strip())
    short = len(sentences[-1].split()) <= TAG_WORDS_MAX
    two = len(sentences) > 1 and (short or sentences[-2].endswith("?"))
    return " ".join(sentences[-2:] if two else sentences[-1:])


def names_target(query: str, edit: Edit) -> bool:
    """Whether the target stands in a query, in whole words; case and punctuation do not matter.

    What stands there as a part of a name of the subject does not count ("Was Paris Hilton born in
    Rome?" names no Paris), and the target's leading article may be missing. Other names of the
    same thing are not known. A target without any word, such as "++", is sought as it is.
    """
    target = _without_article(_words(edit.target))
    if not target:
        return bool(edit.target.strip()) and edit.target.strip() in query
    said = _words(query)
    names = [_words(name) for name in (edit.subject, *edit.aliases)]
    taken = [(begin, begin + len(name)) for name in names for begin in _places(said, name)]
    free = [
        place
        for place in _places(said, target)
        if not any(begin <= place and place + len(target) <= end for begin, end in taken)
    ]
    return bool(free) or (target in names and len(_places(said, target)) > 1)


def _words(text: str) -> list[str]:
    """The words of a text, one spelling for those that differ in case or composition alone."""
    return WORD.findall(unicodedata.normalize("NFKC", text).casefold())


def _without_article(words: list[str]) -> list[str]:
    return words[1:] if len(words) > 1 and words[0] in ARTICLES else words


def _places(words: list[str], sought: list[str]) -> list[int]:
    """Where a run of words begins in others; nowhere when there is nothing to seek."""
    if not sought:
        return []
    last = len(words) - len(sought)
    return [at for at in range(last + 1) if words[at : at + len(sought)] == sought]
