"""Measures editors: `python -m evaluation.editors --model pocket/base --edits 1,100,500`.

Prints, for each editor and number of edits, what took, what followed in other words, what stayed,
and what it cost. Facts and phrasings come from files of facts; a probe's fact is never in the text
that the second moments are taken from.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from evaluation.edited_model import EditedModel
from evaluation.editor_probes import ALL, REPORT, TUNE, FactBook, Probes
from evaluation.machine import describe_machine
from evaluation.metrics import exact, rate
from evaluation.peak import watched_memory
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
STACKED = "stacked"
HEADS = ("editor", "edits", "efficacy", "paraphrase", "neighbours", "same_subject")
COSTS = ("perplexity_ratio", "seconds_per_edit", "peak_bytes", "delta_bytes")
STACKED_AT_ONCE = 100  # Edits of one change of the stacked protocol.


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What one change did: outcomes by metric, and its cost."""

    shares: dict[str, list[bool]]
    perplexity_ratio: float
    seconds: float  # Processor time.
    peak_bytes: int  # Growth of resident memory while the change was computed.
    delta_bytes: int


class Measured:
    """A frozen model with its probes' answers before any change."""

    def __init__(self, edited: EditedModel, text: str) -> None:
        self._edited, self._text = edited, text
        edited.wear(None)
        self._perplexity = edited.perplexity(text)

    def measure(self, probes: Probes, delta: Delta, seconds: float, peak_bytes: int) -> Outcome:
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
            peak_bytes=peak_bytes,
            delta_bytes=size_of(delta),
        )


def size_of(delta: Delta) -> int:
    """Returns how many bytes a change's numbers take."""
    parts = [part for one in delta.matrices for part in (one.left, one.right, one.full)]
    return sum(part.numel() * part.element_size() for part in parts if part is not None)


def stacked(changes: Sequence[Delta]) -> Delta:
    """Returns the sum of changes, in their order: what stacking them leaves in the weights."""
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
    part: str
    singles: int  # How many models of one edit stand behind a row of one edit.

    def probes(self, count: int) -> Probes:
        """Draws edits of facts that the frozen model knows."""
        self.edited.wear(None)
        return self.book.draw(
            count,
            seed=self.seed,
            paraphrases=self.given,
            held_out=3,
            known=lambda prompts: self.edited.answers(list(prompts)),
            part=self.part,
        )

    def corpus(self, used: frozenset[tuple[str, str]]) -> Corpus:
        """Sentences of facts that no probe asks about, with the user's text where there is one."""
        rows = [one for one in self.book.triples if (one.subject, one.relation) not in used]
        lines = [
            json.dumps({"subject": one.subject, "relation": one.relation, "object": one.object})
            for one in rows
        ]
        file = self.cache / f"facts-{self.part}-{self.seed}-{len(used)}.jsonl"
        file.write_text("\n".join(lines) + "\n", encoding="utf-8")
        facts = FactSentences(file, self.relations)
        return facts if self.text is None else Joined((facts, TextFile(self.text)))

    def workbench(self, corpus: Corpus, *, model: Any = None) -> Workbench:
        """Returns a workbench over the frozen model, or another whose moments are those of it."""
        return Workbench(
            model or self.loaded.model,
            self.loaded.tokenizer,
            fingerprint=self.loaded.fingerprint,
            settings=self.settings,
            corpus=corpus,
            cache_folder=self.cache,
        )


def run_editor(bench: Bench, measured: Measured, name: str, count: int, protocol: str) -> list[str]:
    """Returns the row of one editor at one number of edits; of one edit, the mean of many."""
    probes = bench.probes(bench.singles if count == 1 else count)
    corpus = bench.corpus(probes.used)
    work = bench.workbench(corpus)
    groups = [_single(probes, place) for place in range(len(probes.facts))]
    outcomes = []
    for group in groups if count == 1 else [probes]:
        begin = time.process_time()
        with watched_memory() as peak:
            if protocol == STACKED and count > 1:
                delta = _stack(bench, corpus, name, group)
            else:
                delta = EDITORS[name](work).compute(group.facts, _show)
        seconds = time.process_time() - begin
        outcomes.append(measured.measure(group, delta, seconds, peak.grown))
    return _row(name, count if count == 1 else len(probes.facts), outcomes)


def _stack(bench: Bench, corpus: Corpus, name: str, probes: Probes) -> Delta:
    """Computes change after change, each on the weights that the former ones left.

    As in the papers' code, the second moments stay those of the frozen model.
    """
    how = bench.settings
    bench.workbench(corpus).moments(sorted({*how.layers, how.rome_layer}), _show)
    total: list[Delta] = []
    for start in range(0, len(probes.facts), STACKED_AT_ONCE):
        bench.edited.wear(total[-1] if total else None)
        work = bench.workbench(corpus, model=bench.edited.model)
        facts = probes.facts[start : start + STACKED_AT_ONCE]
        total.append(stacked([*total[-1:], EDITORS[name](work).compute(facts, _show)]))
    return total[-1]


def _show(stage: str, done: int, total: int) -> None:
    if sys.stderr.isatty():
        sys.stderr.write(f"\r{stage} {done}/{total}          ")


def _single(probes: Probes, place: int) -> Probes:
    """One edit with its own probes; of the neighbours of all, in turn, eight at most."""
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


def _row(name: str, count: int, outcomes: Sequence[Outcome]) -> list[str]:
    cells = [name, str(count)]
    for metric in HEADS[2:]:
        found = rate(metric, [one for outcome in outcomes for one in outcome.shares[metric]])
        cells.append(
            f"{100 * found.value:.1f} ({100 * found.low:.1f}-{100 * found.high:.1f}) n={found.n}"
        )
    worst = max(outcome.perplexity_ratio for outcome in outcomes)
    seconds = sum(outcome.seconds for outcome in outcomes) / (count * len(outcomes))
    peak = max(outcome.peak_bytes for outcome in outcomes)
    size = max(outcome.delta_bytes for outcome in outcomes)
    return [*cells, f"{worst:.4f}", f"{seconds:.2f}", str(peak), str(size)]


def read_arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default=str(BUNDLE / "base"))
    parser.add_argument("--edits", default="1,20,100,500", help="numbers, parted by commas")
    parser.add_argument("--editor", default=",".join(EDITORS), help="names, parted by commas")
    parser.add_argument(
        "--protocol",
        choices=("batch", "sequential", STACKED),
        default="batch",
        help="sequential: an edition from edition 0 over all edits so far, as batch gives at each"
        " number; stacked: changes of 100 edits, each computed on the weights that the former ones"
        " left, as in the papers; for comparison",
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
    parser.add_argument("--singles", type=int, default=100, help="models behind a row of --edits 1")
    parser.add_argument(
        "--part",
        choices=(ALL, TUNE, REPORT),
        default=REPORT,
        help="whose facts are edited: a third of the subjects is for choosing settings (tune)",
    )
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
            part=args.part,
            singles=args.singles,
        )
        measured = Measured(bench.edited, args.perplexity.read_text(encoding="utf-8"))
        print(json.dumps(describe_machine()))
        print(
            json.dumps(
                {
                    **settings.as_settings(),
                    **{name: getattr(args, name) for name in ("protocol", "given", "part", "seed")},
                }
            )
        )
        print(" | ".join((*HEADS, *COSTS)), flush=True)
        for count in (int(part) for part in args.edits.split(",")):
            for name in args.editor.split(","):
                print(
                    " | ".join(run_editor(bench, measured, name, count, args.protocol)), flush=True
                )


if __name__ == "__main__":
    main()
