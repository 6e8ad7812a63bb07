"""What `errata doctor` checks: each check looks at one thing a server needs and says what it found.

A check returns a Finding or raises; `run_check` turns what it raises into a failed one. Checks
start nothing and leave nothing: a data directory that does not exist is not made.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import faiss
import numpy as np
import torch

from errata.commands.status import installed_versions
from errata.show import bytes_text, one_line
from memory.edit_memory import EditMemory
from memory.errors import DataDirectoryLocked
from memory.record import EditState
from runtime.build import (
    CLASSIFIERS,
    PATHS,
    check_budgets,
    check_counterfactual,
    check_path,
    counterfactual_model,
    default_path,
    make_encoder,
    model_folder,
    named,
)
from runtime.config import Settings
from runtime.engine.transformers_engine import TransformersEngine
from runtime.paths.choice import AUTO

MESSAGE_CHARS = 400
SIMILAR = ("The mother tongue of Danielle Darrieux is", "Danielle Darrieux speaks the language")
OTHER = "The Space Needle stands in Seattle"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What a check found; "note" is worth knowing and stops nothing."""

    level: Literal["ok", "note", "fail"]
    text: str


Check = Callable[[Settings], Finding]


def run_check(check: Check, settings: Settings) -> Finding:
    """Runs a check; whatever it raises is its finding."""
    try:
        return check(settings)
    except Exception as error:  # noqa: BLE001  # A doctor looks at every fault.
        kind = "" if str(error) else type(error).__name__
        return Finding(level="fail", text=one_line(str(error) or kind, MESSAGE_CHARS))


def check_versions(settings: Settings) -> Finding:
    """Python and the packages, by version."""
    del settings
    found = installed_versions()
    shown = ", ".join(f"{name} {version}" for name, version in found.items())
    if "faiss-cpu" in found and "faiss-gpu" in found:
        text = f"faiss-cpu and faiss-gpu are the same module: uninstall one. {shown}"
        return Finding(level="fail", text=text)
    return Finding(level="ok", text=shown)


def check_compute(settings: Settings) -> Finding:
    """Cores, threads and GPUs."""
    threads = settings.model.threads or os.cpu_count() or 1
    text = f"{os.cpu_count()} cores, {threads} threads for the model"
    if torch.cuda.is_available():
        names = [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]
        return Finding(level="ok", text=f"{text}; GPU: {', '.join(names)}")
    if settings.model.device == "cuda":
        return Finding(level="fail", text=f"{text}; --device cuda, but torch sees no GPU")
    return Finding(level="ok", text=f"{text}; no GPU")


def check_routing(settings: Settings) -> Finding:
    """Classifier and path in force, and the counterfactual path's model where there is one."""
    named(CLASSIFIERS, settings.routing.classifier, "routing.classifier")
    check_path(settings)
    check_counterfactual(settings)
    model = counterfactual_model(settings) or "none"
    known = f"known: {', '.join(CLASSIFIERS)}; paths: {', '.join((*PATHS, AUTO))}"
    text = f"classifier {settings.routing.classifier}, path {default_path(settings)} ({known}); "
    text += f"counterfactual model {model}"
    return Finding(level="ok", text=text)


def check_encoder(settings: Settings) -> Finding:
    """The encoder loads, and puts like near like."""
    encoder = make_encoder(settings.encoder)
    try:
        first, like, other = (encoder.encode(text) for text in (*SIMILAR, OTHER))
        near, far = float(first @ like), float(first @ other)
        text = (
            f"{encoder.name}, {encoder.described}, {encoder.dimension} dimensions, "
            f"cosine {near:.2f} / {far:.2f}"
        )
        return Finding(level="ok" if near > far else "fail", text=text)
    finally:
        encoder.close()


def check_scope(settings: Settings) -> Finding:
    """The classifier loads, and can promise the budgets."""
    make = named(CLASSIFIERS, settings.routing.classifier, "routing.classifier")
    encoder = make_encoder(settings.encoder)
    try:
        classifier = make(encoder)
        check_budgets(classifier, settings.routing)
    finally:
        encoder.close()
    named_budgets = len(settings.routing.namespace_budgets)
    budget = settings.routing.error_budget or "its own"
    text = f"{classifier.name}, error budget {budget}, {named_budgets} of namespaces"
    return Finding(level="ok", text=text)


def check_index(settings: Settings) -> Finding:
    """FAISS finds what was put in."""
    del settings
    vectors = np.eye(4, 8, dtype=np.float32)
    index = faiss.IndexFlatIP(8)
    index.add(vectors)
    _, found = index.search(vectors, 1)
    if found.ravel().tolist() != [0, 1, 2, 3]:
        return Finding(level="fail", text=f"faiss {faiss.__version__} finds the wrong vectors")
    gpus = faiss.get_num_gpus() if hasattr(faiss, "get_num_gpus") else 0
    return Finding(level="ok", text=f"faiss {faiss.__version__}, {gpus} GPUs")


def check_data(settings: Settings) -> Finding:
    """The data directory: the log's chain, and whether index and matcher agree with it."""
    folder = settings.memory.directory
    if not folder.exists():
        parent = next(parent for parent in folder.absolute().parents if parent.exists())
        if not os.access(parent, os.W_OK):
            return Finding(level="fail", text=f"{folder} does not exist and {parent} is read-only")
        return Finding(level="note", text=f"{folder} does not exist yet; a server makes it")
    encoder = make_encoder(settings.encoder)
    try:
        with EditMemory.open(folder, encoder=encoder) as memory:
            report = memory.check_integrity(repair=False)
            status = memory.status()
    except DataDirectoryLocked:
        text = f"{folder} is in use by a running server: no other one starts on it; not checked"
        return Finding(level="fail", text=text)
    finally:
        encoder.close()
    if report.problems:
        return Finding(level="fail", text=f"{folder}: {'; '.join(report.problems)}")
    active = sum(space.edits[EditState.ACTIVE] for space in status.namespaces)
    text = f"{folder}: sequence {status.sequence}, {active} active edits, "
    return Finding(level="ok", text=text + f"log {bytes_text(status.log_bytes)}, all agrees")


def check_port(settings: Settings) -> Finding:
    """The address can be listened on, as safely as a server wants it: TLS, keys."""
    from server import check_listening  # noqa: PLC0415  # Above this folder; `serve` knows it.

    check_listening(settings)
    return Finding(level="ok", text=f"{settings.server.listen} is free")


def check_model(settings: Settings) -> Finding:
    """The model loads and reads a prompt."""
    folder = model_folder(settings.model.name)
    engine = TransformersEngine.load(
        folder,
        device=settings.model.device,
        dtype=settings.model.dtype,
        threads=settings.model.threads or os.cpu_count() or 1,
    )
    try:
        info = engine.info
        prompt, rest = engine.tokenize_continuation("The Space Needle is in", " Seattle")
        engine.score(prompt, [rest])
    finally:
        engine.close()
    size = f"{info.parameters / 1e6:.1f}M parameters"
    where = f"{info.device}, {info.dtype}, context {info.context_tokens} tokens"
    return Finding(level="ok", text=f"{_shown(folder)}: {info.model_type}, {size}, {where}")


def _shown(folder: str) -> str:
    return Path(folder).name if Path(folder).is_dir() else folder


CHECKS: dict[str, Check] = {
    "versions": check_versions,
    "compute": check_compute,
    "routing": check_routing,
    "encoder": check_encoder,
    "scope": check_scope,
    "index": check_index,
    "data": check_data,
    "port": check_port,
    "model": check_model,
}
