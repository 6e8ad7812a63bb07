"""How often scope classifiers are right and wrong, on dev data that they were never fitted to.

    python -m evaluation.scope_report --data DATA

Prints one table per memory size (edits in memory: 1, 100, 1000, 10000), the classifiers side by
side, each rate with its two-sided 95% Clopper-Pearson interval, and writes all as JSON: beside the
rates, reliability bins of the calibrated classifiers and the milliseconds of the scope stage.
Retrieval is as in serving (nearest by vector and mentioned subjects); no model generates anything.
Beyond a data set's own edits the memory is filled with others (evaluation/scope_fixtures.py);
probes answered by one of those are counted apart. Some data hold several edits of one subject and
question in other words. Where the phrasebook knows both wordings as one relation, a hit on such a
twin is right, and counted apart; elsewhere it counts as a wrong edit, for every classifier alike.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from classifiers.calibration import binomial_interval, reliability_bins
from classifiers.encoding_cache import CachedEncoder
from classifiers.lesson_material import label_hash
from classifiers.phrasebook import Phrasebook, load_phrasebook
from classifiers.retrieval import RetrievalPool
from classifiers.scope import ScopeClassifier
from classifiers.two_stage import TwoStageClassifier
from evaluation.scope_fixtures import (
    Fixture,
    Probe,
    counterfact_fixture,
    filler_edits,
    held_out_relations,
    knowedit_fixture,
    search_questions,
    zsre_fixture,
)
from memory.encoder import MiniLmEncoder
from memory.record import Candidate, Edit, EditDraft, Query, Vector
from runtime.build import CLASSIFIERS, named

SameQuestion = Callable[[EditDraft | Edit, str], bool]

MEMORY_SIZES = (1, 100, 1000, 10_000)
CANDIDATES_MAX = 16
REPORT_FILE = Path("evaluation/out/scope_report.json")
ENCODINGS_TIMED = 200
SHOWN_CHARS = 130
# Half of these follow from no edit: they have no label that a reliability diagram could use.
UNLABELLED = (("counterfact", "paraphrase as given"), ("counterfact", "paraphrase cleaned"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a classifier did with one probe."""

    routed: bool  # To any edit.
    right: bool  # Its best hit is an edit that the query is about.
    by_filler: bool  # Its best hit is none of the data set's own edits.
    by_twin: bool  # Its best hit is not the edit asked about, but another of that very question.
    text: str
    best: float  # The best score of any candidate,
    hit: str  # and that candidate's statement; "" without candidates.
    home_score: float | None  # Of the edit that the probe was made from, when it was a candidate.
    score_ms: float
    pairs: int  # That the cross-encoder read.


def evaluate(
    fixture: Fixture, classifiers: Sequence[ScopeClassifier], encoder: CachedEncoder, *,
    fillers: Sequence[EditDraft], size: int, limit: int, seed: int, book: Phrasebook | None = None,
    ask: Callable[[str], Vector] | None = None,
) -> Iterator[tuple[dict[str, object], list[Outcome]]]:  # fmt: skip
    """Yields one row per kind of probe and classifier, for a memory of `size` edits.

    `ask` encodes a query, where that is not what the encoder does with edits.
    """
    filled = (*fixture.edits, *fillers[: max(0, size - len(fixture.edits))])
    pool = RetrievalPool(filled, encoder, seed=seed)
    asks_same = twin_test(book)
    by_kind: dict[str, list[Probe]] = {}
    for probe in fixture.probes:
        by_kind.setdefault(probe.kind, []).append(probe)
    for kind, probes in by_kind.items():
        chosen = Random(seed).sample(probes, min(limit, len(probes)))
        outcomes: list[list[Outcome]] = [[] for _ in classifiers]
        if ask is None:  # All of them at once, which is sooner.
            encoder.encode_many([probe.text for probe in chosen])
        for probe in chosen:
            query = Query(text=probe.text, vector=(ask or encoder.encode)(probe.text))
            found = pool.candidates(query, home=probe.home, size=size, k=CANDIDATES_MAX)
            for number, classifier in enumerate(classifiers):
                outcome = _outcome(
                    classifier, query, probe, found, own=len(fixture.edits), asks_same=asks_same
                )
                outcomes[number].append(outcome)
        for number, classifier in enumerate(classifiers):
            yield {
                "data": fixture.name, "kind": kind, "memory": size, "classifier": classifier.name,
                **_rates(outcomes[number], in_scope=chosen[0].in_scope),
                **_costs(outcomes[number]),
            }, outcomes[number]  # fmt: skip


def _outcome(
    classifier: ScopeClassifier, query: Query, probe: Probe, found: list[tuple[int, Candidate]], *,
    own: int, asks_same: SameQuestion,
) -> Outcome:  # fmt: skip
    threshold = classifier.threshold()
    candidates = [candidate for _, candidate in found]
    begun = time.perf_counter()
    scores = classifier.score(query, candidates)
    score_ms = (time.perf_counter() - begun) * 1000
    hits = [(score, -place) for place, score in enumerate(scores) if score >= threshold]
    number, right, twin = -1, False, False
    if hits:
        number, candidate = found[-max(hits)[1]]
        at_its_own = number == probe.home and probe.in_scope
        twin = not at_its_own and asks_same(candidate.edit, query.text)
        right = at_its_own or twin
    top = max(((score, -place) for place, score in enumerate(scores)), default=None)
    at_home = [score for (n, _), score in zip(found, scores, strict=True) if n == probe.home]
    pairs = (
        classifier.pairs_of(query, candidates) if isinstance(classifier, TwoStageClassifier) else 0
    )
    return Outcome(
        routed=bool(hits),
        right=right,
        by_filler=number >= own,
        by_twin=twin,
        text=query.text,
        best=top[0] if top else 0.0,
        hit=candidates[-top[1]].edit.statement if top else "",
        home_score=at_home[0] if at_home else None,
        score_ms=score_ms,
        pairs=pairs,
    )


def twin_test(book: Phrasebook | None) -> SameQuestion:
    """Returns a test whether a text is an edit's prompt, or asks its question in other words.

    By the book: in a wording of the same relation. Of several sentences the last one asks.
    """
    relations = book.relations_by_phrase() if book is not None else {}

    def asks_same(edit: EditDraft | Edit, text: str) -> bool:
        text = text.rsplit(". ", 1)[-1] if edit.prompt != text else text
        if edit.prompt == text or book is None or edit.subject not in text:
            return edit.prompt == text
        told, asked = (
            relations.get(words.replace(edit.subject, "{}").strip(), ())
            for words in (edit.prompt, text)
        )
        return not set(told).isdisjoint(asked)

    return asks_same


def _rates(outcomes: Sequence[Outcome], *, in_scope: bool) -> dict[str, object]:
    """Returns the rates with their intervals: recall and wrong edits, or false routes."""
    trials = len(outcomes)
    right = sum(outcome.right for outcome in outcomes)
    wrong = sum(outcome.routed and not outcome.right for outcome in outcomes)
    rates = {"recall": right, "wrong_edit": wrong} if in_scope else {"false_route": wrong}
    row: dict[str, object] = {"n": trials}
    for name, count in rates.items():
        low, high = binomial_interval(count, trials)
        row |= {name: round(count / trials, 4), f"{name}_95": (round(low, 4), round(high, 4))}
    return row | {
        "by_filler": sum(outcome.by_filler for outcome in outcomes),
        "by_twin": sum(outcome.by_twin for outcome in outcomes),
    }


def _costs(outcomes: Sequence[Outcome]) -> dict[str, object]:
    spent = [outcome.score_ms for outcome in outcomes]
    return {
        "score_ms_p50": round(float(np.percentile(spent, 50)), 3),
        "score_ms_p99": round(float(np.percentile(spent, 99)), 3),
        "pairs_p99": int(np.percentile([outcome.pairs for outcome in outcomes], 99)),
    }


def worst(outcomes: Sequence[Outcome], *, in_scope: bool, count: int) -> list[str]:
    """Returns up to `count` errors in words: the lowest misses, or the highest false routes."""
    wrong = [o for o in outcomes if not o.right and (in_scope or o.routed)]
    ordered = sorted(
        wrong, key=lambda outcome: (outcome.home_score or 0.0) if in_scope else -outcome.best
    )
    return [
        f"{outcome.home_score or 0.0:.3f} at home, {outcome.best:.3f} best | "
        f"{one_line(outcome.text)} | {one_line(outcome.hit)}"
        for outcome in ordered[:count]
    ]


def print_rows(rows: Sequence[dict[str, Any]]) -> None:
    """Prints the rows, one table per memory size, classifiers side by side."""
    names = list(dict.fromkeys(row["classifier"] for row in rows))
    for size in dict.fromkeys(row["memory"] for row in rows):
        print(f"\n{size} edits in memory (rate in percent [95% interval]; * recall and wrong edit)")
        print("  " + "data and kind".ljust(54) + "n".rjust(6) + "".join(n.rjust(26) for n in names))
        cells: dict[tuple[str, int], dict[str, str]] = {}
        for row in (row for row in rows if row["memory"] == size):
            mark = " *" if "recall" in row else ""
            head = (f"{row['data']}: {row['kind']}{mark}", row["n"])
            cells.setdefault(head, {})[row["classifier"]] = _cell(row)
        for (title, n), by_name in cells.items():
            line = "".join(by_name.get(name, "").rjust(26) for name in names)
            print("  " + title.ljust(54) + str(n).rjust(6) + line)


def one_line(text: str) -> str:
    """Returns a text on one line, its end when it is long."""
    return " ".join(text.split())[-SHOWN_CHARS:]


def _cell(row: dict[str, Any]) -> str:
    main = "recall" if "recall" in row else "false_route"
    low, high = row[f"{main}_95"]
    wrong = f" /{100 * row['wrong_edit']:.1f}" if "wrong_edit" in row else ""
    return f"{100 * row[main]:.1f} [{100 * low:.1f},{100 * high:.1f}]{wrong}"


def main() -> None:
    """Runs the report."""
    arguments = _parser().parse_args()
    real = MiniLmEncoder("auto", threads=arguments.threads, dtype=arguments.dtype)
    encoder = CachedEncoder(real, arguments.cache, dtype=arguments.dtype)
    ask = cache(real.encode) if real.queries_apart else None
    classifiers = [named(CLASSIFIERS, name, "--scope")(encoder) for name in arguments.scope]
    book = load_phrasebook(arguments.data, arguments.relations)
    fixtures = _fixtures(arguments, book)
    fillers = _fillers(arguments, fixtures) if max(arguments.sizes) > 1 else []
    rows = []
    errors: dict[str, list[str]] = {}  # Of the first classifier, in the largest memory.
    scored: dict[str, list[tuple[float, bool]]] = {}
    for size in arguments.sizes:
        for fixture in fixtures:
            made = evaluate(
                fixture, classifiers, encoder,
                fillers=fillers, size=size, limit=arguments.limit, seed=arguments.seed, book=book,
                ask=ask,
            )  # fmt: skip
            for row, outcomes in made:
                rows.append(row)
                if size == max(arguments.sizes) and row["classifier"] == classifiers[0].name:
                    title = f"{row['data']}: {row['kind']}"
                    errors[title] = worst(
                        outcomes, in_scope="recall" in row, count=arguments.errors
                    )
                pairs = [(o.home_score, "recall" in row) for o in outcomes]
                known = [(score, label) for score, label in pairs if score is not None]
                if (row["data"], row["kind"]) in UNLABELLED:
                    continue
                scored.setdefault(str(row["classifier"]), []).extend(known)
        encoder.save()
    print_rows(rows)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    report = {
        "settings": {
            "seed": arguments.seed, "limit": arguments.limit, "dtype": arguments.dtype,
            "classifiers": {
                c.name: {"version": c.version, "threshold": c.threshold()} for c in classifiers
            },
        },
        "encode_ms": _encode_ms(fixtures, arguments),
        "reliability": {
            c.name: [asdict(b) for b in reliability_bins(*_columns(scored[c.name]))]
            for c in classifiers
            if c.calibrated
        },
        "rows": rows,
        "errors": errors,
    }  # fmt: skip
    arguments.out.write_text(json.dumps(report, indent=1) + "\n")
    for title, listed in errors.items():
        if listed:
            print(f"\n{classifiers[0].name}, {title}, worst:", *listed, sep="\n  ")
    print(f"\nencoding, ms: {report['encode_ms']}; written to {arguments.out}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--scope", nargs="+", default=list(CLASSIFIERS), help="classifiers by name")
    parser.add_argument("--splits", type=Path, default=Path("pocket/splits.json"))
    parser.add_argument("--relations", type=Path, default=Path("pocket/relations.json"))
    parser.add_argument("--limit", type=int, default=1000, help="probes of a kind")
    parser.add_argument("--errors", type=int, default=0, help="errors of a kind to be shown")
    parser.add_argument("--sizes", type=int, nargs="+", default=list(MEMORY_SIZES))
    parser.add_argument("--out", type=Path, default=REPORT_FILE)
    parser.add_argument("--cache", type=Path, default=None, help="an .npz to keep encodings in")
    parser.add_argument("--dtype", default="auto", help="of the encoder; auto as served")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    return parser


def _fixtures(arguments: argparse.Namespace, book: Phrasebook) -> list[Fixture]:
    data = arguments.data
    counterfact = counterfact_fixture(data)
    return [
        counterfact,
        zsre_fixture(data),
        knowedit_fixture(data, "wiki_counterfact"),
        knowedit_fixture(data, "wiki_recent"),
        held_out_relations(counterfact.edits, book, arguments.seed),
        search_questions(data, counterfact.edits),
    ]


def _fillers(arguments: argparse.Namespace, fixtures: Sequence[Fixture]) -> list[EditDraft]:
    records = json.loads((arguments.data / "counterfact/train.json").read_text(encoding="utf-8"))
    trained = {label_hash(record["subject"]) for record in records}
    taken = frozenset(edit.subject for fixture in fixtures for edit in fixture.edits)
    return filler_edits(
        arguments.data, lambda subject: label_hash(subject) in trained, taken, seed=arguments.seed
    )


def _columns(scored: Sequence[tuple[float, bool]]) -> tuple[Any, Any]:
    return np.array([score for score, _ in scored]), np.array([float(label) for _, label in scored])


def _encode_ms(fixtures: Sequence[Fixture], arguments: argparse.Namespace) -> dict[str, float]:
    """Times the encoding of single probes, never seen before by the encoder."""
    encoder = MiniLmEncoder("auto", threads=arguments.threads, dtype=arguments.dtype, cache_max=0)
    encoder.warm_up()
    texts = [probe.text for fixture in fixtures for probe in fixture.probes]
    spent = []
    for text in Random(arguments.seed).sample(texts, min(ENCODINGS_TIMED, len(texts))):
        begun = time.perf_counter()
        encoder.encode(text)
        spent.append((time.perf_counter() - begun) * 1000)
    encoder.close()
    p50, p99 = np.percentile(spent, [50, 99])
    return {"p50": round(float(p50), 2), "p99": round(float(p99), 2)}


if __name__ == "__main__":
    main()
