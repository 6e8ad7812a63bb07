import threading
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import pytest

from memory.micro_batch import MicroBatcher

Results = dict[object, Any]


class Gated:
    """A computation that waits for a gate, so that a test can let callers gather."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.entered = threading.Event()
        self.batches: list[list[int]] = []

    def __call__(self, items: Sequence[int]) -> list[int]:
        self.batches.append(list(items))
        self.entered.set()
        assert self.gate.wait(30)
        return [10 * item for item in items]


def in_thread(call: Callable[[], Any], results: Results, name: object) -> threading.Thread:
    def run() -> None:
        try:
            results[name] = call()
        except Exception as error:  # noqa: BLE001
            results[name] = error

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def wait_until(batcher: MicroBatcher[int, int], singles: int, bulks: int) -> None:
    """Returns once so much is queued; callers notify the same condition when they queue."""
    with batcher._wake:
        assert batcher._wake.wait_for(
            lambda: len(batcher._singles) >= singles and len(batcher._bulks) >= bulks, timeout=30
        )


def test_what_waits_while_one_computes_becomes_one_batch_of_at_most_batch_max() -> None:
    work = Gated()
    results: Results = {}
    batcher = MicroBatcher(work, batch_max=4, slice_max=2)
    threads = [in_thread(lambda: batcher.one(0), results, 0)]
    assert work.entered.wait(30)
    for item in range(1, 7):
        threads.append(in_thread(partial(batcher.one, item), results, item))
        wait_until(batcher, singles=item, bulks=0)
    work.gate.set()
    for thread in threads:
        thread.join(30)
    batcher.close()
    assert [1, 4, 2] == [len(batch) for batch in work.batches]
    assert {item: 10 * item for item in range(7)} == results


def test_single_items_overtake_bulk_work_and_bulk_work_goes_on_between_them() -> None:
    work = Gated()
    results: Results = {}
    batcher = MicroBatcher(work, batch_max=1, slice_max=2)
    threads = [in_thread(lambda: batcher.one(0), results, "first")]
    assert work.entered.wait(30)
    threads.append(in_thread(lambda: batcher.many([1, 2, 3, 4]), results, "bulk"))
    wait_until(batcher, singles=0, bulks=1)
    for item in (5, 6, 7):
        threads.append(in_thread(partial(batcher.one, item), results, item))
        wait_until(batcher, singles=item - 4, bulks=1)
    work.gate.set()
    for thread in threads:
        thread.join(30)
    batcher.close()
    assert [[0], [5], [1, 2], [6], [3, 4], [7]] == work.batches
    assert [10, 20, 30, 40] == results["bulk"]


def test_a_failed_batch_fails_its_callers_only() -> None:
    def compute(items: Sequence[int]) -> list[int]:
        if 13 in items:
            raise ValueError("unlucky")
        return list(items)

    batcher = MicroBatcher(compute, batch_max=8, slice_max=2)
    with pytest.raises(ValueError, match="unlucky"):
        batcher.one(13)
    with pytest.raises(ValueError, match="unlucky"):
        batcher.many([1, 2, 3, 13, 5])
    assert batcher.one(1) == 1
    assert [4, 5, 6] == batcher.many([4, 5, 6])
    batcher.close()


def test_a_failed_start_fails_every_caller_and_is_tried_again() -> None:
    starts = iter([RuntimeError("no weights"), None])

    def start() -> None:
        error = next(starts)
        if error is not None:
            raise error

    batcher: MicroBatcher[int, int] = MicroBatcher(list, batch_max=8, slice_max=2, start=start)
    with pytest.raises(RuntimeError, match="no weights"):
        batcher.one(1)
    assert batcher.one(2) == 2
    batcher.close()


def test_a_closed_batcher_refuses_and_closing_finishes_what_waits() -> None:
    work = Gated()
    results: Results = {}
    batcher = MicroBatcher(work, batch_max=4, slice_max=2)
    first = in_thread(lambda: batcher.one(1), results, 1)
    assert work.entered.wait(30)
    second = in_thread(lambda: batcher.many([2, 3, 4]), results, 2)
    wait_until(batcher, singles=0, bulks=1)
    closing = in_thread(batcher.close, results, "close")
    work.gate.set()
    for thread in (first, second, closing):
        thread.join(30)
    assert (10, [20, 30, 40]) == (results[1], results[2])
    with pytest.raises(RuntimeError, match="closed"):
        batcher.one(5)


def test_an_empty_list_needs_no_worker() -> None:
    batcher: MicroBatcher[int, int] = MicroBatcher(list, batch_max=4, slice_max=2)
    assert [] == batcher.many([])
    assert batcher._thread is None
    batcher.close()
