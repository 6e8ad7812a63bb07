"""Writes `splits.json`: which subjects and relations belong to training, fitting and reporting.

A subject of any dev file is `dev`, whatever else it stands in. Of the others one in ten is `fit`
(thresholds are fitted there), the rest are `train`. Labels are stored as hashes only.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from pocket.data import HERE, default_data_folder, dev_subjects, label_hash, read_json, triples

FIT_SHARE = 10  # one subject in this many


def split_of(label: str, dev_hashes: set[str]) -> str:
    """Returns `dev`, `fit` or `train` for a subject's label."""
    key = label_hash(label)
    if key in dev_hashes:
        return "dev"
    return "fit" if int(key, 16) % FIT_SHARE == 0 else "train"


def main() -> None:
    """Writes splits.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=default_data_folder())
    parser.add_argument("--out", type=Path, default=HERE / "splits.json")
    arguments = parser.parse_args()
    dev = {label_hash(subject) for subject in dev_subjects(arguments.data)}
    subjects = {subject for _, subject, _ in triples(arguments.data)}
    for name in ("counterfact/train.json", "zsre/train_1k.json"):
        subjects |= {record["subject"] for record in read_json(arguments.data / name)}
    lines = (HERE / "facts.jsonl").read_text(encoding="utf-8").splitlines()
    subjects |= {json.loads(line)["subject"] for line in lines}
    split: dict[str, list[str]] = {"dev": sorted(dev), "fit": [], "train": []}
    for label in sorted(subjects):
        part = split_of(label, dev)
        if part != "dev":
            split[part].append(label_hash(label))
    relations: dict[str, list[str]] = {"train": [], "fit": [], "dev": []}
    for name in read_json(HERE / "relations.json"):
        part = "fit" if int(label_hash(name), 16) % FIT_SHARE == 0 else "train"
        relations[part].append(label_hash(name))
    value = {
        "hash": "first 12 hex digits of SHA-256 of the lower-cased, space-normalised label",
        "rule": "dev if listed; else fit if int(hash, 16) % 10 == 0; else train",
        "subjects": {part: sorted(set(keys)) for part, keys in split.items()},
        "relations": relations,
    }
    arguments.out.write_text(json.dumps(value, separators=(",", ":")) + "\n", encoding="utf-8")
    print({part: len(keys) for part, keys in split.items()})


if __name__ == "__main__":
    main()
