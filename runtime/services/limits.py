"""Every limit of the wire, with its name, unit and default."""

from __future__ import annotations

from dataclasses import dataclass

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceLimits:
    """What one server takes; what exceeds a limit is refused with an error that names it."""

    # Requests.
    receive_bytes_max: int = 4 * MIB  # gRPC itself answers RESOURCE_EXHAUSTED beyond.
    send_bytes_max: int = 16 * MIB
    request_id_chars_max: int = 128
    import_id_chars_max: int = 96  # Leaves room for "/" and the row in a request id.
    prompt_chars_per_token_max: int = 32  # Longer prompts are refused before they are tokenized.
    messages_max: int = 256  # Turns of a chat.
    continuations_max: int = 64
    continuation_chars_max: int = 4096
    forced_edits_max: int = 8
    path_chars_max: int = 64
    batch_edits_max: int = 1000
    page_size_default: int = 50
    page_size_max: int = 1000
    search_chars_max: int = 4096
    search_results_default: int = 10
    search_results_max: int = 100
    rejected_shown_max: int = 16  # Candidates turned down that an answer names.

    # Answers.
    answer_bytes_max: int = 3 * MIB  # A page or chunk of edits is cut before it exceeds this.
    export_chunk_edits: int = 500
    overlaps_shown_max: int = 32  # Of one written edit.
    overlap_bytes_max: int = MIB // 2  # Of the overlaps in the answer to a write.
    overlap_batch_edits: int = 32  # Larger batches are looked at only when the caller says so.
    message_bytes_max: int = 1000  # Of an error, UTF-8; a status travels in headers of 8 KiB.
    conflicts_shown_max: int = 8

    # Concurrency.
    calls_max: int = 1024  # At the same time; gRPC answers RESOURCE_EXHAUSTED beyond.
    memory_queue_max: int = 1024  # Memory calls that wait for a thread; beyond: OVERLOADED.
    watches_max: int = 64  # Each holds a thread.
    overlap_scans_max: int = 2  # Each takes most of a core.
    import_threads: int = 64  # Records of imports that share an encoder batch and a commit.
    import_records_in_flight: int = 512

    # Seconds.
    import_report_s: float = 0.25
    overlap_report_s: float = 1.0
    overlap_slice_s: float = 0.02  # Of work before a search for overlaps lets others go first.
    overlap_margin_s: float = 0.1  # So near a caller's deadline a write looks for none.
    import_backoff_s: float = 0.1  # Before a record tries a full write queue again.
    watch_checkpoint_s: float = 5.0
    write_stalled_s: float = 30.0  # A stream whose reader takes nothing for so long is ended.
    engine_stalled_s: float = 15.0  # Waiting work and no step for so long: NOT_SERVING.
    health_probe_s: float = 1.0


DEFAULT_LIMITS = ServiceLimits()
