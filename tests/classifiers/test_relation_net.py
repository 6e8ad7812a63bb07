"""The relation network: what is trained is what is served, and damage is found."""

from __future__ import annotations

import numpy as np
import pytest

from classifiers.fit_relation_net import fit_net, judge_out_of_fold, judge_triples
from classifiers.relation_net import Array, net_from_record, net_to_record


def triples(count: int, seed: int) -> tuple[Array, np.ndarray]:
    """Unit vectors whose first axis alone says the relation; the rest is noise."""
    generator = np.random.default_rng(seed)
    vectors = generator.normal(size=(count, 3, 16)).astype(np.float32)
    sides = generator.choice([-1.0, 1.0], size=(count, 2))
    vectors[:, 0, 0] = 3 * sides[:, 0]
    vectors[:, 1, 0] = vectors[:, 2, 0] = 3 * sides[:, 1]
    vectors /= np.linalg.norm(vectors, axis=2, keepdims=True)
    return vectors, (sides[:, 0] == sides[:, 1]).astype(float)


def test_it_learns_which_direction_tells_relations_apart_and_survives_storage() -> None:
    vectors, labels = triples(3000, seed=0)
    net = fit_net(vectors, labels, np.ones(len(labels)), seed=0)
    again = net_from_record(net_to_record(net))
    unseen, wanted = triples(500, seed=1)
    odds = judge_triples(net, unseen)
    assert odds == pytest.approx(judge_triples(again, unseen))
    assert ((odds > 0) == (wanted > 0)).mean() > 0.95


def test_out_of_fold_judgements_do_not_know_their_labels() -> None:
    vectors, _ = triples(400, seed=2)
    labels = np.random.default_rng(3).integers(0, 2, 400).astype(float)  # Nothing to learn.
    asked = [f"frame {number % 40}" for number in range(400)]
    judged = judge_out_of_fold(vectors, labels, np.ones(400), asked, seed=0)
    assert 0.35 < ((judged > 0) == (labels > 0)).mean() < 0.65


def test_shapes_that_do_not_fit_are_refused() -> None:
    vectors, labels = triples(64, seed=4)
    record = net_to_record(fit_net(vectors, labels, np.ones(64), seed=0))
    with pytest.raises(ValueError, match="do not fit"):
        net_from_record(record | {"out": record["hidden_bias"] | {"shape": [4, 8]}})
    with pytest.raises(KeyError):
        net_from_record({"project": record["project"]})
