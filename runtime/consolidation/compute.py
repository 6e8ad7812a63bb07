"""The computing part of a job: covariance to gating, from files to files.

Runs in a process of its own (child.py). Each part is skipped when its file is there already, so
that what a crash interrupted goes on where the files end. Live weights are never touched: the model
here is this process' own, and even that one is only read.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from memory.errors import ConsolidationFailed
from runtime.consolidation.apply import edited_parameters
from runtime.consolidation.comparing import measure, rows_of
from runtime.consolidation.contract import Delta, Editor, Progress
from runtime.consolidation.corpus import Corpus, FactSentences, TextFile
from runtime.consolidation.gate import weigh
from runtime.consolidation.hyperparameters import hyperparameters_for, with_changes
from runtime.consolidation.phrasebook import PhraseBook
from runtime.consolidation.probes import build_probes
from runtime.consolidation.spec import (
    JobSpec,
    Verdict,
    read_delta,
    read_spec,
    read_verdict,
    write_delta,
    write_verdict,
)
from runtime.consolidation.tokens import Codec
from runtime.consolidation.workbench import Workbench
from runtime.engine.editions import parameter_of, with_parameters
from runtime.engine.load import LoadedModel, load_model
from runtime.sites import sites_of

logger = logging.getLogger(__name__)

MakeEditor = Callable[[Workbench], Editor]
TEXTS_DRAWN_FACTOR = 4  # Texts that name an edited subject are left out.


def compute(
    folder: Path,
    editors: Mapping[str, MakeEditor],
    progress: Progress,
    *,
    loaded: Callable[[JobSpec], LoadedModel] | None = None,
) -> None:
    """Does what is left to do of the job in `folder`.

    Raises ConsolidationFailed, InvalidInput (settings), ModelLoadError, OSError, and what
    `progress` raises to stop it.
    """
    spec = read_spec(folder)
    if spec is None:
        raise ConsolidationFailed(f"{folder.name} holds no job.json; begin the job again")
    if read_verdict(folder) is not None:
        return
    model = (loaded or load)(spec)
    delta = read_delta(folder)
    if delta is None:
        delta = _solve(spec, model, editors, progress)
        write_delta(folder, delta)
    write_verdict(folder, _gate(spec, model, delta, progress))


def load(spec: JobSpec) -> LoadedModel:
    """Loads this process' own copy of the served model. Raises ModelLoadError."""
    return load_model(spec.model, device=spec.device, dtype=spec.dtype)


def corpus_of(spec: JobSpec) -> Corpus:
    """Returns the running text that the job reads."""
    if spec.corpus:
        return TextFile(Path(spec.corpus))
    return FactSentences(Path(spec.facts_file), Path(spec.relations_file))


def _solve(
    spec: JobSpec, model: LoadedModel, editors: Mapping[str, MakeEditor], progress: Progress
) -> Delta:
    if model.fingerprint != spec.fingerprint:
        raise ConsolidationFailed(
            f"the model {spec.model} has the weights {model.fingerprint}, the server runs "
            f"{spec.fingerprint}; the files changed since it started: restart the server"
        )
    make = editors.get(spec.editor)
    if make is None:
        known = ", ".join(sorted(editors))
        raise ConsolidationFailed(f"there is no editor {spec.editor!r}; known are {known}")
    sites = sites_of(model.model)
    base = hyperparameters_for(sites, model.model.config.get_text_config().hidden_size)
    bench = Workbench(
        model.model,
        model.tokenizer,
        fingerprint=model.fingerprint,
        settings=with_changes(base, spec.settings),
        corpus=corpus_of(spec),
        cache_folder=Path(spec.cache),
    )
    delta = make(bench).compute(spec.facts, progress)
    # Whatever the editor checked: what is not finite, or not of this model, ends here.
    edited_parameters(_reader(model.model), delta.matrices, model.model.config.model_type)
    return delta


def _gate(spec: JobSpec, model: LoadedModel, delta: Delta, progress: Progress) -> Verdict:
    base = model.model
    parameters = edited_parameters(_reader(base), delta.matrices, base.config.model_type)
    book = PhraseBook.load(spec.facts_file, spec.relations_file)
    settings = spec.probes
    texts = list(corpus_of(spec).texts(TEXTS_DRAWN_FACTOR * settings.texts, settings.seed))
    probes = build_probes(spec.facts, book, texts, settings, delta.told)
    total, done = rows_of(spec.facts, probes, settings), 0

    def tick(rows: int) -> None:
        nonlocal done
        done += rows
        progress("gating", done, total)

    progress("gating", 0, total)
    found = measure(
        base,
        with_parameters(base, parameters),
        Codec(model.tokenizer),
        spec.facts,
        probes,
        settings,
        tick,
    )
    verdict = weigh(spec.facts, probes, found, spec.gate, frozenset(spec.former))
    if not math.isfinite(found.nats[1]):
        raise ConsolidationFailed("the edition's answers are not finite numbers")
    return verdict


def _reader(model: Any) -> Callable[[str], Any]:
    return lambda name: parameter_of(model, name)
