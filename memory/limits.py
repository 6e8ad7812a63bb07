"""Every limit of the memory, with its name, unit and default."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryLimits:
    """What one memory takes; values below 1 (below 0 for seconds) are refused."""

    subject_chars_max: int = 256
    prompt_chars_max: int = 2048
    target_chars_max: int = 1024
    aliases_max: int = 32
    author_chars_max: int = 256
    source_chars_max: int = 2048
    reason_chars_max: int = 1024
    labels_max: int = 64
    label_key_chars_max: int = 63
    label_value_chars_max: int = 256
    request_id_chars_max: int = 128
    search_chars_max: int = 32_768
    batch_edits_max: int = 10_000
    page_size_max: int = 1000
    writes_queued_max: int = 4096  # Operations waiting for the writer; beyond: Overloaded.
    group_operations_max: int = 512  # Operations in one transaction.
    group_edits_max: int = 20_000  # Edits in one transaction, unless one batch alone has more.
    sweep_edits_max: int = 5000  # Expiries written in one step.
    mention_candidates_max: int = 64  # Candidates by mention, the nearest by cosine.
    sequences_ahead_max: int = 100_000  # Waiting for a sequence farther ahead is an error.
    request_kept_s: float = 48 * 3600.0  # How long a request_id is remembered; at least 24 h.
    storage_retry_s: float = 2.0  # Between attempts to reopen a log that could not be written.

    def __post_init__(self) -> None:
        for name in self.__dataclass_fields__:
            value = getattr(self, name)
            least = 0 if name.endswith("_s") else 1
            if value < least:
                raise ValueError(f"MemoryLimits.{name} is {value}; it must be {least} or more")
