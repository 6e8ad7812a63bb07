"""How often scope classifiers are right and wrong, on dev data that they were never fitted to.

    python -m evaluation.scope_report --data DATA

Prints one table per memory size (edits in memory: 1, 100, 1000), the default classifier beside two
trivial rules, each rate with its two-sided 95% Clopper-Pearson interval, and writes all as JSON.
Retrieval is as in serving (nearest by vector and mentioned subjects); no model generates anything.
zsRE's dev file holds several edits of one subject and question in other words; a hit on such a twin
counts as a wrong edit, for every classifier alike.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from classifiers.calibrated import WEIGHTS_FILE, CalibratedFeatureClassifier
from classifiers.calibration import binomial_interval
from classifiers.encoding_cache import CachedEncoder
from classifiers.retrieval import RetrievalPool
from classifiers.scope import ScopeClassifier
from classifiers.subject_rule import CosineThreshold, SubjectRule
from evaluation.records import read_counterfact
from memory.encoder import MiniLmEncoder
from memory.errors import InvalidInput
from memory.readers.read import read_edits
from memory.readers.row import ReadEdit
from memory.record import Candidate, EditDraft, Query

MEMORY_SIZES = (1, 100, 1000)
CANDIDATES_MAX = 16
REPORT_FILE = Path("evaluation/out/scope_report.json")
NQ_PREFIX = "nq question: "


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """A query, the edit it was made from, and whether that edit's scope holds it."""

    kind: str
    text: str
    home: int | None
    in_scope: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a classifier did with one probe."""

    routed: bool  # To any edit.
    right: bool  # Its best hit is an edit that the query is about.


@dataclass(frozen=True, slots=True, kw_only=True)
class Fixture:
    """One data set: its edits and the probes made of them."""

    name: str
    edits: tuple[EditDraft, ...]
    probes: tuple[Probe, ...]


def counterfact_fixture(data: Path) -> Fixture:
    """CounterFact: paraphrases, neighbours, and neighbours after the edit itself."""
    records = read_counterfact(data / "counterfact/val.json")
    edits = tuple(
        EditDraft(subject=r.subject, prompt=r.prompt, target=r.target, former=r.former)
        for r in records
    )
    probes = [
        Probe(kind=kind, text=text, home=home, in_scope=in_scope)
        for home, r in enumerate(records)
        for kind, text, in_scope in (
            ("edit prompt", r.prompt, True),
            ("paraphrase as given", r.rephrase, True),
            ("paraphrase cleaned", r.rephrase_cleaned, True),
            ("neighbour", r.neighbour, False),
            ("neighbour after the edit", f"{r.prompt} {r.target}. {r.neighbour}", False),
        )
    ]
    return Fixture(name="counterfact", edits=edits, probes=tuple(probes))


def zsre_fixture(data: Path) -> Fixture:
    """zsRE: rephrased questions, and unrelated search questions."""
    path = data / "zsre/dev.json"
    edits = _edits(path, "zsre")
    probes = []
    for home, record in enumerate(_json(path)):
        unrelated = record["loc"].removeprefix(NQ_PREFIX)
        probes += [
            Probe(kind="edit prompt", text=record["src"], home=home, in_scope=True),
            Probe(kind="paraphrase as given", text=record["rephrase"], home=home, in_scope=True),
            Probe(kind="unrelated question", text=unrelated, home=home, in_scope=False),
        ]
    return Fixture(name="zsre", edits=edits, probes=tuple(probes))


def knowedit_fixture(data: Path, name: str) -> Fixture:
    """KnowEdit: the same subject under an alias, and asked for another relation."""
    path = data / f"knowedit/{name}_train.json"
    edits = _edits(path, "counterfact")
    probes = []
    for home, record in enumerate(_json(path)):
        probes.append(Probe(kind="edit prompt", text=record["prompt"], home=home, in_scope=True))
        for group, key, kind, in_scope in (
            ("portability", "Subject_Aliasing", "subject by another name", True),
            ("locality", "Relation_Specificity", "same subject, other relation", False),
        ):
            for probe in (record.get(group) or {}).get(key, []):
                if probe["prompt"] != record["prompt"]:
                    text = probe["prompt"]
                    probes.append(Probe(kind=kind, text=text, home=home, in_scope=in_scope))
    return Fixture(name=f"knowedit {name}", edits=edits, probes=tuple(probes))


def search_questions(data: Path, edits: tuple[EditDraft, ...]) -> Fixture:
    """Real search questions against CounterFact's edits: in no edit's scope."""
    lines = (data / "questions/nq_open_dev.jsonl").read_text(encoding="utf-8").splitlines()
    probes = tuple(
        Probe(kind="search question", text=json.loads(line)["question"], home=None, in_scope=False)
        for line in lines
    )
    return Fixture(name="nq open", edits=edits, probes=probes)


def evaluate(
    fixture: Fixture, classifiers: Sequence[ScopeClassifier], encoder: CachedEncoder, *,
    size: int, limit: int, seed: int,
) -> Iterator[dict[str, object]]:  # fmt: skip
    """Yields one row per kind of probe and classifier, for a memory of `size` edits."""
    pool = RetrievalPool(fixture.edits, encoder, seed=seed)
    by_kind: dict[str, list[Probe]] = {}
    for probe in fixture.probes:
        by_kind.setdefault(probe.kind, []).append(probe)
    for kind, probes in by_kind.items():
        chosen = Random(seed).sample(probes, min(limit, len(probes)))
        outcomes: list[list[Outcome]] = [[] for _ in classifiers]
        score_ms = [0.0 for _ in classifiers]
        vectors = encoder.encode_many([probe.text for probe in chosen])
        for probe, vector in zip(chosen, vectors, strict=True):
            query = Query(text=probe.text, vector=vector)
            found = pool.candidates(query, home=probe.home, size=size, k=CANDIDATES_MAX)
            for number, classifier in enumerate(classifiers):
                begun = time.perf_counter()
                outcomes[number].append(_outcome(classifier, query, probe, found))
                score_ms[number] += (time.perf_counter() - begun) * 1000
        for number, classifier in enumerate(classifiers):
            yield {
                "data": fixture.name,
                "kind": kind,
                "memory": size,
                "classifier": classifier.name,
                **_rates(outcomes[number], in_scope=chosen[0].in_scope),
                "score_ms_mean": round(score_ms[number] / len(chosen), 3),
            }


def _outcome(
    classifier: ScopeClassifier, query: Query, probe: Probe, found: list[tuple[int, Candidate]]
) -> Outcome:
    threshold = classifier.threshold()
    scores = classifier.score(query, [candidate for _, candidate in found])
    hits = [(score, -place) for place, score in enumerate(scores) if score >= threshold]
    if not hits:
        return Outcome(routed=False, right=False)
    number, candidate = found[-max(hits)[1]]
    # Another edit may have the very words of the query as its prompt; to route there is right.
    own = number == probe.home and probe.in_scope
    return Outcome(routed=True, right=own or candidate.edit.prompt == query.text)


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
    return row


def print_rows(rows: Sequence[dict[str, Any]]) -> None:
    """Prints the rows, one table per memory size, classifiers side by side."""
    names = list(dict.fromkeys(row["classifier"] for row in rows))
    for size in dict.fromkeys(row["memory"] for row in rows):
        print(f"\n{size} edits in memory (rate in percent [95% interval]; * recall and wrong edit)")
        print("  " + "data and kind".ljust(48) + "n".rjust(6) + "".join(n.rjust(30) for n in names))
        cells: dict[tuple[str, int], dict[str, str]] = {}
        for row in (row for row in rows if row["memory"] == size):
            mark = " *" if "recall" in row else ""
            head = (f"{row['data']}: {row['kind']}{mark}", row["n"])
            cells.setdefault(head, {})[row["classifier"]] = _cell(row)
        for (title, n), by_name in cells.items():
            line = "".join(by_name.get(name, "").rjust(30) for name in names)
            print("  " + title.ljust(48) + str(n).rjust(6) + line)


def _cell(row: dict[str, Any]) -> str:
    main = "recall" if "recall" in row else "false_route"
    low, high = row[f"{main}_95"]
    wrong = f" /{100 * row['wrong_edit']:.1f}" if "wrong_edit" in row else ""
    return f"{100 * row[main]:.1f} [{100 * low:.1f},{100 * high:.1f}]{wrong}"


def main() -> None:
    """Runs the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--weights", type=Path, default=WEIGHTS_FILE)
    parser.add_argument("--limit", type=int, default=1000, help="probes of a kind")
    parser.add_argument("--sizes", type=int, nargs="+", default=list(MEMORY_SIZES))
    parser.add_argument("--out", type=Path, default=REPORT_FILE)
    parser.add_argument("--cache", type=Path, default=None, help="an .npz to keep encodings in")
    parser.add_argument("--dtype", default="float32", help="of the encoder; float32 as served")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    encoder = CachedEncoder(
        MiniLmEncoder("auto", threads=arguments.threads, dtype=arguments.dtype), arguments.cache
    )
    trained = CalibratedFeatureClassifier.load(encoder, arguments.weights)
    classifiers: list[ScopeClassifier] = [trained, SubjectRule(), CosineThreshold()]
    counterfact = counterfact_fixture(arguments.data)
    fixtures = [
        counterfact,
        zsre_fixture(arguments.data),
        knowedit_fixture(arguments.data, "wiki_counterfact"),
        knowedit_fixture(arguments.data, "wiki_recent"),
        search_questions(arguments.data, counterfact.edits),
    ]
    rows = [
        row
        for size in arguments.sizes
        for fixture in fixtures
        for row in evaluate(
            fixture, classifiers, encoder, size=size, limit=arguments.limit, seed=arguments.seed
        )
    ]
    encoder.save()
    print_rows(rows)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    settings = {
        "weights": trained.version,
        "threshold": trained.threshold(),
        "seed": arguments.seed,
    }
    arguments.out.write_text(json.dumps({"settings": settings, "rows": rows}, indent=1) + "\n")
    print(f"\nwritten to {arguments.out}")


def _edits(path: Path, format_name: str) -> tuple[EditDraft, ...]:
    """Reads a file in which every record is one edit, so that probes find theirs by position."""
    rows = list(read_edits(path, format_name))
    refused = [row for row in rows if not isinstance(row, ReadEdit)]
    if refused:
        raise InvalidInput(f"{path}: record {refused[0].line} is no edit", field="data")
    return tuple(row.draft for row in rows if isinstance(row, ReadEdit))


def _json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
