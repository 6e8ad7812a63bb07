"""The edit log in SQLite: append-only rows, each chained to the one before by its hash.

    log(sequence, payload, chain)             the truth; chain = sha256(previous chain, payload)
    vectors(sequence, encoder, crc, vector)   derived: the encoded prompt of each live edit
    requests(namespace, request_id, ...)      answers to repeat for request ids seen before
    meta(key, value)                          the id that ties the database to its manifest

One thread at a time uses an EditLog. It knows rows and bytes; what they mean is decided above it.
Vectors are float32: half precision would save 0.75 kB an edit but move cosines by 1e-3 between
the first run and the next.
"""

from __future__ import annotations

import contextlib
import hashlib
import sqlite3
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from memory.database import Connect, connect, damage_named, damaged, open_database
from memory.errors import DataDirectoryError
from memory.record import Vector

# A vector's encoder once carried the number format of its products; see Encoder.name.
FORMER_SUFFIXES = ("/float32", "/bfloat16")


@dataclass(frozen=True, slots=True, kw_only=True)
class LogRow:
    """One row to append, and what it does to the stored vectors."""

    sequence: int
    payload: bytes
    vector: Vector | None = None  # Stored under the row's sequence.
    drop_vector: int | None = None  # The sequence of a vector that is needed no longer.


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestRow:
    """The answer to a request id."""

    namespace: str
    request_id: str
    digest: bytes  # Of the request's content.
    answer: str
    at_s: float

    @property
    def crc(self) -> int:
        """Guards the row: unlike the log, requests are not chained."""
        parts = (self.namespace, self.request_id, self.digest.hex(), self.answer, repr(self.at_s))
        return zlib.crc32("\0".join(parts).encode())


def chain_hash(previous: bytes, payload: bytes) -> bytes:
    """Returns the chain hash of a row, 32 bytes."""
    return hashlib.sha256(previous + payload).digest()


class EditLog:
    """An open log. `sequence` and `chain` are those of the last committed row."""

    def __init__(self, path: Path, connection: sqlite3.Connection, *, log_id: str) -> None:
        self._path = path
        self._connection = connection
        self.sequence = 0
        self.chain = self._origin = hashlib.sha256(f"errata log {log_id}".encode()).digest()
        self._pending: tuple[int, bytes] | None = None  # Head inside the open transaction.

    @classmethod
    def open(cls, path: Path, *, log_id: str, create: bool, connect: Connect = connect) -> EditLog:
        """Opens the log, or creates it. Its head is 0 until `scan` has read it.

        Raises DataDirectoryError for a missing, foreign or damaged file; sqlite3.Error when the
        storage fails.
        """
        connection = open_database(path, log_id=log_id, create=create, connect=connect)
        return cls(path, connection, log_id=log_id)

    def check_structure(self) -> None:
        """Raises DataDirectoryError when SQLite finds its pages damaged."""
        with damage_named(self._path):
            found = [row[0] for row in self._connection.execute("PRAGMA quick_check(3)")]
        if found != ["ok"]:
            raise DataDirectoryError(damaged(self._path, "; ".join(found)))

    def scan(self) -> Iterator[tuple[int, bytes]]:
        """Yields (sequence, payload) of all rows in order, verifying density and chain.

        When exhausted, the head is that of the last row. Raises DataDirectoryError at the first
        damaged row.
        """
        chain, expected = self._origin, 0
        with damage_named(self._path):
            rows = self._connection.execute(
                "SELECT sequence, payload, chain FROM log ORDER BY sequence"
            )
            for sequence, payload, stored in rows:
                expected += 1
                if sequence != expected:
                    raise DataDirectoryError(
                        damaged(self._path, f"entry {expected} is missing before {sequence}")
                    )
                chain = chain_hash(chain, payload) if isinstance(payload, bytes) else b""
                if chain != stored:
                    raise DataDirectoryError(
                        damaged(self._path, f"entry {sequence} does not match its chained hash")
                    )
                yield sequence, payload
        self.sequence, self.chain = expected, chain

    def resume(self, sequence: int, chain: bytes) -> None:
        """Sets the head of a log that was opened again and whose rows are known."""
        self.sequence, self.chain = sequence, chain

    def count(self) -> int:
        """Returns the last sequence that the log has, 0 when it is empty."""
        with damage_named(self._path):
            found: int = self._connection.execute(
                "SELECT coalesce(max(sequence), 0) FROM log"
            ).fetchone()[0]
        return found

    def chain_at(self, sequence: int) -> bytes | None:
        """Returns the stored chain hash of a row, None when there is no such row."""
        row = self._connection.execute(
            "SELECT chain FROM log WHERE sequence = ?", (sequence,)
        ).fetchone()
        return None if row is None else bytes(row[0])

    def vectors(self, dimension: int, encoder: str) -> Iterator[tuple[int, bytes | None]]:
        """Yields (sequence, float32 bytes) of the stored vectors in order.

        The bytes are None for a vector of another encoder or dimension and for a damaged one:
        those are to be encoded again.
        """
        with damage_named(self._path):
            rows = self._connection.execute(
                "SELECT sequence, encoder, crc, vector FROM vectors ORDER BY sequence"
            )
            for sequence, name, crc, vector in rows:
                sound = (
                    is_of(name, encoder)
                    and isinstance(vector, bytes)
                    and len(vector) == 4 * dimension
                    and crc == vector_crc(sequence, vector)
                )
                yield sequence, vector if sound else None

    def begin(self) -> None:
        """Starts the transaction of a group."""
        self._connection.execute("BEGIN IMMEDIATE")
        self._pending = (self.sequence, self.chain)

    def append(self, rows: Sequence[LogRow], request: RequestRow | None, *, encoder: str) -> None:
        """Adds one operation's rows to the open transaction, all or none.

        An error of this operation alone (never of the storage) leaves the transaction usable.
        Raises sqlite3.Error; after one that is of the storage, only `rollback` makes sense.
        """
        if self._pending is None:
            raise AssertionError("append outside of a transaction")
        sequence, chain = self._pending
        execute = self._connection.execute
        execute("SAVEPOINT operation")
        try:
            for row in rows:
                sequence += 1
                assert row.sequence == sequence, "rows must be dense"
                chain = chain_hash(chain, row.payload)
                execute("INSERT INTO log VALUES (?, ?, ?)", (sequence, row.payload, chain))
                if row.drop_vector is not None:
                    execute("DELETE FROM vectors WHERE sequence = ?", (row.drop_vector,))
                if row.vector is not None:
                    self._store_vector(sequence, row.vector, encoder)
            if request is not None:
                execute(
                    "INSERT INTO requests VALUES (?, ?, ?, ?, ?, ?)",
                    (
                        request.namespace,
                        request.request_id,
                        request.digest,
                        request.answer,
                        request.at_s,
                        request.crc,
                    ),
                )
        except BaseException:
            with contextlib.suppress(sqlite3.Error):  # The storage may have ended it already.
                execute("ROLLBACK TO operation")
                execute("RELEASE operation")
            raise
        execute("RELEASE operation")
        self._pending = (sequence, chain)

    def commit(self) -> None:
        """Ends the transaction; when it returns, the rows are on the disk."""
        if self._pending is None:
            raise AssertionError("commit outside of a transaction")
        self._connection.execute("COMMIT")
        self.sequence, self.chain = self._pending
        self._pending = None

    def rollback(self) -> None:
        """Gives the open transaction up, if there is one. Raises nothing."""
        self._pending = None
        with contextlib.suppress(sqlite3.Error):
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")

    def replace_vectors(self, vectors: Iterable[tuple[int, Vector]], *, encoder: str) -> None:
        """Stores vectors encoded anew, in one transaction of its own."""
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            for sequence, vector in vectors:
                self._store_vector(sequence, vector, encoder)
            self._connection.execute("COMMIT")
        except BaseException:
            self.rollback()
            raise

    def drop_vectors(self, sequences: Iterable[int]) -> None:
        """Deletes vectors that no live edit needs, in one transaction of its own."""
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            self._connection.executemany(
                "DELETE FROM vectors WHERE sequence = ?", ((item,) for item in sequences)
            )
            self._connection.execute("COMMIT")
        except BaseException:
            self.rollback()
            raise

    def find_request(self, namespace: str, request_id: str) -> RequestRow | None:
        """Returns what is known of a request id. Raises DataDirectoryError when it is damaged."""
        row = self._connection.execute(
            "SELECT digest, answer, at_s, crc FROM requests WHERE namespace = ? AND request_id = ?",
            (namespace, request_id),
        ).fetchone()
        if row is None:
            return None
        found = RequestRow(
            namespace=namespace, request_id=request_id, digest=row[0], answer=row[1], at_s=row[2]
        )
        if found.crc != row[3]:
            raise DataDirectoryError(
                damaged(self._path, f"the record of request {request_id!r} fails its checksum")
            )
        return found

    def check_requests(self) -> None:
        """Raises DataDirectoryError when a remembered request fails its checksum."""
        with damage_named(self._path):
            names = self._connection.execute("SELECT namespace, request_id FROM requests")
            for namespace, request_id in names.fetchall():
                self.find_request(namespace, request_id)

    def forget_requests(self, before_s: float) -> None:
        """Forgets request ids seen before `before_s` (inside or outside of a transaction)."""
        self._connection.execute("DELETE FROM requests WHERE at_s < ?", (before_s,))

    def probe(self, at_s: float) -> None:
        """Proves that the storage takes writes again. Raises sqlite3.Error when it does not.

        The checkpoint writes all pages that the write-ahead file holds once more and syncs them:
        after a failed sync the system may have marked as clean what never reached the disk.
        """
        busy = self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
        if busy:
            raise sqlite3.OperationalError("the checkpoint could not finish")
        self._connection.execute(
            "INSERT OR REPLACE INTO meta VALUES ('reopened_at_s', ?)", (str(at_s),)
        )

    def close(self) -> None:
        """Closes the connection; what was committed stays."""
        self.rollback()
        with contextlib.suppress(sqlite3.Error):
            self._connection.close()

    def _store_vector(self, sequence: int, vector: Vector, encoder: str) -> None:
        blob = np.ascontiguousarray(vector, dtype="<f4").tobytes()
        self._connection.execute(
            "INSERT OR REPLACE INTO vectors VALUES (?, ?, ?, ?)",
            (sequence, encoder, vector_crc(sequence, blob), blob),
        )


def is_of(stored: str, encoder: str) -> bool:
    """Whether a vector's stored encoder name is `encoder`, as it is or as it was once written."""
    return stored == encoder or stored in {encoder + suffix for suffix in FORMER_SUFFIXES}


def vector_crc(sequence: int, blob: bytes) -> int:
    """Returns the checksum of a stored vector; bound to its place, so that rows cannot swap."""
    return zlib.crc32(blob, sequence & 0xFFFF_FFFF)
