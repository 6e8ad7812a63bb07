"""Keys and values of a batch whose rows end at the same column, so that a step is one slice write.

Legend: r rows, h key/value heads, c columns, e head width. Row i holds `lengths[i]` tokens in
columns [end - lengths[i], end); what lies left of them is zero and masked. A row joins wherever the
batch stands (its tokens are placed so that they end at `end`) and leaves by handing its place to
the last row. Knows nothing of tokens or of the model but the shapes of its keys and values.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from torch import Tensor
from transformers.cache_utils import Cache, CacheLayerMixin

COLUMN_BLOCK = 64  # Capacity is a multiple of this.


class Window:
    """Where the next forward pass writes and what it reads; shared by all layers of a cache."""

    __slots__ = ("columns", "end", "row_from", "row_to", "rows", "start")

    def __init__(self, rows: int, columns: int) -> None:
        self.rows = rows  # Capacity.
        self.columns = columns  # Capacity.
        self.row_from = 0
        self.row_to = rows
        self.start = 0  # First column that any row uses.
        self.end = 0  # First free column.


class ColumnLayer(CacheLayerMixin):  # type: ignore[misc]
    """Keys and values of one layer, (r, h, c, e), allocated at the first pass that fills them."""

    is_sliding = False  # All columns are kept; sliding windows are the attention mask's business.

    def __init__(self, window: Window) -> None:
        super().__init__()
        self.window = window

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        """Allocates zeros for the window's capacity; (r, h, q, e) states give the shapes."""
        window = self.window
        self.keys = _zeros_like(key_states, window.rows, window.columns)
        self.values = _zeros_like(value_states, window.rows, window.columns)
        self.is_initialized = True

    def update(
        self, key_states: Tensor, value_states: Tensor, *_: object, **__: object
    ) -> tuple[Tensor, Tensor]:
        """Writes states (r, h, q, e) after the window's end; returns all columns of its rows."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        window = self.window
        low, high, end = window.row_from, window.row_to, window.end + key_states.shape[-2]
        self.keys[low:high, :, window.end : end] = key_states
        self.values[low:high, :, window.end : end] = value_states
        view = (slice(low, high), slice(None), slice(window.start, end))
        return self.keys[view], self.values[view]

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """Returns how many keys a pass of `query_length` sees, and the first one's place."""
        return self.window.end - self.window.start + query_length, 0

    def get_seq_length(self) -> int:
        """Returns how many columns are in use."""
        return self.window.end - self.window.start

    def get_max_length(self) -> int:
        """Returns -1: the capacity grows."""
        return -1


class ColumnCache(Cache):  # type: ignore[misc]
    """The key/value cache of a batch of rows; see the module. Not safe for several threads."""

    def __init__(self, rows: int, columns: int) -> None:
        self.window = Window(rows, _round_up(columns))
        self.lengths: list[int] = []
        super().__init__(layer_class_to_replicate=partial(ColumnLayer, self.window))

    def open_rows(self, count: int) -> None:
        """Makes the first `count` rows live and empty; the next pass fills them."""
        self.lengths = [0] * count
        self.window.start = self.window.end = 0
        self._show_all()

    def advance(self, query_length: int, lengths: Sequence[int] | None = None) -> None:
        """Commits a pass of `query_length` columns, `lengths[i]` of them row i's own (default all).

        Until then a pass may be repeated: it writes the same columns again.
        """
        self.window.end += query_length
        added = lengths or [query_length] * len(self.lengths)
        self.lengths = [old + new for old, new in zip(self.lengths, added, strict=True)]
        self._narrow()

    def show_row(self, row: int) -> None:
        """Lets the next pass see one row only; `show_all` undoes it."""
        self.window.row_from, self.window.row_to = row, row + 1

    def show_all(self) -> None:
        """Lets the next pass see all live rows."""
        self._show_all()

    def reserve(self, query_length: int) -> None:
        """Makes room for `query_length` more columns: by moving left, else by growing."""
        window = self.window
        if window.end + query_length <= window.columns:
            return
        used = window.end - window.start
        columns = window.columns
        while used + query_length > columns - columns // 4:  # Moving is rare when a quarter frees.
            columns = _round_up(columns * 2)
        self._place(new_end=used, columns=columns)

    def append_row(self, source: ColumnCache, row: int) -> None:
        """Copies row `row` of `source` into a new last row. Needs a free row."""
        length = source.lengths[row]
        window = self.window
        if not self.lengths:
            window.start = window.end = 0
        if length > window.end or not self.lengths:
            columns = window.columns
            while length > columns:
                columns = _round_up(columns * 2)
            self._place(new_end=length, columns=columns)
        place = len(self.lengths)
        taken = slice(source.window.end - length, source.window.end)
        for index, layer in enumerate(source.layers):
            if not layer.is_initialized:
                continue
            mine = self._layer(index, layer)
            for own, other in ((mine.keys, layer.keys), (mine.values, layer.values)):
                own[place, :, : window.end - length] = 0
                own[place, :, window.end - length : window.end] = other[row, :, taken]
        self.lengths.append(length)
        self._narrow()
        self._show_all()

    def remove_row(self, row: int) -> None:
        """Ends row `row`; the last row takes its place."""
        last = len(self.lengths) - 1
        if row != last:
            end = self.window.end
            for layer in self.layers:
                if layer.is_initialized:
                    layer.keys[row, :, :end] = layer.keys[last, :, :end]
                    layer.values[row, :, :end] = layer.values[last, :, :end]
            self.lengths[row] = self.lengths[last]
        self.lengths.pop()
        self._narrow()
        self._show_all()

    def truncate_row(self, length: int) -> None:
        """Forgets the tokens after the first `length` of a cache's only row."""
        assert len(self.lengths) == 1
        self.window.end -= self.lengths[0] - length
        self.lengths = [length]

    def bytes_in_use(self) -> int:
        """Returns the memory of all layers in bytes."""
        return sum(
            states.numel() * states.element_size()
            for layer in self.layers
            if layer.is_initialized
            for states in (layer.keys, layer.values)
        )

    def _layer(self, index: int, like: CacheLayerMixin) -> CacheLayerMixin:
        """Returns own layer `index`, allocated as `like`'s shapes say."""
        while len(self.layers) <= index:
            self.layers.append(ColumnLayer(self.window))
        layer = self.layers[index]
        if not layer.is_initialized:
            layer.lazy_initialization(like.keys, like.values)
        return layer

    def _place(self, *, new_end: int, columns: int) -> None:
        """Moves the used columns so that they end at `new_end`, in buffers of `columns`."""
        window = self.window
        used = slice(window.start, window.end)
        target = slice(new_end - (window.end - window.start), new_end)
        rows = len(self.lengths)
        for layer in self.layers:
            if layer.is_initialized:
                layer.keys = _moved(layer.keys, rows, used, target, columns)
                layer.values = _moved(layer.values, rows, used, target, columns)
        window.start, window.end, window.columns = target.start, target.stop, columns

    def _narrow(self) -> None:
        """Drops columns that no row uses any more."""
        self.window.start = self.window.end - max(self.lengths, default=0)

    def _show_all(self) -> None:
        self.window.row_from, self.window.row_to = 0, len(self.lengths)


def _zeros_like(states: Tensor, rows: int, columns: int) -> Tensor:
    """Returns zeros (rows, h, columns, e) of the kind of `states` (r, h, q, e)."""
    _, heads, _, width = states.shape
    return states.new_zeros((rows, heads, columns, width))


def _moved(states: Tensor, rows: int, used: slice, target: slice, columns: int) -> Tensor:
    """Returns zeros with the `used` columns of the first `rows` rows at `target`."""
    moved = _zeros_like(states, states.shape[0], columns)
    moved[:rows, :, target] = states[:rows, :, used]
    return moved


def _round_up(columns: int) -> int:
    """Rounds up to whole blocks."""
    return -(-max(columns, 1) // COLUMN_BLOCK) * COLUMN_BLOCK
