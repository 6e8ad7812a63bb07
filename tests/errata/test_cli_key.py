"""`errata key`: a key that works, shown once, in a file that does not hold it."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from runtime.services.access import read_keys
from tests.cli_kit import run_command, shell


def test_a_key_that_was_made_opens_a_running_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "keys.toml"
    asking = run_command("key", "ci", "-s", "infer", "--file", str(file)).out.strip()
    writing = run_command("key", "desk", "-s", "write", "-s", "read", "--json", "--file", str(file))
    assert ["write", "read"] == writing.record["scopes"]
    assert asking not in file.read_text(encoding="utf-8")
    assert 0o600 == file.stat().st_mode & 0o777
    with shell(tmp_path / "memory", access=file) as opened:
        refused = opened("generate", "Messi plays", code=4)
        assert "ERRATA_KEY" in refused.err
        monkeypatch.setenv("ERRATA_KEY", "clé")
        assert "expected what `errata key` printed" in opened("edit", "list", code=2).err
        monkeypatch.setenv("ERRATA_KEY", asking)
        assert "base" in opened("generate", "Messi plays").out
        assert "needs the scope read" in opened("edit", "list", code=4).err
        monkeypatch.setenv("ERRATA_KEY", writing.record["key"])
        opened("edit", "add", "{Messi} plays", "chess")
        assert "chess" in opened("edit", "list").out


def test_a_name_is_given_once_and_only_as_a_name(tmp_path: Path) -> None:
    file = tmp_path / "keys.toml"
    assert 0 == run_command("key", "ci", "--file", str(file)).code
    assert "already" in run_command("key", "ci", "--file", str(file)).err
    assert "expected 1 to 64" in run_command("key", "c i", "--file", str(file)).err
    assert ["ci"] == [holder.name for holder in read_keys(file).values()]


ADD_AT_ONCE = """
import sys
from pathlib import Path
import runtime.services.access
from errata.commands.key import add_key

sys.stdin.read()  # Ends for all of them at once.
for place in range(8):
    add_key(Path(sys.argv[1]), f"{sys.argv[2]}-{place}", f"{sys.argv[2]}.{place}", ["infer"])
"""


def test_processes_that_add_keys_at_once_lose_none(tmp_path: Path) -> None:
    file = tmp_path / "keys.toml"
    read_end, write_end = os.pipe()
    adding = [
        subprocess.Popen([sys.executable, "-c", ADD_AT_ONCE, str(file), f"p{n}"], stdin=read_end)
        for n in range(3)
    ]
    os.close(read_end)
    os.close(write_end)
    assert [0] * 3 == [process.wait(100) for process in adding]
    names = {holder.name for holder in read_keys(file).values()}
    assert {f"p{n}-{place}" for n in range(3) for place in range(8)} == names
    assert [file] == list(tmp_path.iterdir())


def test_a_file_of_something_else_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "notes.toml"
    file.write_text("[notes]\na = 1\n", encoding="utf-8")
    ran = run_command("key", "ci", "--file", str(file))
    assert 2 == ran.code
    assert "holds no keys" in ran.err
    assert "[notes]\na = 1\n" == file.read_text(encoding="utf-8")
    assert "cannot be written" in run_command("key", "ci", "--file", "/nowhere/keys.toml").err


def test_a_file_that_is_there_keeps_its_mode_and_a_link_stays_one(tmp_path: Path) -> None:
    file, link = tmp_path / "keys.toml", tmp_path / "link.toml"
    file.touch()
    file.chmod(0o640)
    link.symlink_to(file)
    assert 0 == run_command("key", "ci", "--file", str(link)).code
    assert 0 == run_command("key", "desk", "--file", str(file)).code
    assert link.is_symlink()
    assert 0o640 == file.stat().st_mode & 0o777
    assert ["ci", "desk"] == [holder.name for holder in read_keys(file).values()]


def test_another_owner_is_kept_or_nothing_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "keys.toml"
    assert 0 == run_command("key", "ci", "--file", str(file)).code
    before, owner, real = file.read_bytes(), file.stat(), os.fstat
    given: list[tuple[int, int]] = []

    def made_by_another(descriptor: int) -> os.stat_result:
        values = list(real(descriptor))
        values[4] += 1
        return os.stat_result(values)

    def refuse(_descriptor: int, user: int, group: int) -> None:
        given.append((user, group))
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr("errata.commands.key.os.fstat", made_by_another)
    monkeypatch.setattr("errata.commands.key.os.fchown", refuse)
    ran = run_command("key", "desk", "--file", str(file))
    monkeypatch.undo()
    assert "cannot be written: Operation not permitted" in ran.err
    assert [(owner.st_uid, owner.st_gid)] == given
    assert before == file.read_bytes()
