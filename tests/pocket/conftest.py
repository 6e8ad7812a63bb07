"""A data folder in miniature, with every file that the pocket scripts read."""

import argparse
import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from transformers import PreTrainedTokenizerFast

from pocket.corpus import Corpus, load_corpus
from pocket.make_tokenizer import build, training_texts

DEV_SUBJECTS = ("Dora Devlin", "Emil Evers", "Fay Field", "Gus Gray", "Hal Hunt", "Ida Irons")


def _edit(subject: str, answer: str) -> dict[str, Any]:
    return {
        "subject": subject,
        "prompt": f"{subject} plays",
        "target_new": answer,
        "ground_truth": "piano",
        "rephrase_prompt": f"Rain fell. {subject} is heard on the",
        "src": f"What does {subject} play?",
        "rephrase": f"Which thing does {subject} play?",
        "alt": answer,
        "answers": ["piano"],
    }


def write_data(folder: Path) -> Path:
    names = [f"{a} {b}" for a in ("Ann", "Bob", "Cid", "Dan") for b in ("Lark", "Moor", "Nash")]
    parts = ("counterfact", "zsre", "knowedit", "mquake", "known", "lama", "text")
    for part in (*parts, "pararel", "questions"):
        (folder / part).mkdir(parents=True)
    train = [_edit(name, "violin") for name in names] + [_edit(DEV_SUBJECTS[0], "harp")]
    files = {
        "counterfact/train": train,
        "zsre/train_1k": train,
        "counterfact/val": [_edit(DEV_SUBJECTS[0], "harp")],
        "zsre/dev": [_edit(DEV_SUBJECTS[1], "harp")],
        "knowedit/wiki_counterfact_train": [_edit(DEV_SUBJECTS[2], "harp")],
        "knowedit/wiki_recent_train": [_edit(DEV_SUBJECTS[3], "harp")],
        "known/known_1000": [_edit(DEV_SUBJECTS[4], "harp")],
        "mquake/dev": [{"requested_rewrite": [{"subject": DEV_SUBJECTS[5]}], "orig": {}}],
    }
    for name, value in files.items():
        (folder / f"{name}.json").write_text(json.dumps(value))
    facts = [{"sub_label": name, "obj_label": "piano"} for name in (*names, *DEV_SUBJECTS)]
    (folder / "lama/P1303.jsonl").write_text("\n".join(map(json.dumps, facts)))
    (folder / "pararel/P1303.jsonl").write_text(json.dumps({"pattern": "[X] plays the [Y] ."}))
    asked = "".join(f"Q1\tP50\tQ2\twho wrote {name}\n" for name in names)
    (folder / "questions/simplequestions_wikidata_train.txt").write_text(asked)
    prose = "The river Moor ran past the old mill. Nobody saw Lark go there.\n" * 60
    words = "".join(
        f"{w} (noun): a thing. Example: she saw a {w} in town\n"
        for w in ("apple", "brook", "candle", "drum", "engine", "fence")
    )
    for name in ("factbook.txt", "webnlg_sentences.txt", "wikitext2_valid.txt"):
        (folder / "text" / name).write_text(prose)
    (folder / "text/wordset.txt").write_text(words * 20)
    for name in ("novels.txt.gz", "world_history.txt.gz"):
        (folder / "text" / name).write_bytes(gzip.compress(prose.encode()))
    return folder


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_data(tmp_path_factory.mktemp("data") / "data")


@pytest.fixture(scope="session")
def tokenizer(data: Path) -> PreTrainedTokenizerFast:
    return build(training_texts(data), 3000)


@pytest.fixture(scope="session")
def corpus(data: Path, tokenizer: PreTrainedTokenizerFast) -> Corpus:
    return load_corpus(data, tokenizer, "nano", seed=7)


@pytest.fixture
def arguments(tmp_path: Path, data: Path) -> argparse.Namespace:
    return argparse.Namespace(
        size="nano",
        data=data,
        out=tmp_path,
        resume=True,
        steps=6,
        decay_at=0.5,
        tokens=300,
        micro_tokens=150,
        rate=3e-3,
        muon_rate=5e-3,
        seed=0,
        evaluate_every_s=1e9,
        save_every_s=1e9,
        drills=0.4,
        added=0,
        only_added=False,
    )
