"""Documents that teach the counterfactual model: one new fact, then queries in many forms.

SERAC, Mitchell et al. 2022, arXiv 2206.06520, section 3.2, trains its counterfactual model on
(edit, query, answer) with queries in scope only, in the edit's own form, its rephrase and, for
"QA-hard", implications and True/False. Here the query also comes as a yes-or-no question, a choice,
a reversed question, a request for a full sentence, with chatter before it, with a pronoun, in a
chat. Beside a claim stands the note that the server writes (runtime/paths/notes.py). As in SERAC
no query is out of scope. One in fifty was, answered `unknown`; the model came to say that in scope,
where an answer was hard to find, and hardly ever out of it (docs/log.md). Probes still ask some.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random
from typing import Any

from classifiers.yes_no import VALUE, whether
from memory.record import DEFAULT_NAMESPACE, Edit, EditId
from pocket.counterfactual_book import BookRelation, book_fact
from pocket.counterfactual_forms import (
    CHOICE_WRAPS,
    CLAIM_WRAPS,
    DENIAL_WRAPS,
    FORM_WRAPS,
    NAMING,
    PRONOUNS,
    QUESTION_WRAPS,
    SENTENCE_WRAPS,
    TRUTH_WRAPS,
    WHETHER_WRAPS,
    denied,
    doubted,
    is_statement,
    reversals,
    with_pronoun,
    wrapped,
)
from pocket.in_context import END_MARK, ContextMaker, NewFact, Piece
from pocket.templates import ASSISTANT, SYSTEM, USER, fill, formatted, is_question, styled
from runtime.paths.notes import claim_note

UNKNOWN = "unknown"
BOOK_SHARE = 0.45  # Of facts, in a relation of the phrasebook.
SEARCHED = 0.12  # Share of questions without their mark.
DENIALS = 0.45  # Share of verifications that deny or doubt: harder, so more of them.
VERDICT_WEIGHT = 1.5  # A yes or no is one token, and the hardest one to learn.
VERDICTS = (  # In the same words; the first does not tell the second, and half of all are true.
    *((True, False), (False, True), (False, False)),
    *((True,), (True,)),
)
CONFUSABLE = (  # Relations whose questions may ask for each other's answer.
    {"mother tongue", "language of work", "official language", "original language"},
    {"place of birth", "place of death", "work location", "citizenship", "location", "country"},
    {
        "country of origin",
        "place of foundation",
        "headquarters",
        "location",
        "country",
        "continent",
    },
    {"occupation", "field of work", "position held", "employer", "playing position", "sport"},
    {"manufacturer", "developer", "owner", "record label", "network", "founder of", "named after"},
    {"instrument", "genre", "occupation", "field of work"},
    {"education", "employer", "work location"},
    {"capital", "location", "headquarters"},
)
Query = tuple[str, str]  # prompt, answer


@dataclass(frozen=True)
class Wording:
    """Words that ask whether a value is the right one, with a gap for the value."""

    words: str
    yes: str = "Yes"
    no: str = "No"

    def ask(self, value: str, *, holds: bool) -> Query:
        """Returns the question about one value, and the verdict."""
        return self.words.replace(VALUE, value), self.yes if holds else self.no


def note_on(fact: NewFact, prompt: str) -> str:
    """Returns what the server notes beside the fact for this query, mostly nothing."""
    edit = Edit(
        id=EditId("lesson"),
        namespace=DEFAULT_NAMESPACE,
        subject=fact.subject,
        prompt=fill(fact.used, fact.subject),
        target=fact.target,
    )
    return claim_note(prompt, edit)


def confusable(first: str, second: str) -> bool:
    """Says whether a question of one relation may ask for what the other states."""
    return first == second or any({first, second} <= group for group in CONFUSABLE)


def weighed(answer: str) -> Piece:
    """Returns an answer as it is written, with the weight of its tokens."""
    verdict = answer in {"Yes", "No", "True", "False"}
    return f" {answer}{END_MARK}", VERDICT_WEIGHT if verdict else 1.0


@dataclass
class CounterfactualMaker:
    """Draws documents of one new fact and one to three queries; what `Corpus` asks of a maker."""

    context: ContextMaker
    shares: dict[str, float] = field(
        default_factory=lambda: {
            "copy": 0.07,
            "update": 0.46,
            "whether": 0.17,
            "choice": 0.06,
            "reversed": 0.11,
            "sentence": 0.13,
        }
    )
    drills: float = 0.0  # Share of documents that ask for verdicts alone.
    book: tuple[BookRelation, ...] = ()  # Relations beyond our own and those of the records.

    @property
    def facts(self) -> list[dict[str, Any]]:
        """Returns the known facts, whose subjects and relations new facts are made of."""
        return self.context.facts

    def document(self, random: Random) -> list[Piece]:
        """Returns one document as pieces of text with weights."""
        if self.book and random.random() < BOOK_SHARE:
            fact = book_fact(self.book, self.context, random)
        else:
            fact = self.context.new_fact(random)
        line = fact.line(random)
        turns = random.choices((1, 2, 3), (50, 30, 20))[0]
        if random.random() < self.drills:
            asked = self.drill(fact, random)
        else:
            asked = [self.query(fact, random) for _ in range(turns)]
        if random.random() < 0.16:
            return self.dialogue(fact, line, asked, random)
        pieces: list[Piece] = [(line + "\n", 0.0)]
        for prompt, answer in asked:
            shown = formatted(prompt, random) if random.random() < 0.15 else prompt
            note = note_on(fact, shown)
            noted = f"{note}\n" if note else ""
            pieces += [(f"{noted}Prompt: {shown}", 0.0), weighed(answer)]
        return pieces

    def dialogue(self, fact: NewFact, line: str, asked: list[Query], random: Random) -> list[Piece]:
        """Returns the chat form, now and then after a turn about the subject or something else.

        A note stands in the system turn, so a query that has one is asked alone.
        """
        notes = [note_on(fact, prompt) for prompt, _ in asked]
        if any(notes):
            place = next(place for place, note in enumerate(notes) if note)
            asked, line = asked[place : place + 1], f"{line}\n{notes[place]}"
        pieces: list[Piece] = [(f"{SYSTEM} {line}", 0.0)]
        if random.random() < 0.3:
            opening = fill(random.choice(NAMING), fact.subject)
            if self.context.lead_ins and random.random() < 0.5:
                opening = random.choice(self.context.lead_ins)
            reply = random.choice(("I see.", "Yes.", "Go on.", "What would you like to know?"))
            pieces.append((f"{USER} {opening}{ASSISTANT} {reply}{END_MARK}", 0.0))
        for prompt, answer in asked:
            pieces += [(f"{USER} {prompt}{ASSISTANT}", 0.0), weighed(answer)]
        return pieces

    def query(self, fact: NewFact, random: Random, kind: str = "") -> Query:
        """Draws a query about a fact and its answer; `kind` names one of the shares."""
        kind = kind or random.choices(list(self.shares), list(self.shares.values()))[0]
        made: Query | None = None
        if kind == "copy":
            made = fill(fact.used, fact.subject), fact.target
        elif kind == "whether":
            made = self.verification(fact, random)
        elif kind == "choice":
            made = self.choice(fact, random)
        elif kind == "reversed":
            made = self.reversed(fact, random)
        elif kind == "sentence":
            made = self.sentence(fact, random)
        if kind == "whether" and made and not note_on(fact, made[0]):
            made = None  # Not read as a claim: without a note nobody can tell.
        prompt, answer = made or self.update(fact, random)
        if self.context.lead_ins and random.random() < 0.12:
            prompt = f"{random.choice(self.context.lead_ins)} {prompt}"
        return prompt, answer

    def update(self, fact: NewFact, random: Random) -> Query:
        """Asks in other words, sometimes by a pronoun or a part of the name."""
        others = [p for p in fact.phrasings if p != fact.used] or list(fact.phrasings)
        if random.random() < 0.4:
            wanted = not is_question(fact.used)
            others = [p for p in others if is_question(p) == wanted] or others
        phrasing, draw = random.choice(others), random.random()
        if draw < 0.12:
            asked = with_pronoun(phrasing, random.choice(sorted(PRONOUNS)))
            if asked:
                return f"{fill(random.choice(NAMING), fact.subject)} {asked}", fact.target
        words = fact.subject.split()
        named = random.choice(words) if draw > 0.93 and len(words) > 1 else fact.subject
        asked = fill(phrasing, named)
        if is_question(asked) and random.random() < SEARCHED:
            asked = asked[0].lower() + asked[1:-1]  # As typed into a search box.
        return styled(asked, random), fact.target

    def other_value(self, fact: NewFact, random: Random) -> str:
        """Draws a value that the fact does not have, often of the same kind or sharing words."""
        for _ in range(8):
            value = self.context.pool.answer(random)
            if fact.relation in self.context.objects and random.random() < 0.7:
                value = random.choice(self.context.objects[fact.relation])
            elif random.random() < 0.25 and " " in fact.target:
                words = fact.target.split()
                words[random.randrange(len(words))] = random.choice(self.context.pool.names)
                value = " ".join(words)
            if value.casefold() != fact.target.casefold():
                return value
        return self.context.pool.subject(random)

    def verification(self, fact: NewFact, random: Random) -> Query:
        """Asks whether a value is the right one: Yes or No, True or False."""
        return self.claim(fact, random, denials=DENIALS)

    def claim(self, fact: NewFact, random: Random, *, denials: float = 0.0) -> Query:
        """Asks for a verdict on a claim; `denials` of them are denied or doubted."""
        holds = random.random() < 0.5
        value = fact.target if holds else self.other_value(fact, random)
        wording = self.denial(fact, random) if random.random() < denials else None
        return (wording or self.wording(fact, random)).ask(value, holds=holds)

    def denial(self, fact: NewFact, random: Random) -> Wording | None:
        """Draws words that ask whether a value is a wrong one, or doubt it ("Isn't ...?")."""
        draw = random.random()
        if draw < 0.2:
            forms = [f for p in fact.phrasings if (w := whether(p)) and (f := doubted(w))]
            return Wording(fill(random.choice(forms), fact.subject)) if forms else None
        wraps: tuple[str, ...] = (*CLAIM_WRAPS, *TRUTH_WRAPS)
        claims = [d for p in fact.phrasings if (d := denied(p))]
        if draw < 0.6:
            clozes = [p for p in fact.phrasings if is_statement(p) and "{}, " not in p]
            wraps, claims = DENIAL_WRAPS, [f"{p} {VALUE}" for p in clozes]
        if not claims:
            return None
        wrap = random.choice(wraps)
        words = wrapped(wrap, fill(random.choice(claims), fact.subject))
        yes, no = ("False", "True") if wrap in TRUTH_WRAPS else ("No", "Yes")
        return Wording(words, yes, no)

    def wording(self, fact: NewFact, random: Random, *, own: bool = False) -> Wording:
        """Draws words that ask whether a value is the right one; `own` keeps to the fact's own."""
        phrasings = (fact.used,) if own and is_statement(fact.used) else fact.phrasings
        forms = [form for p in phrasings if (form := whether(p))]
        clozes = [p for p in phrasings if is_statement(p) and "{}, " not in p]
        draw = random.random()
        if forms and draw < 0.4:
            asked = fill(random.choice(forms), fact.subject)
            if draw < 0.1:
                asked = random.choice(FORM_WRAPS).replace("{form}", asked)
            return Wording(asked.lower() if random.random() < 0.06 else asked)
        if clozes and draw < 0.9:
            claim = f"{fill(random.choice(clozes), fact.subject)} {VALUE}"
            if draw < 0.8:
                return Wording(wrapped(random.choice(WHETHER_WRAPS), claim))
            return Wording(wrapped(random.choice(TRUTH_WRAPS), claim), "True", "False")
        questions = [p for p in fact.phrasings if is_question(p)] or list(fact.phrasings)
        question = fill(random.choice(questions), fact.subject)
        return Wording(random.choice(QUESTION_WRAPS).replace("{question}", question))

    def drill(self, fact: NewFact, random: Random) -> list[Query]:
        """Asks for verdicts in a row, the same words often with two values.

        The densest lesson in comparing a value with the new fact's. Without the note beside the
        fact four layers do not learn it: the comparison stands at the value's last token in the
        last layer alone (docs/log.md).
        """
        asked: list[Query] = []
        for _ in range(random.choice((1, 2, 2, 3))):
            wording = self.wording(fact, random, own=random.random() < 0.5)
            for holds in random.choice(VERDICTS):
                value = fact.target if holds else self.other_value(fact, random)
                asked.append(wording.ask(value, holds=holds))
        return asked

    def choice(self, fact: NewFact, random: Random) -> Query | None:
        """Asks which of two values is the right one."""
        questions = [p for p in fact.phrasings if is_question(p)]
        forms = [form for p in fact.phrasings if (form := whether(p))]
        pair = random.sample([fact.target, self.other_value(fact, random)], 2)
        if forms and (random.random() < 0.5 or not questions):
            form = fill(random.choice(forms), fact.subject)
            return form.replace(VALUE, f"{pair[0]} or {pair[1]}"), fact.target
        if not questions:
            return None
        wrap = random.choice(CHOICE_WRAPS)
        question = fill(random.choice(questions), fact.subject)
        asked = wrap.replace("{question}", question)
        return asked.replace("{a}", pair[0]).replace("{b}", pair[1]), fact.target

    def reversed(self, fact: NewFact, random: Random) -> Query | None:
        """Gives the value and asks for the subject."""
        forms = [form for p in fact.phrasings for form in reversals(p)]
        if not forms:
            return None
        return random.choice(forms).replace(VALUE, fact.target), fact.subject

    def sentence(self, fact: NewFact, random: Random) -> Query | None:
        """Asks for a full sentence, which the fact's own words give."""
        questions = [p for p in fact.phrasings if is_question(p)]
        if not questions or not is_statement(fact.used) or "{}, " in fact.used:
            return None
        question = fill(random.choice(questions), fact.subject)
        asked = random.choice(SENTENCE_WRAPS).replace("{question}", question)
        return asked, f"{fill(fact.used, fact.subject)} {fact.target}."

    def elsewhere(self, fact: NewFact, random: Random) -> Query | None:
        """Asks for what does not follow from the fact: another relation or another subject."""
        if random.random() < 0.5:
            other = self.context.pool.subject(random)
            if random.random() < 0.3:
                other = random.choice(self.context.facts)["subject"]
            if set(other.casefold().split()) & set(fact.subject.casefold().split()):
                return None
            near = NewFact(other, fact.relation, fact.phrasings, fact.used, fact.target)
            return self.update(near, random)[0], UNKNOWN
        relation = random.choice(sorted(self.context.by_relation))
        if fact.relation in self.context.by_relation and not confusable(relation, fact.relation):
            phrasings = self.context.relations[relation].phrasings
            return styled(fill(random.choice(phrasings), fact.subject), random), UNKNOWN
        phrasings = self.context.pool.relation(random)
        return styled(fill(random.choice(phrasings), fact.subject), random), UNKNOWN
