"""Checks what callers give and returns it normalised; every refusal names the field.

Texts are stripped at both ends and otherwise kept as they came: what counts as the same text is
`memory/conflicts.py`'s question. Knows nothing of storage.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import replace

from memory.conflicts import normalise
from memory.errors import InvalidInput
from memory.limits import MemoryLimits
from memory.record import EditDraft, EditId, Namespace
from memory.surface import is_boundary

NAMESPACE_PATTERN = re.compile(r"[a-z][a-z0-9-]{0,62}")
EDIT_ID_PATTERN = re.compile(r"[a-z][a-z0-9-]{3,62}")
DEFAULT_LIMITS = MemoryLimits()
TIME_MAX_S = 253_402_300_799.0  # The end of the year 9999, the last instant of a Timestamp.


def validate_draft(
    draft: EditDraft,
    *,
    limits: MemoryLimits = DEFAULT_LIMITS,
    now_s: float | None = None,
    field: str = "",
) -> EditDraft:
    """Returns the draft normalised, or raises InvalidInput naming the field.

    `now_s`, when given, is the instant that the expiry must lie after. `field` is the path of the
    draft in the request ("edits[3]"), put before the field's name.
    """
    at = f"{field}." if field else ""
    subject = check_text(
        draft.subject, field=f"{at}subject", chars_max=limits.subject_chars_max, required=True
    )
    prompt = check_text(
        draft.prompt, field=f"{at}prompt", chars_max=limits.prompt_chars_max, required=True
    )
    target = check_text(
        draft.target, field=f"{at}target", chars_max=limits.target_chars_max, required=True
    )
    former = None
    if draft.former is not None:
        former = check_text(draft.former, field=f"{at}former", chars_max=limits.target_chars_max)
    aliases = check_aliases(draft.aliases, limits, at=at)
    check_mention(prompt, (subject, *aliases), at=at)
    check_expiry(draft.expires_at_s, now_s=now_s, field=f"{at}expires_at_s")
    if draft.edit_id is not None:
        validate_edit_id(draft.edit_id, field=f"{at}edit_id", is_new=True)
    return replace(
        draft,
        subject=subject,
        prompt=prompt,
        target=target,
        former=former or None,
        aliases=aliases,
        author=check_text(draft.author, field=f"{at}author", chars_max=limits.author_chars_max),
        source=check_text(draft.source, field=f"{at}source", chars_max=limits.source_chars_max),
        labels=check_labels(draft.labels, limits, at=at),
        expires_at_s=None if draft.expires_at_s is None else float(draft.expires_at_s),
    )


def validate_namespace(name: str, *, field: str = "namespace") -> Namespace:
    """Returns the name, or raises InvalidInput."""
    if not isinstance(name, str) or not NAMESPACE_PATTERN.fullmatch(name):
        raise InvalidInput(
            f"{field} is {_shown(name)}; a namespace is 1 to 63 of a-z, 0-9 and '-', "
            "starting with a letter",
            field=field,
        )
    return Namespace(name)


def validate_edit_id(name: str, *, field: str = "edit_id", is_new: bool = False) -> EditId:
    """Returns the id, or raises InvalidInput; `is_new` for an edit that is yet to be written."""
    if not isinstance(name, str) or not EDIT_ID_PATTERN.fullmatch(name):
        hint = "leave it out to have one drawn" if is_new else "listing the edits shows their ids"
        raise InvalidInput(
            f"{field} is {_shown(name)}; an edit id is 4 to 63 of a-z, 0-9 and '-', "
            f"starting with a letter ({hint})",
            field=field,
        )
    return EditId(name)


def check_text(text: str, *, field: str, chars_max: int, required: bool = False) -> str:
    """Returns the text stripped, or raises InvalidInput naming `field`."""
    if not isinstance(text, str):
        raise InvalidInput(f"{field} is a {type(text).__name__}; give text", field=field)
    if len(text) > chars_max:
        raise InvalidInput(
            f"{field} has {len(text)} characters; at most {chars_max} are taken", field=field
        )
    if not text.isprintable():  # A fast way past ordinary text.
        _check_characters(text, field)
    stripped = text.strip()
    if required and not stripped:
        raise InvalidInput(f"{field} is empty; give at least one visible character", field=field)
    if required and not normalise(stripped):
        raise InvalidInput(
            f"{field} is {_shown(stripped)}, only punctuation; give at least one word", field=field
        )
    return stripped


def check_aliases(aliases: Sequence[str], limits: MemoryLimits, *, at: str) -> tuple[str, ...]:
    """Returns the aliases stripped, each once, or raises InvalidInput."""
    if isinstance(aliases, str):
        raise InvalidInput(f"{at}aliases is one text; give a list of texts", field=f"{at}aliases")
    if len(aliases) > limits.aliases_max:
        raise InvalidInput(
            f"{at}aliases has {len(aliases)} names; at most {limits.aliases_max} are taken",
            field=f"{at}aliases",
        )
    checked = (
        check_text(
            alias,
            field=f"{at}aliases[{place}]",
            chars_max=limits.subject_chars_max,
            required=True,
        )
        for place, alias in enumerate(aliases)
    )
    return tuple(dict.fromkeys(checked))


def check_labels(
    labels: Sequence[tuple[str, str]], limits: MemoryLimits, *, at: str
) -> tuple[tuple[str, str], ...]:
    """Returns the labels sorted by key, or raises InvalidInput."""
    field = f"{at}labels"
    if len(labels) > limits.labels_max:
        raise InvalidInput(
            f"{field} has {len(labels)} pairs; at most {limits.labels_max} are taken", field=field
        )
    found: dict[str, str] = {}
    for key, value in labels:
        where = f"{field}[{_shown(key)}]"
        name = check_text(key, field=where, chars_max=limits.label_key_chars_max, required=True)
        if name in found:
            raise InvalidInput(f"{field} has the key {_shown(name)} twice", field=field)
        found[name] = check_text(value, field=where, chars_max=limits.label_value_chars_max)
    return tuple(sorted(found.items()))


def check_expiry(expires_at_s: float | None, *, now_s: float | None, field: str) -> None:
    """Raises InvalidInput for an expiry that is no instant, or not after `now_s`."""
    if expires_at_s is None:
        return
    if isinstance(expires_at_s, bool) or not isinstance(expires_at_s, int | float):
        raise InvalidInput(
            f"{field} is a {type(expires_at_s).__name__}; give seconds since the epoch", field=field
        )
    if not math.isfinite(expires_at_s) or not 0 <= expires_at_s <= TIME_MAX_S:
        raise InvalidInput(
            f"{field} is {expires_at_s}; give seconds since the epoch, 0 to {TIME_MAX_S:.0f}",
            field=field,
        )
    if now_s is not None and expires_at_s <= now_s:
        raise InvalidInput(
            f"{field} is {expires_at_s:.3f}, which has passed (it is {now_s:.3f}); "
            "give a later instant, or none",
            field=field,
        )


def check_mention(prompt: str, names: Sequence[str], *, at: str) -> None:
    """Raises InvalidInput unless the prompt mentions one of the names, the subject first.

    A name does not begin or end inside a word, as for the subject matcher ("Ann" is not in "Anna");
    unlike there, case never matters.
    """
    text = normalise(prompt)
    spelled = [normalise(name) for name in names]
    if any(_stands_in(name, text) for name in spelled):
        return
    inside = next((name for name, form in zip(names, spelled, strict=True) if form in text), None)
    told = "" if inside is None else f" ({_shown(inside)} stands there only inside a longer word)"
    raise InvalidInput(
        f"{at}prompt {_shown(prompt)} does not mention the subject {_shown(names[0])}"
        f"{' or an alias' if len(names) > 1 else ''}{told}; write the prompt with the subject in "
        "it, or name as an alias what the prompt calls it",
        field=f"{at}prompt",
    )


def _stands_in(name: str, text: str) -> bool:
    """Whether a name stands in a text as words of its own; both normalised."""
    start = text.find(name)
    while start >= 0:
        end = start + len(name)
        # A name that begins with a combining mark has no boundary before it by itself.
        begins = is_boundary(text, start) or unicodedata.category(name[0]).startswith("M")
        if begins and is_boundary(text, end):
            return True
        start = text.find(name, start + 1)
    return False


def _check_characters(text: str, field: str) -> None:
    """Raises InvalidInput for control characters, lone surrogates and unassigned noise."""
    for place, character in enumerate(text):
        kind = unicodedata.category(character)
        if kind == "Cs":
            raise InvalidInput(
                f"{field} has a lone surrogate (U+{ord(character):04X}) at character {place}; "
                "give valid Unicode",
                field=field,
            )
        if kind == "Cc" or character in "\u2028\u2029":
            raise InvalidInput(
                f"{field} has the control character U+{ord(character):04X} at character {place}; "
                "take it out (line breaks and tabs are not taken either)",
                field=field,
            )


def _shown(text: object) -> str:
    """Returns the text quoted and shortened for a message, safe to print."""
    quoted = ascii(text) if isinstance(text, str) and not text.isprintable() else repr(text)
    return quoted if len(quoted) <= 80 else quoted[:77] + "..."
