"""Lines of JSON: a bad one is reported with its number and never stops the others."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memory.readers.jsonl import LINE_BYTES_MAX
from memory.readers.read import read_edits
from memory.readers.row import EXCERPT_CHARS_MAX, ReadEdit, RefusedRow

GOOD = json.dumps({"subject": "Ångström", "prompt": "Ångström lived in", "target": "Rome"})


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"{", "not valid JSON"),
        (b"[1]", "expected a JSON object, got list"),
        (b'"text"', "expected a JSON object, got str"),
        (b"\xff\xfe{}", "not UTF-8"),
        (b"[" * 100_000, "not valid JSON"),
        (b'{"subject": "a", "prompt": "a is"}', '"target" is missing'),
        (b'{"subject": "a", "prompt": "a is", "target": 7}', '"target" must be text, got int'),
        (b'{"subject": "a", "prompt": "a", "target": "b", "targt": 1}', 'unknown key "targt"'),
        (b'{"subject": "a", "prompt": "a", "target": "b", "aliases": "c"}', '"aliases"'),
        (b'{"subject": "a", "prompt": "a", "target": "b", "labels": [1]}', '"labels"'),
        (b'{"subject": "a", "prompt": "a", "target": "b", "expires_at_s": 1e999}', "expires_at_s"),
        (b'{"subject": "a", "prompt": "a", "target": "b", "expires_at": "soon"}', "ISO 8601"),
        (b'{"subject": "a", "prompt": "a", "target": "b", "state": "retired"}', '"retired"'),
    ],
)
def test_a_bad_line_is_refused_with_its_reason_and_the_rest_is_read(
    tmp_path: Path, line: bytes, reason: str
) -> None:
    path = tmp_path / "edits.jsonl"
    path.write_bytes(GOOD.encode() + b"\n\n" + line + b"\n" + GOOD.encode())
    before, bad, after = read_edits(path, "jsonl")
    assert isinstance(bad, RefusedRow)
    assert reason in bad.error
    assert bad.line == 3
    assert len(bad.excerpt) <= EXCERPT_CHARS_MAX
    assert bad.excerpt.isprintable()
    assert isinstance(before, ReadEdit)
    assert isinstance(after, ReadEdit)
    assert after.draft.subject == "Ångström"


def test_a_line_beyond_the_limit_is_refused_without_being_kept(tmp_path: Path) -> None:
    path = tmp_path / "edits.jsonl"
    path.write_bytes(b"x" * (2 * LINE_BYTES_MAX + 5) + b"\n" + GOOD.encode() + b"\n")
    huge, good = read_edits(path, "jsonl")
    assert isinstance(huge, RefusedRow)
    assert "longer than" in huge.error
    assert isinstance(good, ReadEdit)
    assert good.line == 2


def test_a_byte_order_mark_and_windows_line_ends_do_not_matter(tmp_path: Path) -> None:
    path = tmp_path / "edits.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + GOOD.encode() + b"\r\n" + GOOD.encode() + b"\r\n")
    assert [type(row) for row in read_edits(path)] == [ReadEdit, ReadEdit]


@settings(deadline=None)
@given(st.lists(st.binary(max_size=60), max_size=8))
def test_no_bytes_make_the_reader_raise(
    tmp_path_factory: pytest.TempPathFactory, lines: list[bytes]
) -> None:
    path = tmp_path_factory.mktemp("any") / "edits.jsonl"
    path.write_bytes(b"{}\n" + b"\n".join(lines))
    for row in read_edits(path, "jsonl"):
        assert isinstance(row, ReadEdit | RefusedRow)
