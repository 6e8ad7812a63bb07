"""Trees in numpy walk as trees do."""

from __future__ import annotations

import numpy as np
import pytest

from classifiers.trees import LEAVES_MAX, ensemble_from_record

RECORD = {
    "start": 0.5,
    "trees": [
        [[0, 1.0, 1, 2], [-1.0], [1, 0.0, 3, 4], [2.0], [3.0]],  # An uneven tree.
        [[10.0]],  # A lone leaf.
    ],
}


@pytest.mark.parametrize(
    ("row", "expected"),
    [((1.0, 9.0), 9.5), ((1.1, 0.0), 12.5), ((1.1, 0.1), 13.5), ((np.inf, -np.inf), 12.5)],
)
def test_rows_reach_the_right_leaves_and_a_value_at_the_limit_goes_left(
    row: tuple[float, float], expected: float
) -> None:
    ensemble = ensemble_from_record(RECORD)
    assert ensemble.score(np.array([row, row])) == pytest.approx([expected, expected])


@pytest.mark.parametrize("target", [0, 5, -1])
def test_a_node_that_points_outside_or_backwards_is_refused(target: int) -> None:
    nodes = [[0, 1.0, 1, target], [1.0], [2.0]]
    with pytest.raises(ValueError, match="points to node"):
        ensemble_from_record({"start": 0.0, "trees": [nodes]})


def test_agrees_with_a_naive_walk() -> None:
    generator = np.random.default_rng(3)
    nodes = [[int(generator.integers(3)), float(generator.normal()), 2 * i + 1, 2 * i + 2]
             for i in range(7)] + [[float(generator.normal())] for _ in range(8)]  # fmt: skip
    rows = generator.normal(size=(50, 3))

    def walk(row: np.ndarray) -> float:
        at = 0
        while len(nodes[at]) > 1:
            at = int(nodes[at][2] if row[int(nodes[at][0])] <= nodes[at][1] else nodes[at][3])
        return float(nodes[at][0])

    ensemble = ensemble_from_record({"start": 0.0, "trees": [nodes]})
    assert ensemble.score(rows) == pytest.approx([walk(row) for row in rows])


def test_a_tree_of_more_leaves_than_there_are_bits_is_refused() -> None:
    chain: list[list[float]] = []
    for number in range(LEAVES_MAX):  # Each node has a leaf on its left.
        chain += [[0, float(number), 2 * number + 1, 2 * number + 2], [float(number)]]
    whole = [*chain[:-2], [float(LEAVES_MAX)]]  # LEAVES_MAX of them.
    ensemble = ensemble_from_record({"start": 0.0, "trees": [whole]})
    rows = np.array([[-1.0], [3.5], [1e9]])
    assert [0.0, 4.0, float(LEAVES_MAX)] == ensemble.score(rows).tolist()
    with pytest.raises(ValueError, match="63 leaves"):
        ensemble_from_record({"start": 0.0, "trees": [[*chain, [0.0]]]})
