"""Trains the relation network on frames of labelled pairs. Used by train_features.py alone."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from classifiers.calibration import Floats
from classifiers.relation_net import Array, RelationNet

PROJECTED, HIDDEN = 48, 32
EPOCHS, BATCH, RATE, DECAY, DROPOUT = 12, 256, 2e-3, 1e-3, 0.15
FOLDS = 4


class _Trainable(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.project = nn.Linear(width, PROJECTED, bias=False)
        self.hidden = nn.Linear(4 * PROJECTED, HIDDEN)
        self.out = nn.Linear(HIDDEN, 1)
        self.dropout = nn.Dropout(DROPOUT)
        # Unit inputs of width d have entries of about d**-0.5; this keeps projections of size 1.
        nn.init.normal_(self.project.weight, std=1.0)

    def forward(self, triple: Tensor) -> Tensor:
        """Returns log-odds (n,) of triples (n, 3, d)."""
        q, p, s = self.project(self.dropout(triple)).unbind(dim=1)
        pairs = torch.cat([q * p, (q - p).abs(), q * s, (q - s).abs()], dim=1)
        odds: Tensor = self.out(torch.relu(self.hidden(self.dropout(pairs)))).squeeze(1)
        return odds


def fit_net(vectors: Array, labels: Floats, weights: Floats, *, seed: int) -> RelationNet:
    """Fits on triples (n, 3, d): asked frame, prompt frame, statement; labels, weights (n,)."""
    torch.manual_seed(seed)
    model = _Trainable(vectors.shape[2])
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=DECAY)
    steps = EPOCHS * -(-len(labels) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=RATE, total_steps=steps)
    inputs = torch.from_numpy(vectors)
    wanted = torch.from_numpy(labels.astype(np.float32))
    weighed = torch.from_numpy(weights.astype(np.float32))
    generator = torch.Generator().manual_seed(seed)
    for _ in range(EPOCHS):
        order = torch.randperm(len(wanted), generator=generator)
        for start in range(0, len(wanted), BATCH):
            batch = order[start : start + BATCH]
            losses = nn.functional.binary_cross_entropy_with_logits(
                model(inputs[batch]), wanted[batch], reduction="none"
            )
            loss = (losses * weighed[batch]).mean()
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()
            schedule.step()
    return _frozen(model)


def judge_out_of_fold(
    vectors: Array, labels: Floats, weights: Floats, asked: Sequence[str], *, seed: int
) -> Array:
    """Judges each pair by a network that never saw its query frame; (n,) log-odds.

    What is fitted on top of the judgement must see it as it will be on new phrasings.
    """
    folds: npt.NDArray[np.int64] = np.array([zlib.crc32(text.encode()) % FOLDS for text in asked])
    judged = np.zeros(len(labels), dtype=np.float32)
    for fold in range(FOLDS):
        held = folds == fold
        net = fit_net(vectors[~held], labels[~held], weights[~held], seed=seed + fold)
        judged[held] = judge_triples(net, vectors[held])
    return judged


def judge_triples(net: RelationNet, vectors: Array) -> Array:
    """Judges triples (n, 3, d) -> (n,)."""
    return net.judge(vectors[:, 0], vectors[:, 1], vectors[:, 2])


def _frozen(model: _Trainable) -> RelationNet:
    def array(tensor: Tensor) -> Array:
        # Rounded as it will be stored, so that training and serving compute the same.
        rounded: Array = tensor.detach().numpy().astype("<f2").astype(np.float32)
        return rounded

    return RelationNet(
        project=array(model.project.weight.T),
        hidden=array(model.hidden.weight.T),
        hidden_bias=array(model.hidden.bias),
        out=array(model.out.weight[0]),
        out_bias=array(model.out.bias),
    )
