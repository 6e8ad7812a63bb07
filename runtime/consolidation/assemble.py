"""The parts of consolidation for one server: its folders, its editions, its jobs."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from memory.edit_memory import EditMemory
from runtime.config import ConsolidationSection
from runtime.consolidation.editions import Editions
from runtime.consolidation.estimate import MIB, estimator, half_of_memory
from runtime.consolidation.job import Consolidator
from runtime.consolidation.operations import OperationStore
from runtime.consolidation.settings import JobSettings
from runtime.consolidation.spec import GateLimits
from runtime.consolidation.store import EditionStore
from runtime.consolidation.worker import ProcessWorker, Worker
from runtime.engine.contract import EditionHost, EngineInfo

DTYPES = {"float32": "fp32", "bfloat16": "bf16", "float16": "fp16"}
EDITIONS, OPERATIONS, JOBS = "editions", "operations", "consolidation"  # In the data directory.


@dataclass(frozen=True, slots=True, kw_only=True)
class Shipped:
    """Files that come with the program."""

    facts: Path
    relations: Path


def make_editions(
    directory: Path, *, host: EditionHost, info: EngineInfo, memory: EditMemory
) -> Editions:
    """Returns the editions of a data directory on an engine. Reads nothing yet."""
    store = EditionStore(directory / EDITIONS)
    return Editions(store=store, host=host, info=info, memory=memory)


def make_consolidator(
    directory: Path,
    *,
    memory: EditMemory,
    editions: Editions,
    info: EngineInfo,
    model: str,
    section: ConsolidationSection,
    editors: Iterable[str],
    shipped: Shipped,
    worker: Worker | None = None,
) -> Consolidator:
    """Returns what runs the jobs of a data directory; `start` begins to.

    `model` is the folder or hub name that the computing process loads. Raises OSError, ValueError
    when the shipped files cannot be read.
    """
    cap = section.memory_mb * MIB or half_of_memory()
    gate = {
        name.removeprefix("gate_"): getattr(section, name)
        for name in ConsolidationSection.model_fields
        if name.startswith("gate_")
    }
    return Consolidator(
        folder=directory / JOBS,
        memory=memory,
        editions=editions,
        operations=OperationStore(directory / OPERATIONS, clock=time.time),
        worker=worker or ProcessWorker(threads=section.threads),
        settings=JobSettings(
            editors=tuple(editors),
            editor=section.editor,
            model=model,
            fingerprint=info.fingerprint,
            dtype=DTYPES[info.dtype],
            device=section.device,
            threads=section.threads,
            niceness=section.niceness,
            memory_cap_bytes=cap,
            corpus="" if section.corpus is None else str(section.corpus),
            facts_file=str(shipped.facts),
            relations_file=str(shipped.relations),
            gate=GateLimits(**gate),
            rebuild=section.rebuild,
        ),
        estimate=estimator(info, memory_cap_bytes=cap),
    )
