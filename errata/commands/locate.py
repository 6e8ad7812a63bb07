"""`errata locate`: at which token and layer a model recalls a fact, as a table and a heat map."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from errata.commands.options import AsJson
from errata.commands.outcome import UsageProblem, reported
from errata.commands.parse import one_subject, unbrace
from errata.commands.serve import Config, Device, Model, read
from errata.show import Screen, one_line

if TYPE_CHECKING:
    from errata.heat_map import HeatMap
    from runtime.consolidation.locate import CausalTrace

TITLES = {"state": "state", "mlp": "MLP", "attention": "attention"}
COLOURS = {"state": (88, 36, 140), "mlp": (20, 120, 60), "attention": (180, 40, 30)}


def locate(
    prompt: Annotated[str, typer.Argument(metavar="PROMPT", help="A prompt that states the fact.")],
    *,
    subject: Annotated[
        str,
        typer.Option(
            "--subject",
            "-s",
            metavar="TEXT",
            help="Its subject, as in the prompt, if no braces mark it there.",
        ),
    ] = "",
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="FILE", help="Draws the heat map: .svg or .png."),
    ] = None,
    samples: Annotated[
        int, typer.Option("--samples", min=1, max=100, metavar="N", help="Draws of the noise.")
    ] = 8,
    window: Annotated[
        int | None,
        typer.Option(
            "--window",
            min=1,
            metavar="LAYERS",
            help="Layers of MLP or attention put back together.  \\[default: a fifth of them]",
        ),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, metavar="N", help="Of the noise.")] = 0,
    model: Model = None,
    device: Device = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Traces where a model recalls a fact (causal tracing, ROME, arXiv 2202.05262, figure 1).

    The subject is drowned in noise; then one state is put back, token by token and layer by layer.
    The higher the answer's probability, the more that state carries. Loads the model itself; asks
    no server.

    Examples:
      errata locate "{Jean Gabin} is a native speaker of"
      errata locate "Rome is the capital of" -s Rome --model gpt2-xl -o a.svg
    """
    screen = Screen.open(json=as_json)
    with reported(screen):
        prompt, subject = marked_fact(prompt, subject)
        settings = read({"model": {"name": model, "device": device}}, config)
        if out is not None:
            _check_ending(out)
        from runtime.build import model_folder  # noqa: PLC0415  # torch.
        from runtime.consolidation.locate import Locator  # noqa: PLC0415
        from runtime.engine.load import load_model  # noqa: PLC0415

        loaded = load_model(
            model_folder(settings.model.name),
            device=settings.model.device,
            dtype=settings.model.dtype,
        )
        locator = Locator(loaded.model, loaded.tokenizer, samples=samples, seed=seed)
        found = locator.trace(prompt, subject, window=window)
        _tell(screen, found)
        if out is not None:
            from errata.heat_map import draw  # noqa: PLC0415

            draw(heat_map(found, prompt), out)
            screen.note(f"Drawn: {out}")


def marked_fact(prompt: str, given: str) -> tuple[str, str]:
    """Returns a prompt without braces and its subject. Raises UsageProblem unless it names that."""
    bare, marked = unbrace(prompt)
    subject = one_subject(given, marked)
    if subject not in bare:
        raise UsageProblem(
            f'The prompt "{bare}" does not name the subject "{subject}"; give it as it is there.'
        )
    return bare, subject


def _check_ending(out: Path) -> None:
    if out.suffix.lower() not in {".svg", ".png"}:
        raise ValueError(f"--out is {str(out)!r}; expected a file that ends in .svg or .png")


def heat_map(found: CausalTrace, prompt: str) -> HeatMap:
    """Returns what to draw of a trace: three panels on one scale, subject tokens starred."""
    from errata.heat_map import HeatMap, Panel  # noqa: PLC0415

    panels = [
        Panel(
            title=_title(kind.value, found.window),
            values=scores.tolist(),
            colour=COLOURS[kind.value],
        )
        for kind, scores in found.scores.items()
    ]
    top = max(float(scores.max()) for scores in found.scores.values())
    return HeatMap(
        title=f"{one_line(prompt, 80)} → {found.answer.strip()}",
        tokens=_tokens(found),
        low=min(found.corrupted, *(float(scores.min()) for scores in found.scores.values())),
        high=max(top, found.clean),
        panels=panels,
    )


def _title(kind: str, window: int) -> str:
    return f"{TITLES[kind]} put back" + ("" if kind == "state" else f", {window} layers")


def _tokens(found: CausalTrace) -> list[str]:
    return [
        one_line(token) + ("*" if place in found.subject else "")
        for place, token in enumerate(found.tokens)
    ]


def _tell(screen: Screen, found: CausalTrace) -> None:
    from runtime.consolidation.locate import peak  # noqa: PLC0415

    peaks = {kind.value: peak(scores) for kind, scores in found.scores.items()}
    if screen.json:
        screen.record(
            {
                "tokens": list(found.tokens),
                "subject": [found.subject.start, found.subject.stop],
                "answer": found.answer,
                "clean": found.clean,
                "corrupted": found.corrupted,
                "window": found.window,
                "scores": {kind.value: scores.tolist() for kind, scores in found.scores.items()},
                "peaks": {
                    kind: {"token": one.token, "layer": one.layer, "probability": one.probability}
                    for kind, one in peaks.items()
                },
            }
        )
        return
    tokens = _tokens(found)
    for kind, scores in found.scores.items():
        screen.line(f"\nPercent with the {_title(kind.value, found.window)}")
        layers = scores.shape[1]
        screen.table(
            ["TOKEN", *(str(layer) for layer in range(layers))],
            [
                [tokens[place], *(f"{100 * value:.0f}" for value in row)]
                for place, row in enumerate(scores.tolist())
            ],
        )
    screen.line(
        f"\nThe model answers{found.answer!r}: {found.clean:.1%} as it is, {found.corrupted:.1%}"
        " with the subject drowned in noise (tokens with a star)."
    )
    for name, one in peaks.items():
        screen.line(
            f"{TITLES[name]:<10} most at {tokens[one.token]!r}, layer {one.layer}:"
            f" {one.probability:.1%}"
        )
