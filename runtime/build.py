"""From settings to parts: the one place that chooses implementations."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path as FilePath
from typing import TypeVar

from classifiers.calibrated import CalibratedFeatureClassifier
from classifiers.scope import Preparing, ScopeClassifier
from classifiers.serac import SeracCross, SeracEmbed
from classifiers.subject_rule import CosineThreshold, SubjectRule
from classifiers.two_stage import TwoStageClassifier
from memory.contracts import Encoder
from memory.edit_memory import EditMemory
from memory.encoder import MiniLmEncoder
from memory.errors import InvalidInput, StartupError
from runtime.config import (
    POCKET_BASE,
    POCKET_COUNTERFACTUAL,
    EncoderSection,
    ModelSection,
    RoutingSection,
    Settings,
)
from runtime.consolidation.assemble import Shipped, make_consolidator, make_editions
from runtime.consolidation.editors import EDITORS
from runtime.consolidation.job import Consolidator
from runtime.engine.contract import Engine
from runtime.engine.load import check_model, is_encoder_decoder
from runtime.engine.seq2seq import Seq2SeqEngine
from runtime.engine.transformers_engine import TransformersEngine
from runtime.paths.choice import AUTO
from runtime.paths.contract import BASE_MODEL, COUNTERFACTUAL_MODEL, Path
from runtime.paths.counterfactual import COUNTERFACTUAL, CounterfactualPath
from runtime.paths.demonstrations import (
    DemonstrationChooser,
    FixedDemonstrations,
    SimilarDemonstrations,
    load_demonstrations,
)
from runtime.paths.in_context import IN_CONTEXT, InContextPath, InContextSettings
from runtime.preparing import EditPreparer
from runtime.query_runner import QueryRunner, RoutingSettings

T = TypeVar("T")

WARM_UP = "warm up"
BUNDLE = FilePath(__file__).resolve().parent.parent / "pocket"

CLASSIFIERS: dict[str, Callable[[Encoder], ScopeClassifier]] = {
    "two_stage": TwoStageClassifier.load,
    "features": CalibratedFeatureClassifier.load,
    "serac_embed": SeracEmbed.load,
    "serac_cross": SeracCross.load,
    "subject": lambda _: SubjectRule(),
    "cosine": lambda _: CosineThreshold(),
}

CHOOSERS: dict[str, Callable[[FilePath, Encoder], DemonstrationChooser]] = {
    "similar": lambda file, encoder: SimilarDemonstrations(load_demonstrations(file), encoder),
    "fixed": lambda file, _: FixedDemonstrations(load_demonstrations(file)),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class PathParts:
    """What paths are built of."""

    engine: Engine  # The frozen model's.
    counterfactual: Engine | None  # The frozen model's where that was named; None: no such path.
    encoder: Encoder
    settings: Settings


def _in_context(parts: PathParts) -> Path:
    engine, encoder, section = parts.engine, parts.encoder, parts.settings.in_context
    chooser = None
    if section.demonstrations:
        file = section.demonstrations_file or BUNDLE / "demonstrations.jsonl"
        chooser = named(CHOOSERS, section.choose, "in_context.choose")(file, encoder)
    return InContextPath(
        engine,
        chooser=chooser,
        settings=InContextSettings(
            demonstrations=section.demonstrations, edits_max=section.edits_max
        ),
    )


def _counterfactual(parts: PathParts) -> Path | None:
    if parts.counterfactual is None:
        return None
    itself = parts.counterfactual is parts.engine
    return CounterfactualPath(
        parts.counterfactual, model=BASE_MODEL if itself else COUNTERFACTUAL_MODEL
    )


PATHS: dict[str, Callable[[PathParts], Path | None]] = {
    IN_CONTEXT: _in_context,
    COUNTERFACTUAL: _counterfactual,
}


def build_paths(parts: PathParts) -> dict[str, Path]:
    """Builds every path that its parts allow."""
    made = {name: make(parts) for name, make in PATHS.items()}
    return {name: path for name, path in made.items() if path is not None}


@dataclass(frozen=True, slots=True, kw_only=True)
class Runtime:
    """The parts of a running server."""

    settings: Settings
    engine: Engine
    encoder: MiniLmEncoder
    memory: EditMemory
    classifier: ScopeClassifier
    runner: QueryRunner
    counterfactual: Engine | None = None  # Of a model of its own; None: no such path, or on base.
    consolidator: Consolidator | None = None
    preparer: EditPreparer | None = None  # None: the classifier keeps nothing of edits.

    def close(self, grace_s: float = 0.0) -> None:
        """Ends the parts in the order of their use; the memory is durable before this returns.

        A part that fails to close keeps no other one open.
        """
        with ExitStack() as closers:
            closers.callback(self.encoder.close)
            closers.callback(self.memory.close)
            if self.preparer is not None:
                closers.callback(self.preparer.close)
            if self.consolidator is not None:
                closers.callback(self.consolidator.close)
            closers.callback(self.runner.close)
            if self.counterfactual is not None:
                closers.callback(self.counterfactual.close, grace_s)
            closers.callback(self.engine.close, grace_s)


def make_encoder(section: EncoderSection, **options: int) -> MiniLmEncoder:
    """Builds the sentence encoder that the settings ask for; it loads at its first use."""
    return MiniLmEncoder(
        device=section.device, threads=section.threads, dtype=section.dtype, **options
    )


def named(known: dict[str, T], name: str, setting: str) -> T:
    """Looks a part up by name. Raises StartupError that lists the known ones."""
    part = known.get(name)
    if part is None:
        raise StartupError(f"{setting} is {name!r}; known are {', '.join(sorted(known))}.")
    return part


def model_folder(name: str) -> str:
    """The pocket bundle by its short names wherever the process runs; other names as they are."""
    shipped = (POCKET_BASE, POCKET_COUNTERFACTUAL, "pocket/nano")
    if name in shipped and not FilePath(name).exists():
        return str(BUNDLE.parent / name)
    return name


def is_shipped(name: str, shipped: str) -> bool:
    """Whether a model's name means that model of the bundle, and it is there."""
    folder = BUNDLE.parent / shipped
    return folder.is_dir() and FilePath(model_folder(name)).resolve() == folder.resolve()


def default_path(settings: Settings) -> str:
    """The path of requests that name none: the setting, else by the models that answer.

    The rule of "auto" was measured with the two models that ship, so it is the default with them
    alone (docs/paths.md).
    """
    if settings.routing.default_path is not None:
        return settings.routing.default_path
    other = settings.counterfactual.model or POCKET_COUNTERFACTUAL
    shipped = is_shipped(settings.model.name, POCKET_BASE)
    return AUTO if shipped and is_shipped(other, POCKET_COUNTERFACTUAL) else IN_CONTEXT


def check_path(settings: Settings) -> None:
    """Raises StartupError for a default path that there is none of."""
    known = dict.fromkeys((*PATHS, AUTO), True)
    named(known, default_path(settings), "routing.default_path")


def counterfactual_model(settings: Settings) -> str | None:
    """The model of the counterfactual path: named, or implied by the path in force; None: none."""
    if settings.counterfactual.model is not None:
        return settings.counterfactual.model
    used = default_path(settings) in {COUNTERFACTUAL, AUTO}
    return POCKET_COUNTERFACTUAL if used else None


def load_counterfactual(name: str, settings: Settings) -> Engine:
    """Loads the counterfactual path's own model, causal or seq2seq.

    Raises StartupError that names the setting.
    """
    folder, section = model_folder(name), settings.model
    try:
        if is_encoder_decoder(folder):
            return Seq2SeqEngine.load(
                folder, device=section.device, dtype=section.dtype, queue_max=section.queue_max
            )
        return TransformersEngine.load(
            folder,
            device=section.device,
            dtype=section.dtype,
            concurrent_max=section.concurrent_max,
            queue_max=section.queue_max,
            prefix_tokens_max=0,
        )
    except StartupError as error:
        raise StartupError(f"counterfactual.model is {name!r}: {error}") from error


def check_budgets(classifier: ScopeClassifier, section: RoutingSection) -> None:
    """Raises StartupError for a budget that would fail every query, naming its setting."""
    budgets: dict[str, float | None] = {"error_budget": section.error_budget}
    budgets |= {f"namespace_budgets.{name}": b for name, b in section.namespace_budgets.items()}
    for setting, budget in budgets.items():
        try:
            classifier.threshold(budget)
        except InvalidInput as error:
            raise StartupError(
                f"routing.{setting} is {budget} with the classifier {classifier.name}: {error}"
            ) from error


def check_models(settings: Settings) -> None:
    """Raises StartupError for a model that is not there, before anything is loaded."""
    check_model(model_folder(settings.model.name), device=settings.model.device)
    check_counterfactual(settings)


def check_counterfactual(settings: Settings) -> None:
    """Raises StartupError, naming the setting, for a counterfactual model that is not there."""
    other = counterfactual_model(settings)
    if other is None or other == BASE_MODEL:
        return
    try:
        check_model(model_folder(other), device=settings.model.device)
    except StartupError as error:
        raise StartupError(f"counterfactual.model is {other!r}: {error}") from error


def load_engine(section: ModelSection) -> TransformersEngine:
    """Loads the frozen model. Raises ModelLoadError."""
    return TransformersEngine.load(
        model_folder(section.name),
        device=section.device,
        dtype=section.dtype,
        threads=section.threads or os.cpu_count() or 1,
        concurrent_max=section.concurrent_max,
        queue_max=section.queue_max,
        prefix_tokens_max=section.prefix_cache_tokens,
    )


def routing_settings(settings: Settings) -> RoutingSettings:
    """Returns what the query runner is told of the settings."""
    section = settings.routing
    return RoutingSettings(
        default_path=default_path(settings),
        candidates=section.candidates,
        error_budget=section.error_budget,
        namespace_budgets=section.namespace_budgets,
        threads=section.threads,
    )


def build_runtime(settings: Settings) -> Runtime:
    """Builds all parts. What was built is closed again when a later part fails.

    Raises StartupError (bad names, a budget that cannot be kept, data directory, model).
    """
    make_classifier = named(CLASSIFIERS, settings.routing.classifier, "routing.classifier")
    check_path(settings)
    named(EDITORS, settings.consolidation.editor, "consolidation.editor")
    check_models(settings)
    with ExitStack() as closers:
        encoder = make_encoder(settings.encoder)
        closers.callback(encoder.close)
        warmed = encoder.begin(WARM_UP)  # In its own thread, beside the other loading.
        memory = EditMemory.open(
            settings.memory.directory,
            encoder=encoder,
            index_device=settings.memory.index_device,
        )
        closers.callback(memory.close)
        engine = load_engine(settings.model)
        closers.callback(engine.close)
        other, own = counterfactual_model(settings), None
        if other is not None and other != BASE_MODEL:
            own = load_counterfactual(other, settings)
            closers.callback(own.close)
        classifier = make_classifier(encoder)
        check_budgets(classifier, settings.routing)
        editions = make_editions(
            settings.memory.directory, host=engine, info=engine.info, memory=memory
        )
        runner = QueryRunner(
            engine=engine,
            memory=memory,
            encoder=encoder,
            classifier=classifier,
            paths=build_paths(
                PathParts(
                    engine=engine,
                    counterfactual=engine if other == BASE_MODEL else own,
                    encoder=encoder,
                    settings=settings,
                )
            ),
            models={} if own is None else {COUNTERFACTUAL_MODEL: own},
            editions=editions,
            settings=routing_settings(settings),
        )
        consolidator = make_consolidator(
            settings.memory.directory,
            memory=memory,
            editions=editions,
            info=engine.info,
            model=model_folder(settings.model.name),
            section=settings.consolidation,
            editors=EDITORS,
            shipped=Shipped(facts=BUNDLE / "facts.jsonl", relations=BUNDLE / "relations.json"),
        )
        warmed()  # What is wrong with its weights is said now, and the first query need not wait.
        closers.pop_all()  # All stands: closing is the Runtime's now.
    return Runtime(
        settings=settings,
        engine=engine,
        encoder=encoder,
        memory=memory,
        classifier=classifier,
        runner=runner,
        counterfactual=own,
        consolidator=consolidator,
        preparer=EditPreparer(memory, classifier) if isinstance(classifier, Preparing) else None,
    )
