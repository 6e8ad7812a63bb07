"""The log in its data directory: opened, compared with the witness, opened again after a failure.

Knows the files; what the log says is read above it.
"""

from __future__ import annotations

import logging
import sqlite3

from memory.database import Connect
from memory.directory import DataDirectory, Head
from memory.errors import DataDirectoryError
from memory.log import EditLog

logger = logging.getLogger(__name__)


class Storage:
    """Holds the directory; hands out its log."""

    def __init__(self, directory: DataDirectory, connect: Connect) -> None:
        self._directory = directory
        self._connect = connect

    @property
    def name(self) -> str:
        """The database's path, for messages."""
        return str(self._directory.database)

    @property
    def bytes(self) -> int:
        """Size of the database and its write-ahead file."""
        path = self._directory.database
        files = (path, path.with_name(f"{path.name}-wal"))
        return sum(file.stat().st_size for file in files if file.exists())

    @property
    def is_new(self) -> bool:
        """Whether the log is yet to be created."""
        return not self._directory.manifest.ready

    def mark_ready(self) -> None:
        """Says that the log exists from now on."""
        self._directory.mark_ready()

    def open(self, *, create: bool) -> EditLog:
        """Opens the log. Raises DataDirectoryError, also for what the storage refuses."""
        path = self._directory.database
        try:
            log = EditLog.open(
                path,
                log_id=self._directory.manifest.log_id,
                create=create,
                connect=self._connect,
            )
            try:
                log.check_structure()
                log.check_requests()
            except BaseException:
                log.close()
                raise
        except (sqlite3.Error, OSError) as error:
            raise DataDirectoryError(
                f"{path} cannot be opened: {error}; check free space, permissions, and that no "
                "other program has it open"
            ) from error
        return log

    def check_witness(self, log: EditLog) -> None:
        """Raises DataDirectoryError when the log knows less than was acknowledged."""
        head = self._directory.read_head()
        if head is None:
            return
        if head.sequence > log.sequence:
            raise DataDirectoryError(
                f"{self._directory.database} ends at entry {log.sequence}, but entries up to "
                f"{head.sequence} were acknowledged: its end is missing (a lost or damaged "
                "-wal file, or an older copy). Put the missing files back; or, to accept the "
                f"loss, delete {self._directory.head}"
            )
        if head.sequence and log.chain_at(head.sequence) != head.chain:
            raise DataDirectoryError(
                f"{self._directory.database} is not the log that {self._directory.head} knows: "
                f"entry {head.sequence} differs. Put both back from the same backup; or, to "
                f"accept the log as it is, delete {self._directory.head}"
            )

    def write_witness(self, log: EditLog) -> None:
        """Notes the log's head as acknowledged."""
        try:
            self._directory.write_head(Head(sequence=log.sequence, chain=log.chain))
        except OSError as error:
            # The log is durable without it; only a loss from outside would go unnoticed.
            logger.warning("%s cannot be written: %s", self._directory.head, error)

    def reopen(self, now_s: float) -> EditLog:
        """Opens the log after a failure and proves that it can be written.

        Its head is 0 until it is scanned or resumed. Raises DataDirectoryError, sqlite3.Error.
        """
        log = EditLog.open(
            self._directory.database,
            log_id=self._directory.manifest.log_id,
            create=False,
            connect=self._connect,
        )
        try:
            log.probe(now_s)
        except BaseException:
            log.close()
            raise
        return log

    def close(self) -> None:
        """Gives the directory back."""
        self._directory.close()
