"""Probes of the counterfactual model in every form it should answer in.

Subjects are those of a maker's own facts (of a held-out split), answers are invented or of the
relation's kind, and some yes-or-no wordings are never trained.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from classifiers.wording import as_keywords
from classifiers.yes_no import VALUE
from pocket.counterfactual_documents import CounterfactualMaker, Query, note_on
from pocket.counterfactual_forms import (
    DENIAL_WRAPS_HELD_OUT,
    WHETHER_WRAPS_HELD_OUT,
    is_statement,
    reversals,
    with_pronoun,
    wrapped,
)
from pocket.in_context import NewFact
from pocket.probes import Probe, unseen_answer
from pocket.templates import chat, fill, is_question

Asking = Callable[[CounterfactualMaker, NewFact, Random], Query | None]


def a_new_fact(maker: CounterfactualMaker, random: Random) -> NewFact:
    """Draws a new fact about a known subject of the maker's split, in one of our relations."""
    context = maker.context
    known = random.choice(context.facts)
    relation = context.relations[known["relation"]]
    target = unseen_answer(context.pool, random)
    if random.random() < 0.5:
        target = random.choice(context.objects[known["relation"]])
    used = random.choice(relation.phrasings)
    return NewFact(known["subject"], relation.name, relation.phrasings, used, target)


def _asked(fact: NewFact, random: Random, *, question: bool) -> Query:
    others = [p for p in fact.phrasings if p != fact.used and is_question(p) == question]
    return fill(random.choice(others), fact.subject), fact.target


def _copy(maker: CounterfactualMaker, fact: NewFact, random: Random) -> Query:
    del maker, random
    return fill(fact.used, fact.subject), fact.target


def _pronoun(maker: CounterfactualMaker, fact: NewFact, random: Random) -> Query | None:
    del maker
    asked = with_pronoun(random.choice([p for p in fact.phrasings if is_question(p)]), "it")
    return (f"Let me ask about {fact.subject}. {asked}", fact.target) if asked else None


def _chatter(maker: CounterfactualMaker, fact: NewFact, random: Random) -> Query | None:
    if not maker.context.lead_ins:
        return None
    prompt, answer = _asked(fact, random, question=random.random() < 0.5)
    return f"{random.choice(maker.context.lead_ins)} {prompt}", answer


def _held_wrap(
    maker: CounterfactualMaker, fact: NewFact, random: Random, *, denied: bool = False
) -> Query:
    wraps = DENIAL_WRAPS_HELD_OUT if denied else WHETHER_WRAPS_HELD_OUT
    holds = random.random() < 0.5
    clozes = [p for p in fact.phrasings if is_statement(p) and "," not in p]
    value = fact.target if holds else maker.other_value(fact, random)
    claim = f"{fill(random.choice(clozes), fact.subject)} {value}"
    return wrapped(random.choice(wraps), claim), "Yes" if holds != denied else "No"


def _denial(maker: CounterfactualMaker, fact: NewFact, random: Random) -> Query | None:
    wording, holds = maker.denial(fact, random), random.random() < 0.5
    value = fact.target if holds else maker.other_value(fact, random)
    return wording.ask(value, holds=holds) if wording else None


def _reversed(maker: CounterfactualMaker, fact: NewFact, random: Random) -> Query | None:
    del maker
    forms = [form for p in fact.phrasings for form in reversals(p)]
    return (random.choice(forms).replace(VALUE, fact.target), fact.subject) if forms else None


def _keywords(maker: CounterfactualMaker, fact: NewFact, random: Random) -> Query | None:
    del maker
    words = [text for p in fact.phrasings if (text := as_keywords(p, random))]
    return (fill(random.choice(words), fact.subject), fact.target) if words else None


KINDS: dict[str, Asking] = {
    "copy": _copy,
    "cloze": lambda _, fact, random: _asked(fact, random, question=False),
    "question": lambda _, fact, random: _asked(fact, random, question=True),
    "chatter": _chatter,
    "pronoun": _pronoun,
    "whether": lambda maker, fact, random: maker.claim(fact, random),
    "whether_held_out_wording": _held_wrap,
    "choice": lambda maker, fact, random: maker.choice(fact, random),
    "reversed": _reversed,
    "sentence": lambda maker, fact, random: maker.sentence(fact, random),
    "unknown": lambda maker, fact, random: maker.elsewhere(fact, random),
    "denied": _denial,
    "denied_held_out_wording": lambda maker, fact, random: _held_wrap(
        maker, fact, random, denied=True
    ),
    "keywords": _keywords,
}


def form_queries(
    maker: CounterfactualMaker, count: int, seed: int
) -> list[tuple[str, NewFact, Query]]:
    """Draws `count` (kind, new fact, query) of every form."""
    random, drawn = Random(seed), []
    for kind, ask in KINDS.items():
        made = 0
        while made < count:
            fact = a_new_fact(maker, random)
            query = ask(maker, fact, random)
            if query is not None:
                drawn.append((kind, fact, query))
                made += 1
    return drawn


def form_probes(maker: CounterfactualMaker, count: int, seed: int) -> list[Probe]:
    """Returns probes that state the new fact and ask; the chat form of questions besides."""
    probes = []
    for kind, fact, (prompt, answer) in form_queries(maker, count, seed):
        line = f"New Fact: {fill(fact.used, fact.subject)} {fact.target}"
        note = note_on(fact, prompt)
        line = f"{line}\n{note}" if note else line
        probes.append(Probe(kind, f"{line}\nPrompt: {prompt}", answer))
        if kind == "question":
            probes.append(Probe("chat", chat(prompt, [line]), answer))
    return probes
