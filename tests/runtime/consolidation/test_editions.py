"""Editions in use: leased by requests, loaded aside, let go, and never a request's trouble."""

from __future__ import annotations

import gc
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from memory.edit_memory import EditMemory
from memory.errors import EditionUnusable, NotFound, WrongState
from memory.record import DEFAULT_NAMESPACE, Namespace
from runtime.consolidation.edition import EditionState
from runtime.consolidation.editions import Editions, Lease, OnlyBase
from runtime.consolidation.inspection import answering_of, look, numbers
from runtime.consolidation.store import EditionStore
from runtime.engine.transformers_engine import TransformersEngine
from tests.edition_kit import low_rank, record_of
from tests.memory_kit import draft, open_memory
from tests.tiny_models import load_reference, save_tiny_model

OTHER = Namespace("other")


class Kit:
    """One data directory, one tiny engine, and editions of them."""

    def __init__(self, folder: Path, model: Path) -> None:
        self.folder = folder
        self.model = load_reference(model)
        self.engine = TransformersEngine.load(str(model), device="cpu")
        self.memory: EditMemory = open_memory(folder / "data")
        self.store = EditionStore(folder / "data" / "editions")
        self.now_s = 0.0
        self.editions = self.make_editions()

    def make_editions(self) -> Editions:
        return Editions(
            store=self.store,
            host=self.engine,
            info=self.engine.info,
            memory=self.memory,
            clock=lambda: self.now_s,
        )

    def write(self, namespace: Namespace = DEFAULT_NAMESPACE, **more: Any) -> int:
        count = len(self.store.numbers())
        edit = self.memory.create(draft(f"{namespace} {count}"), namespace=namespace).edits[0]
        given = {"fingerprint": self.engine.info.fingerprint, **more}
        record = record_of([edit], **given)
        matrices = (low_rank(self.model, seed=count),)
        return self.store.write(record, matrices, above=0).number


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp("llama"), "llama")


@pytest.fixture
def kit(tmp_path: Path, model: Path) -> Iterator[Kit]:
    made = Kit(tmp_path, model)
    yield made
    made.engine.close()
    made.memory.close()


def test_a_lease_keeps_an_edition_and_its_end_lets_it_go(kit: Kit) -> None:
    first, second = kit.write(), kit.write()
    kit.editions.activate(DEFAULT_NAMESPACE, first)
    lease = kit.editions.lease(first)
    kit.editions.activate(DEFAULT_NAMESPACE, second)
    assert kit.editions.loaded() == (0, first, second)
    del lease
    gc.collect()
    assert kit.editions.loaded() == (0, second)


def test_each_namespace_keeps_its_own(kit: Kit) -> None:
    ours, theirs = kit.write(), kit.write(OTHER)
    kit.editions.activate(DEFAULT_NAMESPACE, ours)
    kit.editions.activate(OTHER, theirs)
    kit.editions.activate(DEFAULT_NAMESPACE, 0)
    gc.collect()
    assert kit.editions.loaded() == (0, theirs)
    assert kit.memory.snapshot().edition(OTHER) == theirs
    with pytest.raises(NotFound, match="'default' has no edition"):
        kit.editions.activate(DEFAULT_NAMESPACE, theirs)


def test_the_same_edition_has_the_same_bits_each_time(kit: Kit) -> None:
    number = kit.write()

    def bits() -> dict[str, bytes]:
        weights = kit.engine.weights_for(number)
        state = weights._model.state_dict()
        return {name: tensor.numpy().tobytes() for name, tensor in state.items()}

    before = {name: p.numpy().tobytes() for name, p in kit.model.state_dict().items()}
    kit.editions.activate(DEFAULT_NAMESPACE, number)
    once = bits()
    kit.editions.activate(DEFAULT_NAMESPACE, 0)
    gc.collect()
    assert kit.editions.loaded() == (0,)
    base = kit.engine.weights_for(0)._model.state_dict()
    assert before == {name: tensor.numpy().tobytes() for name, tensor in base.items()}
    kit.editions.activate(DEFAULT_NAMESPACE, number)
    assert once == bits()


def test_many_threads_load_an_edition_once(kit: Kit, monkeypatch: pytest.MonkeyPatch) -> None:
    number = kit.write()
    added: list[int] = []
    add = kit.engine.add_edition

    def count(edition: int, parameters: Any) -> object:
        added.append(edition)
        return add(edition, parameters)

    monkeypatch.setattr(kit.engine, "add_edition", count)
    ready = threading.Barrier(6)
    leases: list[Lease] = []

    def lease() -> None:
        ready.wait()
        leases.append(kit.editions.lease(number))

    threads = [threading.Thread(target=lease) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [number] == added
    assert {number} == {one.edition for one in leases}


def damage(kit: Kit, number: int) -> Callable[[], None]:
    path = kit.folder / "data" / "editions" / str(number) / "matrices.safetensors"
    sound = path.read_bytes()
    path.write_bytes(sound[:-1])

    def repair() -> None:
        path.write_bytes(sound)

    return repair


def test_a_damaged_edition_is_answered_by_the_published_model_until_it_is_back(kit: Kit) -> None:
    number = kit.write()
    kit.editions.activate(DEFAULT_NAMESPACE, number)
    repair = damage(kit, number)
    restarted = kit.make_editions()
    lease = restarted.lease(number)
    assert lease.edition == 0
    assert f"edition {number} is damaged" in lease.problem
    repair()
    assert restarted.lease(number).edition == 0  # Not read again for every request.
    kit.now_s += 60
    assert restarted.lease(number).edition == number


def test_a_damaged_edition_cannot_be_activated(kit: Kit) -> None:
    number = kit.write()
    damage(kit, number)
    with pytest.raises(EditionUnusable, match="damaged"):
        kit.editions.activate(DEFAULT_NAMESPACE, number)
    assert kit.memory.snapshot().edition(DEFAULT_NAMESPACE) == 0


def test_an_edition_of_other_weights_is_not_used(kit: Kit) -> None:
    number = kit.write(fingerprint="0123")
    with pytest.raises(EditionUnusable, match="computed for the weights 0123"):
        kit.editions.activate(DEFAULT_NAMESPACE, number)
    assert kit.editions.lease(number).edition == 0


def test_what_is_told_of_an_edition_whose_record_is_damaged_is_told_its_namespace_alone(
    kit: Kit,
) -> None:
    kit.write()
    number = kit.write(OTHER)
    kit.editions.activate(OTHER, number)
    (kit.store.path(number) / "edition.json").write_text("{")
    restarted = kit.make_editions()
    seen = look(restarted, OTHER, number)
    assert (seen.state, seen.active, seen.answers) == (EditionState.DAMAGED, True, False)
    assert answering_of(restarted, OTHER).edition == 0
    with pytest.raises(EditionUnusable):
        look(restarted, DEFAULT_NAMESPACE, number)
    assert answering_of(kit.editions, OTHER).edition == number  # It is loaded there.
    never_active = kit.write()
    (kit.store.path(never_active) / "edition.json").write_text("{")
    for namespace in (DEFAULT_NAMESPACE, OTHER):  # Nobody knows whose it is.
        assert look(restarted, namespace, never_active).state is EditionState.DAMAGED


def test_an_active_edition_that_is_gone_is_told_and_others_are_not_found(kit: Kit) -> None:
    first, second = kit.write(), kit.write()
    kit.editions.activate(DEFAULT_NAMESPACE, first)
    kit.editions.activate(DEFAULT_NAMESPACE, second)
    for number in (first, second):
        shutil.rmtree(kit.store.path(number))
    restarted = kit.make_editions()
    assert numbers(restarted, DEFAULT_NAMESPACE) == (second, 0)
    assert f"its folder {second} is missing" in look(restarted, DEFAULT_NAMESPACE, second).problem
    assert look(restarted, DEFAULT_NAMESPACE, 0).answers
    with pytest.raises(NotFound):
        look(restarted, DEFAULT_NAMESPACE, first)


def test_a_file_is_hashed_when_asked_to_and_again_when_it_changed(kit: Kit) -> None:
    number = kit.write()
    record = kit.store.record(number)
    path = kit.store.path(number) / "matrices.safetensors"
    sound = path.read_bytes()
    path.write_bytes(sound[:-1] + bytes([sound[-1] ^ 1]))
    assert kit.store.fault(record, thorough=False) == ""
    assert "SHA-256" in kit.store.fault(record)
    assert "SHA-256" in kit.store.fault(record, thorough=False)
    path.unlink()
    assert "cannot be used (No such file" in kit.store.fault(record, thorough=False)
    path.write_bytes(sound)
    assert kit.store.fault(record) == ""
    damage(kit, number)
    assert "bytes, not" in kit.store.fault(record, thorough=False)


def test_an_edition_of_other_weights_is_told_as_one(kit: Kit) -> None:
    seen = look(kit.editions, DEFAULT_NAMESPACE, kit.write(fingerprint="0123"))
    assert (seen.state, seen.active) == (EditionState.OTHER_WEIGHTS, False)


def test_an_edition_with_a_retired_edit_is_refused_and_not_kept(kit: Kit) -> None:
    number = kit.write()
    held = kit.store.record(number).edits[0]
    kit.memory.retire(held.edit_id)
    with pytest.raises(WrongState, match="no longer in force"):
        kit.editions.activate(DEFAULT_NAMESPACE, number)
    kit.editions.trim()
    gc.collect()
    assert kit.editions.loaded() == (0,)


def test_without_editions_the_published_model_answers_and_says_why() -> None:
    assert OnlyBase().lease(0) == Lease()
    lease = OnlyBase().lease(3)
    assert lease.edition == 0
    assert lease.problem
