"""The column cache against rows kept naively, one list each."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from runtime.engine.columns import ColumnCache

ROWS = 4
LAYERS = 2


def states(generator: torch.Generator, rows: int, width: int) -> Tensor:
    return torch.randn(rows, 2, width, 3, generator=generator)


class Twin:
    """A cache and, beside it, each row's keys as one tensor (h, length, e)."""

    def __init__(self, seed: int) -> None:
        self.generator = torch.Generator().manual_seed(seed)
        self.cache = ColumnCache(ROWS, 8)
        self.rows: list[Tensor] = []

    def join(self, length: int) -> None:
        source = ColumnCache(1, length)
        source.open_rows(1)
        new = states(self.generator, 1, length)
        for layer in range(LAYERS):
            source.update(new + layer, new - layer, layer)
        source.advance(length)
        self.cache.append_row(source, 0)
        self.rows.append(new[0])

    def leave(self, row: int) -> None:
        self.cache.remove_row(row)
        last = self.rows.pop()
        if row < len(self.rows):
            self.rows[row] = last

    def step(self) -> None:
        new = states(self.generator, len(self.rows), 1)
        self.cache.reserve(1)
        for layer in range(LAYERS):
            self.cache.update(new * 0, new * 0, layer)  # A pass that failed and is repeated.
        for layer in range(LAYERS):
            keys, values = self.cache.update(new + layer, new - layer, layer)
            self.check(keys - layer, new)
            self.check(values + layer, new)
        self.cache.advance(1)
        self.rows = [torch.cat([row, new[i]], dim=1) for i, row in enumerate(self.rows)]

    def check(self, seen: Tensor, new: Tensor) -> None:
        """`seen` (r, h, c, e) holds each row right-aligned, the new column last."""
        longest = max(row.shape[1] for row in self.rows) + 1
        assert longest == seen.shape[2]
        for i, row in enumerate(self.rows):
            expected = torch.cat([row, new[i]], dim=1)
            assert torch.allclose(expected, seen[i, :, longest - expected.shape[1] :], atol=1e-5)


moves = st.lists(
    st.one_of(
        st.tuples(st.just("join"), st.integers(1, 90)),
        st.tuples(st.just("leave"), st.integers(0, ROWS - 1)),
        st.tuples(st.just("step"), st.integers(1, 12)),
    ),
    max_size=25,
)


@given(moves=moves, seed=st.integers(0, 100))
@settings(max_examples=60, deadline=None)
def test_rows_join_step_and_leave_as_if_each_were_alone(
    moves: list[tuple[str, int]], seed: int
) -> None:
    twin = Twin(seed)
    for move, number in moves:
        if move == "join" and len(twin.rows) < ROWS:
            twin.join(number)
        elif move == "leave" and number < len(twin.rows):
            twin.leave(number)
        elif move == "step" and twin.rows:
            for _ in range(number):
                twin.step()
        assert [row.shape[1] for row in twin.rows] == twin.cache.lengths


def test_memory_is_bounded_by_the_longest_row_not_by_the_steps_taken() -> None:
    twin = Twin(0)
    for _ in range(30):
        twin.join(20)
        for _ in range(40):
            twin.step()
        twin.leave(0)
    assert 128 >= twin.cache.window.columns


def test_what_a_row_leaves_behind_never_reaches_its_successor() -> None:
    """Poison (NaN) under the mask would still spread: 0 * NaN is NaN."""
    twin = Twin(1)
    twin.join(3)
    twin.join(30)
    for layer in twin.cache.layers:
        layer.keys[1] = float("nan")
        layer.values[1] = float("nan")
    twin.leave(1)
    twin.join(2)
    twin.step()
    for layer in twin.cache.layers:
        window = twin.cache.window
        assert not layer.keys[:2, :, window.start : window.end].isnan().any()
        assert not layer.values[:2, :, window.start : window.end].isnan().any()
