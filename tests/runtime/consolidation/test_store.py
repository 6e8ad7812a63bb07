"""Editions on disk: whole or not at all, and refused by name when damaged."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch

from memory.errors import EditionUnusable, NotFound, Unavailable
from memory.record import DEFAULT_NAMESPACE, Edit, EditId
from runtime.consolidation.contract import MatrixDelta
from runtime.consolidation.store import EditionStore, check_base
from tests.edition_kit import record_of

EDITS = [
    Edit(id=EditId(f"e-00{n}"), namespace=DEFAULT_NAMESPACE, subject="é", prompt="é is", target="x")
    for n in range(3)
]
MATRICES = (
    MatrixDelta(module="a.b", left=torch.randn(4, 2), right=torch.randn(2, 6)),
    MatrixDelta(module="a.c", full=torch.randn(3, 5)),
)


@pytest.fixture
def store(tmp_path: Path) -> EditionStore:
    return EditionStore(tmp_path / "editions")


def write(store: EditionStore, **more: Any) -> int:
    record = record_of(EDITS, fingerprint="f00d", left=1, **more)
    return store.write(record, MATRICES, above=0).number


def test_what_was_written_is_read_again(store: EditionStore) -> None:
    stored = store.write(record_of(EDITS, fingerprint="f00d", left=1), MATRICES, above=0)
    again = store.record(stored.number)
    assert stored == again
    assert [(info.module, info.rank) for info in again.matrices] == [("a.b", 2), ("a.c", 0)]
    assert [info.numbers for info in again.matrices] == [20, 15]
    for written, read in zip(MATRICES, store.matrices(again), strict=True):
        assert written.module == read.module
        for name in ("left", "right", "full"):
            one, other = getattr(written, name), getattr(read, name)
            assert one is other is None or torch.equal(one, other)
    assert again.activation().took == (("e-000", 1), ("e-001", 1))
    assert again.activation().left == (("e-002", 1),)


def test_numbers_go_up_and_past_those_that_the_log_knows(store: EditionStore) -> None:
    assert (1, 2) == (write(store), write(store))
    assert store.write(record_of(EDITS, fingerprint="f"), MATRICES, above=7).number == 8
    assert (1, 2, 8) == store.numbers()


@pytest.mark.parametrize("name", ["edition.json", "matrices.safetensors"])
@pytest.mark.parametrize("damage", ["flip", "cut", "empty", "gone"])
def test_a_damaged_edition_is_refused_by_name(
    store: EditionStore, tmp_path: Path, name: str, damage: str
) -> None:
    number = write(store)
    path = tmp_path / "editions" / str(number) / name
    content = bytearray(path.read_bytes())
    if damage == "gone":
        path.unlink()
    else:
        content[len(content) // 2] ^= 1
        left = {"flip": len(content), "cut": len(content) - 9, "empty": 0}[damage]
        path.write_bytes(content[:left])
    with pytest.raises(EditionUnusable, match=f"edition {number} is damaged.*{number}/{name}"):
        store.matrices(store.record(number))


def test_every_flipped_bit_of_the_record_is_noticed(store: EditionStore, tmp_path: Path) -> None:
    number = write(store)
    path = tmp_path / "editions" / str(number) / "edition.json"
    sound, known = path.read_bytes(), store.record(number)
    for place in range(0, len(sound), 7):
        content = bytearray(sound)
        content[place] ^= 1 << (place % 7)
        path.write_bytes(content)
        try:
            assert store.record(number) == known  # White space between the fields says nothing.
        except EditionUnusable:
            continue


def test_a_record_in_anothers_folder_is_refused(store: EditionStore, tmp_path: Path) -> None:
    number = write(store)
    folder = tmp_path / "editions"
    (folder / str(number)).rename(folder / "9")
    with pytest.raises(EditionUnusable, match="it is edition 1 in the folder of 9"):
        store.record(9)


def test_an_unknown_edition_is_not_found(store: EditionStore) -> None:
    with pytest.raises(NotFound, match="known: none but 0"):
        store.record(3)


def test_an_edition_of_other_weights_is_refused(store: EditionStore) -> None:
    record = store.record(write(store))
    check_base(record, "f00d")
    with pytest.raises(EditionUnusable, match=r"f00d .*this server runs beef"):
        check_base(record, "beef")


def test_a_full_disk_leaves_nothing_behind(
    store: EditionStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fails each sync in turn: the folder has the edition or nothing at all."""
    syncs = os.fsync
    for failing in range(1, 10):
        left = failing

        def fsync(descriptor: int) -> None:
            nonlocal left
            left -= 1
            if left == 0:
                raise OSError(errno.ENOSPC, "No space left on device")
            syncs(descriptor)

        monkeypatch.setattr(os, "fsync", fsync)
        try:
            number = write(store)
        except Unavailable:
            names = [path.name for path in (tmp_path / "editions").glob("*")]
            assert all(name.isdigit() for name in names)
            for name in names:  # Only the last sync, after the rename, leaves one: whole.
                store.matrices(store.record(int(name)))
        else:
            assert left > 0
            store.matrices(store.record(number))
            return
    pytest.fail("it never succeeded")


def test_what_a_crash_left_is_swept(store: EditionStore, tmp_path: Path) -> None:
    number = write(store)
    half = tmp_path / "editions" / ".unfinished-2"
    half.mkdir()
    (half / "edition.json").write_bytes(b"{")
    store.sweep()
    assert not half.exists()
    assert (number,) == store.numbers()


def test_the_edition_of_a_job_is_found_again(store: EditionStore) -> None:
    write(store, job="consolidate-1")
    second = write(store, job="consolidate-2")
    found = store.find_job("consolidate-2")
    assert found is not None
    assert second == found.number
    assert store.find_job("consolidate-3") is None


def test_a_record_is_readable_without_this_program(store: EditionStore, tmp_path: Path) -> None:
    number = write(store)
    said = json.loads((tmp_path / "editions" / str(number) / "edition.json").read_text())
    assert said["edits"][0]["edit_id"] == "e-000"
    assert (said["format"], said["editor"]) == ("errata-edition", "random")
