"""Fits the default scope classifier, calibrates it, chooses thresholds, writes weights and card.

    python -m classifiers.train_features --data DATA --splits pocket/splits.json

Three splits by subject: trees are fitted on `train`; of the `fit` subjects one half calibrates the
score, the other half chooses the thresholds. Dev subjects are left out altogether. Needs
scikit-learn (the extra `errata[train]`); serving does not.
"""

from __future__ import annotations

import argparse
import json
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from classifiers.calibrated import FORMAT, WEIGHTS_FILE
from classifiers.calibration import Floats, apply_isotonic, isotonic, threshold_for_budget
from classifiers.encoding_cache import CachedEncoder
from classifiers.features import FEATURES
from classifiers.fit_relation_net import fit_net, judge_out_of_fold
from classifiers.fit_trees import TreeSettings, fit_trees
from classifiers.labelled import (
    Labelled,
    frame_vectors,
    judged_by,
    label_pairs,
    with_judgement,
)
from classifiers.lesson_material import allowed_by, label_hash
from classifiers.phrasebook import Phrasebook, load_phrasebook
from classifiers.relation import FrameEncoder
from classifiers.relation_net import net_to_record
from classifiers.retrieval import RetrievalPool
from classifiers.training_pairs import (
    Case,
    PoolEdit,
    counterfact_cases,
    counterfact_edits,
    own_edit,
    relation_cases,
    roughen,
    zsre_cases,
    zsre_edits,
)
from classifiers.trees import TreeEnsemble, ensemble_from_record
from memory.encoder import MiniLmEncoder

log = logging.getLogger(__name__)

BUDGETS = (0.2, 0.1, 0.05, 0.03, 0.02, 0.015, 0.01, 0.005, 0.003)
BUDGET_DEFAULT = 0.01
# What out-of-scope traffic is taken to be when a budget is promised: mostly other things, one query
# in ten about an edit's own subject.
MIXTURE = {
    "general": 0.3,
    "neighbour": 0.25,
    "distraction": 0.1,
    "confusable_subject": 0.1,
    "same_subject": 0.1,
    "target_asked": 0.1,
    "longer_name": 0.05,
}
RISING = ("mention_share", "mentioned", "frame_cosine", "statement_cosine", "relation_match")
FALLING = ("mention_covered", "mention_inside_other", "frame_cosine_gap", "relation_gap")


def build_cases(
    data: Path, relations: Path, splits: Path, *, homes_max: int, seed: int
) -> tuple[list[PoolEdit], dict[str, list[Case]]]:
    """Returns the pool of edits and the cases of each split ("train", "calibrate", "choose")."""
    random = Random(seed)  # noqa: S311  # Samples, no secrets.
    book = load_phrasebook(data, relations)
    allowed = allowed_by(splits)
    counterfact = counterfact_edits(_read(data / "counterfact/train.json"), book.phrases, allowed)
    zsre = zsre_edits(_read(data / "zsre/train_1k.json"), allowed)
    pool = [edit for edit, _ in counterfact] + [edit for edit, _ in zsre]
    general = (data / "questions/simplequestions_wikidata_train.txt").read_text(encoding="utf-8")
    questions = [line.split("\t")[-1] for line in general.splitlines()]
    cases: dict[str, list[Case]] = {"train": [], "calibrate": [], "choose": []}
    for home in _homes([edit.subject for edit, _ in counterfact], homes_max, random):
        edit, record = counterfact[home]
        made = list(counterfact_cases(home, record))
        made += _relation_cases(pool, home, book, random)
        made += [_general(home, random.choice(questions))]
        cases[part_of(edit.subject)] += [roughen(case, random) for case in made]
    for number, (edit, record) in enumerate(zsre):
        home = len(counterfact) + number
        made = [roughen(case, random) for case in zsre_cases(home, record)]
        cases[part_of(edit.subject)] += made
    return pool, cases


def _homes(subjects: Sequence[str], homes_max: int, random: Random) -> list[int]:
    """Chooses the edits that cases are made about: half to fit trees, a quarter each for the rest.

    Thresholds need many out-of-scope queries more than trees need more of the same.
    """
    by_part: dict[str, list[int]] = {}
    for number, subject in enumerate(subjects):
        by_part.setdefault(part_of(subject), []).append(number)
    shares = {"train": homes_max // 2, "calibrate": homes_max // 4, "choose": homes_max // 4}
    return [
        home
        for part, wanted in shares.items()
        for home in random.sample(by_part[part], min(wanted, len(by_part[part])))
    ]


def _relation_cases(
    pool: list[PoolEdit], home: int, book: Phrasebook, random: Random
) -> Iterator[Case]:
    """Yields the cases about relations; half of them of an edit of ours, which joins the pool."""
    edit = pool[home]
    theirs = random.choice(pool)
    for _ in range(20):
        if theirs.relation == edit.relation and theirs.subject != edit.subject:
            break
        theirs = random.choice(pool)
    yield from relation_cases(home, edit, book, random, theirs.subject)
    mine = own_edit(edit, book, random)
    if mine is not None:
        pool.append(mine)
        yield from relation_cases(len(pool) - 1, mine, book, random, theirs.subject)


def _general(home: int, question: str) -> Case:
    return Case(text=question, home=home, kind="general", in_scope=False)


def part_of(subject: str) -> str:
    """Returns the split of a subject that is not dev: as splits.json rules, `fit` halved."""
    key = int(label_hash(subject), 16)
    if key % 10:
        return "train"
    return "calibrate" if key // 10 % 2 else "choose"


def fit(parts: dict[str, Labelled], frames: FrameEncoder, seed: int) -> dict[str, Any]:
    """Fits network and trees on `train`, calibrates and chooses on the others; the whole record."""
    train = parts["train"]
    framed = train.framed
    vectors = frame_vectors(train, frames)
    labels, weights = train.labels[framed], train.weights[framed]
    asked = [triple[0] for triple in train.frames if triple]
    judged = judge_out_of_fold(vectors, labels, weights, asked, seed=seed)
    net = fit_net(vectors, labels, weights, seed=seed)
    log.info("relation network fitted on %d pairs", len(labels))
    seen = with_judgement(train, judged)
    settings = TreeSettings(features=FEATURES, rising=RISING, falling=FALLING)
    trees = fit_trees(seen.rows, seen.labels, seen.weights, settings, seed)
    calibrate, choose = (judged_by(parts[p], frames, net) for p in ("calibrate", "choose"))
    return finish(trees, calibrate, choose) | {"relation_net": net_to_record(net)}


def best_negatives(split: Labelled, scores: Floats) -> dict[str, list[float]]:
    """Returns, by kind, the best score that any out-of-scope candidate of a query got.

    Only queries that are in no edit's scope count: they are what a false route is measured on.
    """
    routed = {int(n) for n, label in zip(split.numbers, split.labels, strict=True) if label}
    best: dict[int, float] = {}
    for number, score in zip(split.numbers, scores, strict=True):
        if int(number) not in routed:
            best[int(number)] = max(best.get(int(number), 0.0), float(score))
    kinds: dict[str, list[float]] = {}
    for number, case in enumerate(split.cases):
        if not case.in_scope and number not in routed:
            kinds.setdefault(case.kind, []).append(best.get(number, 0.0))
    return kinds


def mixed(kinds: dict[str, list[float]]) -> list[float]:
    """Returns as many scores as the kinds allow in the shares of MIXTURE."""
    total = min(len(kinds.get(kind, ())) / share for kind, share in MIXTURE.items())
    return [score for kind, share in MIXTURE.items() for score in kinds[kind][: int(total * share)]]


def recall_by_kind(split: Labelled, scores: Floats, threshold: float) -> dict[str, float]:
    """Returns, by kind of in-scope case, the share whose own edit scores at least `threshold`."""
    hits: dict[str, list[bool]] = {}
    for number, label, score in zip(split.numbers, split.labels, scores, strict=True):
        if label and split.cases[int(number)].in_scope:
            hits.setdefault(split.cases[int(number)].kind, []).append(bool(score >= threshold))
    return {kind: round(sum(values) / len(values), 4) for kind, values in sorted(hits.items())}


def finish(trees: dict[str, Any], calibrate: Labelled, choose: Labelled) -> dict[str, Any]:
    """Adds calibration curve, thresholds and card to the fitted trees."""
    ensemble: TreeEnsemble = ensemble_from_record(trees)
    knots, values = isotonic(ensemble.score(calibrate.rows), calibrate.labels)
    # A curve with flat stretches would tie scores; a slight slope keeps the order of the trees.
    values = values + 1e-6 * (np.arange(len(values)) / max(1, len(values)))
    scores = apply_isotonic(ensemble.score(choose.rows), knots, values)
    kinds = best_negatives(choose, scores)
    pooled = mixed(kinds)
    chosen = {budget: threshold_for_budget(pooled, budget) for budget in BUDGETS}
    default = chosen[BUDGET_DEFAULT]
    assert default is not None, "too few out-of-scope queries to promise the default budget"
    card = {
        "out_of_scope_queries": {kind: len(listed) for kind, listed in sorted(kinds.items())},
        "false_routes": {
            kind: round(float(np.mean(np.array(listed) >= default)), 4)
            for kind, listed in sorted(kinds.items())
        },
        "recall": recall_by_kind(choose, scores, default),
        "mixture": MIXTURE,
        "mixture_queries": len(pooled),
    }
    return trees | {
        "format": FORMAT,
        "features": list(FEATURES),
        "calibration": {
            "knots": [round(float(knot), 6) for knot in knots],
            "values": [round(float(value), 8) for value in values],
        },
        "thresholds": [
            {"budget": budget, "score": score}
            for budget, score in chosen.items()
            if score is not None and score <= 1.0
        ],
        "budget_default": BUDGET_DEFAULT,
        "card": card,
    }


def main() -> None:
    """Fits and writes the weights."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--splits", type=Path, default=Path("pocket/splits.json"))
    parser.add_argument("--relations", type=Path, default=Path("pocket/relations.json"))
    parser.add_argument("--out", type=Path, default=WEIGHTS_FILE)
    parser.add_argument("--homes", type=int, default=1200, help="edits that cases are made about")
    parser.add_argument("--cache", type=Path, default=None, help="an .npz to keep encodings in")
    parser.add_argument("--dtype", default="bfloat16", help="of the encoder, for speed")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    pool, cases = build_cases(
        arguments.data, arguments.relations, arguments.splits, homes_max=arguments.homes,
        seed=arguments.seed,
    )  # fmt: skip
    log.info("%d edits; cases: %s", len(pool), {k: len(v) for k, v in cases.items()})
    real = MiniLmEncoder("auto", threads=arguments.threads, dtype=arguments.dtype)
    encoder = CachedEncoder(real, arguments.cache, dtype=arguments.dtype)
    retrieval = RetrievalPool(pool, encoder, seed=arguments.seed)
    frames = FrameEncoder(encoder, kept_max=1_000_000)
    random = Random(arguments.seed)  # noqa: S311  # Samples, no secrets.
    parts = {}
    for part, listed in cases.items():
        parts[part] = label_pairs(listed, pool, retrieval, frames, random)
        log.info("%s: %d pairs", part, len(parts[part].labels))
        encoder.save()
    record = fit(parts, frames, arguments.seed)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(record, separators=(",", ":")) + "\n", encoding="utf-8")
    log.info("%s", json.dumps(record["card"], indent=1))
    log.info("%s", record["thresholds"])


def _read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
