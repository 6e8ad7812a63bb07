"""One run: reads the data, builds the server's parts, asks every method, writes what came of it.

Order: for each number of edits, for each memory of so many, for each method, all probes. The
journal makes every answer durable; tables and report are made anew at the end of each run.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from evaluation.asking import Asker, Block, Setting, Task, check_kinds, tasks_of
from evaluation.editor_method import EditorLab, EditorMethod, costs_as_rates
from evaluation.extras import read_far, read_fillers, read_labels, shipped, with_turns
from evaluation.fluency import SAMPLING, fluency_tasks, ngram_entropy
from evaluation.groups import Group, make_groups
from evaluation.journal import Journal
from evaluation.latency import WARM_UP, quantile, time_editing, time_routing
from evaluation.memory_method import NO_EDITS, MemoryMethod
from evaluation.method import Method, Said, Want
from evaluation.metrics import Rate, mean
from evaluation.options import Options
from evaluation.outcome import Outcome
from evaluation.plan import method_pairs
from evaluation.probes import Dataset, Probe
from evaluation.readers.read import read_dataset
from evaluation.reference import compare_with_transformers
from evaluation.result import Progress, Result
from evaluation.same_fact import SameFact
from evaluation.scopes import BM25, NOTHING
from evaluation.sequential import ask_sequentially
from evaluation.sources import code_version
from evaluation.summary import summarise
from evaluation.table import make_rows
from evaluation.workbench import Workbench
from memory.errors import InvalidInput, StartupError
from memory.record import EditDraft
from runtime.build import Runtime, build_runtime, counterfactual_model, model_folder
from runtime.config import POCKET_COUNTERFACTUAL, Settings, read_settings
from runtime.consolidation.editors import EDITORS
from runtime.engine.contract import Sampling

log = logging.getLogger(__name__)

STACKED = "stacked"
STEPWISE = ("sequential", STACKED)


def run(
    options: Options,
    progress: Progress,
    *,
    build: Callable[[Settings], Runtime] = build_runtime,
) -> Result:
    """Runs an evaluation to its end. Raises InvalidInput, StartupError."""
    _check_protocol(options)
    data = read_dataset(options.dataset, options.file)
    fillers = read_fillers(options.fillers) if options.fillers else ()
    far = read_far(options.far) if options.far else ()
    labelled = options.labels or shipped(data, "labels")
    labels = read_labels(labelled, data) if labelled else {}
    turns = options.turns or shipped(data, "turns")
    if turns:
        data = with_turns(data, turns)
    check_kinds(options.kinds, data.records[: options.limit], far)
    sizes = (1,) if options.protocol == "single" else options.edits
    plans = {size: _groups(options, data, size, fillers, far) for size in sizes}
    runtime = build(server_settings(options))
    try:
        code = code_version()
        with Journal(options.out / "answers.jsonl", code, any_code=options.any_code) as journal:
            bench = Workbench(runtime)
            try:
                one = _Run(
                    options,
                    data=data,
                    bench=bench,
                    journal=journal,
                    labels=labels,
                    progress=progress,
                )
                return asyncio.run(one.everything(plans, far))
            finally:
                bench.close()
    finally:
        runtime.close()


def _check_protocol(options: Options) -> None:
    others = [name for name in options.methods if name not in (*EDITORS, NO_EDITS)]
    if options.protocol == STACKED and others:
        raise InvalidInput(
            f"--protocol {STACKED} with --method {', '.join(others)}: only editors stack changes of"
            f" weights; expected some of {', '.join(EDITORS)}",
            field="protocol",
        )


def server_settings(options: Options) -> Settings:
    """The server's settings: the caller's, a memory of the run's own, room for all probes.

    The counterfactual model is loaded where some method may need it and it is there.
    """
    flags = {name: dict(fields) for name, fields in options.settings.items()}
    flags["memory"] = {**flags.get("memory", {}), "directory": options.out / "memory"}
    flags["model"] = {"queue_max": 8 * options.at_once, **flags.get("model", {})}
    settings = read_settings(flags)
    shipped_there = Path(model_folder(POCKET_COUNTERFACTUAL)).is_dir()
    if counterfactual_model(settings) is None and shipped_there:
        flags["counterfactual"] = {"model": POCKET_COUNTERFACTUAL}
        settings = read_settings(flags)
    return settings


def _groups(
    options: Options,
    data: Dataset,
    size: int,
    fillers: Sequence[EditDraft],
    far: Sequence[Probe],
) -> list[Group]:
    return make_groups(data.records, size, limit=options.limit, fillers=fillers, far=far)


class _Run:
    """The steps of one run over one workbench."""

    def __init__(
        self,
        options: Options,
        *,
        data: Dataset,
        bench: Workbench,
        journal: Journal,
        labels: Mapping[str, bool],
        progress: Progress,
    ) -> None:
        self._options = options
        self._data = data
        self._bench = bench
        self._runtime: Runtime = bench.runtime
        self._progress = progress
        self._want = Want(say=options.generate, score=options.generate and options.score)
        setting = Setting(
            file_sha256=data.sha256,
            model=self._runtime.engine.info.fingerprint,
            at_once=options.at_once,
            want=self._want,
        )
        self._lab = EditorLab(self._runtime, options.out / "editions", options.editor_settings)
        self._asker = Asker(
            journal,
            setting,
            labels=labels,
            same_fact=SameFact(data.records),
            advance=progress.advance,
        )
        self._outcomes: dict[Block, tuple[Outcome, ...]] = {}
        self._rates: list[tuple[Block, Rate, float]] = []
        self._frozen: dict[str, Said] = {}
        self._route_ms: dict[tuple[str, int], tuple[float, ...]] = {}

    async def everything(
        self, plans: Mapping[int, Sequence[Group]], far: Sequence[Probe]
    ) -> Result:
        """Asks all blocks and returns the result."""
        wanted = method_pairs(
            self._options.methods,
            self._options.scopes,
            baselines=self._options.baselines and self._options.protocol != STACKED,
            default_scope=self._runtime.settings.routing.classifier,
            paths=self._bench.paths,
        )
        pairs = [pair for pair in wanted if self._can(*pair)]
        if self._want.say:
            await self._no_edits(far)
        for size, groups in plans.items():
            for name, scope in pairs:
                if name != NO_EDITS:
                    await self._block(self._method(name, scope), size, groups)
            await self._speed(size, groups, [scope for _, scope in pairs])
        largest = max(plans)
        await self._fluency(pairs, largest, plans[largest][0])
        await self._reference()
        return self._result()

    def _can(self, name: str, scope: str) -> bool:
        """Whether a pair's parts load. Raises StartupError for one that was asked for."""
        try:
            self._method(name, scope)
        except StartupError as error:
            named = {self._bench.scope_name(each) for each in self._options.scopes}
            if scope in named and name in self._options.methods:
                raise
            log.warning("the baseline %s / %s is left out: %s", name, scope, error)
            return False
        return True

    async def _no_edits(self, far: Sequence[Probe]) -> None:
        """Asks the frozen model everything once: a baseline, and what locality is held against."""
        records = self._data.records
        limited = records if self._options.limit is None else records[: self._options.limit]
        group = Group(edits=(), records=limited, fillers=frozenset(), far=tuple(far))
        method = self._method(NO_EDITS, NOTHING)
        block = Block(method=NO_EDITS, scope=NOTHING, edits=0, protocol=_protocol(0))
        tasks = self._tasks(group)
        self._progress.begin("no edits", len(tasks))
        outcomes = await self._asker.ask_all(method, block, group, tasks)
        self._frozen = {o.probe.key: o.asked.said for o in outcomes if o.asked.said is not None}
        self._keep(block, outcomes)

    async def _block(self, method: Method, size: int, groups: Sequence[Group]) -> None:
        if self._options.protocol in STEPWISE:
            await self._sequential(method, size, groups)
            return
        block = Block(
            method=method.name,
            scope=method.scope,
            edits=size,
            protocol=_protocol(size),
        )
        tasks = [self._tasks(group) for group in groups]
        self._progress.begin(_title(block), sum(map(len, tasks)))
        outcomes: list[Outcome] = []
        for group, asked in zip(groups, tasks, strict=True):
            outcomes += await self._asker.ask_all(method, block, group, asked)
        self._keep(block, outcomes)
        self._keep_costs(block, method, groups)

    async def _sequential(self, method: Method, size: int, groups: Sequence[Group]) -> None:
        """Each record right after its own edit, then all of them after the last."""
        name = self._options.protocol
        block = Block(method=method.name, scope=method.scope, edits=size, protocol=name)
        count = sum(len(self._tasks(group)) for group in groups)
        self._progress.begin(_title(block), 2 * count)
        found: dict[Block, list[Outcome]] = {}
        for group in groups:
            parts = await ask_sequentially(
                self._asker,
                method,
                block,
                group,
                self._tasks,
                step=self._options.step,
                always_held=isinstance(method, EditorMethod),
            )
            for part, outcomes in parts.items():
                found.setdefault(part, []).extend(outcomes)
        for part, outcomes in found.items():
            self._keep(part, outcomes)
        self._keep_costs(list(found)[-1], method, groups)  # Of the last edition.

    async def _speed(self, size: int, groups: Sequence[Group], scopes: Sequence[str]) -> None:
        """Times routing alone, on the encoder itself, for each classifier of the run."""
        if not self._options.latency:
            return
        group = next((one for one in groups if self._tasks(one)), groups[0])
        prompts = [task.probe.prompt for task in self._tasks(group)]
        for scope in dict.fromkeys(scopes):
            if scope in (NOTHING, BM25) or not prompts:
                continue
            count = WARM_UP + self._options.latency
            self._progress.begin(f"time of {scope}, {size} edits", count)
            times = await time_routing(
                self._bench,
                scope,
                group,
                prompts=prompts,
                count=self._options.latency,
                advance=self._progress.advance,
            )
            self._route_ms[scope, size] = times
            block = Block(method="-", scope=scope, edits=size, protocol="alone")
            self._rates += [(block, made, sum(times) / 1000) for made in _quantiles(times)]
        block = Block(method="-", scope="-", edits=size, protocol="alone")
        self._rates += [(block, made, took) for made, took in time_editing(self._runtime, group)]

    async def _fluency(self, pairs: Sequence[tuple[str, str]], size: int, group: Group) -> None:
        """Long sampled answers with the most edits in force, journalled as all others."""
        tasks = fluency_tasks(self._tasks(group), self._options.fluency)
        if not self._want.say or not tasks:
            return
        for name, scope in pairs:
            method = self._method(name, scope, sampling=SAMPLING)
            plain = name == NO_EDITS
            block = Block(
                method=name,
                scope=method.scope,
                edits=0 if plain else size,
                protocol=_protocol(0 if plain else size),
            )
            self._progress.begin(f"fluency of {_title(block)}", len(tasks))
            held = replace(group, edits=(), fillers=frozenset()) if plain else group
            outcomes = await self._asker.ask_all(method, block, held, tasks)
            said = [o.asked.said for o in outcomes if not o.refused]
            texts = [one.text for one in said if one is not None]
            made = mean("fluency", [ngram_entropy(text) for text in texts])
            self._rates.append((block, made, sum(o.seconds for o in outcomes)))

    async def _reference(self) -> None:
        """Compares a sample of the BASE answers with transformers alone."""
        if not self._want.say or not self._options.reference:
            return
        self._progress.begin("frozen model by transformers alone", self._options.reference)
        for block, rates, took in compare_with_transformers(
            self._runtime.settings.model.name,
            self._outcomes,
            sample=self._options.reference,
            max_tokens=self._options.max_tokens,
            advance=self._progress.advance,
        ):
            self._rates += [(block, made, took) for made in rates]

    def _method(self, name: str, scope: str, *, sampling: Sampling | None = None) -> Method:
        """The one place that turns names into methods."""
        how = sampling or Sampling(max_tokens=self._options.max_tokens, stop=self._options.stop)
        if name in EDITORS:
            stacks = self._options.protocol == STACKED
            step = self._options.step
            return EditorMethod(self._lab, name, sampling=how, stacks=stacks, step=step)
        return MemoryMethod(
            self._bench,
            name,
            scope,
            sampling=how,
            error_budget=self._budget(scope),
        )

    def _budget(self, scope: str) -> float | None:
        """The budget asked for; None for what is not calibrated and keeps none."""
        if scope in (NOTHING, BM25) or not self._bench.classifier(scope).calibrated:
            return None
        return self._options.error_budget

    def _threshold(self, scope: str) -> float:
        return self._bench.classifier(scope).threshold(self._budget(scope))

    def _tasks(self, group: Group) -> list[Task]:
        return tasks_of(group.records, group.far, self._options.kinds)

    def _keep(self, block: Block, outcomes: Sequence[Outcome]) -> None:
        self._outcomes[block] = tuple(outcomes)
        routes = block.method not in EDITORS
        for made, seconds in summarise(outcomes, self._frozen, routes=routes):
            self._rates.append((block, made, seconds))

    def _keep_costs(self, block: Block, method: Method, groups: Sequence[Group]) -> None:
        """Adds what an editor's editions took."""
        if isinstance(method, EditorMethod):
            costs = [method.cost(group.edits) for group in groups]
            seconds = sum(one.seconds for one in costs)
            self._rates += [(block, made, seconds) for made in costs_as_rates(costs)]

    def _result(self) -> Result:
        scopes = {block.scope for block in self._outcomes} - {NOTHING, BM25}
        thresholds = {name: self._threshold(name) for name in scopes}
        return Result(
            data=self._data,
            model=self._runtime.settings.model.name,
            rows=make_rows(self._options, self._data, self._runtime, self._rates),
            outcomes=self._outcomes,
            thresholds=thresholds,
            calibrated=frozenset(s for s in scopes if self._bench.classifier(s).calibrated),
            route_ms=self._route_ms,
        )


def _quantiles(times: Sequence[float]) -> list[Rate]:
    return [quantile("scope_ms_p50", times, 0.5), quantile("scope_ms_p99", times, 0.99)]


def _protocol(size: int) -> str:
    return {0: "none", 1: "single"}.get(size, "batch")


def _title(block: Block) -> str:
    return f"{block.method} / {block.scope}, {block.edits} edits, {block.protocol}"
