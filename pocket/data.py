"""Readers of the data folder: triples, subjects reserved for evaluation, running text.

Nothing here decides what is trained on; it only says where things lie and in which split.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
HELD_OUT_SHARE = 0.01  # the end of every running-text file is read by no training run
TEXT_TRAIN = (
    "factbook.txt",
    "wordset.txt",
    "webnlg_sentences.txt",
    "wikitext2_valid.txt",
    "novels.txt.gz",
    "world_history.txt.gz",
)


def default_data_folder() -> Path:
    """Returns the folder named by ERRATA_DATA, else the one beside the repository."""
    return Path(os.environ.get("ERRATA_DATA", HERE.parent.parent / "shared" / "data"))


def normalise(label: str) -> str:
    """Returns a label as splits compare it: lower case, single spaces."""
    return re.sub(r"\s+", " ", label).strip().lower()


def label_hash(label: str) -> str:
    """Returns the 12-digit hash under which splits.json lists a label."""
    return hashlib.sha256(normalise(label).encode()).hexdigest()[:12]


def read_json(path: Path) -> Any:
    """Returns a JSON file's value, or an empty list where the file is missing."""
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else []


def read_jsonl(path: Path) -> list[dict[str, Any]]:
    """Returns the records of a JSONL file, in order."""
    with path.open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines if line.strip()]


def dev_subjects(data: Path) -> set[str]:
    """Returns the normalised subjects of all files that are for evaluation only."""
    found = {
        record["subject"]
        for name in (
            "counterfact/val.json",
            "zsre/dev.json",
            "knowedit/wiki_counterfact_train.json",
            "knowedit/wiki_recent_train.json",
            "known/known_1000.json",
        )
        for record in read_json(data / name)
    }
    for record in read_json(data / "mquake/dev.json"):
        found |= {rewrite["subject"] for rewrite in record["requested_rewrite"]}
        found |= {triple[0] for triple in record["orig"].get("triples_labeled", [])}
    return {normalise(subject) for subject in found if subject}


def triples(data: Path) -> Iterator[tuple[str, str, str]]:
    """Yields (Wikidata property, subject, object) of every LAMA fact; sentences are not read."""
    for path in sorted((data / "lama").glob("P*.jsonl")):
        for record in read_jsonl(path):
            yield path.stem, record["sub_label"].strip(), record["obj_label"].strip()


def read_text(path: Path) -> str:
    """Returns a running-text file, unpacked, without a byte-order mark."""
    raw = path.read_bytes()
    text = gzip.decompress(raw) if path.suffix == ".gz" else raw
    return text.decode("utf-8", errors="replace").replace("\ufeff", "")
