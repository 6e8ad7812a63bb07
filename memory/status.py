"""What the memory tells of itself. Plain values; knows nothing of how they are found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from memory.record import EditState, Namespace


@dataclass(frozen=True, slots=True, kw_only=True)
class IntegrityReport:
    """What a check of the derived parts against the log found."""

    at_s: float
    sequence: int
    problems: tuple[str, ...] = ()  # Empty: everything agrees.
    rebuilt: bool = False  # The derived parts were made again from the log.


@dataclass(frozen=True, slots=True, kw_only=True)
class NamespaceStatus:
    """Size of one namespace."""

    name: Namespace
    edits: Mapping[EditState, int]  # Every state has a count.
    index_kind: str
    index_vectors: int
    index_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryStatus:
    """Size and health of the memory."""

    sequence: int
    namespaces: tuple[NamespaceStatus, ...]
    encoder: str
    log_bytes: int  # Database and its write-ahead file.
    read_only: str = ""  # Why writes are refused; empty when they are not.
    last_check: IntegrityReport | None = None
