"""Writes `demonstrations.jsonl`: in-context examples of the kinds copy, update and retain.

Made from our own facts and phrasings with invented targets. No dev subject is among them. A prompt
has no trailing space and an answer no leading one. `relation` is the new fact's relation;
`subject` is whom the new fact is about, also where a retain prompt asks about someone else.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from random import Random
from typing import Any

from pocket.data import HERE, label_hash, read_json, read_jsonl
from pocket.templates import Relation, fill, load_relations, split_phrasings

PER_KIND = 256
KINDS = ("copy", "update", "retain")


def demonstration(
    kind: str,
    fact: dict[str, Any],
    facts: list[dict[str, Any]],
    relations: dict[str, Relation],
    random: Random,
) -> dict[str, str]:
    """Returns one demonstration about `fact`, whose object is replaced by another's."""
    same = [other for other in facts if other["relation"] == fact["relation"]]
    target = random.choice([f["object"] for f in same if f["object"] != fact["object"]])
    used, asked = random.sample(relations[fact["relation"]].phrasings, 2)
    statement = f"{fill(used, fact['subject'])} {target}"
    prompt, answer = fill(used if kind == "copy" else asked, fact["subject"]), target
    if kind == "retain":
        sides = [f for f in facts if f["subject"] == fact["subject"] and f is not fact]
        others = [f for f in same if f["subject"] != fact["subject"]]
        other = random.choice(sides if sides and random.random() < 0.5 else others)
        trained, _ = split_phrasings(other["subject"], relations[other["relation"]].phrasings)
        prompt, answer = fill(random.choice(trained), other["subject"]), other["object"]
    return {
        "kind": kind,
        "subject": fact["subject"],
        "relation": fact["relation"],
        "fact": statement,
        "prompt": prompt,
        "answer": answer,
    }


def main() -> None:
    """Writes the demonstrations."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=HERE / "demonstrations.jsonl")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    dev = set(read_json(HERE / "splits.json")["subjects"]["dev"])
    relations, random = load_relations(), Random(arguments.seed)
    facts = [
        fact for fact in read_jsonl(HERE / "facts.jsonl") if label_hash(fact["subject"]) not in dev
    ]
    lines = []
    for kind in KINDS:
        for index in range(PER_KIND):
            name = sorted(relations)[index % len(relations)]
            fact = random.choice([f for f in facts if f["relation"] == name])
            lines.append(
                json.dumps(demonstration(kind, fact, facts, relations, random), ensure_ascii=False)
            )
    arguments.out.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(f"{len(lines)} demonstrations")


if __name__ == "__main__":
    main()
