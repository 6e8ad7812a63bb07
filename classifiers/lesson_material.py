"""Reads what frame lessons are made of: phrasings, answers, other people's names, running text."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

import numpy as np

from classifiers.cross_pairs import MARK
from classifiers.frame_lessons import Material, Rephrased
from classifiers.phrasebook import FIT, TEST, TRAIN, Phrasebook
from classifiers.training_pairs import clean_paraphrase

if TYPE_CHECKING:
    from memory.contracts import Encoder

SPLITS = (TRAIN, FIT, TEST)
NEAR_RELATIONS = 8
UNLIKE_COSINE_MAX = 0.45  # Of two frames' encodings: below, two questions ask different things.
UNLIKE_QUESTIONS = 40
ANSWERS_MAX = 60
SENTENCES_MAX = 4000
SENTENCE_CHARS = (40, 260)
_NAME = re.compile(r"(?<=[a-z,] )[A-Z][a-z]{3,}(?: [A-Z][a-z]{2,})?")
_SENTENCE = re.compile(r"(?<=[.!?]) +")


def load_material(
    data: Path, book: Phrasebook, splits: Path, encoder: Encoder, *, part: str = TRAIN
) -> Material:
    """Reads the material whose edits are in relations of one split.

    Other questions are in relations of that split and of those that stand before it: training never
    reads a relation of FIT or TEST, fitting none of TEST.
    """
    taught = book.only(part)
    asked = book.only(*SPLITS[: SPLITS.index(part) + 1])
    records = _allowed(_read(data / "counterfact/train.json"), splits)
    answers, counts = answers_by_relation(records, book)
    return Material(
        taught=taught,
        asked=asked,
        answers=answers,
        near=near_relations(taught, asked, encoder),
        names=tuple(sorted({record["subject"] for record in records})),
        sentences=tuple(running_text(data / "text", seed=0)),
        frequent=tuple(sorted(relation for relation in counts if relation in taught.phrases)),
        rephrased=_rephrased(data, splits, records, taught, encoder) if part == TRAIN else (),
        part=part,
    )


def _rephrased(
    data: Path,
    splits: Path,
    records: Sequence[Mapping[str, Any]],
    book: Phrasebook,
    encoder: Encoder,
) -> tuple[Rephrased, ...]:
    zsre = _allowed(_read(data / "zsre/train_1k.json"), splits)
    recorded = recorded_paraphrases(records, book)
    # As many of the one as of the other: zsRE's thousand would drown.
    return (*rephrased_questions(zsre, encoder) * (len(recorded) // 2000 or 1), *recorded)


def recorded_paraphrases(
    records: Sequence[Mapping[str, Any]], book: Phrasebook
) -> tuple[Rephrased, ...]:
    """Returns CounterFact's paraphrases that follow from their edits.

    Unlike are the wordings of the same prompt's other records that follow from no such edit.
    """
    by_phrase = book.relation_by_phrase()
    follows: list[tuple[str, str, str]] = []
    unlike: dict[str, set[str]] = {}
    for record in records:
        subject = record["subject"]
        prompt = record["prompt"].replace(subject, MARK).strip()
        asked = clean_paraphrase(record["rephrase_prompt"], subject).strip()
        if subject not in asked:
            continue
        asked = asked.replace(subject, "{}")
        relation = by_phrase.get(record["prompt"].replace(subject, "{}").strip())
        label = book.follows(asked, relation)
        if label:
            follows.append((prompt, asked.replace("{}", MARK), record["target_new"]))
        elif label is False:
            unlike.setdefault(prompt, set()).add(asked.replace("{}", MARK))
    return tuple(
        Rephrased(edit=prompt, query=asked, target=target, unlike=tuple(sorted(unlike[prompt])))
        for prompt, asked, target in follows
        if prompt in unlike
    )


def answers_by_relation(
    records: Sequence[Mapping[str, Any]], book: Phrasebook
) -> tuple[dict[str, tuple[str, ...]], dict[str, int]]:
    """Returns known answers of relations, and how many CounterFact records each relation has."""
    by_phrase = book.relation_by_phrase()
    found: dict[str, dict[str, None]] = {r: dict.fromkeys(a) for r, a in book.answers.items()}
    counts: dict[str, int] = {}
    for record in records:
        relation = by_phrase.get(record["prompt"].replace(record["subject"], "{}").strip())
        if relation is not None:
            counts[relation] = counts.get(relation, 0) + 1
            found.setdefault(relation, {})[record["target_new"]] = None
    return {r: tuple(list(listed)[:ANSWERS_MAX]) for r, listed in found.items()}, counts


def near_relations(
    taught: Phrasebook, asked: Phrasebook, encoder: Encoder
) -> dict[str, tuple[str, ...]]:
    """Returns, for each relation, those that sound most like it and ask for something else.

    By the cosine of the mean encodings of their phrasings about MARK.
    """
    names = sorted({*taught.phrases, *asked.phrases})
    means = []
    for name in names:
        listed = asked.phrases.get(name) or taught.phrases[name]
        mean = encoder.encode_many([p.replace("{}", MARK) for p in listed[:24]]).mean(axis=0)
        means.append(mean / np.linalg.norm(mean))
    likeness = np.stack(means) @ np.stack(means).T
    near = {}
    for row, name in enumerate(names):
        ordered = [names[column] for column in np.argsort(-likeness[row], kind="stable")]
        others = [o for o in ordered if o in asked.phrases and asked.differ(name, o)]
        near[name] = tuple(others[:NEAR_RELATIONS])
    return near


def rephrased_questions(
    records: Sequence[Mapping[str, Any]], encoder: Encoder
) -> tuple[Rephrased, ...]:
    """Returns zsRE's questions with their rephrasings; unlike are those with a low cosine."""
    kept = [r for r in records if r["subject"] in r["src"] and r["subject"] in r["rephrase"]]
    if not kept:
        return ()
    frames = [
        (r["src"].replace(r["subject"], MARK), r["rephrase"].replace(r["subject"], MARK))
        for r in kept
    ]
    sources = encoder.encode_many([source for source, _ in frames])
    likeness = sources @ encoder.encode_many([asked for _, asked in frames]).T  # (n, n)
    found = []
    for row, (source, asked) in enumerate(frames):
        far = np.flatnonzero(likeness[row] < UNLIKE_COSINE_MAX)
        # The likest of the unlike teach most.
        order = far[np.argsort(-likeness[row][far], kind="stable")][:UNLIKE_QUESTIONS]
        found.append(
            Rephrased(
                edit=source, query=asked, target=str(kept[row]["alt"]),
                unlike=tuple(frames[column][1] for column in order),
            )
        )  # fmt: skip
    return tuple(one for one in found if one.unlike)


def running_text(folder: Path, seed: int) -> Iterator[str]:
    """Yields one to three sentences of public-domain prose in which a name has become "{}"."""
    random = Random(seed)  # noqa: S311  # Samples, no secrets.
    texts = []
    for name in ("world_history.txt.gz", "novels.txt.gz"):
        if (folder / name).exists():
            with gzip.open(folder / name, "rt", encoding="utf-8") as file:
                texts.append(file.read(6_000_000))
    sentences = [
        sentence
        for text in texts
        for sentence in _SENTENCE.split(text.replace("\n", " ")[:3_000_000])
        if SENTENCE_CHARS[0] <= len(sentence) <= SENTENCE_CHARS[1]
    ]
    made = 0
    while sentences and made < SENTENCES_MAX:
        at = random.randrange(len(sentences))
        passage = " ".join(sentences[at : at + random.randint(1, 3)])
        match = _NAME.search(passage)
        if match:
            # As serving does, what stands before the sentence of the mention is left out.
            begin = max(passage.rfind(mark, 0, match.start()) for mark in (". ", "! ", "? "))
            made += 1
            text = f"{passage[begin + 1 : match.start()]}{{}}{passage[match.end() :]}".strip()
            yield text if random.random() < 0.5 else _cut(text, random)


def _cut(text: str, random: Random) -> str:
    """Breaks a text off, as prompts to be continued are."""
    words = text.split()
    return " ".join(words[: random.randint(max(1, len(words) // 2), len(words))])


def _allowed(records: Sequence[Mapping[str, Any]], splits: Path) -> list[Mapping[str, Any]]:
    dev = dev_hashes(splits)
    return [record for record in records if label_hash(record["subject"]) not in dev]


def dev_hashes(splits: Path) -> frozenset[str]:
    """Returns the hashes of the subjects that no trainer may see."""
    return frozenset(_read(splits)["subjects"]["dev"])


def allowed_by(splits: Path) -> Callable[[str], bool]:
    """Returns a test for subjects that may be trained on."""
    dev = dev_hashes(splits)
    return lambda subject: label_hash(subject) not in dev


def label_hash(label: str) -> str:
    """Returns the hash under which splits.json lists a subject."""
    return hashlib.sha256(" ".join(label.split()).lower().encode()).hexdigest()[:12]


def _read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))
