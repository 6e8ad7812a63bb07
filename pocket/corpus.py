"""The training corpus: a mixture of fact, in-context, running-text and induction documents.

Documents are drawn one by one from a seeded generator, so a step's batch is a function of
(seed, step) alone and a resumed run sees what an unbroken one would have seen.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from pocket.data import HELD_OUT_SHARE, HERE, TEXT_TRAIN, read_jsonl, read_text
from pocket.in_context import END_MARK, ContextMaker, Piece, load_families
from pocket.pool import load_pool
from pocket.templates import chat, formatted, load_relations, styled

TEXT_CHUNK_TOKENS = 256
TEXT_WEIGHT = 0.35
TEXT_SUPERVISED = 0.4  # share of a chunk's tokens that pay for the head; drawn at random
TEXT_CHARACTERS_MAX = 6_000_000  # of one file; novels are far larger than what one run reads
TEXT_SHARES = {
    "factbook.txt": 0.16,
    "wordset.txt": 0.16,
    "webnlg_sentences.txt": 0.16,
    "wikitext2_valid.txt": 0.17,
    "novels.txt.gz": 0.20,
    "world_history.txt.gz": 0.15,
}
NANO_FACTS = 400


@dataclass(frozen=True)
class Mixture:
    """Shares of tokens (not of documents) by kind; they need not sum to one."""

    context: float = 0.45
    facts: float = 0.35
    text: float = 0.20
    induction: float = 0.0


@dataclass(frozen=True)
class Encoded:
    """One document as token ids with a loss weight for each, `(T,)` both."""

    ids: list[int]
    weights: list[float]


def load_facts(size: str, path: Path = HERE / "facts.jsonl") -> list[dict[str, Any]]:
    """Returns the facts of one model size; nano knows the standing ones and their like."""
    facts = read_jsonl(path)
    if size == "base":
        return facts
    rest = facts[sum(bool(fact.get("standing")) for fact in facts) :]
    stride = max(1, len(rest) // (NANO_FACTS - 150))
    return [fact for fact in facts if fact.get("standing")] + rest[::stride]


class Corpus:
    """Draws encoded documents and packs them into padded batches."""

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerFast,
        maker: ContextMaker,
        text: dict[str, np.ndarray[Any, Any]],
        seed: int = 0,
        document: Callable[[Random], list[Piece]] | None = None,
    ) -> None:
        self.tokenizer = tokenizer
        self.maker = maker
        self.context_document = document or maker.document
        self.text = text
        self.seed = seed

    def encode(self, pieces: list[Piece]) -> Encoded:
        """Encodes pieces separately: their borders are token borders at inference too."""
        ids, weights = [int(self.tokenizer.bos_token_id)], [0.0]
        backend = self.tokenizer.backend_tokenizer
        for text, weight in pieces:
            part = backend.encode(text, add_special_tokens=False).ids
            ids += part
            weights += [weight] * len(part)
        return Encoded(ids[:1024], weights[:1024])

    def fact_document(self, fact: dict[str, Any], random: Random) -> Encoded:
        """Returns one known fact in a trained phrasing and any format."""
        prompt, answer = self.maker.known(fact, random)
        prompt = styled(prompt, random)
        draw = random.random()
        if draw < 0.12:
            prompt = chat(prompt, [])
        elif draw < 0.24:
            prompt = f"Prompt: {prompt}"
        else:
            prompt = formatted(prompt, random)
            if draw > 0.92 and self.maker.lead_ins:
                prompt = f"{random.choice(self.maker.lead_ins)} {prompt}"
        return self.encode([(prompt, 0.0), (f" {answer}{END_MARK}", 1.0)])

    def text_document(self, random: Random) -> Encoded:
        """Returns a chunk of running text."""
        shares = [TEXT_SHARES.get(name, 0.1) for name in self.text]
        tokens = self.text[random.choices(list(self.text), shares)[0]]
        start = random.randrange(max(1, len(tokens) - TEXT_CHUNK_TOKENS))
        ids = [
            int(self.tokenizer.bos_token_id),
            *tokens[start : start + TEXT_CHUNK_TOKENS - 1].tolist(),
        ]
        heavy = TEXT_WEIGHT / TEXT_SUPERVISED
        weights = [heavy if random.random() < TEXT_SUPERVISED else 0.0 for _ in ids[1:]]
        return Encoded(ids, [0.0, *weights])

    def induction_document(self, random: Random) -> Encoded:
        """Returns a span of random tokens said twice or thrice; repeats are supervised."""
        size = len(self.tokenizer)
        span = [random.randrange(6, size) for _ in range(random.randint(6, 24))]
        ids, weights = [int(self.tokenizer.bos_token_id)], [0.0]
        for turn in range(random.choice((2, 2, 3))):
            gap = [random.randrange(6, size) for _ in range(random.randint(0, 6))]
            cut = random.randrange(max(1, len(span) - 5)) if turn else 0
            part = span[cut:]
            ids += gap + part
            weights += [0.0] * (len(gap) + min(2, len(part)))
            weights += [0.5 * (turn > 0)] * (len(part) - min(2, len(part)))
        return Encoded(ids, weights)

    def documents(self, step: int, mixture: Mixture, tokens: int) -> list[Encoded]:
        """Returns the documents of one step; the facts go round in a fixed shuffled order."""
        random = Random(f"{self.seed}/{step}")
        kinds = {
            "context": mixture.context,
            "facts": mixture.facts,
            "text": mixture.text,
            "induction": mixture.induction,
        }
        total, chosen = sum(kinds.values()), []
        for kind, share in kinds.items():
            budget = tokens * share / total
            while budget > 0:
                if kind == "context":
                    document = self.encode(self.context_document(random))
                elif kind == "facts":
                    document = self.fact_document(random.choice(self.maker.facts), random)
                elif kind == "text":
                    document = self.text_document(random)
                else:
                    document = self.induction_document(random)
                budget -= len(document.ids)
                chosen.append(document)
        return chosen

    def batches(
        self, step: int, mixture: Mixture, tokens: int, micro_tokens: int
    ) -> list[tuple[Tensor, Tensor, Tensor]]:
        """Returns a step's micro-batches as (tokens (B, T), where (s,), weights (s,))."""
        documents = sorted(self.documents(step, mixture, tokens), key=lambda d: len(d.ids))
        groups: list[list[Encoded]] = [[]]
        for document in documents:
            length = len(document.ids)
            full = length * (len(groups[-1]) + 1) > micro_tokens
            if groups[-1] and (full or length > max(16, 1.3 * len(groups[-1][0].ids))):
                groups.append([])
            groups[-1].append(document)
        pad = int(self.tokenizer.pad_token_id)
        return [pack(group, pad) for group in groups if group]


def pack(documents: list[Encoded], pad: int) -> tuple[Tensor, Tensor, Tensor]:
    """Pads documents on the right; causal attention needs no mask for that."""
    length = -(-max(len(document.ids) for document in documents) // 4) * 4
    ids = np.full((len(documents), length), pad, dtype=np.int64)
    weights = np.zeros((len(documents), length), dtype=np.float32)
    for row, document in enumerate(documents):
        ids[row, : len(document.ids)] = document.ids
        weights[row, : len(document.weights)] = document.weights
    where = np.flatnonzero(weights)
    return (
        torch.from_numpy(ids),
        torch.from_numpy(where),
        torch.from_numpy(weights.reshape(-1)[where]),
    )


def load_text(
    data: Path, tokenizer: PreTrainedTokenizerFast, held_out: bool
) -> dict[str, np.ndarray[Any, Any]]:
    """Encodes running text by file; the last percent of each is held out."""
    encoded = {}
    for name in TEXT_TRAIN:
        text = read_text(data / "text" / name)
        cut = int(len(text) * (1 - HELD_OUT_SHARE))
        text = text[cut:][:60_000] if held_out else text[:cut]
        pieces = text[:TEXT_CHARACTERS_MAX].splitlines(keepends=True)
        parts = tokenizer.backend_tokenizer.encode_batch(pieces, add_special_tokens=False)
        encoded[name] = np.array([i for part in parts for i in part.ids], dtype=np.int32)
    return encoded


def load_lead_ins(data: Path, count: int = 3000) -> tuple[str, ...]:
    """Returns unrelated sentences that may stand before a prompt."""
    lines = read_text(data / "text/webnlg_sentences.txt").splitlines()
    lines += [
        line.split("Example: ")[-1]
        for line in read_text(data / "text/wordset.txt").splitlines()
        if "Example: " in line
    ]
    lines = [line.strip() for line in lines if 15 < len(line) < 90]
    return tuple(
        line if line[-1] in ".!?" else line + "."
        for line in Random(0).sample(lines, min(count, len(lines)))
    )


def load_corpus(data: Path, tokenizer: PreTrainedTokenizerFast, size: str, seed: int = 0) -> Corpus:
    """Builds the corpus of one model size from the data folder."""
    pool = load_pool(data)
    maker = ContextMaker(
        load_relations(),
        load_facts(size),
        pool,
        load_families(data, pool.forbidden),
        load_lead_ins(data),
    )
    return Corpus(tokenizer, maker, load_text(data, tokenizer, held_out=False), seed)
