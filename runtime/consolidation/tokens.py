"""From facts to rows of tokens: where the subject ends, where the answer begins.

Positions come from the tokenizer's own offsets, never from guesses over decoded pieces.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from memory.errors import ConsolidationFailed
from runtime.consolidation.contract import Fact


class FactToken(Enum):
    """The token at whose place a model recalls; causal tracing tells (`errata locate`)."""

    SUBJECT_LAST = "subject_last"
    PROMPT_LAST = "prompt_last"


@dataclass(frozen=True, slots=True, kw_only=True)
class Lesson:
    """One prompt of one fact as tokens."""

    fact: int  # Place of the fact in the batch.
    prompt: tuple[int, ...]
    site: int  # Place of the fact token in the prompt.
    answer: tuple[int, ...]  # Tokens of the target; empty for a prompt that must not change.
    weight: float  # Of the row among its fact's, summing to one over those with an answer.

    @property
    def to_site(self) -> tuple[int, ...]:
        """The tokens up to the fact token, which decide what stands there."""
        return self.prompt[: self.site + 1]


@dataclass(frozen=True, slots=True)
class Codec:
    """A fast tokenizer behind the few words that editors need."""

    tokenizer: Any

    def __post_init__(self) -> None:
        """Raises ConsolidationFailed for a tokenizer without offsets."""
        if not getattr(self.tokenizer, "is_fast", False):
            raise ConsolidationFailed(
                f"the tokenizer {type(self.tokenizer).__name__} gives no offsets, so the subject's"
                " last token cannot be found; expected a fast tokenizer (a tokenizer.json in the"
                " model's folder)"
            )

    def prompt(self, text: str) -> tuple[int, ...]:
        """Returns a prompt's ids, with the special tokens that the tokenizer adds."""
        return tuple(self.tokenizer(text)["input_ids"])

    def answer(self, prompt: str, target: str) -> tuple[int, ...]:
        """Returns the target's ids as they follow the prompt's own ids, after one space.

        Where the joined text would merge tokens across the border, the target is encoded alone,
        because a model that answers has the prompt's own tokens before it.
        """
        gap = "" if not prompt or prompt[-1].isspace() or target[:1].isspace() else " "
        alone = self.prompt(prompt)
        joined = self.prompt(prompt + gap + target)
        if joined[: len(alone)] == alone and len(joined) > len(alone):
            return joined[len(alone) :]
        ids = self.tokenizer(gap + target, add_special_tokens=False)["input_ids"]
        return tuple(ids)

    def subject_last(self, text: str, subject: str) -> int:
        """Returns the place of the last token of the subject's last mention.

        The token may reach past the subject's end. Raises ConsolidationFailed when the text does
        not contain the subject.
        """
        mentions = list(re.finditer(re.escape(subject), text, re.IGNORECASE)) if subject else []
        if not mentions:
            raise ConsolidationFailed(
                f"the subject {subject!r} is not in the prompt {text!r}; expected a prompt that"
                " contains it"
            )
        end = mentions[-1].end()
        offsets = self.tokenizer(text, return_offsets_mapping=True)["offset_mapping"]
        return max(place for place, (a, b) in enumerate(offsets) if a < b and a < end)


def lessons_of(
    codec: Codec,
    facts: Sequence[Fact],
    *,
    prefixes: Sequence[str],
    token: FactToken,
    end: int | None,
) -> list[list[Lesson]]:
    """Returns each fact's rows: its prompt and paraphrases, bare and after each prefix.

    The bare ones come first. As in MEMIT's averages, bare rows and prefixed rows weigh half each.
    `end` is appended to the answers of models that were taught to end them. Raises
    ConsolidationFailed, naming the fact, when a prompt lacks the subject.
    """
    found = []
    for place, fact in enumerate(facts):
        prompts = (fact.prompt, *fact.paraphrases)
        texts = [*prompts, *(prefix + prompt for prompt in prompts for prefix in prefixes)]
        half = 0.5 if prefixes else 1.0
        rows = []
        for number, text in enumerate(texts):
            bare = number < len(prompts)
            weight = half / (len(prompts) if bare else len(prompts) * len(prefixes))
            answer = codec.answer(text, fact.target) + (() if end is None else (end,))
            lesson = _lesson(codec, fact, place, text, token=token, answer=answer, weight=weight)
            rows.append(lesson)
        found.append(rows)
    return found


def essence_of(codec: Codec, facts: Sequence[Fact], token: FactToken) -> list[Lesson]:
    """Returns each fact's "{subject} is a", whose continuation should stay (ROME, section 3.1)."""
    return [
        _lesson(codec, fact, place, f"{fact.subject} is a", token=token, answer=(), weight=0.0)
        for place, fact in enumerate(facts)
    ]


def _lesson(
    codec: Codec,
    fact: Fact,
    place: int,
    text: str,
    *,
    token: FactToken,
    answer: tuple[int, ...],
    weight: float,
) -> Lesson:
    prompt = codec.prompt(text)
    site = len(prompt) - 1
    if token is FactToken.SUBJECT_LAST:
        try:
            site = codec.subject_last(text, fact.subject)
        except ConsolidationFailed as error:
            raise ConsolidationFailed(f"edit {fact.edit_id}: {error}") from error
    elif fact.subject.casefold() not in text.casefold():
        raise ConsolidationFailed(
            f"edit {fact.edit_id}: the subject {fact.subject!r} is not in the prompt {text!r};"
            " expected a prompt that contains it"
        )
    return Lesson(fact=place, prompt=prompt, site=site, answer=answer, weight=weight)
