"""Chooses the facts that the pocket models learn and writes `facts.jsonl`.

Only triples are carried over. A fact is kept when its (subject, relation) has one object in the
data and its labels read well; subjects with several relations come first.
"""

from __future__ import annotations

import argparse
import json
import re
from collections import defaultdict
from pathlib import Path
from typing import Any

from pocket.data import HERE, default_data_folder, dev_subjects, normalise, read_json, triples
from pocket.standing import STANDING

FACTS_PER_RELATION = 118
LEFT_OUT = {"P1412", "P31", "P463", "P527"}  # several objects for one subject, or too vague
COUNTERFACT_STYLES = {
    "official language": r"official language|declares the language|they understand",
    "continent": r"continent",
    "sport": r"sport",
    "location": r"^\{\} can be found in|^\{\} is in$|^The location of",
    "country": r"located in the country",
    "capital": r"^The capital of",
}


def readable(label: str) -> bool:
    """Says whether a label is fit for a template: short, Latin letters, no brackets."""
    return bool(
        2 <= len(label) <= 36
        and re.fullmatch(r"[\w \-'.&!:À-ÿ]+", label)
        and not label.isdigit()
        and all(ord(c) < 0x250 for c in label)
    )


def candidates(data: Path) -> dict[tuple[str, str], set[str]]:
    """Returns all objects of each (relation name, subject)."""
    relations = read_json(HERE / "relations.json")
    names = {entry["wikidata"]: name for name, entry in relations.items()}
    found: dict[tuple[str, str], set[str]] = defaultdict(set)
    for wikidata, subject, value in triples(data):
        if wikidata in names and wikidata not in LEFT_OUT:
            found[names[wikidata], subject].add(value)
    for record in read_json(data / "counterfact/train.json"):
        style = record["prompt"].replace(record["subject"], "{}")
        for name, pattern in COUNTERFACT_STYLES.items():
            if re.search(pattern, style):
                found[name, record["subject"]].add(record["ground_truth"])
    for group in read_json(data / "pararel/facts_by_pattern.json"):
        text, value, relation = group[0]
        match = re.fullmatch(r"The capital of (.+) is \[MASK\] ?\.", text)
        if match and relation.startswith("P36("):
            found["capital", match[1].strip()].add(value)
    return found


def choose(found: dict[tuple[str, str], set[str]], quota: int) -> list[dict[str, str]]:
    """Returns at most `quota` clean facts a relation, many-sided subjects first."""
    sides: dict[str, int] = defaultdict(int)
    for _, subject in found:
        sides[subject] += 1
    standing = {(relation, normalise(subject)) for subject, relation, _ in STANDING}
    chosen = []
    for relation in sorted({name for name, _ in found}):
        clean = [
            (subject, next(iter(values)))
            for (name, subject), values in found.items()
            if name == relation
            and len(values) == 1
            and readable(subject)
            and readable(next(iter(values)))
            and normalise(next(iter(values))) != normalise(subject)
            and (relation, normalise(subject)) not in standing
        ]
        clean.sort(key=lambda pair: (-sides[pair[0]], len(pair[0].split()) > 3, pair[0]))
        chosen += [
            {"subject": subject, "relation": relation, "object": value}
            for subject, value in clean[:quota]
        ]
    return chosen


def main() -> None:
    """Writes facts.jsonl."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=default_data_folder())
    parser.add_argument("--out", type=Path, default=HERE / "facts.jsonl")
    arguments = parser.parse_args()
    facts: list[dict[str, Any]] = [
        {"subject": s, "relation": r, "object": o, "standing": True} for s, r, o in STANDING
    ]
    facts += choose(candidates(arguments.data), FACTS_PER_RELATION)
    held = dev_subjects(arguments.data)
    for fact in facts:
        if normalise(str(fact["subject"])) in held:
            fact["split"] = "dev"
    arguments.out.write_text(
        "".join(json.dumps(fact, ensure_ascii=False) + "\n" for fact in facts), encoding="utf-8"
    )
    relations = {fact["relation"] for fact in facts}
    print(f"{len(facts)} facts, {len(relations)} relations")


if __name__ == "__main__":
    main()
