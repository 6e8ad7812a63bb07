"""Phrasings of relations, the formats around them, and which phrasing is held out for a subject.

A phrasing is one cloze or question of relations.json. For every (subject, relation) about a
quarter of the phrasings are held out by hash: no document gives that subject's own answer to them,
in any format, so that they measure knowledge of the fact and not memory of a sentence. (A new fact
in a context may use them, with an invented answer.)
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from random import Random

from pocket.data import HERE

HELD_OUT_PERCENT = 25
SYSTEM, USER, ASSISTANT = "<|system|>", "<|user|>", "<|assistant|>"


@dataclass(frozen=True)
class Relation:
    """One relation with its phrasings; `{}` stands for the subject."""

    name: str
    clozes: tuple[str, ...]
    questions: tuple[str, ...]

    @property
    def phrasings(self) -> tuple[str, ...]:
        """Returns all phrasings, clozes first."""
        return self.clozes + self.questions


def load_relations(path: Path = HERE / "relations.json") -> dict[str, Relation]:
    """Reads the relations by name."""
    raw = json.loads(path.read_text(encoding="utf-8"))
    return {
        name: Relation(name, tuple(entry["cloze"]), tuple(entry["question"]))
        for name, entry in raw.items()
    }


def is_held_out(subject: str, phrasing: str) -> bool:
    """Says whether no training document may answer `phrasing` truly about `subject`."""
    digest = hashlib.sha256(f"{subject}|{phrasing}".encode()).digest()
    return int.from_bytes(digest[:4], "big") % 100 < HELD_OUT_PERCENT


def split_phrasings(subject: str, phrasings: tuple[str, ...]) -> tuple[list[str], list[str]]:
    """Returns (trained, held-out) phrasings of a subject; at least one is trained."""
    trained = [phrasing for phrasing in phrasings if not is_held_out(subject, phrasing)]
    held = [phrasing for phrasing in phrasings if is_held_out(subject, phrasing)]
    return (trained, held) if trained else (held[:1], held[1:])


def is_question(phrasing: str) -> bool:
    """Says whether a phrasing or a filled prompt asks rather than leaves a gap."""
    return phrasing.endswith("?")


def fill(phrasing: str, subject: str) -> str:
    """Returns the phrasing about a subject."""
    return phrasing.replace("{}", subject)


def styled(prompt: str, random: Random) -> str:
    """Returns a prompt with now and then a different style: lower case, no question mark."""
    draw = random.random()
    if draw < 0.05:
        prompt = prompt.lower()
    elif draw < 0.08 and is_question(prompt):
        prompt = prompt[0].lower() + prompt[1:-1]
    elif draw < 0.11 and not is_question(prompt):
        prompt = prompt + " the"[: 4 * random.randrange(2)]
    return prompt


def formatted(prompt: str, random: Random) -> str:
    """Returns a prompt in one of the plain formats; the answer follows after a space."""
    if not is_question(prompt):
        return prompt
    draw = random.random()
    if draw < 0.30:
        return f"Q: {prompt}\nA:"
    if draw < 0.40:
        return f"Question: {prompt}\nAnswer:"
    return prompt


def chat(prompt: str, facts: list[str]) -> str:
    """Returns the chat form of a prompt, with new facts as a system turn where there are any.

    The answer follows after a space; a test holds this to the tokenizer's
    chat template.
    """
    system = f"{SYSTEM} " + "\n".join(facts) if facts else ""
    return f"{system}{USER} {prompt}{ASSISTANT}"
