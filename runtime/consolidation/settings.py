"""What all jobs of a server share, and what a single one is told of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from runtime.consolidation.operations import JobRequest
from runtime.consolidation.selection import Selection
from runtime.consolidation.spec import GateLimits, JobSpec, ProbeSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSettings:
    """What all jobs of a server share."""

    editors: tuple[str, ...]  # Names that may be asked for.
    editor: str  # When the request names none.
    model: str  # Folder or hub name of the served model.
    fingerprint: str
    dtype: str  # fp32, bf16, fp16
    device: str = "cpu"
    threads: int = 1
    niceness: int = 19
    memory_cap_bytes: int = 0  # 0: no cap.
    corpus: str = ""
    facts_file: str = ""
    relations_file: str = ""
    gate: GateLimits = field(default_factory=GateLimits)
    probes: ProbeSettings = field(default_factory=ProbeSettings)
    rebuild: bool = True  # Makes a new edition when one had to be left.


def job_spec(
    name: str, request: JobRequest, selection: Selection, settings: JobSettings, *, cache: Path
) -> JobSpec:
    """Returns everything that the computing process of a job needs to know."""
    return JobSpec(
        job=name,
        namespace=request.namespace,
        editor=request.editor,
        settings=request.settings,
        facts=selection.facts,
        former=selection.former,
        model=settings.model,
        fingerprint=settings.fingerprint,
        dtype=settings.dtype,
        device=settings.device,
        threads=settings.threads,
        niceness=settings.niceness,
        memory_bytes=settings.memory_cap_bytes,
        cache=str(cache),
        corpus=settings.corpus,
        facts_file=settings.facts_file,
        relations_file=settings.relations_file,
        gate=settings.gate,
        probes=settings.probes,
    )
