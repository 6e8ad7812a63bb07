"""Fits the stages of the default classifier around a trained cross-encoder; writes its weights.

    python -m classifiers.train_two_stage --data DATA

Three splits by subject: trees are fitted on `train`, curves on `calibrate`, thresholds on `choose`;
dev subjects are left out. In each, half of the edits are in relations that the cross-encoder never
saw (split FIT), so that its judgement is weighed as it deserves on new ones.
"""

from __future__ import annotations

import argparse
import json
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import torch

from classifiers.calibration import (
    Floats,
    curve_to_record,
    fit_curve,
    reliability_bins,
    threshold_for_budget,
)
from classifiers.cross_encoder import WEIGHTS_FILE as CROSS_FILE
from classifiers.cross_encoder import CrossEncoder
from classifiers.encoding_cache import CachedEncoder
from classifiers.fit_trees import TreeSettings, fit_trees
from classifiers.lesson_material import allowed_by, label_hash, load_material
from classifiers.near_names import NearTexts, neighbour_names
from classifiers.phrasebook import FIT, TRAIN, Phrasebook, load_phrasebook
from classifiers.question_mining import read_questions
from classifiers.retrieval import RetrievalPool
from classifiers.scope_cases import (
    CaseMaterial,
    book_cases,
    neighbour_cases,
    own_edit,
    qualified_cases,
    qualified_edit,
    record_cases,
    roughened,
)
from classifiers.training_pairs import Case, PoolEdit, counterfact_edits, zsre_cases, zsre_edits
from classifiers.trees import ensemble_from_record
from classifiers.two_stage import FORMAT, PAIRS_MAX, WEIGHTS_FILE
from classifiers.two_stage_features import CHEAP, CHEAP_RISING, FALLING, JUDGED
from classifiers.two_stage_rows import Judged, Rows, Stage, collect, final_scores, judge
from memory.encoder import MiniLmEncoder

log = logging.getLogger(__name__)

BUDGETS = (0.2, 0.1, 0.05, 0.03, 0.02, 0.015, 0.01, 0.0075, 0.005, 0.003, 0.002, 0.001)
BUDGET_DEFAULT = 0.02
# What out-of-scope traffic is taken to be when a budget is promised: half of it about nothing in
# memory or about a neighbour, one query in seven about an edit's own subject, the rest traps.
MIXTURE: Mapping[str, float] = {
    "general": 0.19,
    "near_question": 0.03,  # About nothing in memory either, but with half of an edit's name.
    "neighbour": 0.08,
    "other_edit": 0.15,  # A neighbour, too, which another edit is about.
    "near_name": 0.06,  # A neighbour, too, whose real name shares words with the edit's subject.
    "same_subject": 0.09,
    "other_qualifier": 0.01,  # The same, but for one word: of another year, the first, the next.
    "other_noun": 0.01,
    "beyond": 0.01,  # About the one that the edit names.
    "same_words": 0.04,  # The same, in nearly the words of the edit's own prompt.
    "distraction": 0.08,
    "confusable_subject": 0.05,
    "target_asked": 0.05,
    "generic": 0.04,
    "longer_name": 0.03,
    "denied": 0.02,
    "comparison": 0.02,
    "elsewhere": 0.02,
    "detour": 0.01,
    "running_text": 0.01,
}
PARTS: Mapping[str, float] = {"train": 0.35, "calibrate": 0.25, "choose": 0.4}
NEIGHBOURS_MORE = 4  # Times as many edits give neighbours as give all kinds of cases.
GREY_LOST_MAX = 0.001  # Share of in-scope mentions that stage one may keep from stage two.


def part_of(subject: str) -> str:
    """Returns the split of a subject that is not dev: as splits.json rules, `fit` halved.

    `calibrate` and `choose` take a tenth of `train` each besides, which splits.json leaves open.
    """
    key = int(label_hash(subject), 16)
    if key % 10 == 0:
        return "calibrate" if key // 10 % 2 else "choose"
    return {0: "calibrate", 1: "choose"}.get(key // 10 % 10, "train")


def build_cases(
    arguments: argparse.Namespace, encoder: CachedEncoder, book: Phrasebook
) -> tuple[list[PoolEdit], dict[str, list[Case]]]:
    """Returns the pool of edits and the cases of each split."""
    random = Random(arguments.seed)  # noqa: S311  # Samples, no secrets.
    data = arguments.data
    allowed = allowed_by(arguments.splits)
    records = _read(data / "counterfact/train.json")
    counterfact = counterfact_edits(records, book.phrases, allowed)
    zsre = zsre_edits(_read(data / "zsre/train_1k.json"), allowed)
    pool = [edit for edit, _ in counterfact] + [edit for edit, _ in zsre]
    questions = read_questions(data / "questions/simplequestions_wikidata_train.txt")
    names = [edit.subject for edit, _ in (*counterfact, *zsre)]
    names += [name for name in neighbour_names(records, book) if allowed(name)]
    near = {
        "near_names": NearTexts(names),
        "near_questions": NearTexts(question for _, question in questions),
    }
    material = {
        part: CaseMaterial(
            lessons=load_material(data, book, arguments.splits, encoder, part=part),
            questions=tuple(question for _, question in questions),
            **near,
        )
        for part in (TRAIN, FIT)
    }
    cases: dict[str, list[Case]] = {part: [] for part in PARTS}
    for home in _homes([edit.subject for edit, _ in counterfact], arguments.homes, random):
        edit, record = counterfact[home]
        made = list(record_cases(home, record, book, edit.relation))
        made += book_cases(home, edit, material[TRAIN], random)
        mine = _new_edit(edit, book, material[FIT], random)
        if mine is not None:
            pool.append(mine)
            made += book_cases(len(pool) - 1, mine, material[FIT], random)
        qualifier, told = qualified_edit(
            edit.subject, material[random.choice((TRAIN, FIT))].lessons, random
        )
        pool.append(qualifier)
        made += qualified_cases(len(pool) - 1, qualifier, told, random)
        cases[part_of(edit.subject)] += [roughened(case, random) for case in made]
    # They name no edit's subject, most of them: the curve for such candidates needs many.
    listed = [edit.subject for edit, _ in counterfact]
    for home in _homes(listed, NEIGHBOURS_MORE * arguments.homes, random):
        edit, record = counterfact[home]
        for case in neighbour_cases(home, record):
            cases[part_of(edit.subject)].append(roughened(case, random))
    for number, (edit, record) in enumerate(zsre):
        made = [roughened(case, random) for case in zsre_cases(len(counterfact) + number, record)]
        cases[part_of(edit.subject)] += made
    return pool, cases


def _homes(subjects: Sequence[str], homes: int, random: Random) -> list[int]:
    by_part: dict[str, list[int]] = {part: [] for part in PARTS}
    for number, subject in enumerate(subjects):
        by_part[part_of(subject)].append(number)
    return [
        home
        for part, share in PARTS.items()
        for home in random.sample(by_part[part], min(int(share * homes), len(by_part[part])))
    ]


def _new_edit(
    edit: PoolEdit, book: Phrasebook, material: CaseMaterial, random: Random
) -> PoolEdit | None:
    """Returns an edit about the same subject in a relation of FIT that such a subject has."""
    if edit.relation is None:
        return None
    known = [r for r in book.others(edit.relation) if r in material.lessons.taught.phrases]
    return own_edit(edit, known, material.lessons, random) if known else None


def fit(rows: Mapping[str, Rows], cross: CrossEncoder, seed: int) -> dict[str, Any]:
    """Fits both stages on `train`, curves on `calibrate`, thresholds on `choose`; the record."""
    train = rows["train"]
    settings = TreeSettings(features=CHEAP, rising=CHEAP_RISING, falling=FALLING)
    first_record = _fitted(train.cheap, train, np.arange(len(train.labels)), settings, seed)
    first = ensemble_from_record(first_record)
    odds = {part: first.score(listed.cheap) for part, listed in rows.items()}
    # On both: trees know their own split too well, and would promise too narrow a band.
    grey_from = min(_grey_from(rows[part], odds[part]) for part in ("train", "calibrate"))
    judged = {
        part: judge(listed, odds[part], grey_from, PAIRS_MAX, cross)
        for part, listed in rows.items()
    }
    rising = ("cross", "mention_share", "missing_likeness", "name_variant")
    settings = TreeSettings(features=JUDGED, rising=rising, falling=FALLING)
    second_record = _fitted(judged["train"].rows, train, judged["train"].places, settings, seed)
    second = ensemble_from_record(second_record)
    calibrate, held = rows["calibrate"], judged["calibrate"]
    unjudged = np.setdiff1d(np.arange(len(calibrate.labels)), held.places)
    first_curve = _curve(odds["calibrate"], calibrate.labels, unjudged)
    second_curve = fit_curve(*_known(second.score(held.rows), calibrate.labels[held.places]))
    scores = final_scores(
        rows["choose"],
        judged["choose"],
        Stage(trees=first, curve=first_curve),
        Stage(trees=second, curve=second_curve),
    )
    return {
        "format": FORMAT,
        "cheap": list(CHEAP),
        "judged": list(JUDGED),
        "first": first_record,
        "first_curve": curve_to_record(first_curve),
        "second": second_record,
        "second_curve": curve_to_record(second_curve),
        "grey_from": round(grey_from, 6),
        "cross": cross.version,
        **chosen(rows["choose"], scores, judged["choose"]),
    }


def _fitted(
    table: Floats, rows: Rows, places: np.ndarray[Any, np.dtype[np.int64]], settings: TreeSettings,
    seed: int,
) -> dict[str, Any]:  # fmt: skip
    """Fits trees on those rows of a table whose label is known; `places` maps it to `rows`."""
    known = rows.known[places]
    return fit_trees(
        table[known], rows.labels[places][known], rows.weights[places][known], settings, seed
    )


def _grey_from(rows: Rows, odds: Floats) -> float:
    mentioned = np.array([pair is not None for pair in rows.pairs])
    return float(np.quantile(odds[(rows.labels == 1) & mentioned], GREY_LOST_MAX))


def _curve(odds: Floats, labels: Floats, places: np.ndarray[Any, np.dtype[np.int64]]) -> Any:
    return fit_curve(*_known(odds[places], labels[places]))


def _known(scores: Floats, labels: Floats) -> tuple[Floats, Floats]:
    known = ~np.isnan(labels)
    return scores[known], labels[known]


def chosen(rows: Rows, scores: Floats, judged: Judged) -> dict[str, Any]:
    """Returns thresholds, reliability and the card from the split they are chosen on."""
    kinds = best_negatives(rows, scores)
    pooled = mixed(kinds)
    thresholds = [
        {"budget": budget, "score": score, "recall": recall_by_kind(rows, scores, score)}
        | {"false_routes": _shares(kinds, score)}
        for budget in BUDGETS
        if (score := threshold_for_budget(pooled, budget)) is not None and score <= 1.0
    ]
    known = rows.known
    bins = reliability_bins(scores[known], rows.labels[known])
    per_case = np.bincount(np.bincount(rows.numbers[judged.places], minlength=len(rows.cases)))
    return {
        "thresholds": thresholds,
        "budget_default": BUDGET_DEFAULT,
        "reliability": [asdict(entry) for entry in bins],
        "card": {
            "mixture": dict(MIXTURE),
            "mixture_queries": len(pooled),
            "out_of_scope_queries": {kind: len(listed) for kind, listed in sorted(kinds.items())},
            "cases_by_pairs_judged": per_case.tolist(),
        },
    }


def best_negatives(rows: Rows, scores: Floats) -> dict[str, list[float]]:
    """Returns, by kind, the best score that any candidate of an out-of-scope query got.

    Only queries that are in no edit's scope count: they are what a false route is measured on.
    """
    kinds: dict[str, list[float]] = {}
    best = {number: 0.0 for number, case in enumerate(rows.cases) if not case.in_scope}
    for begin, end in rows.spans():
        number = int(rows.numbers[begin])
        labels = rows.labels[begin:end]
        if number in best:
            best[number] = float(scores[begin:end][labels == 0].max(initial=0.0))
            if (labels == 1).any():
                del best[number]
    for number, score in best.items():
        kinds.setdefault(rows.cases[number].kind, []).append(score)
    return kinds


def mixed(kinds: Mapping[str, Sequence[float]]) -> list[float]:
    """Returns as many scores as the kinds allow in the shares of MIXTURE."""
    total = min(len(kinds.get(kind, ())) / share for kind, share in MIXTURE.items())
    return [score for kind, share in MIXTURE.items() for score in kinds[kind][: int(total * share)]]


def recall_by_kind(rows: Rows, scores: Floats, threshold: float) -> dict[str, float]:
    """Returns, by kind of in-scope case, the share whose own edit scores at least `threshold`."""
    hits: dict[str, list[bool]] = {}
    for number, label, score in zip(rows.numbers, rows.labels, scores, strict=True):
        case = rows.cases[int(number)]
        if label == 1 and case.in_scope:
            hits.setdefault(case.kind, []).append(bool(score >= threshold))
    return {kind: round(sum(values) / len(values), 4) for kind, values in sorted(hits.items())}


def _shares(kinds: Mapping[str, Sequence[float]], threshold: float) -> dict[str, float]:
    return {
        kind: round(float(np.mean(np.array(listed) >= threshold)), 4)
        for kind, listed in sorted(kinds.items())
    }


def main() -> None:
    """Fits and writes the weights."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--splits", type=Path, default=Path("pocket/splits.json"))
    parser.add_argument("--relations", type=Path, default=Path("pocket/relations.json"))
    parser.add_argument("--cross", type=Path, default=CROSS_FILE)
    parser.add_argument("--out", type=Path, default=WEIGHTS_FILE)
    parser.add_argument("--homes", type=int, default=700, help="edits that cases are made about")
    parser.add_argument("--cache", type=Path, default=None, help="an .npz to keep encodings in")
    parser.add_argument("--dtype", default="float32", help="of the encoder")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(arguments.threads)
    begun = time.monotonic()
    real = MiniLmEncoder("auto", threads=arguments.threads, dtype=arguments.dtype)
    encoder = CachedEncoder(real, arguments.cache, dtype=arguments.dtype)
    book = load_phrasebook(arguments.data, arguments.relations)
    pool, cases = build_cases(arguments, encoder, book)
    log.info("%d edits; cases: %s", len(pool), {k: len(v) for k, v in cases.items()})
    retrieval = RetrievalPool(pool, encoder, seed=arguments.seed)
    random = Random(arguments.seed)  # noqa: S311  # Samples, no secrets.
    rows = {}
    for part, listed in cases.items():
        rows[part] = collect(listed, pool, retrieval, random, book.differ)
        encoder.save()
    record = fit(rows, CrossEncoder.load(arguments.cross), arguments.seed)
    record["encoder"] = encoder.name
    record["settings"] = {
        "homes": arguments.homes, "seed": arguments.seed, "dtype": arguments.dtype,
        "seconds": round(time.monotonic() - begun),
    }  # fmt: skip
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(record, separators=(",", ":")) + "\n", encoding="utf-8")
    log.info("%s", json.dumps(record["card"], indent=1))
    for threshold in record["thresholds"]:
        log.info("%s", json.dumps(threshold))


def _read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
