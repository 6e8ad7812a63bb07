"""Every setting of the server, in one typed tree; flags win, then environment, then the TOML file.

Environment names are `ERRATA_` and the path of the field with double underscores, for example
`ERRATA_MODEL__DEVICE=cpu`. Unknown keys and bad values refuse to start, naming key, value and what
was expected. Frozen once read: below runtime/build.py nothing reads settings, files or environment.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    TomlConfigSettingsSource,
)

from memory.errors import InvalidInput, StartupError
from memory.validate import validate_namespace
from runtime.config_problems import LIST, explain, known_keys, misspelt_variables

POCKET_BASE = "pocket/base"
POCKET_COUNTERFACTUAL = "pocket/counterfactual"
CONFIG_FILE_VARIABLE = "ERRATA_CONFIG"
PREFIX = "ERRATA_"


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ServerSection(_Section):
    """Where the server listens and how it ends."""

    listen: str = "127.0.0.1:50051"
    """HOST:PORT; port 0 takes a free one. Other hosts than loopback need TLS and keys, or
    `insecure`."""
    insecure: bool = False
    """Allows a host other than loopback without TLS or keys: anybody who reaches it can edit."""
    tls_cert: Path | None = None
    """PEM certificate chain; with `tls_key` the server speaks TLS."""
    tls_key: Path | None = None
    """PEM private key of `tls_cert`."""
    keys: Path | None = None
    """TOML file of callers' keys (`errata key` makes it); unset: anybody may call everything."""
    reflection: bool = True
    """Answers gRPC reflection, so that tools such as grpcurl need no .proto files."""
    drain_s: float = Field(default=20.0, ge=0, le=3600)
    """Seconds that running requests get to finish on SIGTERM."""
    workers: int = Field(default=32, ge=1, le=1024)
    """Threads for memory calls; also how many writes can share one commit."""
    log_format: Literal["console", "json"] = "console"
    """How log lines look on stderr."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """The lowest level that is logged; query texts only at debug."""

    @field_validator("listen")
    @classmethod
    def _host_and_port(cls, value: str) -> str:
        host, colon, port = value.rpartition(":")
        if not colon or not host or not port.isdigit() or not 0 <= int(port) <= 65535:
            raise ValueError('expected HOST:PORT with a port of 0 to 65535, e.g. "127.0.0.1:50051"')
        return value


class ModelSection(_Section):
    """The frozen model and how it decodes."""

    name: str = POCKET_BASE
    """Hub name or folder of any causal model of transformers; the default ships with Errata."""
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """Where the model computes; auto takes a GPU when there is one."""
    dtype: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    """Precision of the weights; auto is fp32 on a CPU, the model's own on a GPU."""
    threads: int = Field(default=0, ge=0, le=1024)
    """CPU threads of the model; 0 takes the number of cores."""
    concurrent_max: int = Field(default=16, ge=1, le=1024)
    """Sequences that share a decode step."""
    queue_max: int = Field(default=256, ge=1, le=100_000)
    """Requests that may wait; more are refused with RESOURCE_EXHAUSTED."""
    prefix_cache_tokens: int = Field(default=16_384, ge=0)
    """Tokens of shared prompt prefixes whose keys and values are kept; 0 keeps none."""


class MemorySection(_Section):
    """The edit memory."""

    directory: Path = Path("errata-data")
    """Where the edit log lives; created when missing."""
    index_device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where the vector index searches; auto takes a GPU when faiss can use one."""


class EncoderSection(_Section):
    """The sentence encoder (all-MiniLM-L6-v2)."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where the encoder computes."""
    threads: int = Field(default=1, ge=1, le=256)
    """CPU threads; more than one only helps on idle machines."""
    dtype: Literal["auto", "float32", "bfloat16", "int8"] = "auto"
    """Of its products. int8 is for queries alone, on a CPU with ONNX Runtime; edits are float32
    then. Auto takes it there; elsewhere float32, or bfloat16 where that is quicker."""


class RoutingSection(_Section):
    """How queries find edits."""

    classifier: str = "two_stage"
    """The scope classifier; `errata doctor` lists the known ones."""
    error_budget: float | None = Field(default=None, gt=0, lt=1)
    """Share of out-of-scope queries that may be routed to an edit; unset: the classifier's own."""
    namespace_budgets: dict[str, Annotated[float, Field(gt=0, lt=1)]] = Field(default_factory=dict)
    """error_budget of single namespaces, by name; in TOML a table [routing.namespace_budgets]."""
    candidates: int = Field(default=16, ge=1, le=256)
    """Nearest edits that are scored for each query, besides those whose subject is mentioned."""
    default_path: str | None = None
    """The path that answers queries in scope: in_context, counterfactual, or auto (by its form);
    unset: auto with the two models that ship, in_context with any other."""
    threads: int = Field(default=4, ge=1, le=256)
    """Requests that are routed at the same time."""

    @field_validator("namespace_budgets")
    @classmethod
    def _namespaces(cls, budgets: dict[str, float]) -> dict[str, float]:
        try:
            return {validate_namespace(name): share for name, share in budgets.items()}
        except InvalidInput as error:
            raise ValueError(str(error)) from error


class InContextSection(_Section):
    """The in-context path (IKE)."""

    demonstrations: int = Field(default=0, ge=0, le=64)
    """Demonstrations before the new fact; 32 in the paper, 0 by what we measured."""
    choose: Literal["similar", "fixed"] = "similar"
    """similar: nearest to the edit; fixed: the same for all, their keys and values reused."""
    demonstrations_file: Path | None = None
    """JSONL of demonstrations; unset: those that ship."""
    edits_max: int = Field(default=4, ge=1, le=16)
    """New facts in one prompt."""


class CounterfactualSection(_Section):
    """The counterfactual path (SERAC)."""

    model: str | None = None
    """Hub name or folder of a causal or seq2seq model, or base for the frozen model itself; unset:
    pocket/counterfactual when the path in force is counterfactual or auto, else no such path."""


class ConsolidationSection(_Section):
    """Consolidation: edits written into the weights in the background."""

    editor: str = "memit"
    """What writes when a request names none: memit, rome, alphaedit or pmet."""
    device: Literal["cpu", "cuda", "mps"] = "cpu"
    """Where the computing process works; its own copy of the model goes there."""
    threads: int = Field(default=1, ge=1, le=256)
    """CPU threads of the computing process."""
    niceness: int = Field(default=19, ge=0, le=19)
    """How far the computing process steps back behind others; 19 is the farthest."""
    memory_mb: int = Field(default=0, ge=0)
    """MiB that the computing process may take; 0: half of the machine's memory."""
    corpus: Path | None = None
    """Text file of running text, a text a line; unset: sentences made of the facts that ship."""
    rebuild: bool = True
    """Makes a new edition when one had to be left because an edit in it went out of force."""
    gate_took_min: float = Field(default=0.5, ge=0, le=1)
    """Share of edits that must take; those that do not are served from memory as before."""
    gate_generalization_min: float = Field(default=0.6, ge=0, le=1)
    """Share of other phrasings of the edits that must be answered with their targets."""
    gate_neighbours_min: float = Field(default=0.9, ge=0, le=1)
    """Share of answers that must stay for other subjects in the edits' prompts."""
    gate_bleeding_max: float = Field(default=0.03, ge=0, le=1)
    """Share of other subjects that may begin to get an edit's target."""
    gate_same_subject_min: float = Field(default=0.7, ge=0, le=1)
    """Share of answers, of those that the published model is sure of, that must stay for other
    prompts about the edits' subjects."""
    gate_told_to_keep_min: float = Field(default=0.9, ge=0, le=1)
    """Share of answers that must stay for the prompts that the editor was told to keep."""
    gate_told_drift_nats_max: float = Field(default=0.02, ge=0)
    """Mean change of the next-token distribution for these prompts, KL in nats, of ten edits."""
    gate_told_drift_nats_per_edit: float = Field(default=0.002, ge=0)
    """What is allowed more for each edit after the tenth."""
    gate_drift_nats_max: float = Field(default=0.25, ge=0)
    """Mean change of the next-token distribution for other subjects, KL in nats."""
    gate_perplexity_ratio_max: float = Field(default=1.02, gt=0)
    """Perplexity of running text, edition over published model."""
    gate_former_min: float = Field(default=0.9, ge=0, le=1)
    """Share of the edits of the former edition that must take again."""
    gate_harm_nats_max: float = Field(default=0.5, ge=0)
    """How much less likely any edit's target may become, nats a token."""


class Settings(BaseSettings):
    """All settings of a server."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_nested_delimiter="__", extra="forbid", frozen=True
    )

    server: ServerSection = ServerSection()
    model: ModelSection = ModelSection()
    memory: MemorySection = MemorySection()
    encoder: EncoderSection = EncoderSection()
    routing: RoutingSection = RoutingSection()
    in_context: InContextSection = InContextSection()
    counterfactual: CounterfactualSection = CounterfactualSection()
    consolidation: ConsolidationSection = ConsolidationSection()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Flags, then environment, then the file that ERRATA_CONFIG (or --config) names."""
        del dotenv_settings, file_secret_settings
        file = os.environ.get(CONFIG_FILE_VARIABLE)
        if not file:
            return init_settings, env_settings
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls, Path(file))


def read_settings(flags: dict[str, dict[str, Any]] | None = None) -> Settings:
    """Reads flags (section to field to value; None values are left out), environment and file.

    Raises StartupError that names every bad key with what was given and what was expected.
    """
    given: dict[str, Any] = {
        section: {key: value for key, value in fields.items() if value is not None}
        for section, fields in (flags or {}).items()
    }
    file = os.environ.get(CONFIG_FILE_VARIABLE)
    if file and not Path(file).is_file():
        raise StartupError(f"The configuration file {file} does not exist.")
    known = known_keys(Settings)
    misspelt = list(misspelt_variables(os.environ, known, PREFIX))
    if misspelt:
        told = "\n  ".join(["Variables of the environment name no setting:", *misspelt])
        raise StartupError(f"{told}\n{LIST}")
    try:
        return Settings(**given)
    except ValidationError as error:
        raise StartupError(
            explain(
                error.errors(),
                known,
                flags=given,
                environment=os.environ,
                prefix=PREFIX,
                file=file,
            )
        ) from error
    except SettingsError as error:  # A variable such as ERRATA_MODEL, which is no value's name.
        raise StartupError(
            f"The environment cannot be read: {error}; name a field, e.g. ERRATA_MODEL__NAME"
        ) from error
    except (ValueError, OSError) as error:  # A TOML file that does not parse, or may not be read.
        raise StartupError(f"The configuration file {file} cannot be read: {error}") from error
