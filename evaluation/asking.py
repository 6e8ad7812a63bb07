"""Asks the probes of one group of one method, some at a time, through the journal."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from evaluation.groups import Group
from evaluation.journal import Journal, key_of
from evaluation.method import Asked, Held, Method, Want
from evaluation.outcome import Outcome, is_right
from evaluation.probes import Probe, Record, Scope, fingerprint
from evaluation.same_fact import SameFact
from memory.conflicts import normalise
from memory.errors import InvalidInput
from memory.record import EditDraft, EditId


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What all answers of a run depend on."""

    file_sha256: str
    model: str  # The engine's fingerprint.
    at_once: int
    want: Want


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """One method at one number of edits under one protocol: what a set of rows is about."""

    method: str
    scope: str
    edits: int
    protocol: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One probe to ask, with the record that it belongs to."""

    case: str
    own: frozenset[EditId]
    probe: Probe


class Clock:
    """Credits each answer with the wall time since the one before; the sum is the run's time."""

    def __init__(self) -> None:
        self._last = time.perf_counter()

    def lap(self) -> float:
        """Returns the seconds since the last lap."""
        now = time.perf_counter()
        spent, self._last = now - self._last, now
        return spent


def check_kinds(kinds: Sequence[str], records: Sequence[Record], far: Sequence[Probe]) -> None:
    """Raises InvalidInput for a kind of which there is no probe."""
    there = sorted(
        {probe.kind for record in records for probe in record.probes} | {p.kind for p in far}
    )
    for kind in kinds:
        if kind not in there:
            raise InvalidInput(
                f"--kind {kind!r} has no probe in these data; there are {', '.join(there)}",
                field="kind",
            )


def tasks_of(records: Sequence[Record], far: Sequence[Probe], kinds: Sequence[str]) -> list[Task]:
    """The probes of some kinds (none named: all), record by record."""
    wanted = set(kinds)
    tasks = [
        Task(
            case=record.case,
            own=frozenset(edit.edit_id for edit in record.edits if edit.edit_id),
            probe=probe,
        )
        for record in records
        for probe in record.probes
    ]
    tasks += [Task(case="", own=frozenset(), probe=probe) for probe in far]
    return [task for task in tasks if not wanted or task.probe.kind in wanted]


class Asker:
    """Asks and keeps; what the journal knows is not asked again."""

    def __init__(
        self,
        journal: Journal,
        setting: Setting,
        *,
        labels: Mapping[str, bool],
        same_fact: SameFact,
        advance: Callable[[], None],
    ) -> None:
        self._journal = journal
        self._setting = setting
        self._labels = labels
        self._same_fact = same_fact
        self._advance = advance

    async def ask_all(
        self, method: Method, block: Block, group: Group, tasks: Sequence[Task]
    ) -> list[Outcome]:
        """Asks every task with all of the group's edits in force; returns outcomes in order."""
        held: Held | None = None
        keys = self.keys(method, block, group, tasks)
        found = [self._journal.find(key, self._setting.want) for key in keys]
        try:
            if any(known is None for known in found):
                held = method.hold(group.edits)
            answers = await self._missing(held, block, tasks, keys, found)
        finally:
            if held is not None:
                held.close()
        return self.judged(group, tasks, answers)

    def keys(self, method: Method, block: Block, group: Group, tasks: Sequence[Task]) -> list[str]:
        """Names answers, with all of the group's edits in force, by all that they depend on."""
        memory = fingerprint(group.edits)
        return [self._key(method, block, memory, task) for task in tasks]

    def _key(self, method: Method, block: Block, memory: str, task: Task) -> str:
        return key_of(
            {
                "file": self._setting.file_sha256,
                "model": self._setting.model,
                "method": method.name,
                "scope": method.scope,
                "fingerprint": method.fingerprint,
                "memory": memory,
                "protocol": block.protocol,
                "probe": task.probe.key,
                "own": sorted(task.own),
            }
        )

    def knows(self, keys: Sequence[str]) -> bool:
        """Whether the journal has all of these answers."""
        return all(self._journal.find(key, self._setting.want) is not None for key in keys)

    async def ask_held(
        self, held: Held | None, block: Block, tasks: Sequence[Task], keys: Sequence[str]
    ) -> list[tuple[Asked, float]]:
        """Asks what the journal lacks, of edits that are in force already; None if it has all."""
        found = [self._journal.find(key, self._setting.want) for key in keys]
        return await self._missing(held, block, tasks, keys, found)

    def judged(
        self, group: Group, tasks: Sequence[Task], answers: Sequence[tuple[Asked, float]]
    ) -> list[Outcome]:
        """Turns answers into outcomes, knowing which edits were in force."""
        edits = {edit.edit_id: edit for edit in group.edits if edit.edit_id}
        inside = {normalise(edit.prompt) for edit in group.edits} | {
            normalise(probe.prompt)
            for record in group.records
            for probe in record.probes
            if probe.scope is Scope.INSIDE
        }
        return [
            self._outcome(task, asked, seconds, group=group, edits=edits, inside=inside)
            for task, (asked, seconds) in zip(tasks, answers, strict=True)
        ]

    def _outcome(
        self,
        task: Task,
        asked: Asked,
        seconds: float,
        *,
        group: Group,
        edits: Mapping[EditId, EditDraft],
        inside: set[str],
    ) -> Outcome:
        probe = task.probe
        right = is_right(asked, probe, task.own, edits)
        hits = asked.routed.hits
        best = edits.get(EditId(asked.routed.best))
        outside = probe.scope is Scope.OUTSIDE
        hit = edits.get(EditId(hits[0][0])) if hits else None
        own = [edits[name] for name in task.own if name in edits]
        return Outcome(
            case=task.case,
            probe=probe,
            asked=asked,
            right=right,
            filler=bool(hits) and not right and hits[0][0] in group.fillers,
            covered=outside and normalise(probe.prompt) in inside,
            same_fact=hit is not None and self._same_fact(probe, own, hit),
            follows=self._labels.get(task.case) if probe.kind == "rephrase" else None,
            best="" if best is None else f"{best.prompt} {best.target}",
            best_is_own=EditId(asked.routed.best) in task.own,
            seconds=seconds,
        )

    async def _missing(
        self,
        held: Held | None,
        block: Block,
        tasks: Sequence[Task],
        keys: Sequence[str],
        found: Sequence[tuple[Asked, float] | None],
    ) -> list[tuple[Asked, float]]:
        gate = asyncio.Semaphore(self._setting.at_once)
        clock = Clock()

        async def one(task: Task, key: str) -> tuple[Asked, float]:
            assert held is not None, "something is to be asked"
            async with gate:
                asked = await held.ask(task.probe, sorted(task.own), self._setting.want)
            seconds = clock.lap()
            self._journal.add(key, asked, seconds, self._setting.want, _shown(block, task))
            self._advance()
            return asked, seconds

        async def known(answer: tuple[Asked, float]) -> tuple[Asked, float]:
            self._advance()
            return answer

        waiting = [
            one(task, key) if answer is None else known(answer)
            for task, key, answer in zip(tasks, keys, found, strict=True)
        ]
        running = [asyncio.ensure_future(each) for each in waiting]
        try:
            return list(await asyncio.gather(*running))
        finally:
            for each in running:
                each.cancel()


def _shown(block: Block, task: Task) -> dict[str, object]:
    """What a reader of answers.jsonl wants to see beside an answer."""
    return {
        "method": block.method,
        "scope": block.scope,
        "edits": block.edits,
        "protocol": block.protocol,
        "case": task.case,
        "kind": task.probe.kind,
        "prompt": task.probe.prompt,
        "answers": list(task.probe.answers[:3]),
    }
