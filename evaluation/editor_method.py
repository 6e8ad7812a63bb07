"""Methods that write edits into the weights: an edition, asked through the server's engine.

The edition is computed from edition 0 over all edits that hold, or, for comparison, as the papers'
sequential protocol does: each batch on the weights that the former ones left. Finished editions are
kept in the run's folder, so that an interrupted run does not compute them again.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import json
import logging
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from evaluation.edited_model import perplexity
from evaluation.editors import stacked
from evaluation.method import REFUSED, Asked, Routed, Said, Scored, Want, refused
from evaluation.metrics import Rate, mean, token_share
from evaluation.peak import watched_memory
from evaluation.probes import Probe, fingerprint
from evaluation.scopes import NOTHING
from evaluation.workbench import patiently
from memory.errors import ContextTooLong, InvalidInput
from memory.record import EditDraft, EditId
from runtime.build import BUNDLE, Runtime, model_folder
from runtime.consolidation.apply import edited_parameters
from runtime.consolidation.contract import Delta, Fact
from runtime.consolidation.corpus import Corpus, FactSentences, TextFile
from runtime.consolidation.editors import EDITORS
from runtime.consolidation.hyperparameters import (
    Hyperparameters,
    hyperparameters_for,
    with_changes,
)
from runtime.consolidation.spec import read_delta, write_delta
from runtime.consolidation.workbench import Workbench
from runtime.continuations import score_continuations
from runtime.engine.contract import EngineRequest, Sampling, ScoredContinuation
from runtime.engine.editions import with_parameters
from runtime.engine.load import LoadedModel, load_model
from runtime.engine.stream import collect
from runtime.sites import sites_of

log = logging.getLogger(__name__)

RUNNING_TEXT = Path(__file__).resolve().parent / "running_text.txt"
FIRST_EDITION = 1_000_000  # Far above what a server's own store numbers.
COST = "cost.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What an edition took, and what running text says of it."""

    seconds: float  # Processor time of computing; of all steps where there were several.
    edits: int
    peak_bytes: int  # Growth of resident memory while computing, at most.
    perplexity_ratio: float  # Of running text, edition over edition 0.


@dataclass(frozen=True, slots=True, kw_only=True)
class Edition:
    """A change with its cost."""

    delta: Delta
    cost: Cost


def costs_as_rates(costs: Sequence[Cost]) -> list[Rate]:
    """Returns the costs of a block's editions as figures."""
    return [
        mean("perplexity_ratio", [one.perplexity_ratio for one in costs]),
        mean("seconds_per_edit", [one.seconds / max(1, one.edits) for one in costs]),
        mean("peak_bytes", [float(one.peak_bytes) for one in costs]),
    ]


class EditorLab:
    """Computes editions beside a runtime, on a copy of its model that nobody else uses."""

    def __init__(self, runtime: Runtime, folder: Path, changes: Mapping[str, object]) -> None:
        self.runtime = runtime
        self._folder, self._changes = folder, dict(changes)
        self._numbers = itertools.count(FIRST_EDITION)

    @cached_property
    def loaded(self) -> LoadedModel:
        """The lab's own copy of the served model."""
        model = self.runtime.settings.model
        return load_model(model_folder(model.name), device="cpu", dtype=model.dtype)

    @cached_property
    def settings(self) -> Hyperparameters:
        """The editors' settings. Raises InvalidInput for an unknown name or a bad value."""
        model = self.loaded.model
        base = hyperparameters_for(sites_of(model), model.config.get_text_config().hidden_size)
        return with_changes(base, self._changes)

    @cached_property
    def corpus(self) -> Corpus:
        """What the second moments are taken from: the server's setting."""
        given = self.runtime.settings.consolidation.corpus
        if given is not None:
            return TextFile(given)
        return FactSentences(BUNDLE / "facts.jsonl", BUNDLE / "relations.json")

    @property
    def fingerprint(self) -> list[object]:
        """All that an edition depends on besides editor and edits."""
        return [self.settings.as_settings(), self.corpus.digest, self.loaded.fingerprint]

    def compute(self, name: str, edits: Sequence[EditDraft]) -> Edition:
        """Returns the edition over these edits from edition 0, from the folder where it is there.

        Raises ConsolidationFailed.
        """
        content = json.dumps([name, self.fingerprint, _content(edits)], sort_keys=True, default=str)
        folder = self._folder / hashlib.sha256(content.encode()).hexdigest()[:24]
        cost = folder / COST
        delta = read_delta(folder) if cost.exists() else None
        if delta is not None:
            return Edition(delta=delta, cost=Cost(**json.loads(cost.read_text("utf-8"))))
        made = self._made(name, edits, {}, [])
        folder.mkdir(parents=True, exist_ok=True)
        write_delta(folder, made.delta)
        beside = cost.with_suffix(".part")  # A kill leaves no half of it.
        beside.write_text(json.dumps(asdict(made.cost)), encoding="utf-8")
        beside.replace(cost)
        return made

    def stack(self, name: str, before: Sequence[Edition], edits: Sequence[EditDraft]) -> Edition:
        """Returns the sum of what holds and of a change computed on the weights that it left.

        The second moments stay those of edition 0, as in the papers' code.
        """
        changes = [one.delta for one in before]
        parameters = self.parameters(changes[-1]) if changes else {}
        return self._made(name, edits, parameters, before)

    def parameters(self, delta: Delta) -> dict[str, Any]:
        """Returns an edition's matrices, round(W0 + Δ)."""
        model = self.loaded.model
        return edited_parameters(model.get_parameter, delta.matrices, model.config.model_type)

    def host(self, delta: Delta) -> tuple[int, object]:
        """Makes an edition known to the server's engine; returns its number and what holds it."""
        add = getattr(self.runtime.engine, "add_edition", None)
        if add is None:
            raise InvalidInput(
                "this engine keeps no editions; expected one that does", field="model"
            )
        number = next(self._numbers)
        return number, add(number, self.parameters(delta))

    def _made(
        self,
        name: str,
        edits: Sequence[EditDraft],
        parameters: Mapping[str, Any],
        before: Sequence[Edition],
    ) -> Edition:
        base = self._bench(self.loaded.model)
        begin = time.process_time()  # Whatever else the machine does.
        with watched_memory() as peak:
            if parameters:  # Leaves the moments of edition 0 where the other bench finds them.
                layers = {*self.settings.layers, self.settings.rome_layer}
                base.moments(sorted(layers), lambda *_: None)
            model = with_parameters(self.loaded.model, parameters) if parameters else None
            bench = base if model is None else self._bench(model)
            delta = EDITORS[name](bench).compute(_facts(edits), lambda *_: None)
        seconds = time.process_time() - begin
        if before:
            delta = stacked([before[-1].delta, delta])
        cost = Cost(
            seconds=seconds + (before[-1].cost.seconds if before else 0.0),
            edits=len(edits) + (before[-1].cost.edits if before else 0),
            peak_bytes=max([peak.grown, *(one.cost.peak_bytes for one in before[-1:])]),
            perplexity_ratio=self._ratio(delta),
        )
        return Edition(delta=delta, cost=cost)

    def _bench(self, model: Any) -> Workbench:
        return Workbench(
            model,
            self.loaded.tokenizer,
            fingerprint=self.loaded.fingerprint,
            settings=self.settings,
            corpus=self.corpus,
            cache_folder=self._folder / "moments",
        )

    def _ratio(self, delta: Delta) -> float:
        model = with_parameters(self.loaded.model, self.parameters(delta))
        return perplexity(model, self.loaded.tokenizer, self._text) / self._perplexity

    @cached_property
    def _text(self) -> str:
        return RUNNING_TEXT.read_text(encoding="utf-8")

    @cached_property
    def _perplexity(self) -> float:
        return perplexity(self.loaded.model, self.loaded.tokenizer, self._text)


class EditorMethod:
    """Implements evaluation.method.Method: all edits in one edition of the weights."""

    scope = NOTHING

    def __init__(
        self,
        lab: EditorLab,
        name: str,
        *,
        sampling: Sampling,
        stacks: bool = False,
        step: int | None = None,
    ) -> None:
        """Takes how many records are put into force at a time where changes are stacked."""
        if name not in EDITORS:
            raise InvalidInput(
                f"unknown editor {name!r}; known are {', '.join(EDITORS)}", field="method"
            )
        self.name, self.lab, self.sampling, self.stacks = name, lab, sampling, stacks
        self._step = step if stacks else None
        self._costs: dict[str, Cost] = {}

    @property
    def fingerprint(self) -> str:
        """Settings, corpus and weights of the editor, sampling, and how editions follow."""
        parts = [self.lab.fingerprint, asdict(self.sampling), self.stacks, self._step]
        return json.dumps(parts, sort_keys=True, default=str)

    def hold(self, edits: Sequence[EditDraft]) -> HeldEdition:
        """Computes the edition over the edits and makes it known to the engine."""
        return HeldEdition(self, edits)

    def cost(self, edits: Sequence[EditDraft]) -> Cost:
        """Returns what the edition over these edits took, computing it when it is not known."""
        name = _as_set(edits)
        if name not in self._costs:
            self._costs[name] = self.lab.compute(self.name, edits).cost
        return self._costs[name]

    def keep_cost(self, edits: Sequence[EditDraft], cost: Cost) -> None:
        """Notes what an edition took."""
        self._costs[_as_set(edits)] = cost


class HeldEdition:
    """Implements evaluation.method.Held: edits in an edition that the engine hosts."""

    def __init__(self, method: EditorMethod, edits: Sequence[EditDraft]) -> None:
        self._method, self._lab = method, method.lab
        self._engine = method.lab.runtime.engine
        self._edits: list[EditDraft] = []
        self._steps: list[Edition] = []
        self._edition = 0
        self._holder: object = None
        self.add(edits)

    def add(self, edits: Sequence[EditDraft]) -> None:
        """Makes the next edition: from edition 0 over all edits, or stacked on the former."""
        if not edits:
            return
        name = self._method.name
        self._edits += edits
        if self._method.stacks:
            made = self._lab.stack(name, self._steps, edits)
        else:
            made = self._lab.compute(name, self._edits)
        spent = 0.0 if self._method.stacks else sum(one.cost.seconds for one in self._steps)
        self._steps.append(made)
        cost = Cost(**{**asdict(made.cost), "seconds": made.cost.seconds + spent})
        self._method.keep_cost(self._edits, cost)
        self._edition, self._holder = self._lab.host(made.delta)

    def close(self) -> None:
        """Lets the engine forget the edition."""
        self._edition, self._holder = 0, None

    async def ask(self, probe: Probe, own: Sequence[EditId], want: Want) -> Asked:
        """Decodes and scores on the edition; nothing is routed."""
        del own
        try:
            return await self._ask(probe, want)
        except ContextTooLong as error:
            log.warning("refused: %s (%s)", probe.prompt[:80], error)
            return refused(Routed(edited=False, path=REFUSED, reason=str(error)), want)

    async def _ask(self, probe: Probe, want: Want) -> Asked:
        routed = Routed(edited=False, path=self._method.name, reason="In the weights.")
        said = await patiently(lambda: asyncio.to_thread(self._say, probe)) if want.say else None
        scored = None
        if want.score and probe.answers:
            scored = await patiently(lambda: asyncio.to_thread(self._score, probe))
        return Asked(routed=routed, said=said, scored=scored)

    def _prompt(self, probe: Probe) -> tuple[int, ...]:
        if probe.messages:
            return tuple(self._engine.tokenize_chat(probe.messages))
        return tuple(self._engine.tokenize(probe.prompt))

    def _say(self, probe: Probe) -> Said:
        request = EngineRequest(
            request_id=f"{self._method.name}-{probe.key}",
            prompt_tokens=self._prompt(probe),
            sampling=self._method.sampling,
            edition=self._edition,
        )
        text, tokens, end = collect(self._engine, request)
        ids = tuple(token.token_id for token in tokens)
        return Said(text=text, token_ids=ids, finish=end.reason.value)

    def _score(self, probe: Probe) -> Scored:
        texts = [f" {probe.answers[0]}", *([f" {probe.former}"] if probe.former else [])]
        scores = score_continuations(self._engine, self._prompt(probe), texts, self._edition)
        return Scored(
            target_nll=_nll(scores[0]),
            target_share=token_share(scores[0].greedy),
            former_nll=_nll(scores[1]) if len(scores) > 1 else None,
        )


def _facts(edits: Sequence[EditDraft]) -> list[Fact]:
    """Returns the edits as facts; one whose prompt lacks its subject cannot be written."""
    facts = [
        Fact(
            edit_id=edit.edit_id or EditId(f"e-{place}"),
            revision=1,
            subject=edit.subject,
            prompt=edit.prompt,
            target=edit.target,
            former=edit.former,
        )
        for place, edit in enumerate(edits)
        if edit.subject.casefold() in edit.prompt.casefold()
    ]
    if len(facts) < len(edits):
        log.warning(
            "%d of %d edits are not written: their prompts lack their subjects",
            len(edits) - len(facts),
            len(edits),
        )
    return facts


def _as_set(edits: Sequence[EditDraft]) -> str:
    """Names edits whatever their order."""
    return fingerprint(sorted(edits, key=lambda edit: str(edit.edit_id)))


def _content(edits: Sequence[EditDraft]) -> list[list[str | None]]:
    return [[edit.subject, edit.prompt, edit.target, edit.former] for edit in edits]


def _nll(scored: ScoredContinuation) -> float:
    found = -sum(scored.logprobs) / max(1, len(scored.logprobs))
    return found if math.isfinite(found) else math.inf
