"""Averages cross-encoders that were trained from different seeds, and shows what it is good for.

    python -m classifiers.average_cross A.safetensors B.safetensors --data DATA --out FILE

Runs from one pretrained model that differ in their seed end near each other: the mean of their
weights judges relations that none of them saw better than each does alone, and costs a query what
one of them costs. It is the uniform soup of Wortsman et al. 2022, arXiv 2203.05482, section 2.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import logging
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from classifiers.calibration import Floats
from classifiers.cross_encoder import (
    WEIGHTS_FILE,
    CrossEncoder,
    encoder_folder,
    notes_of,
    packed,
    unpacked,
)
from classifiers.encoding_cache import CachedEncoder
from classifiers.frame_lessons import Material
from classifiers.lesson_material import load_material
from classifiers.phrasebook import FIT, TEST, load_phrasebook
from classifiers.train_cross import judged_lessons
from memory.encoder import MiniLmEncoder

log = logging.getLogger(__name__)

LESSONS = 2500
FALSE_SHARE = 0.05  # Of the lessons out of scope, at which the share found is told.


def average(paths: Sequence[Path], out: Path) -> None:
    """Writes the mean of weights files. Raises ValueError for fewer than two, or if they differ.

    They must hold the same parts and have been trained for the same encoder.
    """
    if len(paths) < 2:
        raise ValueError(f"{len(paths)} weights file was given; an average takes two or more")
    held = [_read(path) for path in paths]
    notes, first = held[0]
    for path, (other_notes, other) in zip(paths[1:], held[1:], strict=True):
        same_parts = {n: t.shape for n, t in other.items()} == {
            n: t.shape for n, t in first.items()
        }
        same_make = all(other_notes.get(key) == notes.get(key) for key in ("format", "encoder"))
        if not (same_parts and same_make):
            raise ValueError(f"{path} was not trained for the same parts as {paths[0]}")
    mean = {
        name: sum((tensors[name] for _, tensors in held[1:]), first[name]) / len(held)
        for name in first
    }
    settings = {
        "average": [
            {
                "sha256": hashlib.sha256(path.read_bytes()).hexdigest()[:16],
                "settings": json.loads(their["settings"]),
            }
            for path, (their, _) in zip(paths, held, strict=True)
        ]
    }
    state = {name: tensor.contiguous() for name, tensor in packed(mean).items()}
    metadata = {**notes_of(encoder_folder(), settings), "encoder": notes["encoder"]}
    beside = out.with_suffix(".part")  # The file may be one of those that were read.
    save_file(state, beside, metadata=metadata)
    beside.replace(out)


def _read(path: Path) -> tuple[dict[str, str], dict[str, Tensor]]:
    with safe_open(str(path), framework="pt") as file:
        stored = {name: file.get_tensor(name) for name in list(file.keys())}
        return dict(file.metadata() or {}), unpacked(stored)


def area_under_roc(odds: Floats, labels: np.ndarray[Any, np.dtype[np.bool_]]) -> float:
    """Returns the share of pairs, one in scope and one out, in which the former is surer.

    `odds` and `labels` are (n,); equal odds count half.
    """
    inside, outside = odds[labels], np.sort(odds[~labels])
    below = np.searchsorted(outside, inside, side="left")
    up_to = np.searchsorted(outside, inside, side="right")
    return float(np.mean((below + up_to) / (2 * len(outside))))


def measure(encoder: CrossEncoder, material: Material, seed: int) -> dict[str, float]:
    """Returns what the encoder makes of lessons drawn for a seed, the same for each encoder."""
    drawn, odds = judged_lessons(encoder, material, count=LESSONS, seed=seed)
    labels = np.array([one.in_scope for one in drawn])
    bound = float(np.quantile(odds[~labels], 1 - FALSE_SHARE))
    return {
        "area under ROC": round(area_under_roc(odds, labels), 4),
        f"found at {FALSE_SHARE:.0%} false": round(float(np.mean(odds[labels] >= bound)), 4),
        "right at even odds": round(float(np.mean((odds > 0) == labels)), 4),
    }


def main() -> None:
    """Averages, compares the files and their average, and writes it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("weights", type=Path, nargs="+")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--splits", type=Path, default=Path("pocket/splits.json"))
    parser.add_argument("--relations", type=Path, default=Path("pocket/relations.json"))
    parser.add_argument("--cache", type=Path, default=None, help="an .npz to keep encodings in")
    parser.add_argument("--out", type=Path, default=WEIGHTS_FILE)
    parser.add_argument("--seed", type=int, default=5)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    cached = CachedEncoder(MiniLmEncoder("auto", dtype="float32"), arguments.cache)
    book = load_phrasebook(arguments.data, arguments.relations)
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "average.safetensors"
        average(arguments.weights, made)
        for part in (FIT, TEST):
            material = load_material(arguments.data, book, arguments.splits, cached, part=part)
            for path in (*arguments.weights, made):
                found = measure(CrossEncoder.load(path), material, arguments.seed)
                log.info("relations of %s, %s: %s", part, path.name, found)
        cached.save()
        beside = arguments.out.with_suffix(".part")
        shutil.copyfile(made, beside)
        beside.replace(arguments.out)
    log.info("written to %s", arguments.out)


if __name__ == "__main__":
    main()
