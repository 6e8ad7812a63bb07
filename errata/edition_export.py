"""Editions of a data directory, written for other programs without a server."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from memory.errors import InvalidInput
from memory.record import EDITION_BASE
from runtime.build import model_folder
from runtime.config import Settings
from runtime.consolidation.assemble import EDITIONS
from runtime.consolidation.export import export_adapter, export_checkpoint
from runtime.consolidation.store import EditionStore
from runtime.engine.load import load_model


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenEdition:
    """An edition in a folder of its own."""

    edition: int
    folder: str
    format: str
    rank: int | None  # Largest of the adapter's; None for a checkpoint.
    bytes: int

    @property
    def told(self) -> str:
        """What it is, for people."""
        size = f"{self.bytes / 1e6:.1f} MB"
        return f"a checkpoint, {size}" if self.rank is None else f"LoRA, rank {self.rank}, {size}"


def write_edition(
    settings: Settings,
    number: int,
    out: Path,
    *,
    form: Literal["checkpoint", "lora"],
    rank_max: int,
    namespace: str,
) -> WrittenEdition:
    """Writes an edition of the settings' data directory and model.

    Raises InvalidInput, NotFound, EditionUnusable, ModelLoadError, Unavailable.
    """
    if number == EDITION_BASE:
        raise InvalidInput(
            f"edition {EDITION_BASE} is the model as published: copy that", field="edition"
        )
    store = EditionStore(settings.memory.directory / EDITIONS)
    record = store.record(number)
    if record.namespace != namespace:
        raise InvalidInput(
            f"edition {number} belongs to namespace {record.namespace!r}, not {namespace!r}; name "
            "it with --namespace",
            field="namespace",
        )
    section = settings.model
    loaded = load_model(model_folder(section.name), device=section.device, dtype=section.dtype)
    rank = None
    if form == "checkpoint":
        export_checkpoint(store, record, loaded, out)
    else:
        rank = export_adapter(store, record, loaded, out, base=section.name, rank_max=rank_max)
    size = sum(path.stat().st_size for path in out.iterdir())
    return WrittenEdition(edition=number, folder=str(out), format=form, rank=rank, bytes=size)
