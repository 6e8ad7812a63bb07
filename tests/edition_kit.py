"""What the tests of editions share: changes of tiny models, records, stores."""

from __future__ import annotations

from typing import Any

import torch

from memory.record import Edit
from runtime.consolidation.contract import MatrixDelta
from runtime.consolidation.edition import EditionRecord, HeldEdit, Measure
from runtime.sites import sites_of


def low_rank(model: Any, *, rank: int = 2, seed: int = 0, scale: float = 0.5) -> MatrixDelta:
    """Returns a random change of the last block's MLP output projection."""
    sites = sites_of(model)
    module = sites.mlp_out(sites.layers - 1)
    weight = model.get_submodule(module).weight
    d_out, d_in = reversed(weight.shape) if sites.family.transposed else weight.shape
    generator = torch.Generator().manual_seed(seed)
    return MatrixDelta(
        module=module,
        left=scale * torch.randn(d_out, rank, generator=generator),
        right=torch.randn(rank, d_in, generator=generator),
    )


def record_of(edits: list[Edit], *, fingerprint: str, left: int = 0, **more: Any) -> EditionRecord:
    """Returns the record of an edition that holds the edits, the last `left` of them not."""
    held = tuple(
        HeldEdit(
            edit_id=edit.id,
            revision=edit.revision,
            subject=edit.subject,
            prompt=edit.prompt,
            target=edit.target,
            took=place < len(edits) - left,
            reason="" if place < len(edits) - left else "the target is not the answer",
        )
        for place, edit in enumerate(edits)
    )
    fields: dict[str, Any] = {
        "number": 0,
        "namespace": edits[0].namespace,
        "base_fingerprint": fingerprint,
        "model": "tiny",
        "editor": "random",
        "settings": {"seed": 0, "layers": [1]},
        "edits": held,
        "measures": (
            Measure(
                name="reliability", before=0.0, after=1.0, limit=">= 0.9", passed=True, count=2
            ),
        ),
        "matrices": (),
        "created_at_s": 1.5,
        "job": "consolidate-1",
    }
    return EditionRecord(**{**fields, **more})
