"""The data directory: who holds it, what it is, and damage, which is never served in silence."""

from __future__ import annotations

import json
import os
import random
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from memory.errors import DataDirectoryError, DataDirectoryLocked
from memory.record import DEFAULT_NAMESPACE
from tests.memory_kit import draft, open_memory

EDITS = 30


@pytest.fixture(scope="module")
def templates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory closed in good order ("closed"), and as a killed process leaves it ("crashed":
    a database with its write-ahead file).
    """
    path = tmp_path_factory.mktemp("templates")
    with open_memory(path / "closed") as memory:
        for start in range(0, EDITS, 10):
            memory.create_batch(
                [draft(number) for number in range(start, start + 10)], request_id=f"r{start}"
            )
        memory._writer.call(lambda: shutil.copytree(path / "closed", path / "crashed"))
    assert (path / "crashed" / "errata.db-wal").stat().st_size > 10_000
    return path


@pytest.fixture
def directory(templates: Path, tmp_path: Path) -> Path:
    """A directory with some edits, closed in good order."""
    return shutil.copytree(templates / "closed", tmp_path / "data")


@pytest.fixture
def crashed(templates: Path, tmp_path: Path) -> Path:
    """What a killed process leaves of the same."""
    return shutil.copytree(templates / "crashed", tmp_path / "crashed")


def contents(path: Path) -> dict[str, str]:
    """Opens the memory, checks it, returns prompt to target; closes it."""
    with open_memory(path) as memory:
        assert memory.check_integrity(repair=False).problems == ()
        snapshot = memory.snapshot()
        return {edit.prompt: edit.target for _, edit in snapshot.edits_from(DEFAULT_NAMESPACE, 0)}


def test_a_missing_directory_is_created_and_reopened(tmp_path: Path) -> None:
    path = tmp_path / "some" / "where"
    assert contents(path) == {}
    assert contents(path) == {}
    names = {"errata.json", "errata.db", "errata.lock", "errata.head"}
    assert names == {entry.name for entry in path.iterdir()}


def test_a_second_memory_on_the_directory_is_refused_naming_the_process(directory: Path) -> None:
    with open_memory(directory) as memory:
        with pytest.raises(DataDirectoryLocked, match=f"process {os.getpid()};"):
            open_memory(directory)
        code = (
            "import sys; from pathlib import Path; from tests.memory_kit import open_memory\n"
            f"open_memory(Path({str(directory)!r}))"
        )
        other = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=False
        )
        assert "DataDirectoryLocked" in other.stderr
        assert f"process {os.getpid()};" in other.stderr
        memory.create(draft("after"))
    assert len(contents(directory)) == EDITS + 1


def test_a_foreign_directory_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("all my work")
    with pytest.raises(DataDirectoryError, match=r"not a data directory.*thesis\.txt"):
        open_memory(tmp_path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_file_in_the_place_of_the_directory_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("")
    with pytest.raises(DataDirectoryError, match="cannot be used"):
        open_memory(path)


def test_a_foreign_database_is_refused(directory: Path) -> None:
    (directory / "errata.db").unlink()
    with sqlite3.connect(directory / "errata.db") as other:
        other.execute("CREATE TABLE songs (title)")
    other.close()
    with pytest.raises(DataDirectoryError, match=r"errata\.db is an SQLite file of another"):
        open_memory(directory)


def test_a_newer_format_is_refused(directory: Path) -> None:
    manifest = json.loads((directory / "errata.json").read_text())
    (directory / "errata.json").write_text(json.dumps({**manifest, "version": 2}))
    with pytest.raises(DataDirectoryError, match="use a newer program"):
        open_memory(directory)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format": "x"}', '{"format": "errata-data"}'])
def test_a_damaged_manifest_is_refused(directory: Path, text: str) -> None:
    (directory / "errata.json").write_text(text)
    with pytest.raises(DataDirectoryError, match=r"errata\.json"):
        open_memory(directory)


@pytest.mark.parametrize("name", ["errata.json", "errata.db"])
def test_a_missing_file_is_refused_not_replaced(directory: Path, name: str) -> None:
    (directory / name).unlink()
    with pytest.raises(DataDirectoryError, match=f"{name} is missing"):
        open_memory(directory)


def test_a_creation_that_was_cut_off_is_begun_again(tmp_path: Path) -> None:
    (tmp_path / "errata.json").write_text(
        json.dumps({"format": "errata-data", "version": 1, "log_id": "ab", "ready": False})
    )
    (tmp_path / "errata.db").write_bytes(b"half a page")
    assert contents(tmp_path) == {}


def test_a_database_of_another_directory_is_refused(directory: Path, tmp_path: Path) -> None:
    contents(tmp_path / "other")
    shutil.copy(tmp_path / "other" / "errata.db", directory / "errata.db")
    with pytest.raises(DataDirectoryError, match="another log id"):
        open_memory(directory)


def test_an_older_copy_of_the_database_is_refused(directory: Path, tmp_path: Path) -> None:
    shutil.copy(directory / "errata.db", tmp_path / "older.db")
    with open_memory(directory) as memory:
        memory.create(draft("newer"))
    shutil.copy(tmp_path / "older.db", directory / "errata.db")
    with pytest.raises(DataDirectoryError, match=r"up to 31 were acknowledged.*errata\.head"):
        open_memory(directory)
    (directory / "errata.head").unlink()  # What the message says to do, to accept the loss.
    assert len(contents(directory)) == EDITS


def test_a_lost_write_ahead_file_is_noticed(crashed: Path) -> None:
    (crashed / "errata.db-wal").unlink()
    with pytest.raises(DataDirectoryError):
        open_memory(crashed)


def test_a_damaged_witness_is_no_evidence(directory: Path) -> None:
    (directory / "errata.head").write_bytes(b"\0" * 256)
    assert len(contents(directory)) == EDITS


def outcome(path: Path, expected: dict[str, str]) -> bool:
    """Whether the damaged copy was recovered in full (else it was refused naming the file)."""
    try:
        found = contents(path)
    except DataDirectoryError as error:
        if "errata." not in str(error):
            raise
        return False
    assert expected == found, "silently wrong"
    return True


@pytest.mark.parametrize("name", ["errata.db", "errata.db-wal", "errata.json", "errata.head"])
def test_a_flipped_bit_is_refused_or_recovered_never_served(
    crashed: Path, directory: Path, tmp_path: Path, name: str
) -> None:
    source = crashed if name == "errata.db-wal" else directory
    expected = {draft(number).prompt: "French" for number in range(EDITS)}
    rng = random.Random(name)
    refused = 0
    for turn in range(25):
        copy = tmp_path / f"flip-{turn}"
        shutil.copytree(source, copy)
        damaged = bytearray((copy / name).read_bytes())
        place = rng.randrange(len(damaged))
        damaged[place] ^= 1 << rng.randrange(8)
        (copy / name).write_bytes(damaged)
        refused += not outcome(copy, expected)
    assert refused > 0 or name == "errata.head"


@pytest.mark.parametrize("name", ["errata.db", "errata.db-wal"])
def test_a_truncated_file_is_refused_or_recovered_never_served(
    crashed: Path, directory: Path, tmp_path: Path, name: str
) -> None:
    source = crashed if name == "errata.db-wal" else directory
    expected = {draft(number).prompt: "French" for number in range(EDITS)}
    size = (source / name).stat().st_size
    refused = 0
    for turn, length in enumerate(range(0, size, max(512, size // 25 // 512 * 512))):
        copy = tmp_path / f"cut-{turn}"
        shutil.copytree(source, copy)
        os.truncate(copy / name, length)
        refused += not outcome(copy, expected)
    assert refused > 5


def test_damaged_vectors_are_encoded_again(directory: Path) -> None:
    with sqlite3.connect(directory / "errata.db") as database:
        database.execute("UPDATE vectors SET vector = zeroblob(64) WHERE sequence = 3")
        database.execute("DELETE FROM vectors WHERE sequence = 5")
        database.execute(
            "INSERT INTO vectors SELECT 999, encoder, crc, vector FROM vectors LIMIT 1"
        )
    database.close()
    assert len(contents(directory)) == EDITS
