"""Trains the cross-encoder of the two-stage classifier, and tests it on held-out relations.

    python -m classifiers.train_cross --data DATA --threads 2 --checkpoint FILE

Lessons are drawn afresh for every step (classifiers/frame_lessons.py). They know no subject, and
relations of the splits FIT and TEST are not among them. A killed run resumes from its checkpoint.
"""

from __future__ import annotations

import argparse
import hashlib
import logging
import time
from collections.abc import Mapping
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import torch
from rich.progress import track
from safetensors.torch import save_file

from classifiers.calibration import Floats
from classifiers.cross_encoder import (
    WEIGHTS_FILE,
    CrossEncoder,
    encoder_folder,
    notes_of,
    packed,
)
from classifiers.cross_pairs import PairBatch, PairTokenizer
from classifiers.encoding_cache import CachedEncoder
from classifiers.fit_cross import TrainableCross, loss_of
from classifiers.frame_lessons import FrameLesson, Material, lesson
from classifiers.lesson_material import load_material
from classifiers.phrasebook import FIT, TEST, TRAIN, load_phrasebook
from memory.blocks import multiplies_bfloat16
from memory.encoder import MiniLmEncoder

log = logging.getLogger(__name__)

Parts = dict[str, Any]  # What a checkpoint holds: parts of torch with a state, by name.

FROZEN_BLOCKS = 2
BATCH, GROUP = 32, 16  # Batches are cut from groups sorted by length, to pad little.
RATE, DECAY, WARMUP, SMOOTHING, CLIP = 2e-4, 0.01, 0.06, 0.02, 1.0
CHECKPOINT_SECONDS = 60.0
LOG_STEPS = 50
TEST_LESSONS = 1500


class Lessons:
    """An endless, seeded stream of batches of nearly equal length."""

    def __init__(self, material: Material, tokenizer: PairTokenizer, seed: int) -> None:
        self._material, self._tokenizer = material, tokenizer
        self._seed = seed
        self._ready: list[list[FrameLesson]] = []
        self.start_at(0)

    def start_at(self, step: int) -> None:
        """Draws from here on what belongs to a run resumed at a step: never the first lessons."""
        self._random = Random(f"{self._seed}/{step}")  # noqa: S311  # Samples, no secrets.
        self._ready.clear()

    def next(self) -> tuple[PairBatch, torch.Tensor]:
        """Returns the next batch with its labels (n,)."""
        if not self._ready:
            drawn = [lesson(self._material, self._random) for _ in range(BATCH * GROUP)]
            drawn.sort(key=lambda one: len(one.edit) + len(one.query))
            self._ready = [drawn[at : at + BATCH] for at in range(0, len(drawn), BATCH)]
            self._random.shuffle(self._ready)
        listed = self._ready.pop()
        labels = torch.tensor([float(one.in_scope) for one in listed])
        return self._tokenizer.batch([(one.edit, one.query) for one in listed]), labels


def train(
    model: TrainableCross,
    lessons: Lessons,
    *,
    steps: int,
    rate: float,
    checkpoint: Path | None,
    run: Mapping[str, object],
) -> float:
    """Trains for a number of steps and returns the seconds it took.

    Goes on from a checkpoint of the same `run` (seed, start and lessons), steps and rate. Raises
    ValueError for one of another.
    In bfloat16 where the processor multiplies it; elsewhere that would take ten times as long.
    """
    narrow = multiplies_bfloat16()
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=DECAY)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda at: _rate_share(at, steps))
    parts: Parts = {"model": model, "optimizer": optimizer, "schedule": schedule}
    run = {**run, "steps": steps, "rate": rate}
    first, spent = _resumed(parts, checkpoint, run)
    lessons.start_at(first)
    begun = saved = time.monotonic()
    smoothed = 0.7
    for step in track(range(first, steps), "steps", total=steps, completed=first):
        batch, labels = lessons.next()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=narrow):
            odds = model(batch)
        loss = loss_of(odds.float(), labels, balanced=False, smoothing=SMOOTHING)
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        optimizer.step()
        schedule.step()
        smoothed = 0.98 * smoothed + 0.02 * float(loss.detach())
        if (step + 1) % LOG_STEPS == 0:
            log.info("step %d of %d, loss %.3f", step + 1, steps, smoothed)
        if checkpoint is not None and time.monotonic() - saved > CHECKPOINT_SECONDS:
            saved = time.monotonic()
            _save(parts, checkpoint, run, step + 1, spent + saved - begun)
    return spent + time.monotonic() - begun


def _rate_share(step: int, steps: int) -> float:
    warm = max(1, int(WARMUP * steps))
    return (step + 1) / warm if step < warm else max(0.02, (steps - step) / (steps - warm))


def _save(parts: Parts, path: Path, run: Mapping[str, object], step: int, seconds: float) -> None:
    held = {name: part.state_dict() for name, part in parts.items()}
    beside = path.with_suffix(".part")
    torch.save({**held, "run": dict(run), "step": step, "seconds": seconds}, beside)
    beside.replace(path)


def _resumed(parts: Parts, path: Path | None, run: Mapping[str, object]) -> tuple[int, float]:
    """Fills the parts from a checkpoint, if there is one; returns its step and seconds."""
    if path is None or not path.exists():
        return 0, 0.0
    held = torch.load(path, weights_only=True)
    if held.get("run") != run:
        raise ValueError(
            f"{path} is the checkpoint of a run with {held.get('run')}, not {dict(run)}; name"
            " another file, or go on with those settings"
        )
    for name, part in parts.items():
        part.load_state_dict(held[name])
    log.info("resumed at step %d", held["step"])
    return int(held["step"]), float(held["seconds"])


def judged_lessons(
    encoder: CrossEncoder, material: Material, *, count: int, seed: int
) -> tuple[list[FrameLesson], Floats]:
    """Returns lessons drawn for a seed, the same for every encoder, and its log-odds (count,)."""
    random = Random(seed)  # noqa: S311  # Samples, no secrets.
    drawn = [lesson(material, random) for _ in range(count)]
    odds: Floats = np.concatenate(
        [
            encoder.judge([(one.edit, one.query) for one in drawn[at : at + BATCH]])
            for at in range(0, count, BATCH)
        ]
    )
    return drawn, odds


def report(encoder: CrossEncoder, material: Material, seed: int) -> dict[str, dict[str, float]]:
    """Returns, by kind of lesson, how many there were and the share judged right at even odds."""
    drawn, odds = judged_lessons(encoder, material, count=TEST_LESSONS, seed=seed)
    right: dict[str, list[bool]] = {}
    for one, judged in zip(drawn, odds, strict=True):
        right.setdefault(one.kind, []).append(bool((judged > 0) == one.in_scope))
    return {
        kind: {"n": len(listed), "right": round(sum(listed) / len(listed), 4)}
        for kind, listed in sorted(right.items())
    }


def main() -> None:
    """Trains, reports and writes the weights."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--splits", type=Path, default=Path("pocket/splits.json"))
    parser.add_argument("--relations", type=Path, default=Path("pocket/relations.json"))
    parser.add_argument("--steps", type=int, default=9000, help=f"batches of {BATCH} pairs")
    parser.add_argument("--rate", type=float, default=RATE, help="of learning, at its height")
    parser.add_argument("--start", type=Path, default=None, help="weights to go on from")
    parser.add_argument("--checkpoint", type=Path, default=None)
    parser.add_argument("--cache", type=Path, default=None, help="an .npz to keep encodings in")
    parser.add_argument("--out", type=Path, default=WEIGHTS_FILE)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(arguments.seed)
    folder = encoder_folder()
    cached = CachedEncoder(MiniLmEncoder("auto", dtype="float32"), arguments.cache)
    book = load_phrasebook(arguments.data, arguments.relations)
    material = {
        part: load_material(arguments.data, book, arguments.splits, cached, part=part)
        for part in (TRAIN, FIT, TEST)
    }
    cached.save()
    model = TrainableCross(folder, frozen_blocks=FROZEN_BLOCKS)
    if arguments.start is not None:
        model.start_from(arguments.start)
    lessons = Lessons(material[TRAIN], PairTokenizer(folder), arguments.seed)
    run = {
        "seed": arguments.seed, "start": _digest(arguments.start),
        "lessons": _digest_of(repr(book.only(TRAIN).phrases).encode()),
    }  # fmt: skip
    seconds = train(
        model, lessons,
        steps=arguments.steps, rate=arguments.rate, checkpoint=arguments.checkpoint, run=run,
    )  # fmt: skip
    settings = {
        **run, "steps": arguments.steps, "batch": BATCH, "rate": arguments.rate, "decay": DECAY,
        "smoothing": SMOOTHING, "seconds": round(seconds), "threads": arguments.threads,
    }  # fmt: skip
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    state = {name: tensor.contiguous() for name, tensor in packed(model.trained()).items()}
    save_file(state, arguments.out, metadata=notes_of(folder, settings))
    log.info("trained for %.0f s; written to %s", seconds, arguments.out)
    encoder = CrossEncoder.load(arguments.out)
    for part, made in material.items():
        log.info("relations of %s: %s", part, report(encoder, made, arguments.seed + 1))


def _digest(path: Path | None) -> str | None:
    return None if path is None else _digest_of(path.read_bytes())


def _digest_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


if __name__ == "__main__":
    main()
