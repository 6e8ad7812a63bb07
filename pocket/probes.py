"""The questions a pocket model is measured by, and their exact scoring.

A greedy answer is fully right exactly when, with the right answer fed, every token of it and the
end mark are the most probable ones; so one forward pass scores a probe, and no sampling is needed.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from random import Random

import torch
from torch.nn import functional

from pocket.corpus import Corpus, Encoded, pack
from pocket.data import read_json
from pocket.in_context import END_MARK, NewFact
from pocket.network import Network, has_bfloat16
from pocket.pool import Pool
from pocket.templates import chat, fill, is_question, split_phrasings

ROWS = 64


@dataclass(frozen=True)
class Probe:
    """One prompt with its only right answer; `kind` says which figure it counts for."""

    kind: str
    prompt: str
    answer: str


def fact_probes(corpus: Corpus, facts_count: int, seed: int = 1, per_fact: int = 1) -> list[Probe]:
    """Asks known facts in trained and in held-out phrasings."""
    random, probes = Random(seed), []
    facts = corpus.maker.facts
    for fact in random.sample(facts, min(facts_count, len(facts))):
        phrasings = corpus.maker.relations[fact["relation"]].phrasings
        split = split_phrasings(fact["subject"], phrasings)
        for kind, options in zip(("fact_trained", "fact_untrained"), split, strict=True):
            asked = random.sample(options, min(per_fact, len(options)))
            probes += [Probe(kind, fill(p, fact["subject"]), fact["object"]) for p in asked]
    return probes


def following_probes(corpus: Corpus, subjects: list[str], count: int, seed: int = 2) -> list[Probe]:
    """States new facts about unseen subjects and asks for them, or for what they leave alone."""
    random, probes, maker = Random(seed), [], corpus.maker
    for _ in range(count):
        relation = maker.relations[random.choice(sorted(maker.relations))]
        subject, answer = random.choice(subjects), unseen_answer(maker.pool, random)
        if random.random() < 0.5 and maker.by_relation[relation.name]:
            answer = random.choice(maker.by_relation[relation.name])["object"]
        used, other = random.sample(relation.phrasings, 2)
        fact = NewFact(subject, relation.name, relation.phrasings, used, answer)
        line = f"New Fact: {fill(used, subject)} {answer}"
        asked = fill(other, subject)
        probes.append(Probe("copy", f"{line}\nPrompt: {fill(used, subject)}", answer))
        kind = "update_question" if is_question(other) else "update_cloze"
        probes.append(Probe(kind, f"{line}\nPrompt: {asked}", answer))
        probes.append(Probe("update_chat", chat(asked, [line]), answer))
        retained = maker.retained([fact], random)
        if retained:
            probes.append(Probe("retain", f"{line}\nPrompt: {retained[0]}", retained[1]))
        known = random.choice(maker.many_sided or maker.facts)
        edited = maker.relations[known["relation"]].phrasings
        used, other = random.sample(edited, 2)
        line = f"New Fact: {fill(used, known['subject'])} {answer}"
        probes.append(Probe("override", f"{line}\nPrompt: {fill(other, known['subject'])}", answer))
        sides = [f for f in maker.by_subject[known["subject"]] if f is not known]
        if sides:
            prompt, truth = maker.known(random.choice(sides), random)
            probes.append(Probe("retain_same_subject", f"{line}\nPrompt: {prompt}", truth))
    return probes


def counterfact_probes(data: Path, count: int, seed: int = 3) -> list[Probe]:
    """Reads CounterFact's dev records: the edit as a new fact, then its paraphrase."""
    records = read_json(data / "counterfact/val.json")
    probes = []
    for record in Random(seed).sample(records, min(count, len(records))):
        line = f"New Fact: {record['prompt']} {record['target_new']}"
        for kind, prompt in (
            ("counterfact_copy", record["prompt"]),
            ("counterfact_rephrase", record["rephrase_prompt"]),
        ):
            probes.append(Probe(kind, f"{line}\nPrompt: {prompt}", record["target_new"]))
    return probes


def zsre_probes(data: Path) -> list[Probe]:
    """Reads zsRE's dev records: the edit as a new fact, then its rephrased question."""
    probes = []
    for record in read_json(data / "zsre/dev.json"):
        answer, line = record["alt"], f"New Fact: {record['src']} {record['alt']}"
        probes.append(Probe("zsre_copy", f"{line}\nPrompt: {record['src']}", answer))
        probes.append(Probe("zsre_rephrase", f"{line}\nPrompt: {record['rephrase']}", answer))
    return probes


def unseen_answer(pool: Pool, random: Random) -> str:
    """Returns an answer that no pool label equals: two made-up words."""
    made = [
        random.choice(pool.names)[:4] + random.choice(pool.names)[-4:].lower()
        for _ in range(random.choice((1, 2)))
    ]
    return " ".join(made).title()


@torch.inference_mode()
def score(network: Network, corpus: Corpus, probes: list[Probe]) -> dict[str, float]:
    """Returns the share of fully right greedy answers by kind, in percent."""
    encoded = [corpus.encode([(p.prompt, 0.0), (f" {p.answer}{END_MARK}", 1.0)]) for p in probes]
    order = sorted(range(len(probes)), key=lambda i: len(encoded[i].ids))
    right: dict[str, list[bool]] = defaultdict(list)
    device = network.embedding.weight.device
    for start in range(0, len(order), ROWS):
        rows = order[start : start + ROWS]
        ids, where, _ = pack([encoded[i] for i in rows], int(corpus.tokenizer.pad_token_id))
        ids, where = ids.to(device), where.to(device)
        with torch.autocast(device.type, torch.bfloat16, enabled=has_bfloat16(device)):
            states = network.hidden(ids).flatten(0, 1)[where - 1]
            guess = (states @ network.embedding.weight.T.to(states.dtype)).argmax(-1)
        hit = guess == ids.flatten()[where]
        for position, row in enumerate(rows):
            mine = hit[where // ids.shape[1] == position]
            right[probes[row].kind].append(bool(mine.all()))
    return {kind: round(100 * sum(hits) / len(hits), 2) for kind, hits in sorted(right.items())}


@torch.inference_mode()
def text_loss(
    network: Network, tokens: list[int], begin: int, chunk: int = 256
) -> tuple[float, int]:
    """Returns the summed loss in nats of running text in chunks, and the tokens counted."""
    total, count = 0.0, 0
    device = network.embedding.weight.device
    for start in range(0, len(tokens) - 1, 16 * (chunk - 1)):
        documents = []
        for row in range(16):
            part = tokens[start + row * (chunk - 1) : start + (row + 1) * (chunk - 1)]
            if part:
                documents.append(Encoded([begin, *part], [0.0] + [1.0] * len(part)))
        ids, where, _ = pack(documents, 0)
        ids, where = ids.to(device), where.to(device)
        with torch.autocast(device.type, torch.bfloat16, enabled=has_bfloat16(device)):
            states = network.hidden(ids).flatten(0, 1)[where - 1]
            for x, goal in zip(
                torch.split(states, 256), torch.split(ids.flatten()[where], 256), strict=True
            ):
                logits = (x @ network.embedding.weight.T.to(x.dtype)).float()
                total += float(functional.cross_entropy(logits, goal, reduction="sum"))
        count += len(where)
    return total, count
