"""`errata serve`: flags over environment over file, then the server until SIGTERM or Ctrl-C.

A flag that is not given says nothing, so that a variable or the file can; defaults live in
runtime/config.py alone and are only repeated in the help texts (a test compares them).
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from errata.commands.options import AsJson
from errata.commands.outcome import reported
from errata.show import Screen

if TYPE_CHECKING:
    from runtime.config import Settings

Flags = dict[str, dict[str, Any]]
"""Section to field to value, as `read_settings` takes them; None for what was not given."""


def _flag(metavar: str | None, text: str, default: str, *names: str, panel: str = "Server") -> Any:
    shown = f"{text}  \\[default: {default}]"  # Unescaped it is markup, and not shown.
    return typer.Option(*names, metavar=metavar, help=shown, rich_help_panel=panel)


def _model_flag(metavar: str, text: str, default: str) -> Any:
    return _flag(metavar, text, default, panel="Model")


def _routing_flag(metavar: str, text: str, default: str) -> Any:
    return _flag(metavar, text, default, panel="Memory and routing")


Model = Annotated[
    str | None,
    _model_flag(
        "NAME_OR_FOLDER",
        "Any causal model of transformers, by hub name or folder.",
        "pocket/base",
    ),
]
Device = Annotated[
    str | None, _model_flag("auto|cpu|cuda|mps", "Where the model computes.", "auto")
]
Dtype = Annotated[
    str | None,
    _model_flag("auto|fp32|bf16|fp16", "Precision of the weights.", "auto"),
]
Threads = Annotated[
    int | None, _model_flag("N", "CPU threads of the model; 0 takes the number of cores.", "0")
]
ConcurrentMax = Annotated[int | None, _model_flag("N", "Answers that share a decode step.", "16")]
QueueMax = Annotated[
    int | None, _model_flag("N", "Requests that may wait; more are refused.", "256")
]
DataDir = Annotated[
    Path | None,
    _routing_flag("FOLDER", "Where the edit log lives; made when missing.", "errata-data"),
]
Classifier = Annotated[
    str | None,
    _routing_flag(
        "NAME",
        "The scope classifier: two_stage, features, serac_embed, serac_cross, subject or cosine.",
        "two_stage",
    ),
]
ErrorBudget = Annotated[
    float | None,
    _routing_flag(
        "SHARE",
        "Share of out-of-scope queries that may be routed to an edit, above 0 and below 1.",
        "the classifier's own",
    ),
]
DefaultPath = Annotated[
    str | None,
    _routing_flag(
        "NAME",
        "The path that answers in scope: in_context, counterfactual or auto.",
        "auto with the models that ship, else in_context",
    ),
]
Counterfactual = Annotated[
    str | None,
    _model_flag(
        "NAME_OR_FOLDER",
        "Model of the counterfactual path: causal or seq2seq, or base for the frozen model.",
        "pocket/counterfactual where the path is counterfactual or auto, else none",
    ),
]
Candidates = Annotated[
    int | None, _routing_flag("N", "Nearest edits that are scored for each query.", "16")
]
Listen = Annotated[
    str | None,
    _flag(
        "HOST:PORT",
        "Where to listen; port 0 takes a free one.",
        "127.0.0.1:50051",
        "--listen",
        "--address",  # As every command that asks a server calls it.
    ),
]
Insecure = Annotated[
    bool | None,
    _flag(
        None,
        "Allows a host other than loopback without TLS or keys: anybody who reaches it can edit.",
        "off",
        "--insecure-bind",
    ),
]
TlsCert = Annotated[
    Path | None, _flag("FILE", "PEM certificate chain; with --tls-key for TLS.", "none")
]
TlsKey = Annotated[Path | None, _flag("FILE", "PEM private key of --tls-cert.", "none")]
Keys = Annotated[
    Path | None, _flag("FILE", "Keys that callers must have one of; see `errata key`.", "none")
]
Reflection = Annotated[
    bool | None,
    _flag(
        None,
        "Answers gRPC reflection, so that tools such as grpcurl need no .proto files.",
        "on",
        "--reflection/--no-reflection",
    ),
]
Drain = Annotated[
    float | None, _flag("SECONDS", "What running requests get to finish on SIGTERM.", "20")
]
LogFormat = Annotated[str | None, _flag("console|json", "How log lines look on stderr.", "console")]
LogLevel = Annotated[
    str | None, _flag("debug|info|warning|error", "The lowest level that is logged.", "info")
]
Config = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        envvar="ERRATA_CONFIG",
        help="A TOML file with any setting; flags and ERRATA_* variables win over it.",
    ),
]
PrintConfig = Annotated[
    bool, typer.Option("--print-config", help="Prints the settings in force; starts nothing.")
]


def serve(
    *,
    model: Model = None,
    device: Device = None,
    dtype: Dtype = None,
    threads: Threads = None,
    concurrent_max: ConcurrentMax = None,
    queue_max: QueueMax = None,
    data_dir: DataDir = None,
    classifier: Classifier = None,
    error_budget: ErrorBudget = None,
    candidates: Candidates = None,
    path: DefaultPath = None,
    counterfactual: Counterfactual = None,
    listen: Listen = None,
    insecure: Insecure = None,
    tls_cert: TlsCert = None,
    tls_key: TlsKey = None,
    keys: Keys = None,
    reflection: Reflection = None,
    drain: Drain = None,
    log_format: LogFormat = None,
    log_level: LogLevel = None,
    config: Config = None,
    print_config: PrintConfig = False,
    as_json: AsJson = False,
) -> None:
    """Serves a frozen model with its edit memory until SIGTERM or Ctrl-C.

    Every setting is also a variable (ERRATA_MODEL__DEVICE=cpu) and a key of the TOML file.

    Examples:
      errata serve
      errata serve --model Qwen/Qwen2.5-1.5B-Instruct --device cuda
      errata serve --listen 127.0.0.1:0 --print-config
    """
    flags: Flags = {
        "server": {
            "listen": listen,
            "insecure": insecure,
            "tls_cert": tls_cert,
            "tls_key": tls_key,
            "keys": keys,
            "reflection": reflection,
            "drain_s": drain,
            "log_format": log_format,
            "log_level": log_level,
        },
        "model": {
            "name": model,
            "device": device,
            "dtype": dtype,
            "threads": threads,
            "concurrent_max": concurrent_max,
            "queue_max": queue_max,
        },
        "memory": {"directory": data_dir},
        "routing": {
            "classifier": classifier,
            "error_budget": error_budget,
            "candidates": candidates,
            "default_path": path,
        },
        "counterfactual": {"model": counterfactual},
    }
    screen = Screen.open(json=as_json)
    with reported(screen):
        settings = read(flags, config)
        if print_config:
            print_settings(screen, settings)
            return
        raise typer.Exit(_run(screen, settings))


def read(flags: Flags, config: Path | None) -> Settings:
    """Returns the settings in force. Raises StartupError naming every bad value."""
    from runtime.config import CONFIG_FILE_VARIABLE, read_settings  # noqa: PLC0415  # Slow.

    if config is not None:
        os.environ[CONFIG_FILE_VARIABLE] = str(config)
    return read_settings(flags)


def print_settings(screen: Screen, settings: Settings) -> None:
    """Prints every setting: as TOML for people (a file for --config), or as one JSON object."""
    tree: dict[str, dict[str, Any]] = settings.model_dump(mode="json")
    if screen.json:
        screen.record(tree)
        return
    for section, values in tree.items():
        screen.line(f"[{section}]")
        for key, value in values.items():
            screen.line(f"# {key} is not set" if value is None else f"{key} = {_toml(value)}")
        screen.line()


def _toml(value: bool | float | str | dict[str, float]) -> str:
    if isinstance(value, dict):
        pairs = (f"{_toml(name)} = {_toml(inner)}" for name, inner in value.items())
        return f"{{{', '.join(pairs)}}}"
    return json.dumps(value, ensure_ascii=False)  # TOML writes the others as JSON does.


def _run(screen: Screen, settings: Settings) -> int:
    """Serves until it is told to end; says where on stdout once it does."""
    import server  # noqa: PLC0415  # Slow.

    host = settings.server.listen.rpartition(":")[0]

    def ready(port: int) -> None:
        address = f"{host}:{port}"
        if screen.json:
            screen.record({"kind": "ready", "address": address, "model": settings.model.name})
        else:
            screen.line(f"Serving {settings.model.name} on {address}. Ctrl-C ends it.")
            screen.line(f'Try: errata generate "..." --address {address}', style="dim")

    return server.serve(settings, on_ready=ready)
