"""The version of the code: it changes with every source that makes an answer, and with no other."""

from __future__ import annotations

from pathlib import Path

import pytest

from evaluation.sources import ROOT, SOURCES, code_version


def test_all_sources_are_there() -> None:
    assert [] == [source for source in SOURCES if not (ROOT / source).exists()]
    assert code_version() == code_version()


def test_the_code_s_version_changes_with_any_source(tmp_path: Path) -> None:
    (tmp_path / "memory").mkdir()
    source = tmp_path / "memory" / "a.py"
    source.write_text("x = 1\n")
    before = code_version(tmp_path, ("memory",))
    (tmp_path / "memory" / "notes.txt").write_text("no source")
    assert before == code_version(tmp_path, ("memory",))
    source.write_text("x = 2\n")
    assert before != code_version(tmp_path, ("memory",))


def test_a_source_may_be_one_file(tmp_path: Path) -> None:
    for name in ("one.py", "two.py"):
        (tmp_path / name).write_text("x = 1", encoding="utf-8")
    before = code_version(tmp_path, ("one.py",))
    (tmp_path / "two.py").write_text("x = 2", encoding="utf-8")
    assert before == code_version(tmp_path, ("one.py",))
    (tmp_path / "one.py").write_text("x = 2", encoding="utf-8")
    assert before != code_version(tmp_path, ("one.py",))


def test_a_source_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"gone\.py"):
        code_version(tmp_path, ("gone.py",))
