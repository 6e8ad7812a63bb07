"""Trains SERAC's two scope classifiers as published, the baselines of every report.

    python -m classifiers.train_serac --data DATA --form embed
    python -m classifiers.train_serac --data DATA --form cross

Supervised, balanced loss (mean over positives plus mean over negatives, arXiv 2206.06520, section
3.2). Positives are the edit's own prompt and its rephrasing as the data set gives it; negatives are
locality questions, half of the time hard ones: of the 100 nearest by the encoder the 25 nearest are
dropped and the rest drawn by softmax(cosine / 0.1), as in the authors' code. Dev subjects are left
out.
"""

from __future__ import annotations

import argparse
import json
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from rich.progress import track
from safetensors.torch import save_file

from classifiers.cross_encoder import encoder_folder, notes_of, packed
from classifiers.cross_pairs import PairTokenizer
from classifiers.encoding_cache import CachedEncoder
from classifiers.fit_cross import TrainableCross, loss_of
from classifiers.lesson_material import allowed_by
from classifiers.serac import CROSS_FILE, EMBED_FILE, EMBED_FORMAT
from classifiers.training_pairs import PoolEdit, counterfact_edits, zsre_edits
from memory.encoder import MiniLmEncoder

log = logging.getLogger(__name__)

HARD_SHARE, NEAREST, DROPPED, TEMPERATURE = 0.5, 100, 25, 0.1
EMBED_BATCH, EMBED_RATE, EMBED_SCALE = 256, 2e-3, 1.5
CROSS_BATCH, CROSS_RATE, CROSS_FROZEN = 32, 1e-4, 4
ZSRE_PREFIX = "nq question: "

Ints = npt.NDArray[np.int64]
Rows = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class SeracData:
    """Edits with their positives, and a pool of locality questions with hard ones by edit."""

    edits: tuple[str, ...]  # (n,): prompt and target.
    positives: tuple[tuple[str, ...], ...]  # (n,)
    questions: tuple[str, ...]  # (m,)
    own: Ints  # (n,): the question of the edit's own record.
    hard: Ints  # (n, NEAREST - DROPPED): questions from near to far.
    hard_shares: npt.NDArray[np.float64]  # (n, NEAREST - DROPPED): rows sum to 1.


def load_data(
    data: Path, splits: Path, encoder: CachedEncoder, *, edits_max: int, seed: int
) -> SeracData:
    """Reads CounterFact's and zsRE's train files, or a sample of their records."""
    allowed = allowed_by(splits)
    counterfact = counterfact_edits(_read(data / "counterfact/train.json"), {}, allowed)
    zsre = zsre_edits(_read(data / "zsre/train_1k.json"), allowed)
    kept = [*counterfact, *zsre]
    if len(kept) > edits_max:
        kept = Random(seed).sample(kept, edits_max)  # noqa: S311  # Samples, no secrets.
    edits, positives, questions = [], [], []
    for edit, record in kept:
        rephrase = record.get("rephrase_prompt") or record["rephrase"]
        question = record.get("locality_prompt") or record["loc"].removeprefix(ZSRE_PREFIX)
        edits.append(_statement(edit))
        positives.append((edit.prompt, rephrase))
        questions.append(question)
    vectors = encoder.encode_many([edit.prompt for edit, _ in kept])
    hard, shares = hard_negatives(vectors, encoder.encode_many(questions))
    return SeracData(
        edits=tuple(edits),
        positives=tuple(positives),
        questions=tuple(questions),
        own=np.arange(len(edits)),
        hard=hard,
        hard_shares=shares,
    )


def hard_negatives(edits: Rows, questions: Rows) -> tuple[Ints, npt.NDArray[np.float64]]:
    """Returns, for unit vectors (n, d) and (m, d), ranks DROPPED to NEAREST and their shares."""
    nearest, dropped = min(NEAREST, len(questions)), min(DROPPED, max(0, len(questions) - 1))
    cosines = edits @ questions.T
    order = np.argsort(-cosines, axis=1, kind="stable")[:, dropped:nearest]
    likeness = np.take_along_axis(cosines, order, axis=1).astype(np.float64) / TEMPERATURE
    shares = np.exp(likeness - likeness.max(axis=1, keepdims=True))
    return order.astype(np.int64), shares / shares.sum(axis=1, keepdims=True)


def draw(data: SeracData, size: int, random: np.random.Generator) -> list[tuple[str, str, float]]:
    """Draws (edit, query, label) triples: for each edit one positive and one negative."""
    drawn = []
    for row in random.integers(len(data.edits), size=size // 2):
        positive = data.positives[row][random.integers(len(data.positives[row]))]
        if random.random() < HARD_SHARE:
            question = data.hard[row][random.choice(len(data.hard[row]), p=data.hard_shares[row])]
        else:
            question = data.own[row] if random.random() < 0.5 else random.choice(data.own)
        drawn.append((data.edits[row], positive, 1.0))
        drawn.append((data.edits[row], data.questions[question], 0.0))
    return drawn


def train_embed(data: SeracData, encoder: CachedEncoder, *, steps: int, seed: int) -> torch.Tensor:
    """Returns the linear map (d, d), trained from a scaled identity."""
    random = np.random.default_rng(seed)
    projection = torch.nn.Parameter(EMBED_SCALE * torch.eye(encoder.dimension))
    optimizer = torch.optim.Adam([projection], lr=EMBED_RATE)
    for _ in track(range(steps), "embed"):
        drawn = draw(data, EMBED_BATCH, random)
        told = torch.from_numpy(encoder.encode_many([edit for edit, _, _ in drawn]))
        asked = torch.from_numpy(encoder.encode_many([query for _, query, _ in drawn]))
        labels = torch.tensor([label for _, _, label in drawn])
        loss = embed_loss(((told - asked) @ projection).square().sum(dim=1), labels)
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
    return projection.detach()


def embed_loss(distances: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Balanced cross-entropy of p = exp(-distance) (n,), with log p and log(1 - p) exact."""
    kept = distances.clamp(min=1e-6)
    losses = torch.where(labels == 1, kept, -torch.log(-torch.expm1(-kept)))
    parts = [losses[labels == label].mean() for label in (0, 1) if (labels == label).any()]
    return torch.stack(parts).sum()


def train_cross(data: SeracData, folder: Path, *, steps: int, seed: int) -> TrainableCross:
    """Returns the trained cross-encoder."""
    random = np.random.default_rng(seed)
    torch.manual_seed(seed)
    model = TrainableCross(folder, frozen_blocks=CROSS_FROZEN)
    tokenizer = PairTokenizer(folder)
    optimizer = torch.optim.Adam(model.parameters(), lr=CROSS_RATE)
    for _ in track(range(steps), "cross"):
        drawn = draw(data, CROSS_BATCH, random)
        batch = tokenizer.batch([(edit, query) for edit, query, _ in drawn])
        with torch.autocast("cpu", dtype=torch.bfloat16):
            odds = model(batch)
        labels = torch.tensor([label for _, _, label in drawn])
        loss = loss_of(odds.float(), labels, balanced=True)
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
    return model


def main() -> None:
    """Trains one form and writes its weights."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--form", choices=("embed", "cross"), required=True)
    parser.add_argument("--splits", type=Path, default=Path("pocket/splits.json"))
    parser.add_argument("--steps", type=int, default=None, help="default 300 embed, 400 cross")
    parser.add_argument("--edits", type=int, default=2500, help="records, at most")
    parser.add_argument("--cache", type=Path, default=None, help="an .npz to keep encodings in")
    parser.add_argument("--out", type=Path, default=None)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(arguments.threads)
    begun = time.monotonic()
    encoder = CachedEncoder(
        MiniLmEncoder("auto", dtype="bfloat16"), arguments.cache, dtype="bfloat16"
    )
    data = load_data(
        arguments.data, arguments.splits, encoder, edits_max=arguments.edits, seed=arguments.seed
    )
    encoder.save()
    embed = arguments.form == "embed"
    steps = arguments.steps or (300 if embed else 400)
    settings: dict[str, object] = {"steps": steps, "seed": arguments.seed, "edits": len(data.edits)}
    out = arguments.out or (EMBED_FILE if embed else CROSS_FILE)
    out.parent.mkdir(parents=True, exist_ok=True)
    if embed:
        projection = train_embed(data, encoder, steps=steps, seed=arguments.seed)
        notes = {"format": EMBED_FORMAT, "encoder": encoder.name}
        notes["settings"] = json.dumps(settings | _seconds(begun), sort_keys=True)
        save_file({"projection": projection.half().contiguous()}, out, metadata=notes)
    else:
        folder = encoder_folder()
        model = train_cross(data, folder, steps=steps, seed=arguments.seed)
        state = {name: tensor.contiguous() for name, tensor in packed(model.trained()).items()}
        save_file(state, out, metadata=notes_of(folder, settings | _seconds(begun)))
    encoder.save()
    log.info("trained for %.0f s; written to %s", time.monotonic() - begun, out)


def _seconds(begun: float) -> dict[str, int]:
    return {"seconds": round(time.monotonic() - begun)}


def _statement(edit: PoolEdit) -> str:
    return f"{edit.prompt.rstrip()} {edit.target.strip()}"


def _read(path: Path) -> Sequence[dict[str, Any]]:
    records: Sequence[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
    return records


if __name__ == "__main__":
    main()
