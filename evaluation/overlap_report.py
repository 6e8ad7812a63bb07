"""How often an overlap is told that is one, and how often one is told that is none.

    python -m evaluation.overlap_report --data DATA

Subjects of CounterFact's train file get an edit in a relation that no classifier was trained or
fitted on, beside edits in other relations, all in one memory. Then edits are looked at, as a dry
run does, that ask the same in another wording with another answer, or something else. zsRE's
questions stand beside their rephrasings: of the train file, which the classifier has seen, and of
the dev file, which it has not; there nobody has said which other edits of a subject ask the same.
Rates have their two-sided 95% Clopper-Pearson interval; no model generates.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

import numpy as np

from classifiers.calibration import binomial_interval
from classifiers.phrasebook import TEST, Phrasebook, load_phrasebook
from memory.conflicts import same_text
from memory.contracts import Encoder
from memory.edit_memory import EditMemory
from memory.encoder import MiniLmEncoder
from memory.errors import InvalidInput
from memory.readers.read import read_edits
from memory.readers.row import ReadEdit
from memory.record import ConflictPolicy, EditDraft
from memory.validate import check_mention
from runtime.build import CLASSIFIERS, named
from runtime.overlaps import OverlapFinder
from runtime.scoping import ScopeStage

REPORT_FILE = Path("evaluation/out/overlap_report.json")
CANDIDATES = 16  # As served.
BATCH = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """An edit to be looked at, and the target of the edit of its subject that it overlaps."""

    kind: str
    draft: EditDraft
    contradicts: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """What stands in the memory, and what is looked at."""

    name: str
    held: tuple[EditDraft, ...]
    trials: tuple[Trial, ...]


def relations_bench(data: Path, book: Phrasebook, *, beside: int, limit: int, seed: int) -> Bench:
    """Edits in held-out relations, each beside `beside` edits of its subject in others."""
    random = Random(seed)  # Samples, no secrets.
    relation_of, tested = book.relation_by_phrase(), book.only(TEST)
    held: list[EditDraft] = []
    trials: list[Trial] = []
    for edit in _drafts(data / "counterfact/train.json", "counterfact"):
        if len(trials) >= 2 * limit:
            break
        types = book.types_of(relation_of.get(edit.prompt.replace(edit.subject, "{}").strip(), ""))
        known = [
            relation
            for relation in (tested.relations_of[types[0]] if types else ())
            if min(len(book.phrases[relation]), len(book.answers.get(relation, ()))) > 1
        ]
        if not known:
            continue
        relation = random.choice(known)
        others = _apart(book, [relation], book.relations_of[types[0]], beside + 1, random)
        told, asked = random.sample(book.phrases[relation], 2)
        answer, other_answer = random.sample(book.answers[relation], 2)
        made = [_filled(edit.subject, told, answer)]
        made += [_drawn(book, edit.subject, other, random) for other in others[:beside]]
        held += made
        again = _filled(edit.subject, asked, other_answer)
        trials.append(Trial(kind="same question, other wording", draft=again, contradicts=answer))
        if len(others) > beside:
            apart = _drawn(book, edit.subject, others[-1], random)
            trials.append(Trial(kind="another question", draft=apart, contradicts=None))
    return Bench(name="held-out relations", held=tuple(held), trials=tuple(trials))


def zsre_bench(path: Path, *, limit: int) -> Bench:
    """Each question with its new answer; then its rephrasing with the old one."""
    held: list[EditDraft] = []
    trials: list[Trial] = []
    for record in json.loads(path.read_text(encoding="utf-8")):
        subject, asked = record["subject"], record["rephrase"]
        new, old = record["alt"].strip(), record["answers"][0]
        usable = _mentions(record["src"], subject) and _mentions(asked, subject)
        if len(trials) < limit and usable and not same_text(record["src"], asked):
            held.append(EditDraft(subject=subject, prompt=record["src"], target=new))
            if not same_text(new, old):
                again = EditDraft(subject=subject, prompt=asked, target=old)
                trials.append(
                    Trial(kind="same question, other wording", draft=again, contradicts=new)
                )
    return Bench(name=f"zsRE {path.stem}", held=tuple(held), trials=tuple(trials))


def measure(bench: Bench, encoder: Encoder, scope: ScopeStage) -> Iterator[dict[str, object]]:
    """Yields a row for each kind of trial: how many were told, and how many others."""
    finder = OverlapFinder(scope)
    with (
        tempfile.TemporaryDirectory() as folder,
        EditMemory.open(Path(folder), encoder=encoder) as memory,
    ):
        for start in range(0, len(bench.held), BATCH):
            drafts = bench.held[start : start + BATCH]
            memory.create_batch(drafts, on_conflict=ConflictPolicy.SKIP)
        snapshot = memory.snapshot()
        for kind in dict.fromkeys(trial.kind for trial in bench.trials):
            told, wrong, pairs, spent_ms = 0, 0, 0, []
            trials = [trial for trial in bench.trials if trial.kind == kind]
            for trial in trials:
                result = memory.create(
                    trial.draft, on_conflict=ConflictPolicy.SUPERSEDE, validate_only=True
                )
                begun = time.perf_counter()
                found = finder.find(result.edits[0], snapshot)
                spent_ms.append((time.perf_counter() - begun) * 1000)
                right = [o for o in found if _is_meant(trial, o.edit.subject, o.edit.target)]
                told += bool(right)
                wrong += len(found) > len(right)
                pairs += len(found) - len(right)
            contradict = trials[0].contradicts is not None
            yield {
                "data": bench.name, "kind": kind, "n": len(trials), "in memory": len(bench.held),
                "told": rate(told, len(trials)) if contradict else "-",
                "others told": rate(wrong, len(trials)), "other pairs": pairs,
                "ms p50": round(float(np.percentile(spent_ms, 50)), 1),
            }  # fmt: skip


def rate(count: int, trials: int) -> str:
    """Returns a share in percent with its interval."""
    low, high = binomial_interval(count, trials)
    return f"{100 * count / trials:.1f} [{100 * low:.1f},{100 * high:.1f}]"


def _is_meant(trial: Trial, subject: str, target: str) -> bool:
    return subject == trial.draft.subject and target == trial.contradicts


def _mentions(prompt: str, subject: str) -> bool:
    """Whether an edit about the subject may have the prompt."""
    try:
        check_mention(prompt, (subject,), at="")
    except InvalidInput:
        return False
    return True


def _apart(
    book: Phrasebook, taken: list[str], known: Sequence[str], count: int, random: Random
) -> list[str]:
    """Draws relations that ask for something else than those taken and than each other."""
    chosen: list[str] = []
    for relation in random.sample(list(known), len(known)):
        if len(chosen) == count:
            break
        if all(book.differ(relation, other) for other in (*taken, *chosen)):
            chosen.append(relation)
    return chosen


def _drawn(book: Phrasebook, subject: str, relation: str, random: Random) -> EditDraft:
    answers = book.answers.get(relation) or ("something else",)
    return _filled(subject, random.choice(book.phrases[relation]), random.choice(answers))


def _filled(subject: str, phrase: str, target: str) -> EditDraft:
    return EditDraft(subject=subject, prompt=phrase.replace("{}", subject), target=target)


def _drafts(path: Path, format_name: str) -> Iterator[EditDraft]:
    return (row.draft for row in read_edits(path, format_name) if isinstance(row, ReadEdit))


def main() -> None:
    """Runs the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--scope", default="two_stage", help="a classifier by name")
    parser.add_argument("--relations", type=Path, default=Path("pocket/relations.json"))
    parser.add_argument("--beside", type=int, default=4, help="other edits of each subject")
    parser.add_argument("--limit", type=int, default=500, help="trials of a kind")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    encoder = MiniLmEncoder("auto", threads=arguments.threads)
    scope = ScopeStage(
        encoder=encoder,
        classifier=named(CLASSIFIERS, arguments.scope, "--scope")(encoder),
        candidates=CANDIDATES,
        error_budget=None,
        namespace_budgets={},
        clock=time.perf_counter,
    )
    book = load_phrasebook(arguments.data, arguments.relations)
    limit = arguments.limit
    benches = (
        relations_bench(
            arguments.data, book, beside=arguments.beside, limit=limit, seed=arguments.seed
        ),
        zsre_bench(arguments.data / "zsre/train_1k.json", limit=limit),
        zsre_bench(arguments.data / "zsre/dev.json", limit=limit),
    )
    rows = []
    for bench in benches:
        for row in measure(bench, encoder, scope):
            rows.append(row)
            print("  ".join(f"{name}: {value}" for name, value in row.items()), flush=True)
    encoder.close()
    REPORT_FILE.parent.mkdir(parents=True, exist_ok=True)
    REPORT_FILE.write_text(json.dumps({"seed": arguments.seed, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
