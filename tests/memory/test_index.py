import gc
import threading
from dataclasses import dataclass, field
from typing import Any

import faiss
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from memory.contracts import Keys, Matrix, VectorIndexView
from memory.errors import ModelLoadError
from memory.flat_index import FlatIndex
from memory.index import FaissIndex, IndexRules
from memory.index_parts import PartKind, fp16_error_max

NO_KEYS = np.empty(0, dtype=np.int64)
DIMENSION = 6

# Small enough that ten vectors pass every threshold; all lists probed, so that IVF is exact too.
RULES = {
    "flat": IndexRules(gone_min=4, chunk_rows=5),
    "fp16": IndexRules(flat_max=6, delta_min=3, gone_min=4, chunk_rows=5),
    "ivf": IndexRules(
        flat_max=0, fp16_max=8, delta_min=3, gone_min=4, chunk_rows=7, lists_probed=1000
    ),
}


def unit(rows: npt.ArrayLike) -> Matrix:
    matrix = np.asarray(rows, dtype=np.float64)
    scaled: Matrix = (matrix / np.linalg.norm(matrix, axis=1, keepdims=True)).astype(np.float32)
    return scaled


# A small pool makes duplicates, and so ties, the rule. Near twins differ by less than fp16 sees.
POOL = unit(np.random.default_rng(7).normal(size=(10, DIMENSION)))
POOL = np.concatenate([POOL, unit(POOL + 1e-4), unit(POOL[:3] + np.float32(3e-7))])


def no_vectors(dimension: int = DIMENSION) -> Matrix:
    return np.empty((0, dimension), dtype=np.float32)


def key_array(*keys: int) -> Keys:
    return np.array(keys, dtype=np.int64)


def filled(rules: IndexRules, vectors: Matrix, *, background: bool = False) -> FaissIndex:
    index = FaissIndex(vectors.shape[1], rules=rules, merge_in_background=background)
    index.apply(add_keys=np.arange(len(vectors)), add_vectors=vectors, remove_keys=NO_KEYS)
    return index


def assert_same(expected: VectorIndexView, actual: VectorIndexView, queries: Matrix) -> None:
    assert len(expected) == len(actual)
    for k in (1, 3, len(expected) + 2):
        cosines, keys = expected.search(queries, k)
        found_cosines, found_keys = actual.search(queries, k)
        np.testing.assert_array_equal(keys, found_keys)
        np.testing.assert_array_equal(cosines, found_cosines)


@dataclass
class Pinned:
    twin: VectorIndexView
    view: VectorIndexView
    live: dict[int, int] = field(default_factory=dict)


class IndexAgainstTwin(RuleBasedStateMachine):
    """Any program of changes, on the index and on its twin; old views are asked again and again."""

    index_rules = RULES["flat"]
    background = False

    def __init__(self) -> None:
        super().__init__()
        self.index = FaissIndex(
            DIMENSION, rules=self.index_rules, merge_in_background=self.background
        )
        self.twin = FlatIndex(DIMENSION)
        self.live: dict[int, int] = {}  # Key to place in POOL.
        self.pinned: list[Pinned] = []

    @rule(data=st.data())
    def change(self, data: st.DataObject) -> None:
        gone = data.draw(
            st.lists(st.sampled_from(sorted(self.live)), unique=True, max_size=6)
            if self.live
            else st.just([])
        )
        free = sorted(set(range(200)) - set(self.live) | set(gone))
        added = data.draw(st.lists(st.sampled_from(free), unique=True, max_size=9))
        places = [data.draw(st.integers(0, len(POOL) - 1)) for _ in added]
        change: dict[str, Any] = {
            "add_keys": key_array(*added),
            "add_vectors": POOL[places] if added else no_vectors(),
            "remove_keys": key_array(*gone),
        }
        self.index.apply(**change)
        self.twin.apply(**change)
        for key in gone:
            del self.live[key]
        self.live.update(zip(added, places, strict=True))

    @rule()
    def rebuild(self) -> None:
        self.index.rebuild()

    @rule()
    def pin(self) -> None:
        self.pinned = [
            *self.pinned[-4:],
            Pinned(self.twin.view(), self.index.view(), dict(self.live)),
        ]

    @precondition(lambda self: self.pinned)
    @rule(data=st.data())
    def ask_an_old_view(self, data: st.DataObject) -> None:
        pinned = data.draw(st.sampled_from(self.pinned))
        assert_same(pinned.twin, pinned.view, POOL[:4])
        for key in {*range(10), *pinned.live}:
            if key in pinned.live:
                expected = POOL[pinned.live[key]]
                np.testing.assert_array_equal(expected, pinned.view.get([key])[0])
            else:
                with pytest.raises(KeyError):
                    pinned.view.get([key])

    @invariant()
    def agrees(self) -> None:
        assert_same(self.twin.view(), self.index.view(), POOL[:: len(POOL) // 3])
        self.index.check_integrity()

    def teardown(self) -> None:
        self.index.close()


def machine(rules: IndexRules, *, background: bool = False) -> Any:
    made: Any = type(
        "Machine", (IndexAgainstTwin,), {"index_rules": rules, "background": background}
    )
    case = made.TestCase
    case.settings = settings(max_examples=15, stateful_step_count=15, deadline=None)
    return case


TestScanned = machine(RULES["flat"])
TestHalf = machine(RULES["fp16"])
TestLists = machine(RULES["ivf"])
TestListsMergedBesideReaders = machine(RULES["ivf"], background=True)


@pytest.mark.parametrize("name", RULES)
def test_each_rule_reaches_the_part_that_it_names(name: str) -> None:
    index = filled(RULES[name], POOL)
    kinds = {"flat": PartKind.NONE, "fp16": PartKind.FP16, "ivf": PartKind.IVF}
    assert kinds[name].value == index.status().kind
    assert index.status().bytes > len(POOL) * 4 * DIMENSION


@pytest.mark.parametrize("name", RULES)
def test_an_empty_index_answers_with_padding(name: str) -> None:
    index = FaissIndex(DIMENSION, rules=RULES[name], merge_in_background=False)
    for view in (index.view(), index.rebuild()):
        cosines, keys = view.search(POOL[:2], 3)
        assert np.array_equal(np.full((2, 3), -1), keys)
        assert np.array_equal(np.full((2, 3), -np.inf), cosines)
        assert len(view) == 0
        assert view.get([]).shape == (0, DIMENSION)
    assert view.search(no_vectors(), 3)[1].shape == (0, 3)


@pytest.mark.parametrize("name", RULES)
def test_many_equal_vectors_come_by_smallest_key(name: str) -> None:
    same = np.repeat(POOL[:1], 200, axis=0)
    index = FaissIndex(DIMENSION, rules=RULES[name], merge_in_background=False)
    keys = np.random.default_rng(0).permutation(200)
    index.apply(add_keys=keys, add_vectors=same, remove_keys=NO_KEYS)
    cosines, found = index.view().search(POOL[:1], 5)
    assert [0, 1, 2, 3, 4] == found[0].tolist()
    assert len(set(cosines[0].tolist())) == 1


@pytest.mark.parametrize("name", RULES)
@given(seed=st.integers(0, 10_000), k=st.integers(1, 40))
@settings(max_examples=20, deadline=None)
def test_crowded_near_ties_keep_their_exact_order(name: str, seed: int, k: int) -> None:
    """Three hundred vectors within less of one another than fp16 can tell apart."""
    rng = np.random.default_rng(seed)
    crowd = unit(POOL[0] + rng.normal(size=(300, DIMENSION)) * 1e-5)
    index = filled(RULES[name], crowd)
    twin = FlatIndex(DIMENSION)
    twin.apply(add_keys=np.arange(300), add_vectors=crowd, remove_keys=NO_KEYS)
    expected, actual = twin.view().search(POOL[:1], k), index.view().search(POOL[:1], k)
    np.testing.assert_array_equal(expected[1], actual[1])
    np.testing.assert_array_equal(expected[0], actual[0])


def test_few_lists_probed_still_fill_k_and_find_what_is_near() -> None:
    vectors = unit(np.random.default_rng(1).normal(size=(2_000, 16)))
    rules = IndexRules(flat_max=10, fp16_max=20, lists_probed=4)
    index = filled(rules, vectors)
    assert PartKind.IVF.value == index.status().kind
    index.apply(add_keys=NO_KEYS, add_vectors=no_vectors(16), remove_keys=np.arange(10, 400))
    cosines, keys = index.view().search(vectors[:10], 5)
    assert list(range(10)) == keys[:, 0].tolist()
    assert (np.diff(cosines, axis=1) <= 0).all()
    every = index.view().search(vectors[:1], 2_000)[1][0]
    assert {*range(10), *range(400, 2_000)} == set(every[:1_610].tolist())
    assert (every[1_610:] == -1).all()


@pytest.mark.parametrize("kind", ["fp16", "ivf"])
def test_a_view_profits_from_a_merge_that_ends_after_it_was_made(kind: str) -> None:
    index = FaissIndex(DIMENSION, rules=RULES[kind], merge_in_background=True)
    twin = FlatIndex(DIMENSION)
    first, rest = POOL[:12], POOL[12:]
    change: dict[str, Any] = {
        "add_keys": np.arange(len(first)), "add_vectors": first, "remove_keys": NO_KEYS,
    }  # fmt: skip
    with index._merge_turn:  # No merge ends before this is over.
        view, expected = index.apply(**change), twin.apply(**change)
        assert view._newest() is None
    index.close()
    merged = view._newest()
    assert merged is index.view().main is not None
    assert_same(expected, view, POOL)
    later = np.arange(len(first), len(POOL))
    index.apply(add_keys=later, add_vectors=rest, remove_keys=key_array(3))
    index.close()
    newer = index.view().main
    assert newer is not None
    assert newer.rows > view.rows
    assert view._newest() is view.main is None  # It covers rows that the view does not know.
    assert_same(expected, view, POOL)


def test_the_rounding_bound_holds_for_fp16() -> None:
    vectors = unit(np.random.default_rng(2).normal(size=(5_000, 384)))
    index = faiss.IndexScalarQuantizer(
        384, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT
    )
    index.add(vectors)
    scores, rows = index.search(vectors[:50], 200)
    true = np.einsum("bkd,bd->bk", vectors[rows].astype(np.float64), vectors[:50])
    worst = np.abs(scores - true).max()
    assert worst < fp16_error_max(384) < 2e-3


@pytest.mark.parametrize(
    "vectors",
    [
        np.full((1, DIMENSION), np.nan),
        np.zeros((1, DIMENSION)),
        2 * POOL[:1],
        np.full((1, DIMENSION), np.inf),
        POOL[:1, :3],
        POOL[0],
    ],
    ids=["nan", "zero", "too long", "infinite", "other width", "one row"],
)
def test_what_is_no_unit_vector_is_refused(vectors: Matrix) -> None:
    for index in (filled(RULES["fp16"], POOL), FlatIndex(DIMENSION)):
        before = len(index.view())
        with pytest.raises(ValueError, match="vector"):
            index.apply(add_keys=key_array(99), add_vectors=vectors, remove_keys=key_array())
        with pytest.raises(ValueError, match="vector"):
            index.view().search(vectors, 1)
        assert before == len(index.view())


@pytest.mark.parametrize(
    ("added", "gone", "message"),
    [
        ((3,), (), "key 3 is to be added but is live"),
        ((50,), (60,), "key 60 is to be removed but is not live"),
        ((50, 50), (), "twice"),
        ((), (3, 3), "twice"),
        ((-1,), (), "negative"),
    ],
)
def test_a_wrong_step_changes_nothing(
    added: tuple[int, ...], gone: tuple[int, ...], message: str
) -> None:
    twin = FlatIndex(DIMENSION)
    twin.apply(add_keys=np.arange(len(POOL)), add_vectors=POOL, remove_keys=NO_KEYS)
    for index in (filled(RULES["fp16"], POOL), twin):
        with pytest.raises(ValueError, match=message):
            index.apply(
                add_keys=key_array(*added),
                add_vectors=POOL[: len(added)],
                remove_keys=key_array(*gone),
            )
        assert_same(twin.view(), index.view(), POOL[:2])
        index.check_integrity()
    with pytest.raises(ValueError, match="one each"):
        index.apply(add_keys=key_array(70), add_vectors=POOL[:2], remove_keys=NO_KEYS)
    with pytest.raises(ValueError, match="k is 0"):
        index.view().search(POOL[:1], 0)


def test_a_key_may_be_moved_in_one_step() -> None:
    index = filled(RULES["fp16"], POOL)
    old = index.view()
    index.apply(add_keys=key_array(0), add_vectors=POOL[5:6], remove_keys=key_array(0))
    np.testing.assert_array_equal(POOL[0], old.get([0])[0])
    np.testing.assert_array_equal(POOL[5], index.view().get([0])[0])
    index.check_integrity()


def test_growing_by_batches_copies_each_row_a_bounded_number_of_times(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An import is not quadratic: the rows handed to FAISS stay a small multiple of those added."""
    handed = 0
    real = faiss.IndexScalarQuantizer.add

    def counting(self: faiss.IndexScalarQuantizer, rows: Matrix) -> None:
        nonlocal handed
        handed += len(rows)
        real(self, rows)

    monkeypatch.setattr(faiss.IndexScalarQuantizer, "add", counting)
    rules = IndexRules(flat_max=100, delta_min=50, chunk_rows=256)
    index = FaissIndex(4, rules=rules, merge_in_background=False)
    vectors = unit(np.random.default_rng(3).normal(size=(4_000, 4)))
    for begin in range(0, 4_000, 20):
        index.apply(
            add_keys=np.arange(begin, begin + 20),
            add_vectors=vectors[begin : begin + 20],
            remove_keys=NO_KEYS,
        )
    assert handed <= 4_000
    assert index.status().kind == PartKind.FP16.value


def test_removing_much_gives_the_memory_back_once_old_views_are_gone() -> None:
    index = filled(
        IndexRules(gone_min=10, chunk_rows=64),
        unit(np.random.default_rng(4).normal(size=(1_000, DIMENSION))),
    )
    before = index.status()
    index.apply(add_keys=NO_KEYS, add_vectors=no_vectors(), remove_keys=np.arange(900))
    gc.collect()
    after = index.status()
    assert (100, 100) == (after.live, after.rows)
    assert after.bytes < before.bytes / 5


def test_readers_see_whole_steps_while_writers_and_merges_go_on() -> None:
    """Each step moves all keys from one vector to another: a torn view would show both."""
    rules = IndexRules(
        flat_max=8, fp16_max=30, delta_min=4, gone_min=8, chunk_rows=16, lists_probed=1000
    )
    index = FaissIndex(DIMENSION, rules=rules, merge_in_background=True)
    keys = np.arange(40)
    index.apply(add_keys=keys, add_vectors=np.repeat(POOL[:1], 40, axis=0), remove_keys=NO_KEYS)
    stop, torn, answers = threading.Event(), [], []

    def read() -> None:
        while True:
            view = index.view()
            cosines, found = view.search(POOL[:1], 40)
            if len(set(cosines[0].tolist())) != 1 or found[0].tolist() != keys.tolist():
                torn.append((cosines, found))
                return
            answers.append(len(view))
            if stop.is_set():
                return

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    for step in range(60):
        rows = np.repeat(POOL[step % 7][None, :], 40, axis=0)
        index.apply(add_keys=keys, add_vectors=rows, remove_keys=keys)
        if step % 20 == 0:
            index.rebuild()
    stop.set()
    for reader in readers:
        reader.join(60)
    index.close()
    index.check_integrity()
    assert not torn
    assert {40} == set(answers)


def test_a_failed_merge_is_logged_and_the_index_serves_on(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    index = FaissIndex(DIMENSION, rules=RULES["fp16"], merge_in_background=True)

    def fail(view: object) -> None:
        raise MemoryError("no room")

    monkeypatch.setattr(index, "_grown", fail)
    index.apply(add_keys=np.arange(len(POOL)), add_vectors=POOL, remove_keys=NO_KEYS)
    index.close()
    assert "no room" in caplog.text
    twin = FlatIndex(DIMENSION)
    twin.apply(add_keys=np.arange(len(POOL)), add_vectors=POOL, remove_keys=NO_KEYS)
    assert_same(twin.view(), index.view(), POOL[:3])


def test_what_disagrees_is_found() -> None:
    index = filled(RULES["fp16"], POOL)
    index.view().store.chunks[0][0] *= 2
    with pytest.raises(AssertionError, match="unit length"):
        index.check_integrity()
    index = filled(RULES["fp16"], POOL)
    index.view().store.row_of[3] = 4
    with pytest.raises(AssertionError, match="key 3"):
        index.check_integrity()


def test_a_missing_gpu_is_said_and_unknown_devices_are_refused() -> None:
    with pytest.raises(ValueError, match="tpu"):
        FaissIndex(DIMENSION, device="tpu")
    if not hasattr(faiss, "GpuIndexFlatIP") or faiss.get_num_gpus() == 0:
        assert FaissIndex(DIMENSION, device="auto").status().device == "cpu"
        with pytest.raises(ModelLoadError, match=r"\[gpu\]"):
            FaissIndex(DIMENSION, device="cuda")


@pytest.mark.gpu
def test_a_gpu_agrees_with_the_twin() -> None:
    rules = IndexRules(flat_max=6, delta_min=3, chunk_rows=64)
    index = FaissIndex(DIMENSION, device="cuda", rules=rules, merge_in_background=False)
    twin = FlatIndex(DIMENSION)
    for begin in range(0, len(POOL), 5):
        keys = np.arange(begin, min(begin + 5, len(POOL)))
        for each in (index, twin):
            each.apply(add_keys=keys, add_vectors=POOL[keys], remove_keys=NO_KEYS)
    assert PartKind.GPU.value == index.status().kind
    assert_same(twin.view(), index.view(), POOL[:4])
