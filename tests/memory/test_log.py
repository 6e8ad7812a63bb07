"""The log's own promises: dense, chained, one operation all or nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from memory.codec import decode_entry, encode_entry
from memory.database import connect
from memory.errors import DataDirectoryError
from memory.log import EditLog, LogRow
from memory.record import (
    DEFAULT_NAMESPACE,
    Activation,
    Edit,
    EditDraft,
    EditId,
    EditState,
    Namespace,
)
from memory.writes import EntryKind, LogEntry
from tests.strategies import free_drafts


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A log of three rows."""
    log = EditLog.open(tmp_path / "log.db", log_id="id", create=True)
    log.begin()
    vector = np.ones(4, dtype=np.float32)
    rows = [LogRow(sequence=n, payload=f"row {n}".encode(), vector=vector) for n in (1, 2, 3)]
    log.append(rows, None, encoder="e")
    log.commit()
    log.close()
    return tmp_path / "log.db"


def reopen(path: Path) -> EditLog:
    return EditLog.open(path, log_id="id", create=False)


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        ("UPDATE log SET payload = 'row 9' WHERE sequence = 2", "entry 2 does not match"),
        ("UPDATE log SET payload = CAST('row 9' AS BLOB) WHERE sequence = 2", "entry 2 does not"),
        ("UPDATE log SET chain = zeroblob(32) WHERE sequence = 3", "entry 3 does not match"),
        ("DELETE FROM log WHERE sequence = 2", "entry 2 is missing before 3"),
        ("DELETE FROM log WHERE sequence = 1", "entry 1 is missing before 2"),
        ("UPDATE log SET sequence = 4 WHERE sequence = 3", "entry 3 is missing before 4"),
    ],
)
def test_tampering_is_found_and_named(path: Path, damage: str, says: str) -> None:
    connection = connect(path)
    connection.execute(damage)
    connection.close()
    log = reopen(path)
    with pytest.raises(DataDirectoryError, match=says):
        list(log.scan())
    log.close()


def test_what_was_not_committed_is_gone(path: Path) -> None:
    log = reopen(path)
    assert [(1, b"row 1"), (2, b"row 2"), (3, b"row 3")] == list(log.scan())
    log.begin()
    log.append([LogRow(sequence=4, payload=b"row 4")], None, encoder="e")
    log.rollback()
    assert log.count() == 3
    log.begin()
    log.append([LogRow(sequence=4, payload=b"other 4", drop_vector=2)], None, encoder="e")
    log.commit()
    log.close()
    log = reopen(path)
    assert (4, b"other 4") == list(log.scan())[-1]
    assert [1, 3] == [sequence for sequence, _ in log.vectors(4, "e")]
    assert [None, None] == [blob for _, blob in log.vectors(4, "another encoder")]
    log.close()


def test_commits_are_synced_and_the_write_ahead_file_is_used(path: Path) -> None:
    log = reopen(path)
    settings = {
        name: log._connection.execute(f"PRAGMA {name}").fetchone()[0]
        for name in ("journal_mode", "synchronous", "locking_mode", "page_size")
    }
    assert {
        "journal_mode": "wal",
        "synchronous": 2,  # FULL
        "locking_mode": "exclusive",
        "page_size": 8192,
    } == settings
    log.close()


@given(free_drafts())
def test_entries_survive_the_way_to_bytes_and_back(drawn: EditDraft) -> None:
    edit = Edit(
        id=EditId("some-id"),
        namespace=DEFAULT_NAMESPACE,
        subject=drawn.subject,
        prompt=drawn.prompt,
        target=drawn.target,
        former=drawn.former,
        aliases=drawn.aliases,
        author=drawn.author,
        labels=drawn.labels,
        state=EditState.SUPERSEDED,
        superseded_by=EditId("another"),
        created_at_s=0.1,
        updated_at_s=1 / 3,
        expires_at_s=1e9 / 7,
        revision=3,
        sequence=7,
    )
    entry = LogEntry(
        sequence=7,
        kind=EntryKind.SUPERSEDED,
        what=edit,
        at_s=1 / 3,
        author=edit.author,
        reason="because",
    )
    assert entry == decode_entry(7, encode_entry(entry))


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 9)), max_size=3),
    st.lists(st.tuples(st.sampled_from("def"), st.integers(1, 9)), max_size=2),
    st.booleans(),
)
def test_an_activation_survives_its_bytes(
    took: list[tuple[str, int]], left: list[tuple[str, int]], automatic: bool
) -> None:
    activation = Activation(
        namespace=Namespace("default"),
        edition=4,
        took=tuple((EditId(name), revision) for name, revision in took),
        left=tuple((EditId(name), revision) for name, revision in left),
        automatic=automatic,
        sequence=7,
        at_s=1 / 3,
    )
    entry = LogEntry(
        sequence=7, kind=EntryKind.ACTIVATED, what=activation, at_s=1 / 3, reason="because"
    )
    assert entry == decode_entry(7, encode_entry(entry))
    assert (None, activation, "default") == (entry.edit, entry.activation, entry.namespace)


@pytest.mark.parametrize("payload", [b"", b"{}", b"[]", b'{"kind":"x","at_s":0,"edit":{}}'])
def test_bytes_that_are_no_entry_are_refused(payload: bytes) -> None:
    with pytest.raises(ValueError, match=r"entry|JSON|Expecting"):
        decode_entry(1, payload)
