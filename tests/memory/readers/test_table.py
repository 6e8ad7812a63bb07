"""Tables: any usual CSV dialect and Parquet, columns by name or synonym."""

from __future__ import annotations

import builtins
from pathlib import Path
from typing import Any

import pytest

from memory.errors import InvalidInput
from memory.readers.read import read_edits
from memory.readers.row import ReadEdit, RefusedRow, Row


def rows_of(tmp_path: Path, raw: str | bytes, name: str = "edits.csv") -> list[Row]:
    path = tmp_path / name
    path.write_bytes(raw if isinstance(raw, bytes) else raw.encode())
    return list(read_edits(path))


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_found_in_the_header(tmp_path: Path, delimiter: str) -> None:
    text = delimiter.join(["Subject", "Prompt", "Target New"]) + "\n"
    text += delimiter.join(["Messi", '"Messi, the star; plays"', "chess"]) + "\n"
    (row,) = rows_of(tmp_path, text)
    assert isinstance(row, ReadEdit)
    assert row.draft.prompt == "Messi, the star; plays"
    assert row.draft.target == "chess"


def test_synonyms_optional_columns_and_foreign_ones_are_understood(tmp_path: Path) -> None:
    text = (
        "id,entity,question,answer,ground_truth,aliases,expires_at,remark\n"
        "edit-1,Messi,What does Messi play?,chess,football,Leo | La Pulga,2030-01-01,hello\n"
        "edit-2,Ada,Who is Ada?,a poet,,,,\n"
    )
    first, second = rows_of(tmp_path, text)
    assert isinstance(first, ReadEdit)
    assert first.draft.edit_id == "edit-1"
    assert first.draft.former == "football"
    assert first.draft.aliases == ("Leo", "La Pulga")
    assert first.draft.expires_at_s == 1893456000.0
    assert isinstance(second, ReadEdit)
    assert (second.draft.former, second.draft.aliases) == (None, ())
    assert second.draft.expires_at_s is None


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_byte_order_marks_are_understood(tmp_path: Path, encoding: str) -> None:
    raw = "subject,prompt,target\nÅsa,Åsa lives in,Malmö\n".encode(encoding)
    (row,) = rows_of(tmp_path, raw)
    assert isinstance(row, ReadEdit)
    assert row.draft.target == "Malmö"


def test_bad_rows_are_refused_by_line_and_the_rest_is_read(tmp_path: Path) -> None:
    raw = (
        b'subject,prompt,target\nonly two,cells\nRen\xe9,Ren\xe9 is,x\n"a\nb",c,d\n\nAda,Ada is,y\n'
    )
    short, latin, spanning, last = rows_of(tmp_path, raw)
    assert isinstance(short, RefusedRow)
    assert (short.line, short.error) == (2, "expected 3 columns as in the header, got 2")
    assert isinstance(latin, RefusedRow)
    assert "not UTF-8" in latin.error
    assert isinstance(spanning, ReadEdit)
    assert spanning.line == 4
    assert isinstance(last, ReadEdit)
    assert last.line == 7


def test_a_quote_that_never_closes_is_one_refused_row(tmp_path: Path) -> None:
    raw = 'subject,prompt,target\nAda,"' + "x" * 200_000 + "\n"
    assert all(isinstance(row, RefusedRow) for row in rows_of(tmp_path, raw))


@pytest.mark.parametrize("raw", [b"", b"subject,prompt\na,b\n", b"hello\n"])
def test_a_table_without_the_required_columns_is_refused_whole(tmp_path: Path, raw: bytes) -> None:
    with pytest.raises(InvalidInput, match="no column for"):
        rows_of(tmp_path, raw)


def test_parquet_rows_stream_with_numbers_and_refusals(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "edits.bin"
    table = pyarrow.table(
        {
            "subject": ["Messi", "Ada", None],
            "prompt": ["Messi plays", "Ada is", "x"],
            "target_new": ["chess", "here", "y"],
            "aliases": [["Leo"], [], None],
            "score": [1.0, 2.0, 3.0],
        }
    )
    parquet.write_table(table, path)
    messi, ada, nobody = read_edits(path)
    assert isinstance(messi, ReadEdit)
    assert (messi.line, messi.draft.aliases) == (1, ("Leo",))
    assert isinstance(ada, ReadEdit)
    assert isinstance(nobody, RefusedRow)
    assert (nobody.line, nobody.error) == (3, 'the field "subject" is missing')


def test_a_damaged_parquet_file_is_refused_whole(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    with pytest.raises(InvalidInput, match="no Parquet file"):
        rows_of(tmp_path, b"PAR1 but nothing more", "edits.parquet")


def test_parquet_without_its_extra_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real_import = builtins.__import__

    def refuse(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.startswith("pyarrow"):
            raise ImportError(name)
        return real_import(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(InvalidInput, match=r"errata\[parquet\]"):
        rows_of(tmp_path, b"PAR1", "edits.parquet")
