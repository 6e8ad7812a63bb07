"""Opening the SQLite file: its tables, its settings with their reasons, what tells it is ours.

Also the two questions asked of every error: is the storage at fault, is the file damaged?
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

from memory.errors import DataDirectoryError

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


def connect(path: Path) -> sqlite3.Connection:
    """Opens the database in autocommit: transactions are begun and ended by name here."""
    return sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=0.0)


def open_database(
    path: Path, *, log_id: str, create: bool, connect: Connect = connect
) -> sqlite3.Connection:
    """Opens the database, or creates it, and makes sure that it is the one of `log_id`.

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
        with damage_named(path):
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
    return connection


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
def damage_named(path: Path) -> Iterator[None]:
    """Turns SQLite's words for damage into DataDirectoryError; storage errors pass."""
    try:
        yield
    except sqlite3.OperationalError as error:
        if "no such table" in str(error) or "malformed" in str(error):
            raise DataDirectoryError(damaged(path, str(error))) from error
        raise
    except sqlite3.DatabaseError as error:
        raise DataDirectoryError(damaged(path, str(error))) from error


def damaged(path: Path, what: str) -> str:
    """Returns the message for a damaged file: what is wrong and what to do."""
    return (
        f"{path} is damaged: {what}. Nothing was changed. Put the whole data directory back from a "
        "backup, or give a new one and import an export"
    )
