"""What the evaluation's tests share: data files, a runtime of fakes, runs without a model."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from classifiers.subject_rule import SubjectRule
from evaluation.method import Asked, Routed, Said, Scored
from evaluation.options import Options
from evaluation.outcome import Outcome
from evaluation.probes import Probe, Scope
from evaluation.result import Progress, Result
from evaluation.run import run
from memory.edit_memory import EditMemory
from memory.flat_index import FlatIndex
from runtime.build import Runtime
from runtime.config import Settings
from runtime.paths.in_context import InContextPath
from runtime.query_runner import QueryRunner
from tests.fakes import FakeEngine
from tests.hash_encoder import HashEncoder

NAMES = ("Ann Lee", "Bob Roe", "Cid Fay", "Dan Poe", "Eva May", "Flo Kay", "Gus Ray", "Hal Dee")
TARGETS = ("Danish", "Finnish", "Greek", "Latin", "Welsh", "Irish", "Dutch", "Czech")
FROZEN = " Klingon"  # What the fake model says without a new fact.


def counterfact_row(number: int, **changes: Any) -> dict[str, Any]:
    """A CounterFact record in EasyEdit's schema about a person of the test's own."""
    name = NAMES[number]
    return {
        "case_id": number,
        "subject": name,
        "prompt": f"The mother tongue of {name} is",
        "target_new": TARGETS[number],
        "ground_truth": "Klingon",
        "rephrase_prompt": f"It rained. {name} speaks",
        "locality_prompt": f"The mother tongue of Zoe{number} Poe{number} is",
        "locality_ground_truth": "Klingon",
        **changes,
    }


def counterfact_file(folder: Path, count: int = 4) -> Path:
    """Writes a small CounterFact file."""
    return write_json(folder / "val.json", [counterfact_row(number) for number in range(count)])


def write_json(path: Path, payload: object) -> Path:
    """Writes a JSON file and returns its path."""
    path.write_text(json.dumps(payload), encoding="utf-8")
    return path


def follow_the_fact(prompt: str) -> str:
    """What the fake model says: the target of the new fact before the prompt, else its own."""
    if "New Fact: " not in prompt:
        return FROZEN
    return " " + prompt.split("\nPrompt: ", maxsplit=1)[0].rsplit(" ", 1)[-1]


def fake_runtime(
    settings: Settings,
    answer: Callable[[str], str] = follow_the_fact,
    *,
    engine: Any = None,
) -> Runtime:
    """A runtime of fakes: bytes for tokens, hashes for an encoder, a mentioned subject routes."""
    encoder: Any = HashEncoder()
    engine = engine or FakeEngine(default=answer, queue_max=4 * 64)
    memory = EditMemory.open(settings.memory.directory, encoder=encoder, make_index=FlatIndex)
    classifier = SubjectRule()
    return Runtime(
        settings=settings,
        engine=engine,
        encoder=encoder,
        memory=memory,
        classifier=classifier,
        runner=QueryRunner(
            engine=engine,
            memory=memory,
            encoder=encoder,
            classifier=classifier,
            paths={"in_context": InContextPath(engine)},
        ),
    )


def options_for(file: Path, out: Path, **changes: Any) -> Options:
    """Options of a run that needs no model: routed by mention, nothing timed or referred to."""
    given: dict[str, Any] = {
        "dataset": "counterfact",
        "file": file,
        "out": out,
        "edits": (2,),
        "methods": ("in_context",),
        "baselines": False,
        "reference": 0,
        "latency": 0,
        "settings": {"routing": {"classifier": "subject"}},
    }
    return Options(**{**given, **changes})


def run_with_fakes(options: Options, advance: Callable[[], None] = lambda: None) -> Result:
    """Runs an evaluation over fakes."""
    progress = Progress(begin=lambda _title, _total: None, advance=advance)
    return run(options, progress, build=_closable)


def _closable(settings: Settings) -> Runtime:
    runtime = fake_runtime(settings)
    runtime.encoder.close = lambda: None  # type: ignore[method-assign]  # Hashes hold nothing.
    return runtime


def value(result: Result, metric: str, **about: Any) -> float:
    """The value of the one row of a metric that fits."""
    (row,) = [
        row
        for row in result.rows
        if row.metric == metric and all(getattr(row, name) == is_ for name, is_ in about.items())
    ]
    return row.value


def outcome(
    kind: str = "edit",
    *,
    scope: Scope = Scope.INSIDE,
    text: str | None = None,
    answers: tuple[str, ...] = ("French",),
    edited: bool = False,
    right: bool = False,
    scored: Scored | None = None,
    best_score: float = 0.0,
    own_score: float = 0.0,
    **more: Any,
) -> Outcome:
    """An outcome of a probe, as a test needs it."""
    prompt = more.pop("prompt", "The mother tongue of X is")
    said = None if text is None else Said(text=text, token_ids=tuple(text.encode()), finish="eos")
    probe = Probe(
        kind=kind,
        prompt=prompt,
        scope=scope,
        answers=answers,
        former="Dutch",
        group=more.pop("group", ""),
    )
    routed = Routed(
        edited=edited,
        path="in_context" if edited else "base",
        hits=(("e-1", best_score),) if edited else (),
        best="e-1",
        best_score=best_score,
        own_score=own_score,
    )
    given: dict[str, Any] = {
        "case": "1",
        "filler": False,
        "covered": False,
        "best": "",
        "follows": None,
        "seconds": 0.5,
        **more,
    }
    asked = Asked(routed=routed, said=said, scored=scored)
    return Outcome(probe=probe, asked=asked, right=right, **given)
