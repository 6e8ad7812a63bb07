"""Prompts that an edit must leave alone: its sentence about others, its subject in other words.

At the prompt's last token a key holds the phrase as well as the subject. Rows that share one but
not the other, with nothing to be added, leave an editor only what they have in common: the fact.
Best are subjects that the corpus says the same sentence of; where it knows none, well known names
of many kinds, for a name that does not suit the sentence still shares its phrase.
"""

from __future__ import annotations

import hashlib
import random
import re
from collections.abc import Collection, Sequence

from memory.conflicts import normalise
from runtime.consolidation.contract import Fact

NAMES = (
    "Albert Einstein", "Marie Curie", "Napoleon", "Mozart", "William Shakespeare", "Cleopatra",
    "Charles Darwin", "Nelson Mandela", "Frida Kahlo", "Pablo Picasso", "Leonardo da Vinci",
    "Isaac Newton", "Abraham Lincoln", "Winston Churchill", "Mahatma Gandhi", "Elvis Presley",
    "Johann Sebastian Bach", "Leo Tolstoy", "Jane Austen", "Galileo Galilei", "Confucius",
    "Usain Bolt", "Serena Williams", "Michael Jordan", "Diego Maradona", "Charlie Chaplin",
    "Marilyn Monroe", "Akira Kurosawa", "Sigmund Freud", "Immanuel Kant", "Vincent van Gogh",
    "Tokyo", "Cairo", "Berlin", "Nairobi", "Buenos Aires", "Sydney", "Toronto", "Istanbul",
    "Brazil", "Norway", "Kenya", "Vietnam", "Portugal", "Canada", "Egypt", "Japan", "Greece",
    "the Amazon", "Mount Everest", "the Sahara", "Lake Victoria", "the Danube", "Siberia",
    "Toyota", "Nokia", "Siemens", "Boeing", "Samsung", "Unilever", "Lego", "Sony", "Volvo",
    "Harvard University", "the Louvre", "NASA", "the Red Cross", "UNESCO", "the BBC",
    "Linux", "Photoshop", "the iPhone", "Wikipedia", "Minecraft", "Game of Thrones",
    "The Godfather", "Casablanca", "Don Quixote", "Hamlet", "The Beatles", "Metallica",
    "the Eiffel Tower", "the Taj Mahal", "the Titanic", "Buddhism", "football", "the violin",
)  # fmt: skip

SENTENCES = (
    "{} is a",
    "{} was born in",
    "{} died in",
    "{} works as a",
    "{} is located in",
    "{} was created by",
    "{} is known for",
    "The language of {} is",
    "The capital of {} is",
    "The owner of {} is",
    "Who is {}?",
    "What does {} do?",
    "When was {} founded?",
    "Which country does {} come from?",
)


def for_the_gate(text: str) -> bool:
    """Whether a name or a text is one of the half that the gate asks about, and no editor keeps.

    What an editor was told to keep is kept; whether the rest is, only what it was not told of can
    tell. The second moments are of all running text.
    """
    return hashlib.blake2b(text.casefold().encode(), digest_size=1).digest()[0] % 2 == 1


def other_subjects(
    fact: Fact,
    count: int,
    seed: int,
    known: Sequence[str] = (),
    edited: Collection[str] = frozenset(),
) -> list[str]:
    """Returns each of the edit's prompts about `count` other subjects, drawn from seed and edit.

    They are of those that are `known` to suit the prompt, as far as these go, then of NAMES: none
    that the gate asks about, and none of the `edited` (normalised), which are taught, not kept.
    """
    draw = random.Random(f"{seed}/{fact.subject}/{fact.prompt}")  # noqa: S311
    pattern = re.compile(re.escape(fact.subject), re.IGNORECASE)
    prompts = (fact.prompt, *fact.paraphrases)
    apart = {normalise(fact.subject), *edited}
    chosen: list[str] = []
    count *= len(prompts)
    for names in (known, NAMES):
        left = [name for name in names if not for_the_gate(name) and normalise(name) not in apart]
        chosen += draw.sample(left, min(count - len(chosen), len(left)))
    return [
        name.join(pattern.split(prompts[number % len(prompts)]))
        for number, name in enumerate(chosen)
    ]


def other_sentences(fact: Fact, count: int, seed: int) -> list[str]:
    """Returns `count` other sentences about the edit's subject, drawn likewise."""
    draw = random.Random(f"{seed}/{fact.prompt}/{fact.subject}")  # noqa: S311
    known = {prompt.casefold() for prompt in (fact.prompt, *fact.paraphrases)}
    texts = [sentence.replace("{}", fact.subject) for sentence in SENTENCES]
    texts = [text for text in texts if text.casefold() not in known]
    return draw.sample(texts, min(count, len(texts)))
