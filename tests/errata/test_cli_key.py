"""`errata key`: a key that works, shown once, in a file that does not hold it."""

from __future__ import annotations

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


def test_a_file_of_something_else_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "notes.toml"
    file.write_text("[notes]\na = 1\n", encoding="utf-8")
    ran = run_command("key", "ci", "--file", str(file))
    assert 2 == ran.code
    assert "holds no keys" in ran.err
    assert "[notes]\na = 1\n" == file.read_text(encoding="utf-8")
    assert "cannot be written" in run_command("key", "ci", "--file", "/nowhere/keys.toml").err
