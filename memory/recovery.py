"""From the log to the memory in RAM: replay, vectors, index and matcher; and the comparison.

The log is the truth. Everything else is made from it here, at start and whenever something
disagrees.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator

import numpy as np

from memory.codec import decode_entry
from memory.contracts import Encoder, Matrix, SubjectIndex, VectorIndex
from memory.errors import DataDirectoryError
from memory.log import EditLog
from memory.record import DEFAULT_NAMESPACE, Activation, Edit, Namespace
from memory.state import KeyChanges, MemoryState, Space, fill_parts

logger = logging.getLogger(__name__)

ENCODED_AT_ONCE = 1024  # Texts between two lines of progress.
MENTIONS_CHECKED = 1000  # Edits whose subjects a check looks up, evenly spread.
COSINE_TOLERANCE = 1e-5  # Of a vector in the index against the stored one.


class SpaceMaker:
    """Makes empty namespaces with the parts of one memory."""

    def __init__(
        self,
        dimension: int,
        index: Callable[[int], VectorIndex],
        matcher: Callable[[], SubjectIndex],
    ) -> None:
        self._dimension = dimension
        self._index = index
        self._matcher = matcher

    def make(self) -> Space:
        """Returns an empty namespace."""
        return Space(
            dimension=self._dimension, index=self._index(self._dimension), matcher=self._matcher()
        )


def space_of(state: MemoryState, namespace: Namespace, maker: SpaceMaker) -> Space:
    """Returns a namespace of the state, made when missing."""
    space = state.spaces.get(namespace)
    if space is None:
        space = state.spaces[namespace] = maker.make()
    return space


def replay(log: EditLog, maker: SpaceMaker) -> tuple[MemoryState, dict[Namespace, KeyChanges]]:
    """Returns what the log says, with the keys that index and matcher are yet to get.

    Raises DataDirectoryError for a damaged log.
    """
    state = MemoryState()
    changes: dict[Namespace, KeyChanges] = {}
    space_of(state, DEFAULT_NAMESPACE, maker)
    for sequence, payload in log.scan():
        try:
            entry = decode_entry(sequence, payload)
        except ValueError as error:
            raise DataDirectoryError(
                f"{error}; the log was written by another program or version"
            ) from error
        name = entry.namespace
        state.apply(entry, space_of(state, name, maker), changes.setdefault(name, KeyChanges()))
    return state, changes


def load(log: EditLog, encoder: Encoder, maker: SpaceMaker) -> MemoryState:
    """Returns the whole memory as the log says.

    Vectors that are missing, damaged or of another encoder are encoded again and stored; those
    that nobody needs are dropped. Raises DataDirectoryError for a damaged log.
    """
    started_s = time.monotonic()
    state, changes = replay(log, maker)
    replayed_s = time.monotonic()
    keys = {name: sorted(found.added) for name, found in changes.items()}
    matrices = _load_vectors(log, encoder, state, keys)
    loaded_s = time.monotonic()
    for name, found in changes.items():
        fill_parts(state.spaces[name], found, keys[name], matrices.pop(name))
    logger.info(
        "memory loaded: sequence %d, %d in force; replay %.2f s, vectors %.2f s, index %.2f s",
        state.sequence,
        sum(map(len, keys.values())),
        replayed_s - started_s,
        loaded_s - replayed_s,
        time.monotonic() - loaded_s,
    )
    return state


def _load_vectors(
    log: EditLog, encoder: Encoder, state: MemoryState, keys: dict[Namespace, list[int]]
) -> dict[Namespace, Matrix]:
    """Returns the vectors (n, d) of each namespace's keys (n,), in their order."""
    dimension = encoder.dimension
    matrices = {
        name: np.empty((len(found), dimension), dtype=np.float32) for name, found in keys.items()
    }
    places = {key: (name, row) for name, found in keys.items() for row, key in enumerate(found)}
    stale: list[int] = []
    for key, blob in log.vectors(dimension, encoder.name):
        place = places.get(key)
        if place is None:
            stale.append(key)
        elif blob is not None:
            name, row = place
            matrices[name][row] = np.frombuffer(blob, dtype="<f4")
            del places[key]
    if stale:
        log.drop_vectors(stale)
    if places:
        _encode_missing(log, encoder, state, places, matrices)
    return matrices


def _encode_missing(
    log: EditLog,
    encoder: Encoder,
    state: MemoryState,
    places: dict[int, tuple[Namespace, int]],
    matrices: dict[Namespace, Matrix],
) -> None:
    """Encodes the prompts of the keys in `places` into their rows of `matrices`, and the log."""
    missing = sorted(places)
    logger.warning(
        "%d edits have no vector of encoder %s (another encoder, or damage); encoding them again",
        len(missing),
        encoder.name,
    )
    for start in range(0, len(missing), ENCODED_AT_ONCE):
        chunk = missing[start : start + ENCODED_AT_ONCE]
        # The prompt has not changed since the entry that gave the key, or the key would have.
        encoded = encoder.encode_many([_keyed(state, key).prompt for key in chunk])  # (n, d)
        for key, vector in zip(chunk, encoded, strict=True):
            name, row = places[key]
            matrices[name][row] = vector
        log.replace_vectors(zip(chunk, encoded, strict=True), encoder=encoder.name)
        logger.info("encoded %d of %d", start + len(chunk), len(missing))


def compare(
    log: EditLog, encoder: Encoder, state: MemoryState, maker: SpaceMaker
) -> tuple[str, ...]:
    """Returns where the memory in RAM disagrees with the log; empty when nowhere.

    Raises DataDirectoryError when the log itself is damaged.
    """
    log.check_structure()
    log.check_requests()
    truth, _ = replay(log, maker)
    stored = {
        key: np.frombuffer(blob, dtype="<f4") if blob is not None else None
        for key, blob in log.vectors(encoder.dimension, encoder.name)
    }
    problems = list(_compare_records(truth.records, state.records))
    if sorted(truth.spaces) != sorted(state.spaces):
        problems.append(
            f"namespaces {sorted(state.spaces)} where the log has {sorted(truth.spaces)}"
        )
    wanted = {key for space in truth.spaces.values() for key in space.keys.values()}
    if wanted != set(stored):
        problems.append(f"{len(stored)} vectors are stored where {len(wanted)} edits are in force")
    for name in sorted(set(truth.spaces) & set(state.spaces)):
        found = _compare_space(truth.spaces[name], state.spaces[name], stored)
        problems.extend(f"namespace {name}: {problem}" for problem in found)
    return tuple(problems)


def _keyed(state: MemoryState, key: int) -> Edit:
    """Returns the revision that gave an index key."""
    made = state.records[key - 1]
    assert isinstance(made, Edit), "only edits have keys"
    return made


def _compare_records(
    truth: list[Edit | Activation], found: list[Edit | Activation]
) -> Iterator[str]:
    if len(truth) != len(found):
        yield f"the memory is at sequence {len(found)} where the log is at {len(truth)}"
    for logged, held in zip(truth, found, strict=False):
        if logged != held:
            yield f"entry {logged.sequence} differs from the log"
            return


def _compare_space(
    truth: Space,
    space: Space,
    stored: dict[int, np.ndarray[tuple[int], np.dtype[np.float32]] | None],
) -> Iterator[str]:
    if truth.keys != space.keys:
        yield f"{len(space.keys)} keys differ from the log's {len(truth.keys)}"
        return
    if truth.activations != space.activations or truth.contents != space.contents:
        yield "the activations of editions differ from the log"
    if truth.conflicts != space.conflicts:
        yield "the table of conflicts differs from the log"
    if +truth.counts != +space.counts:
        yield f"counts {dict(space.counts)} differ from the log's {dict(truth.counts)}"
    keys = sorted(truth.keys.values())
    view = space.index.view()
    if len(view) != len(keys):
        yield f"the index holds {len(view)} vectors for {len(keys)} edits in force"
        return
    try:
        space.index.check_integrity()
        held = view.get(keys)
    except (AssertionError, KeyError) as error:
        yield f"the index is out of order: {error}"
        return
    for key, vector in zip(keys, held, strict=True):
        expected = stored.get(key)
        if expected is None:
            yield f"vector {key} is missing from the log or damaged there"
            return
        if float(np.abs(vector - expected).max(initial=0.0)) > COSINE_TOLERANCE:
            yield f"vector {key} in the index differs from the stored one"
            return
    yield from _compare_mentions(space)


def _compare_mentions(space: Space) -> Iterator[str]:
    view = space.matcher.view()
    names = list(space.keys)
    for edit_id in names[:: max(1, len(names) // MENTIONS_CHECKED)]:
        edit = space.cells[edit_id].revisions[-1]
        if all(found.key != space.keys[edit_id] for found in view.find(edit.subject)):
            yield f"the subject matcher does not know edit {edit_id} ({edit.subject!r})"
            return
