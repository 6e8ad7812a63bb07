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
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from memory.errors import DataDirectoryError
from memory.record import Vector

Connect = Callable[[Path], sqlite3.Connection]

APPLICATION_ID = 0x45525441  # "ERTA": tells our files from other SQLite files.
FORMAT_VERSION = 1
SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE log (sequence INTEGER PRIMARY KEY, payload BLOB NOT NULL, chain BLOB NOT NULL);
CREATE TABLE vectors (
    sequence INTEGER PRIMARY KEY, encoder TEXT NOT NULL, crc INTEGER NOT NULL, vector BLOB NOT NULL
);
CREATE TABLE requests (
    namespace TEXT NOT NULL, request_id TEXT NOT NULL, digest BLOB NOT NULL, answer TEXT NOT NULL,
    at_s REAL NOT NULL, crc INTEGER NOT NULL, PRIMARY KEY (namespace, request_id)
) WITHOUT ROWID;
CREATE INDEX requests_by_age ON requests (at_s);
"""
PRAGMAS = (
    # One process owns the log (the directory's lock says so). EXCLUSIVE keeps SQLite's shared
    # memory out of the directory and outsiders out of the file. It must come before WAL.
    "PRAGMA locking_mode=EXCLUSIVE",
    # A commit is one append to the write-ahead file and one fsync.
    "PRAGMA journal_mode=WAL",
    # FULL syncs the write-ahead file at every commit. NORMAL would not, and could lose what was
    # acknowledged when the power fails.
    "PRAGMA synchronous=FULL",
    # Errors of a mapped file arrive as signals, those of read() as exceptions we can handle.
    "PRAGMA mmap_size=0",
    # Looks at the cells of a page when it is read, so that damage is found early.
    "PRAGMA cell_size_check=ON",
    # Schemas in a damaged or planted file can run no functions.
    "PRAGMA trusted_schema=OFF",
    # The write-ahead file shrinks to this after a checkpoint that followed a large batch.
    "PRAGMA journal_size_limit=67108864",
)


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


def connect(path: Path) -> sqlite3.Connection:
    """Opens the database in autocommit: transactions are begun and ended by name here."""
    return sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=0.0)


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
        if not create and not path.exists():
            raise DataDirectoryError(
                f"{path} is missing though the manifest knows it; put it back from a backup, or "
                "give a new data directory and import an export"
            )
        connection = connect(path)
        try:
            with _damage_named(path):
                if create:
                    # 8 kB pages hold five vectors of 384 numbers; 4 kB pages would waste a quarter.
                    connection.execute("PRAGMA page_size=8192")
                for pragma in PRAGMAS:
                    connection.execute(pragma).fetchall()
                if create:
                    _create(connection, log_id)
                _check_identity(connection, path, log_id)
        except BaseException:
            connection.close()
            raise
        return cls(path, connection, log_id=log_id)

    def check_structure(self) -> None:
        """Raises DataDirectoryError when SQLite finds its pages damaged."""
        with _damage_named(self._path):
            found = [row[0] for row in self._connection.execute("PRAGMA quick_check(3)")]
        if found != ["ok"]:
            raise DataDirectoryError(_damaged(self._path, "; ".join(found)))

    def scan(self) -> Iterator[tuple[int, bytes]]:
        """Yields (sequence, payload) of all rows in order, verifying density and chain.

        When exhausted, the head is that of the last row. Raises DataDirectoryError at the first
        damaged row.
        """
        chain, expected = self._origin, 0
        with _damage_named(self._path):
            rows = self._connection.execute(
                "SELECT sequence, payload, chain FROM log ORDER BY sequence"
            )
            for sequence, payload, stored in rows:
                expected += 1
                if sequence != expected:
                    raise DataDirectoryError(
                        _damaged(self._path, f"entry {expected} is missing before {sequence}")
                    )
                chain = chain_hash(chain, payload) if isinstance(payload, bytes) else b""
                if chain != stored:
                    raise DataDirectoryError(
                        _damaged(self._path, f"entry {sequence} does not match its chained hash")
                    )
                yield sequence, payload
        self.sequence, self.chain = expected, chain

    def resume(self, sequence: int, chain: bytes) -> None:
        """Sets the head of a log that was opened again and whose rows are known."""
        self.sequence, self.chain = sequence, chain

    def count(self) -> int:
        """Returns the last sequence that the log has, 0 when it is empty."""
        with _damage_named(self._path):
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
        with _damage_named(self._path):
            rows = self._connection.execute(
                "SELECT sequence, encoder, crc, vector FROM vectors ORDER BY sequence"
            )
            for sequence, name, crc, vector in rows:
                sound = (
                    name == encoder
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
                if row.sequence != sequence:
                    raise AssertionError(f"row {row.sequence} where {sequence} is due")
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
                _damaged(self._path, f"the record of request {request_id!r} fails its checksum")
            )
        return found

    def check_requests(self) -> None:
        """Raises DataDirectoryError when a remembered request fails its checksum."""
        with _damage_named(self._path):
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


def vector_crc(sequence: int, blob: bytes) -> int:
    """Returns the checksum of a stored vector; bound to its place, so that rows cannot swap."""
    return zlib.crc32(blob, sequence & 0xFFFF_FFFF)


def is_storage_failure(error: BaseException) -> bool:
    """Whether an error is of the storage (disk full, I/O, damage), not of one operation's values.

    Values that SQLite cannot take are IntegrityError, DataError, ProgrammingError or
    InterfaceError; everything else that it raises says that the file cannot be relied on.
    """
    own = (
        sqlite3.IntegrityError,
        sqlite3.DataError,
        sqlite3.ProgrammingError,
        sqlite3.InterfaceError,
    )
    return isinstance(error, sqlite3.Error | OSError) and not isinstance(error, own)


def _create(connection: sqlite3.Connection, log_id: str) -> None:
    connection.execute("BEGIN IMMEDIATE")
    for statement in SCHEMA.split(";"):
        if statement.strip():
            connection.execute(statement)
    connection.execute("INSERT INTO meta VALUES ('log_id', ?)", (log_id,))
    connection.execute(f"PRAGMA application_id={APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version={FORMAT_VERSION}")
    connection.execute("COMMIT")


def _check_identity(connection: sqlite3.Connection, path: Path, log_id: str) -> None:
    if connection.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
        raise DataDirectoryError(
            f"{path} is an SQLite file of another program; give another data directory"
        )
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version != FORMAT_VERSION:
        raise DataDirectoryError(
            f"{path} has format version {version}; this program reads {FORMAT_VERSION}: "
            "use the program that wrote it, or put the file back from a backup"
        )
    row = connection.execute("SELECT value FROM meta WHERE key = 'log_id'").fetchone()
    if row is None or row[0] != log_id:
        raise DataDirectoryError(
            f"{path} does not belong to the manifest beside it (another log id); put both back "
            "from the same backup"
        )


@contextlib.contextmanager
def _damage_named(path: Path) -> Iterator[None]:
    """Turns SQLite's words for damage into DataDirectoryError; storage errors pass."""
    try:
        yield
    except sqlite3.OperationalError as error:
        if "no such table" in str(error) or "malformed" in str(error):
            raise DataDirectoryError(_damaged(path, str(error))) from error
        raise
    except sqlite3.DatabaseError as error:
        raise DataDirectoryError(_damaged(path, str(error))) from error


def _damaged(path: Path, what: str) -> str:
    return (
        f"{path} is damaged: {what}. Nothing was changed. Put the whole data directory back from a "
        "backup, or give a new one and import an export"
    )
