"""What a refinement must leave as it is: rows of tokens, and where a model's words are compared.

Three kinds: the edits' sentences about other subjects, their subjects in other sentences, and
running text. What follows a prompt is the published model's own answer, never a data set's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from memory.conflicts import normalise
from runtime.consolidation.contract import Fact
from runtime.consolidation.contrasts import for_the_gate, other_sentences, other_subjects
from runtime.consolidation.corpus import Corpus
from runtime.consolidation.measuring import Row, Tick, greedy_answers
from runtime.consolidation.tokens import Codec

TEXTS = 2000
TEXT_TOKENS = 64  # Of a text at most.
ANSWER_TOKENS = 6
NEIGHBOURS = 3000  # About: edits beyond it have fewer each.
SENTENCES = 1500
SENTENCES_DRAWN = 2  # Times as many as are asked for, because some ask what the edit does.


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """One row: at `places` the distribution of the next token should stay."""

    tokens: tuple[int, ...]
    places: range


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldRows:
    """All rows, by kind."""

    neighbours: tuple[Held, ...]
    same_subject: tuple[Held, ...]
    texts: tuple[Held, ...]


def held_rows(
    facts: Sequence[Fact],
    model: Any,
    codec: Codec,
    corpus: Corpus,
    *,
    subjects: int,
    sentences: int,
    seed: int,
    tick: Tick = lambda _: None,
) -> HeldRows:
    """Returns `subjects` and `sentences` rows a prompt and an edit, and up to TEXTS of the corpus.

    Of many edits each has fewer, so that there are about NEIGHBOURS and SENTENCES of them.

    `model` is the published one. Left out is what an edit may well change: other edited subjects,
    texts that name one, and sentences about a subject that the model answers as it answers the
    edit's own prompt, which then ask the same in other words. So is what the gate asks about.
    `tick` is called between passes, and may raise.
    """
    edited = {normalise(fact.subject) for fact in facts}
    prompts = sum(1 + len(fact.paraphrases) for fact in facts)
    subjects = min(subjects, -(-NEIGHBOURS // prompts))
    sentences = min(sentences, -(-SENTENCES // len(facts)))
    near = [
        prompt
        for fact in facts
        for prompt in other_subjects(
            fact,
            subjects,
            seed + 1,  # Not the ones that the closed form has kept already.
            corpus.subjects_of(fact.prompt, fact.subject),
            edited,
        )
    ]
    turned = [
        one.row
        for rows in sentences_apart(
            facts, model, codec, counts=[sentences] * len(facts), seed=seed + 1, tick=tick
        )
        for one in rows
    ]
    texts = [
        codec.prompt(text)[:TEXT_TOKENS]
        for text in corpus.texts(TEXTS, seed + 1)
        if not for_the_gate(text) and not any(name in normalise(text) for name in edited)
    ]
    return HeldRows(
        neighbours=_after_prompts(_answers(model, codec, near, tick)),
        same_subject=_after_prompts(turned),
        texts=tuple(Held(tokens=ids, places=range(len(ids) - 1)) for ids in texts if len(ids) > 1),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Sentence:
    """A sentence about an edit's subject, and the published model's answer to it."""

    text: str
    row: Row


def sentences_apart(
    facts: Sequence[Fact],
    model: Any,
    codec: Codec,
    *,
    counts: Sequence[int],
    seed: int,
    tick: Tick = lambda _: None,
) -> list[list[Sentence]]:
    """Returns up to `counts` other sentences about each fact's subject that ask something else.

    What the model answers as it answers the edit's own prompt asks the same in other words ("was
    born in" of an edit of the birthplace), and may change with it.
    """
    if not any(counts):
        return [[] for _ in facts]
    drawn = [
        other_sentences(fact, SENTENCES_DRAWN * count, seed)
        for fact, count in zip(facts, counts, strict=True)
    ]
    texts = [text for listed in drawn for text in listed]
    rows = iter(_answers(model, codec, [*(fact.prompt for fact in facts), *texts], tick))
    former = [answer_of(next(rows)) for _ in facts]
    return [
        [
            Sentence(text=text, row=row)
            for text, row in zip(listed, [next(rows) for _ in listed], strict=True)
            if answer_of(row) != own
        ][:count]
        for listed, own, count in zip(drawn, former, counts, strict=True)
    ]


def answer_of(row: Row) -> tuple[int, ...]:
    """Returns the tokens of a row's answer."""
    return row.tokens[len(row.tokens) - row.answer :]


def _answers(model: Any, codec: Codec, prompts: Sequence[str], tick: Tick) -> list[Row]:
    return greedy_answers(model, codec, prompts, ANSWER_TOKENS, tick)


def _after_prompts(rows: Sequence[Row]) -> tuple[Held, ...]:
    return tuple(
        Held(
            tokens=row.tokens,
            places=range(len(row.tokens) - row.answer - 1, len(row.tokens) - 1),
        )
        for row in rows
    )
