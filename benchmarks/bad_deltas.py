"""Does the gate refuse bad editions? `python -m benchmarks.bad_deltas`.

An honest change of facts that the model knows is computed, then spoiled in twenty ways, ten of them
gross and ten subtle, and each is asked the gate's questions with its default limits. The honest one
must pass and the twenty must be refused; what refused each is printed. Ends with 1 otherwise.
Another `--seed` draws other facts; `--part tune` takes them of the subjects that limits were chosen
by, `--part report` of the others.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.consolidation import Known, Log, candidates
from benchmarks.report import print_table, write_json
from evaluation.editor_probes import ALL, REPORT, TUNE, part_of
from memory.record import EditId
from runtime.build import BUNDLE, model_folder
from runtime.consolidation.apply import edited_parameters, full_delta
from runtime.consolidation.comparing import measure
from runtime.consolidation.contract import Delta, Fact, MatrixDelta
from runtime.consolidation.corpus import FactSentences
from runtime.consolidation.editors import EDITORS
from runtime.consolidation.gate import weigh
from runtime.consolidation.hyperparameters import (
    Hyperparameters,
    hyperparameters_for,
    with_changes,
)
from runtime.consolidation.measuring import judge, target_rows
from runtime.consolidation.phrasebook import PhraseBook
from runtime.consolidation.probes import Probes, build_probes, given_paraphrases
from runtime.consolidation.spec import GateLimits, ProbeSettings, Verdict
from runtime.consolidation.tokens import Codec
from runtime.consolidation.workbench import Workbench
from runtime.engine.editions import parameter_of, with_parameters
from runtime.engine.load import load_model
from runtime.sites import sites_of

Change = dict[str, Tensor]  # Module to its change, (d_out, d_in) float64.
FACTS, RELATIONS = BUNDLE / "facts.jsonl", BUNDLE / "relations.json"
PUSHED = 3  # Neighbours that a bleeding change pushes to an edit's answer, for each of some edits.


class Remembering:
    """The published model, which is asked the same by every gate and answers from memory."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self._known: dict[bytes, Any] = {}
        self.device = model.device
        self.config, self.generation_config = model.config, model.generation_config

    def __call__(self, *, input_ids: Tensor, **options: Any) -> Any:
        """Returns the model's output, computed once for the same tokens."""
        key = repr(tuple(input_ids.shape)).encode() + input_ids.numpy().tobytes()
        if key not in self._known:
            self._known[key] = self._model(input_ids=input_ids, **options)
        return self._known[key]


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """What changes are spoiled with."""

    honest: Change
    one_edit: Change  # The change for the first edit alone.
    bleeding: Change  # A change that gives neighbours of some edits those edits' answers.
    careless: Change  # The same edits, the old associations counted for next to nothing.
    others: Change  # The same prompts, each with the next edit's answer.
    last_module: str  # Of the last block, where the editor never writes.


class Gate:
    """One model, its edits, and the questions that every change of it is asked."""

    def __init__(self, options: argparse.Namespace, cache: Path) -> None:
        self.loaded = load_model(model_folder(options.model), device="cpu", dtype="fp32")
        self.model, self.codec = self.loaded.model, Codec(self.loaded.tokenizer)
        self.book = PhraseBook.load(str(FACTS), str(RELATIONS))
        self.corpus = FactSentences(FACTS, RELATIONS)
        self.cache, self.settings = cache, options.settings
        self.facts = self._known(options.edits, options.seed, options.part)
        self.probes = self.asked(())
        self.base = Remembering(self.model)

    def asked(self, told: Sequence[str]) -> Probes:
        """Returns the gate's questions, with what the editor was told to keep."""
        settings = ProbeSettings()
        texts = list(self.corpus.texts(4 * settings.texts, settings.seed))
        return build_probes(self.facts, self.book, texts, settings, told)

    def _known(self, count: int, seed: int, part: str) -> tuple[Fact, ...]:
        found: dict[str, Fact] = {}
        for one in candidates(seed):
            if part not in {ALL, part_of(one.subject)}:
                continue
            rows = target_rows(self.codec, [(one.prompt, one.own)])
            if one.subject in found or not judge(self.model, rows, lambda _: None)[0].greedy:
                continue
            found[one.subject] = self.fact(one, len(found))
            if len(found) == count:
                return tuple(found.values())
        raise RuntimeError(f"the model knows {len(found)} of the facts that ship; ask for fewer")

    def fact(self, one: Known, number: int) -> Fact:
        """Returns an edit as a job gives it to an editor."""
        return Fact(
            edit_id=EditId(f"edit-{number}"),
            revision=1,
            subject=one.subject,
            prompt=one.prompt,
            target=one.other,
            paraphrases=tuple(given_paraphrases(self.book, one.subject, one.prompt)),
        )

    def delta(self, facts: Sequence[Fact], editor: str, **settings: Any) -> Delta:
        """Returns what an editor makes of the facts."""
        width = self.model.config.get_text_config().hidden_size
        known: Hyperparameters = hyperparameters_for(sites_of(self.model), width)
        bench = Workbench(
            self.model,
            self.loaded.tokenizer,
            fingerprint=self.loaded.fingerprint,
            settings=replace(with_changes(known, self.settings), **settings),
            corpus=self.corpus,
            cache_folder=self.cache,
        )
        return EDITORS[editor](bench).compute(facts, lambda *_: None)

    def compute(self, facts: Sequence[Fact], editor: str, **settings: Any) -> Change:
        """Returns the change that an editor makes for the facts."""
        return change_of(self.delta(facts, editor, **settings))

    def verdict(self, change: Change) -> Verdict:
        """Asks the gate's questions of the model with a change."""
        matrices = [MatrixDelta(module=name, full=full) for name, full in change.items()]
        parameters = edited_parameters(
            lambda name: parameter_of(self.model, name), matrices, self.model.config.model_type
        )
        edition = with_parameters(self.model, parameters)
        found = measure(
            self.base, edition, self.codec, self.facts, self.probes, ProbeSettings(), lambda _: None
        )
        return weigh(self.facts, self.probes, found, GateLimits(), frozenset())

    def material(self, editor: str) -> Material:
        """Computes everything that changes are spoiled with.

        What the honest editor was told to keep is asked of every change from then on.
        """
        weight = hyperparameters_for(
            sites_of(self.model), self.model.config.get_text_config().hidden_size
        ).covariance_weight
        targets = [fact.target for fact in self.facts]
        turned = [
            replace(fact, target=target)
            for fact, target in zip(self.facts, targets[1:] + targets[:1], strict=True)
        ]
        sites = sites_of(self.model)
        honest = self.delta(self.facts, editor)
        self.probes = self.asked(honest.told)
        return Material(
            honest=change_of(honest),
            one_edit=self.compute(self.facts[:1], editor),
            bleeding=self.compute(self.bleeding(), editor),
            careless=self.compute(
                self.facts,
                editor,
                covariance_weight=weight / 1000,
                contrast_subjects=0,
                few_facts=0,
                contrast_sentences=0,
                contrast_sentences_given=0,
            ),
            others=self.compute(turned, editor),
            last_module=sites.mlp_out(sites.layers - 1),
        )

    def bleeding(self) -> list[Fact]:
        """Returns edits of neighbours: the answer of an edit, for subjects it says nothing of."""
        edited = {fact.subject for fact in self.facts}
        found = []
        for fact in self.facts[: len(self.facts) // 2]:
            near = [
                name for name in self.book.neighbours(fact.subject, fact.prompt)
                if name not in edited
            ]  # fmt: skip
            found += [
                replace(
                    fact,
                    subject=name,
                    prompt=fact.prompt.replace(fact.subject, name),
                    paraphrases=(),
                )
                for name in near[:PUSHED]
            ]
        return found


def change_of(delta: Delta) -> Change:
    """Returns an editor's change as whole matrices."""
    return {matrix.module: full_delta(matrix) for matrix in delta.matrices}


def times(change: Change, factor: float) -> Change:
    """Returns a change multiplied."""
    return {name: factor * full for name, full in change.items()}


def plus(one: Change, other: Change, factor: float = 1.0) -> Change:
    """Returns the sum of two changes, the second one multiplied."""
    zero = torch.zeros(())
    return {name: one.get(name, zero) + factor * other.get(name, zero) for name in {**one, **other}}


def noise_like(change: Change, seed: int = 0) -> Change:
    """Returns random changes with the norms of another's matrices."""
    generator = torch.Generator().manual_seed(seed)
    made: Change = {}
    for name, full in change.items():
        drawn = torch.randn(full.shape, generator=generator, dtype=full.dtype)
        made[name] = drawn * full.norm() / drawn.norm()
    return made


def moved(change: Change, by: int) -> Change:
    """Returns a change in other blocks, `by` further up."""
    made: Change = {}
    for name, full in change.items():
        parts = name.split(".")
        place = next(index for index, part in enumerate(parts) if part.isdigit())
        parts[place] = str(int(parts[place]) + by)
        made[".".join(parts)] = full
    return made


def each(change: Change, turn: Callable[[Tensor], Tensor]) -> Change:
    """Returns a change with every matrix turned into another."""
    return {name: turn(full) for name, full in change.items()}


def mixed(full: Tensor, dimension: int) -> Tensor:
    """Returns a matrix with its rows or columns in another order."""
    order = torch.randperm(full.shape[dimension], generator=torch.Generator().manual_seed(0))
    return full.index_select(dimension, order)


def coarse(full: Tensor) -> Tensor:
    """Returns a matrix of signs with the same norm."""
    signs = full.sign()
    made: Tensor = signs * full.norm() / signs.norm()
    return made


def gross(material: Material) -> Mapping[str, Change]:
    """Returns ten changes that nobody should ever write."""
    honest = material.honest
    together = torch.stack(list(honest.values())).sum(0)
    return {
        "nothing at all": times(honest, 0.0),
        "noise of the same norms": noise_like(honest),
        "ten times the change": times(honest, 10.0),
        "three times the change": times(honest, 3.0),
        "the sign flipped": times(honest, -1.0),
        "outputs in another order": each(honest, lambda full: mixed(full, 0)),
        "inputs in another order": each(honest, lambda full: mixed(full, 1)),
        "each edit gets the next one's answer": material.others,
        "everything in the last block": {material.last_module: together},
        "only the signs of its numbers": each(honest, coarse),
    }


def subtle(material: Material) -> Mapping[str, Change]:
    """Returns ten changes that look like the honest one."""
    honest = material.honest
    first = next(iter(honest))
    return {
        "one layer too high": moved(honest, 1),
        "one layer too low": moved(honest, -1),
        "half the norm too much": times(honest, 1.5),
        "one matrix three times as strong": {**honest, first: 3.0 * honest[first]},
        "one edit's sign flipped": plus(honest, material.one_edit, -2.0),
        "bleeds onto neighbours": plus(honest, material.bleeding),
        "bleeds a little onto neighbours": plus(honest, material.bleeding, 0.7),
        "old associations not kept": material.careless,
        "one matrix's sign flipped": {**honest, first: -honest[first]},
        "noise of the same norms on top": plus(honest, noise_like(honest)),
    }


def refusals(
    gate: Gate, editor: str, log: Log
) -> tuple[Verdict, list[dict[str, object]], dict[str, dict[str, float | None]]]:
    """Returns the honest change's verdict, a row for each spoiled one, and all their measures."""
    material = gate.material(editor)
    log("all changes computed")
    honest = gate.verdict(material.honest)
    log(f"the honest one {'passes' if honest.passed else 'is REFUSED: ' + honest.reason}")
    log(", ".join(f"{one.name} {one.after:.3g}" for one in honest.measures if one.count))
    rows: list[dict[str, object]] = []
    measures: dict[str, dict[str, float | None]] = {}
    for kind, made in (("gross", gross(material)), ("subtle", subtle(material))):
        for name, change in made.items():
            found = gate.verdict(change)
            log(f"{name}: {found.reason or 'PASSES'}")
            measures[name] = {one.name: one.after for one in found.measures}
            failed = [f"{m.name} {m.after:.3g}" for m in found.measures if not m.passed]
            rows.append(
                {
                    "spoiled": name,
                    "kind": kind,
                    "refused": "yes" if failed else "NO",
                    "by": ", ".join(failed),
                }
            )
    return honest, rows, measures


def main(arguments: Sequence[str] | None = None) -> int:
    """Reads the options, judges, prints and writes."""
    parser = argparse.ArgumentParser(description="Does the gate refuse bad editions?")
    parser.add_argument("--model", default="pocket/base")
    parser.add_argument("--editor", default="memit", choices=sorted(EDITORS))
    parser.add_argument(
        "--settings", type=json.loads, default={}, help="of the editor, a JSON object"
    )
    parser.add_argument("--edits", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0, help="draws the facts")
    parser.add_argument("--part", choices=(ALL, TUNE, REPORT), default=ALL, help="whose facts")
    parser.add_argument("--cache", type=Path, help="keeps second moments for another run")
    options = parser.parse_args(arguments)
    log = Log()
    with tempfile.TemporaryDirectory(prefix="errata-bench-") as folder:
        cache = options.cache or Path(folder)
        gate = Gate(options, cache)
        log(f"{len(gate.facts)} edits, such as: {gate.facts[0].prompt} {gate.facts[0].target}")
        honest, rows, found = refusals(gate, options.editor, log)
    print_table("spoiled editions", rows)
    refused = sum(row["refused"] == "yes" for row in rows)
    print(f"  {refused} of {len(rows)} refused; the honest one passes: {honest.passed}")
    measures = {one.name: one.after for one in honest.measures}
    payload = {"options": {**vars(options), "cache": None}, "rows": rows, "honest": measures}
    payload["spoiled"] = found
    print(f"written: {write_json('bad_deltas', payload)}")
    return 0 if honest.passed and refused == len(rows) else 1


if __name__ == "__main__":
    raise SystemExit(main())
