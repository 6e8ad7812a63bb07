"""What a job is told and what it leaves behind: files in its folder, each whole or not there.

    job.json            JobSpec: everything that the computing process needs to know
    delta.safetensors   the change, with its reports and settings in delta.json, when solved
    verdict.json        Verdict: what the gate measured, when it has
    error.json          why the computing process gave up

So a process that died is followed by one that begins where the files end.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from safetensors.torch import load, save

from memory.errors import ConsolidationFailed
from memory.record import EditId
from runtime.consolidation.contract import Delta, EditorReport, Fact, MatrixDelta
from runtime.consolidation.edition import Measure
from runtime.consolidation.files import read_json, replace_durably, write_json

SPEC, DELTA, DELTA_RECORD = "job.json", "delta.safetensors", "delta.json"
VERDICT, ERROR = "verdict.json", "error.json"
FEW = 10  # Edits up to which the limit of what was to stay is that of a few.


@dataclass(frozen=True, slots=True, kw_only=True)
class GateLimits:
    """What an edition must keep to be activated. Shares are 0 to 1."""

    took_min: float = 0.5  # Edits whose target is the greedy answer; the rest stays in memory.
    generalization_min: float = 0.6  # Other phrasings of the edits that took.
    neighbours_min: float = 0.9  # Answers kept for other subjects in the same prompts.
    bleeding_max: float = 0.03  # Neighbours that answer with the edit's target instead of theirs.
    same_subject_min: float = 0.7  # Known answers kept for other prompts about the same subjects.
    told_to_keep_min: float = 0.9  # Answers kept for the prompts that the editor was told to keep.
    told_drift_nats_max: float = 0.02  # Mean KL of the next-token distribution there, of few edits:
    told_drift_nats_per_edit: float = 0.002  # so much more for each edit after the tenth.
    drift_nats_max: float = 0.25  # Mean KL of the next-token distribution on neighbours.
    perplexity_ratio_max: float = 1.02  # On running text.
    former_min: float = 0.9  # Edits that the former edition held and this one must too.
    harm_nats_max: float = 0.5  # No edit's target may become less likely than it was by more.

    def told_drift_nats(self, edits: int) -> float:
        """Returns the limit for so many edits, which press on what is to stay all together."""
        return self.told_drift_nats_max + self.told_drift_nats_per_edit * max(0, edits - FEW)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeSettings:
    """How many probes the gate builds, and from what."""

    paraphrases: int = 3  # Of each edit, that the editor was not given.
    neighbours: int = 3  # Of each edit.
    same_subject: int = 2  # Of each edit.
    sure_min: float = 0.5  # Probability of an answer from which the published model knows it.
    per_kind_min: int = 120  # Neighbours, and prompts of the same subject, however few the edits.
    per_kind_max: int = 600  # Probes of a kind; beyond, every edit gets fewer.
    answer_tokens: int = 4  # Of a neighbour's answer that are compared.
    texts: int = 64  # Running text.
    text_tokens: int = 128
    seed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSpec:
    """One job, as the computing process gets it."""

    job: str
    namespace: str
    editor: str
    settings: Mapping[str, Any]  # Changes to the editor's hyper-parameters.
    facts: tuple[Fact, ...]
    former: tuple[str, ...]  # Ids of the edits that the former edition holds.
    model: str  # Folder or hub name.
    fingerprint: str
    dtype: str  # fp32, bf16, fp16
    device: str
    threads: int
    niceness: int
    memory_bytes: int  # The process may take so much beyond the loaded program; 0: no cap.
    cache: str  # Folder of what editors keep between jobs.
    corpus: str = ""  # Running text of the user's; empty: sentences of the shipped facts.
    facts_file: str = ""
    relations_file: str = ""
    gate: GateLimits = field(default_factory=GateLimits)
    probes: ProbeSettings = field(default_factory=ProbeSettings)


@dataclass(frozen=True, slots=True, kw_only=True)
class EditVerdict:
    """What the gate says of one edit."""

    edit_id: EditId
    took: bool
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What the gate says of an edition."""

    passed: bool
    reason: str  # Empty when it passed.
    measures: tuple[Measure, ...]
    edits: tuple[EditVerdict, ...]


def write_spec(folder: Path, spec: JobSpec) -> None:
    """Writes the spec. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / SPEC, asdict(spec))


def read_spec(folder: Path) -> JobSpec | None:
    """Returns the spec, None before it was written. Raises ConsolidationFailed when damaged."""
    said = _read(folder / SPEC)
    if said is None:
        return None
    facts = tuple(
        Fact(**{**fact, "edit_id": EditId(fact["edit_id"]), "paraphrases": _texts(fact)})
        for fact in said["facts"]
    )
    fields = {
        "facts": facts,
        "former": tuple(said["former"]),
        "gate": GateLimits(**said["gate"]),
        "probes": ProbeSettings(**said["probes"]),
    }
    return JobSpec(**{**said, **fields})


def write_delta(folder: Path, delta: Delta) -> None:
    """Writes the change; its record, which says that it is complete, last. Raises OSError."""
    tensors = {
        f"{place}.{name}": tensor.detach().cpu().contiguous()
        for place, matrix in enumerate(delta.matrices)
        for name in ("left", "right", "full")
        if (tensor := getattr(matrix, name)) is not None
    }
    content = save(tensors)
    replace_durably(folder / DELTA, content)
    record = {
        "modules": [matrix.module for matrix in delta.matrices],
        "reports": [asdict(report) for report in delta.reports],
        "settings": dict(delta.settings),
        "told": list(delta.told),
        "sha256": hashlib.sha256(content).hexdigest(),
    }
    write_json(folder / DELTA_RECORD, record)


def read_delta(folder: Path) -> Delta | None:
    """Returns the change, None before it is complete. Raises ConsolidationFailed when damaged."""
    record = _read(folder / DELTA_RECORD)
    if record is None:
        return None
    content = (folder / DELTA).read_bytes()
    if hashlib.sha256(content).hexdigest() != record["sha256"]:
        raise ConsolidationFailed(f"{folder.name}/{DELTA} is damaged; consolidate again")
    tensors = load(content)
    matrices = tuple(
        MatrixDelta(
            module=module,
            left=tensors.get(f"{place}.left"),
            right=tensors.get(f"{place}.right"),
            full=tensors.get(f"{place}.full"),
        )
        for place, module in enumerate(record["modules"])
    )
    reports = tuple(
        EditorReport(**{**report, "edit_id": EditId(report["edit_id"])})
        for report in record["reports"]
    )
    return Delta(
        matrices=matrices,
        reports=reports,
        settings=record["settings"],
        told=tuple(record.get("told", ())),  # Not in what a former version left.
    )


def write_verdict(folder: Path, verdict: Verdict) -> None:
    """Writes the verdict. Raises OSError."""
    write_json(folder / VERDICT, asdict(verdict))


def read_verdict(folder: Path) -> Verdict | None:
    """Returns the verdict, None before there is one. Raises ConsolidationFailed when damaged."""
    said = _read(folder / VERDICT)
    if said is None:
        return None
    return Verdict(
        passed=said["passed"],
        reason=said["reason"],
        measures=tuple(Measure(**one) for one in said["measures"]),
        edits=tuple(
            EditVerdict(**{**one, "edit_id": EditId(one["edit_id"])}) for one in said["edits"]
        ),
    )


def _read(path: Path) -> Any:
    try:
        return read_json(path)
    except (OSError, json.JSONDecodeError) as error:
        raise ConsolidationFailed(
            f"{path.parent.name}/{path.name} cannot be read ({error}); consolidate again"
        ) from error


def _texts(fact: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(fact["paraphrases"])
