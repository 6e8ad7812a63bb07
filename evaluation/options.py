"""What one evaluation is asked to do."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from memory.errors import InvalidInput

PROTOCOLS = ("single", "batch", "sequential", "stacked")


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """One run of `errata eval`; names are checked where they are looked up."""

    dataset: str
    file: Path
    out: Path
    edits: tuple[int, ...] = (1, 100, 1000)
    methods: tuple[str, ...] = ("auto",)
    scopes: tuple[str, ...] = ("ours",)
    protocol: str = "batch"
    step: int = 1  # Records between two askings of the sequential protocols.
    editor_settings: dict[str, object] = field(default_factory=dict)
    limit: int | None = None  # Records probed.
    kinds: tuple[str, ...] = ()  # Of probes; none: all.
    baselines: bool = True
    generate: bool = True
    score: bool = True
    fillers: Path | None = None
    far: Path | None = None  # Search questions, one JSON object a line.
    labels: Path | None = None  # Which paraphrases follow from their edit.
    turns: Path | None = None  # Conversations.
    reference: int = 200  # BASE answers compared with transformers alone.
    fluency: int = 0  # Prompts of 100-token generations.
    latency: int = 300  # Queries timed alone, for each number of edits.
    max_tokens: int = 32
    stop: tuple[str, ...] = ()
    error_budget: float | None = None
    any_code: bool = False
    at_once: int = 16  # Probes in flight.
    settings: dict[str, dict[str, object]] = field(default_factory=dict)  # Flags of the server.

    def __post_init__(self) -> None:
        if not self.edits or min(self.edits) < 1:
            raise InvalidInput(
                f"--edits {self.edits}: expected numbers of 1 or more", field="edits"
            )
        if self.protocol not in PROTOCOLS:
            raise InvalidInput(
                f"--protocol {self.protocol!r}; expected one of {', '.join(PROTOCOLS)}",
                field="protocol",
            )
        if self.limit is not None and self.limit < 1:
            raise InvalidInput(f"--limit {self.limit}: expected 1 or more", field="limit")
        if self.step < 1:
            raise InvalidInput(f"--step {self.step}: expected 1 or more", field="step")
        if self.max_tokens < 1 or self.at_once < 1:
            raise InvalidInput("--max-tokens and --at-once must be 1 or more", field="max_tokens")
