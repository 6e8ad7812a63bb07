"""Measures editors: `python -m evaluation.editors --model pocket/base --edits 1,100,500`.

Prints, for each editor and number of edits, what took, what followed in other words, what stayed,
and what it cost. Facts and phrasings come from files of facts; a probe's fact is never in the text
that the second moments are taken from.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from evaluation.edited_model import EditedModel
from evaluation.editor_probes import FactBook, Probes
from evaluation.machine import describe_machine
from evaluation.metrics import exact, rate
from runtime.consolidation.contract import Delta, MatrixDelta
from runtime.consolidation.corpus import Corpus, FactSentences, Joined, TextFile
from runtime.consolidation.editors import EDITORS
from runtime.consolidation.hyperparameters import (
    Hyperparameters,
    hyperparameters_for,
    rule,
    with_changes,
)
from runtime.consolidation.workbench import Workbench
from runtime.engine.load import LoadedModel, load_model
from runtime.sites import sites_of

HERE = Path(__file__).resolve().parent
BUNDLE = HERE.parent / "pocket"
SINGLE_EDITS = 30  # How many models of one edit stand behind a row of `--edits 1`.
HEADS = ("editor", "edits", "efficacy", "paraphrase", "neighbours", "same_subject")
COSTS = ("perplexity_ratio", "seconds_per_edit", "peak_bytes", "rank")


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What one change did: outcomes by metric, and its cost."""

    shares: dict[str, list[bool]]
    perplexity_ratio: float
    seconds: float
    rank: int


class Measured:
    """A frozen model with its probes' answers before any change."""

    def __init__(self, edited: EditedModel, text: str) -> None:
        self._edited, self._text = edited, text
        edited.wear(None)
        self._perplexity = edited.perplexity(text)

    def measure(self, probes: Probes, delta: Delta, seconds: float) -> Outcome:
        """Asks the changed model; what should stay is compared with the frozen one's answers."""
        self._edited.wear(None)
        near = self._edited.answers(probes.neighbours)
        same = self._edited.answers(probes.same_subject)
        self._edited.wear(delta)
        said = self._edited.answers([fact.prompt for fact in probes.facts])
        other = self._edited.answers([prompt for prompt, _ in probes.paraphrases])
        near_now = self._edited.answers(probes.neighbours)
        same_now = self._edited.answers(probes.same_subject)
        return Outcome(
            shares={
                "efficacy": [
                    exact(a, fact.target) for a, fact in zip(said, probes.facts, strict=True)
                ],
                "paraphrase": [
                    exact(a, goal) for a, (_, goal) in zip(other, probes.paraphrases, strict=True)
                ],
                "neighbours": [a == b for a, b in zip(near, near_now, strict=True)],
                "same_subject": [a == b for a, b in zip(same, same_now, strict=True)],
            },
            perplexity_ratio=self._edited.perplexity(self._text) / self._perplexity,
            seconds=seconds,
            rank=max(_rank(matrix) for matrix in delta.matrices),
        )


def _rank(matrix: MatrixDelta) -> int:
    """Rank of a change: of its factors, or counted."""
    if matrix.right is not None:
        return len(matrix.right)
    assert matrix.full is not None
    return int(torch.linalg.matrix_rank(matrix.full.double()))


def stacked(changes: Sequence[Delta]) -> Delta:
    """Returns the sum of changes: what the papers' sequential protocol leaves in the weights."""
    total: dict[str, torch.Tensor] = {}
    for change in changes:
        for matrix in change.matrices:
            if matrix.left is not None and matrix.right is not None:
                full = matrix.left.double() @ matrix.right.double()
            else:
                assert matrix.full is not None
                full = matrix.full.double()
            total[matrix.module] = total.get(matrix.module, torch.zeros_like(full)) + full
    matrices = tuple(MatrixDelta(module=name, full=full) for name, full in total.items())
    reports = tuple(report for change in changes for report in change.reports)
    return Delta(matrices=matrices, reports=reports, settings=changes[0].settings)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """What a run needs: model, facts, settings and where the corpus comes from."""

    loaded: LoadedModel
    edited: EditedModel
    book: FactBook
    settings: Hyperparameters
    relations: Path
    text: Path | None
    cache: Path
    given: int
    seed: int

    def probes(self, count: int) -> Probes:
        """Draws edits of facts that the frozen model knows."""
        self.edited.wear(None)
        return self.book.draw(
            count,
            seed=self.seed,
            paraphrases=self.given,
            held_out=3,
            known=lambda prompts: self.edited.answers(list(prompts)),
        )

    def corpus(self, used: frozenset[tuple[str, str]]) -> Corpus:
        """Sentences of facts that no probe asks about, with the user's text where there is one."""
        rows = [one for one in self.book.triples if (one.subject, one.relation) not in used]
        lines = [
            json.dumps({"subject": one.subject, "relation": one.relation, "object": one.object})
            for one in rows
        ]
        file = self.cache / f"facts-{self.seed}-{len(used)}.jsonl"
        file.write_text("\n".join(lines) + "\n", encoding="utf-8")
        facts = FactSentences(file, self.relations)
        return facts if self.text is None else Joined((facts, TextFile(self.text)))

    def workbench(self, corpus: Corpus) -> Workbench:
        """Returns a workbench over the frozen model."""
        return Workbench(
            self.loaded.model,
            self.loaded.tokenizer,
            fingerprint=self.loaded.fingerprint,
            settings=self.settings,
            corpus=corpus,
            cache_folder=self.cache,
        )


def run_editor(bench: Bench, measured: Measured, name: str, count: int, protocol: str) -> list[str]:
    """Returns the row of one editor at one number of edits; of one edit, the mean of many."""
    probes = bench.probes(SINGLE_EDITS if count == 1 else count)
    work = bench.workbench(bench.corpus(probes.used))
    editor = EDITORS[name](work)
    if count == 1:
        groups = [_single(probes, place) for place in range(len(probes.facts))]
        outcomes = [_one(measured, editor.compute, probes_, [probes_]) for probes_ in groups]
    elif protocol == "stacked":
        batches = [_batch(probes, start) for start in range(0, len(probes.facts), 100)]
        outcomes = [_one(measured, editor.compute, probes, batches)]
    else:
        outcomes = [_one(measured, editor.compute, probes, [probes])]
    return _row(name, count if count == 1 else len(probes.facts), outcomes)


def _one(measured: Measured, compute, probes: Probes, batches: Sequence[Probes]) -> Outcome:  # type: ignore[no-untyped-def]  # noqa: ANN001
    begin = time.perf_counter()
    changes = [compute(batch.facts, _show) for batch in batches]
    seconds = time.perf_counter() - begin
    whole = changes[0] if len(changes) == 1 else stacked(changes)
    return measured.measure(probes, whole, seconds)


def _show(stage: str, done: int, total: int) -> None:
    if sys.stderr.isatty():
        sys.stderr.write(f"\r{stage} {done}/{total}          ")


def _single(probes: Probes, place: int) -> Probes:
    """One edit with its own probes; the neighbours are those of all, two of them in turn."""
    each = len(probes.paraphrases) // len(probes.facts)
    near, count = probes.neighbours, len(probes.neighbours)
    fact = probes.facts[place]
    return replace(
        probes,
        facts=(fact,),
        paraphrases=probes.paraphrases[place * each : (place + 1) * each],
        neighbours=tuple(near[(2 * place + turn) % count] for turn in range(min(8, count))),
        same_subject=tuple(prompt for prompt in probes.same_subject if fact.subject in prompt),
    )


def _batch(probes: Probes, start: int) -> Probes:
    return replace(probes, facts=probes.facts[start : start + 100])


def _row(name: str, count: int, outcomes: Sequence[Outcome]) -> list[str]:
    cells = [name, str(count)]
    for metric in HEADS[2:]:
        found = rate(metric, [one for outcome in outcomes for one in outcome.shares[metric]])
        cells.append(
            f"{100 * found.value:.1f} ({100 * found.low:.1f}-{100 * found.high:.1f}) n={found.n}"
        )
    worst = max(outcome.perplexity_ratio for outcome in outcomes)
    seconds = sum(outcome.seconds for outcome in outcomes) / (count * len(outcomes))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return [*cells, f"{worst:.4f}", f"{seconds:.2f}", str(peak), str(outcomes[0].rank)]


def read_arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default=str(BUNDLE / "base"))
    parser.add_argument("--edits", default="1,20,100,500", help="numbers, parted by commas")
    parser.add_argument("--editor", default=",".join(EDITORS), help="names, parted by commas")
    parser.add_argument(
        "--protocol",
        choices=("batch", "sequential", "stacked"),
        default="batch",
        help="sequential: an edition from edition 0 over all edits so far, as batch gives at each"
        " number; stacked: changes of 100 edits added up as in the papers, for comparison",
    )
    parser.add_argument("--facts", type=Path, default=BUNDLE / "facts.jsonl")
    parser.add_argument("--relations", type=Path, default=BUNDLE / "relations.json")
    parser.add_argument("--given", type=int, default=0, help="paraphrases that the editor is given")
    parser.add_argument(
        "--text", type=Path, help="running text for the second moments, beside facts"
    )
    parser.add_argument("--perplexity", type=Path, default=HERE / "running_text.txt")
    parser.add_argument("--cache", type=Path, help="keeps second moments; default: a temporary one")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=JSON", help="a setting")
    parser.add_argument("--rule", action="store_true", help="the rule's values, not the table's")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Prints the table, one row an editor and number of edits."""
    args = read_arguments(argv)
    torch.set_num_threads(args.threads)
    loaded = load_model(args.model, device="cpu")
    sites = sites_of(loaded.model)
    base = (
        rule(sites.layers)
        if args.rule
        else hyperparameters_for(sites, int(loaded.model.config.hidden_size))
    )
    changes = dict(one.split("=", 1) for one in args.set)
    settings = with_changes(base, {name: json.loads(text) for name, text in changes.items()})
    with tempfile.TemporaryDirectory() as folder:
        cache = args.cache or Path(folder)
        cache.mkdir(parents=True, exist_ok=True)
        bench = Bench(
            loaded=loaded,
            edited=EditedModel(loaded.model, loaded.tokenizer),
            book=FactBook(args.facts, args.relations),
            settings=settings,
            relations=args.relations,
            text=args.text,
            cache=cache,
            given=args.given,
            seed=args.seed,
        )
        measured = Measured(bench.edited, args.perplexity.read_text(encoding="utf-8"))
        print(json.dumps(describe_machine()))
        print(
            json.dumps({**settings.as_settings(), "protocol": args.protocol, "given": args.given})
        )
        print(" | ".join((*HEADS, *COSTS)), flush=True)
        for count in (int(part) for part in args.edits.split(",")):
            for name in args.editor.split(","):
                print(
                    " | ".join(run_editor(bench, measured, name, count, args.protocol)), flush=True
                )


if __name__ == "__main__":
    main()
