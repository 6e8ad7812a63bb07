"""A data directory, a tiny engine and the jobs on them, with workers that tests can steer."""

from __future__ import annotations

import itertools
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from memory.edit_memory import EditMemory
from memory.errors import Cancelled
from memory.record import DEFAULT_NAMESPACE, Edit, EditDraft, Namespace
from runtime.consolidation.compute import MakeEditor, compute
from runtime.consolidation.contract import Progress
from runtime.consolidation.editions import Editions
from runtime.consolidation.job import Consolidator
from runtime.consolidation.operations import Estimate, JobRequest, Operation, OperationStore
from runtime.consolidation.settings import JobSettings
from runtime.consolidation.spec import GateLimits, ProbeSettings
from runtime.consolidation.store import EditionStore
from runtime.consolidation.worker import ProcessWorker, Worker
from runtime.engine.load import LoadedModel, load_model
from runtime.engine.loop import LoopLimits
from runtime.engine.transformers_engine import TransformersEngine
from tests.memory_kit import open_memory
from tests.readout_editor import ReadoutEditor

WAIT_S = 600.0  # A computing process at the lowest priority, beside a busy machine's others.
OPEN_GATE = GateLimits(
    took_min=0.0,
    generalization_min=0.0,
    neighbours_min=0.0,
    bleeding_max=1.0,
    same_subject_min=0.0,
    told_to_keep_min=0.0,
    told_drift_nats_max=1e9,
    drift_nats_max=1e9,
    perplexity_ratio_max=1e9,
    former_min=0.0,
    harm_nats_max=1e9,
)
FEW_PROBES = ProbeSettings(per_kind_min=40, texts=4, text_tokens=16, answer_tokens=2)
QUICK = {"covariance_samples": 8, "covariance_weight": 1.0}
CORPUS = "\n".join(
    f"The mother tongue of Danielle Darrieux {n} is French and that of Messi is Spanish {n}."
    for n in range(12)
)


class Killed(BaseException):
    """Stands for kill -9: nothing catches it, everything on disk stays as it is."""


class InProcessWorker:
    """Computes in the job's own thread; `on_stage` may wait, raise, or change the memory."""

    def __init__(
        self,
        loaded: LoadedModel,
        editors: Mapping[str, MakeEditor],
        on_stage: Callable[[str], None] | None = None,
    ) -> None:
        self.loaded = loaded
        self.editors = editors
        self.on_stage = on_stage or (lambda _: None)
        self.runs = 0

    def run(self, folder: Path, progress: Progress, stop: threading.Event) -> int:
        self.runs += 1
        known = ""

        def report(stage: str, done: int, total: int) -> None:
            nonlocal known
            progress(stage, done, total)
            if stage != known:
                known = stage
                self.on_stage(stage)
            if stop.is_set():
                raise Cancelled("the job was stopped")

        compute(folder, self.editors, report, loaded=lambda _: self.loaded)
        return 0


class Bench:
    """One server's consolidation parts, without a server."""

    def __init__(
        self,
        folder: Path,
        loaded: LoadedModel,
        *,
        editors: Mapping[str, MakeEditor] | None = None,
        worker: Worker | None = None,
        on_stage: Callable[[str], None] | None = None,
        gate: GateLimits = OPEN_GATE,
        probes: ProbeSettings = FEW_PROBES,
        rebuild: bool = False,
        memory_cap_bytes: int = 0,
        **settings: Any,
    ) -> None:
        self.folder = folder
        corpus = folder / "corpus.txt"
        folder.mkdir(parents=True, exist_ok=True)
        corpus.write_text(CORPUS, encoding="utf-8")
        self.loaded = loaded
        self.engine = TransformersEngine(loaded, LoopLimits())
        self.memory: EditMemory = open_memory(folder / "data")
        self.store = EditionStore(folder / "data" / "editions")
        info = self.engine.info
        self.editions = Editions(store=self.store, host=self.engine, info=info, memory=self.memory)
        editors = editors or {"readout": ReadoutEditor}
        self.worker = worker or InProcessWorker(loaded, editors, on_stage)
        ticks = itertools.count(1_800_000_000)
        self.operations = OperationStore(
            folder / "data" / "operations", clock=lambda: float(next(ticks))
        )
        given = {
            "editors": tuple(editors),
            "editor": next(iter(editors)),
            "model": "tiny",
            "fingerprint": info.fingerprint,
            "dtype": "fp32",
            "corpus": str(corpus),
            "gate": gate,
            "probes": probes,
            "rebuild": rebuild,
            **settings,
        }
        self.consolidator = Consolidator(
            folder=folder / "data" / "consolidation",
            memory=self.memory,
            editions=self.editions,
            operations=self.operations,
            worker=self.worker,
            settings=JobSettings(**given),
            estimate=lambda edits: Estimate(
                edits=edits,
                memory_bytes=1000 * edits,
                memory_cap_bytes=memory_cap_bytes,
                edition_bytes=10,
            ),
        )
        self.consolidator.start()

    def add(self, count: int = 2, namespace: Namespace = DEFAULT_NAMESPACE) -> list[Edit]:
        """Creates edits with one-word targets."""
        words = ("French", "Spanish", "Finnish", "language", "mother")
        known = len(self.memory.list_edits(namespace).edits) if self._knows(namespace) else 0
        made = [
            EditDraft(
                subject=f"Person {known + n}",
                prompt=f"The language of Person {known + n} is",
                target=words[(known + n) % len(words)],
            )
            for n in range(count)
        ]
        return list(self.memory.create_batch(made, namespace=namespace).edits)

    def request(self, **more: Any) -> JobRequest:
        given = {"namespace": DEFAULT_NAMESPACE, "editor": "", "settings": QUICK, **more}
        return JobRequest(**given)

    def run(self, **more: Any) -> Operation:
        """Runs a job to its end."""
        return self.wait(self.consolidator.submit(self.request(**more)))

    def wait(self, operation: Operation) -> Operation:
        ended = self.operations.wait(operation.id, WAIT_S)
        assert ended.ended, f"{ended.stage} took too long"
        return ended

    def base_bits(self) -> dict[str, bytes]:
        """The bytes of the published weights as the engine has them."""
        state = self.loaded.model.state_dict()
        return {name: tensor.numpy().tobytes() for name, tensor in state.items()}

    def close(self) -> None:
        self.consolidator.close()
        self.engine.close()
        self.memory.close()

    def _knows(self, namespace: Namespace) -> bool:
        return namespace in self.memory.snapshot().namespaces


def load_tiny(folder: Path) -> LoadedModel:
    """Loads a tiny model as a server would."""
    return load_model(str(folder), device="cpu", dtype="fp32")


def spoiled(spoil: Callable[[Any], Any]) -> MakeEditor:
    """Returns an editor whose delta is changed before it is handed over."""
    return lambda bench: ReadoutEditor(bench, spoil)


def scaled(factor: float) -> Callable[[Any], Any]:
    """Returns what multiplies all matrices of a delta."""

    def scale(delta: Any) -> Any:
        matrices = tuple(replace(one, left=one.left * factor) for one in delta.matrices)
        return replace(delta, matrices=matrices)

    return scale


def real_worker(**more: Any) -> ProcessWorker:
    """Returns a worker that runs a child process with the tests' editors."""
    return ProcessWorker(
        threads=1, command=(sys.executable, "-m", "tests.consolidation_child"), **more
    )
