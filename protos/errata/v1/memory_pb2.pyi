import datetime

from google.protobuf import field_mask_pb2 as _field_mask_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.rpc import status_pb2 as _status_pb2
from protos.errata.v1 import resources_pb2 as _resources_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class WriteOutcome(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    WRITE_OUTCOME_UNSPECIFIED: _ClassVar[WriteOutcome]
    WRITE_OUTCOME_CREATED: _ClassVar[WriteOutcome]
    WRITE_OUTCOME_SKIPPED: _ClassVar[WriteOutcome]
    WRITE_OUTCOME_SUPERSEDED: _ClassVar[WriteOutcome]
    WRITE_OUTCOME_UNCHANGED: _ClassVar[WriteOutcome]
    WRITE_OUTCOME_UPDATED: _ClassVar[WriteOutcome]

class ChangeKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CHANGE_KIND_UNSPECIFIED: _ClassVar[ChangeKind]
    CHANGE_KIND_CREATED: _ClassVar[ChangeKind]
    CHANGE_KIND_UPDATED: _ClassVar[ChangeKind]
    CHANGE_KIND_SUPERSEDED: _ClassVar[ChangeKind]
    CHANGE_KIND_RETIRED: _ClassVar[ChangeKind]
    CHANGE_KIND_RESTORED: _ClassVar[ChangeKind]
    CHANGE_KIND_EXPIRED: _ClassVar[ChangeKind]
    CHANGE_KIND_CONSOLIDATED: _ClassVar[ChangeKind]
    CHANGE_KIND_ACTIVATED: _ClassVar[ChangeKind]
WRITE_OUTCOME_UNSPECIFIED: WriteOutcome
WRITE_OUTCOME_CREATED: WriteOutcome
WRITE_OUTCOME_SKIPPED: WriteOutcome
WRITE_OUTCOME_SUPERSEDED: WriteOutcome
WRITE_OUTCOME_UNCHANGED: WriteOutcome
WRITE_OUTCOME_UPDATED: WriteOutcome
CHANGE_KIND_UNSPECIFIED: ChangeKind
CHANGE_KIND_CREATED: ChangeKind
CHANGE_KIND_UPDATED: ChangeKind
CHANGE_KIND_SUPERSEDED: ChangeKind
CHANGE_KIND_RETIRED: ChangeKind
CHANGE_KIND_RESTORED: ChangeKind
CHANGE_KIND_EXPIRED: ChangeKind
CHANGE_KIND_CONSOLIDATED: ChangeKind
CHANGE_KIND_ACTIVATED: ChangeKind

class CreateEditRequest(_message.Message):
    __slots__ = ("parent", "edit", "edit_id", "on_conflict", "request_id", "validate_only", "check_overlaps")
    PARENT_FIELD_NUMBER: _ClassVar[int]
    EDIT_FIELD_NUMBER: _ClassVar[int]
    EDIT_ID_FIELD_NUMBER: _ClassVar[int]
    ON_CONFLICT_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    VALIDATE_ONLY_FIELD_NUMBER: _ClassVar[int]
    CHECK_OVERLAPS_FIELD_NUMBER: _ClassVar[int]
    parent: str
    edit: _resources_pb2.Edit
    edit_id: str
    on_conflict: _resources_pb2.ConflictPolicy
    request_id: str
    validate_only: bool
    check_overlaps: bool
    def __init__(self, parent: _Optional[str] = ..., edit: _Optional[_Union[_resources_pb2.Edit, _Mapping]] = ..., edit_id: _Optional[str] = ..., on_conflict: _Optional[_Union[_resources_pb2.ConflictPolicy, str]] = ..., request_id: _Optional[str] = ..., validate_only: bool = ..., check_overlaps: bool = ...) -> None: ...

class BatchCreateEditsRequest(_message.Message):
    __slots__ = ("parent", "requests", "on_conflict", "request_id", "validate_only", "check_overlaps")
    PARENT_FIELD_NUMBER: _ClassVar[int]
    REQUESTS_FIELD_NUMBER: _ClassVar[int]
    ON_CONFLICT_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    VALIDATE_ONLY_FIELD_NUMBER: _ClassVar[int]
    CHECK_OVERLAPS_FIELD_NUMBER: _ClassVar[int]
    parent: str
    requests: _containers.RepeatedCompositeFieldContainer[CreateEditRequest]
    on_conflict: _resources_pb2.ConflictPolicy
    request_id: str
    validate_only: bool
    check_overlaps: bool
    def __init__(self, parent: _Optional[str] = ..., requests: _Optional[_Iterable[_Union[CreateEditRequest, _Mapping]]] = ..., on_conflict: _Optional[_Union[_resources_pb2.ConflictPolicy, str]] = ..., request_id: _Optional[str] = ..., validate_only: bool = ..., check_overlaps: bool = ...) -> None: ...

class Overlap(_message.Message):
    __slots__ = ("edit", "score", "threshold", "reverse")
    EDIT_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    THRESHOLD_FIELD_NUMBER: _ClassVar[int]
    REVERSE_FIELD_NUMBER: _ClassVar[int]
    edit: _resources_pb2.Edit
    score: float
    threshold: float
    reverse: bool
    def __init__(self, edit: _Optional[_Union[_resources_pb2.Edit, _Mapping]] = ..., score: _Optional[float] = ..., threshold: _Optional[float] = ..., reverse: bool = ...) -> None: ...

class OverlapPair(_message.Message):
    __slots__ = ("edit", "overlap")
    EDIT_FIELD_NUMBER: _ClassVar[int]
    OVERLAP_FIELD_NUMBER: _ClassVar[int]
    edit: _resources_pb2.Edit
    overlap: Overlap
    def __init__(self, edit: _Optional[_Union[_resources_pb2.Edit, _Mapping]] = ..., overlap: _Optional[_Union[Overlap, _Mapping]] = ...) -> None: ...

class WriteEditResponse(_message.Message):
    __slots__ = ("edit", "outcome", "sequence", "replayed", "overlaps", "overlaps_checked")
    EDIT_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    REPLAYED_FIELD_NUMBER: _ClassVar[int]
    OVERLAPS_FIELD_NUMBER: _ClassVar[int]
    OVERLAPS_CHECKED_FIELD_NUMBER: _ClassVar[int]
    edit: _resources_pb2.Edit
    outcome: WriteOutcome
    sequence: int
    replayed: bool
    overlaps: _containers.RepeatedCompositeFieldContainer[Overlap]
    overlaps_checked: bool
    def __init__(self, edit: _Optional[_Union[_resources_pb2.Edit, _Mapping]] = ..., outcome: _Optional[_Union[WriteOutcome, str]] = ..., sequence: _Optional[int] = ..., replayed: bool = ..., overlaps: _Optional[_Iterable[_Union[Overlap, _Mapping]]] = ..., overlaps_checked: bool = ...) -> None: ...

class BatchCreateEditsResponse(_message.Message):
    __slots__ = ("edits", "outcomes", "sequence", "replayed", "overlaps", "overlaps_checked")
    EDITS_FIELD_NUMBER: _ClassVar[int]
    OUTCOMES_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    REPLAYED_FIELD_NUMBER: _ClassVar[int]
    OVERLAPS_FIELD_NUMBER: _ClassVar[int]
    OVERLAPS_CHECKED_FIELD_NUMBER: _ClassVar[int]
    edits: _containers.RepeatedCompositeFieldContainer[_resources_pb2.Edit]
    outcomes: _containers.RepeatedScalarFieldContainer[WriteOutcome]
    sequence: int
    replayed: bool
    overlaps: _containers.RepeatedCompositeFieldContainer[OverlapPair]
    overlaps_checked: bool
    def __init__(self, edits: _Optional[_Iterable[_Union[_resources_pb2.Edit, _Mapping]]] = ..., outcomes: _Optional[_Iterable[_Union[WriteOutcome, str]]] = ..., sequence: _Optional[int] = ..., replayed: bool = ..., overlaps: _Optional[_Iterable[_Union[OverlapPair, _Mapping]]] = ..., overlaps_checked: bool = ...) -> None: ...

class GetEditRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class ListEditsRequest(_message.Message):
    __slots__ = ("parent", "page_size", "page_token", "filter")
    PARENT_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    parent: str
    page_size: int
    page_token: str
    filter: EditFilter
    def __init__(self, parent: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., filter: _Optional[_Union[EditFilter, _Mapping]] = ...) -> None: ...

class EditFilter(_message.Message):
    __slots__ = ("states", "subject", "text", "labels", "author", "source", "created_after", "created_before")
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    STATES_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    AUTHOR_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    CREATED_AFTER_FIELD_NUMBER: _ClassVar[int]
    CREATED_BEFORE_FIELD_NUMBER: _ClassVar[int]
    states: _containers.RepeatedScalarFieldContainer[_resources_pb2.EditState]
    subject: str
    text: str
    labels: _containers.ScalarMap[str, str]
    author: str
    source: str
    created_after: _timestamp_pb2.Timestamp
    created_before: _timestamp_pb2.Timestamp
    def __init__(self, states: _Optional[_Iterable[_Union[_resources_pb2.EditState, str]]] = ..., subject: _Optional[str] = ..., text: _Optional[str] = ..., labels: _Optional[_Mapping[str, str]] = ..., author: _Optional[str] = ..., source: _Optional[str] = ..., created_after: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., created_before: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ListEditsResponse(_message.Message):
    __slots__ = ("edits", "next_page_token", "sequence")
    EDITS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    edits: _containers.RepeatedCompositeFieldContainer[_resources_pb2.Edit]
    next_page_token: str
    sequence: int
    def __init__(self, edits: _Optional[_Iterable[_Union[_resources_pb2.Edit, _Mapping]]] = ..., next_page_token: _Optional[str] = ..., sequence: _Optional[int] = ...) -> None: ...

class UpdateEditRequest(_message.Message):
    __slots__ = ("edit", "update_mask", "request_id", "validate_only", "check_overlaps")
    EDIT_FIELD_NUMBER: _ClassVar[int]
    UPDATE_MASK_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    VALIDATE_ONLY_FIELD_NUMBER: _ClassVar[int]
    CHECK_OVERLAPS_FIELD_NUMBER: _ClassVar[int]
    edit: _resources_pb2.Edit
    update_mask: _field_mask_pb2.FieldMask
    request_id: str
    validate_only: bool
    check_overlaps: bool
    def __init__(self, edit: _Optional[_Union[_resources_pb2.Edit, _Mapping]] = ..., update_mask: _Optional[_Union[_field_mask_pb2.FieldMask, _Mapping]] = ..., request_id: _Optional[str] = ..., validate_only: bool = ..., check_overlaps: bool = ...) -> None: ...

class RetireEditRequest(_message.Message):
    __slots__ = ("name", "etag", "reason", "request_id", "validate_only")
    NAME_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    VALIDATE_ONLY_FIELD_NUMBER: _ClassVar[int]
    name: str
    etag: str
    reason: str
    request_id: str
    validate_only: bool
    def __init__(self, name: _Optional[str] = ..., etag: _Optional[str] = ..., reason: _Optional[str] = ..., request_id: _Optional[str] = ..., validate_only: bool = ...) -> None: ...

class RestoreEditRequest(_message.Message):
    __slots__ = ("name", "etag", "reason", "request_id", "validate_only", "expire_time", "check_overlaps")
    NAME_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    VALIDATE_ONLY_FIELD_NUMBER: _ClassVar[int]
    EXPIRE_TIME_FIELD_NUMBER: _ClassVar[int]
    CHECK_OVERLAPS_FIELD_NUMBER: _ClassVar[int]
    name: str
    etag: str
    reason: str
    request_id: str
    validate_only: bool
    expire_time: _timestamp_pb2.Timestamp
    check_overlaps: bool
    def __init__(self, name: _Optional[str] = ..., etag: _Optional[str] = ..., reason: _Optional[str] = ..., request_id: _Optional[str] = ..., validate_only: bool = ..., expire_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., check_overlaps: bool = ...) -> None: ...

class SearchEditsRequest(_message.Message):
    __slots__ = ("parent", "text", "limit")
    PARENT_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    parent: str
    text: str
    limit: int
    def __init__(self, parent: _Optional[str] = ..., text: _Optional[str] = ..., limit: _Optional[int] = ...) -> None: ...

class SearchEditsResponse(_message.Message):
    __slots__ = ("results", "sequence")
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[SearchResult]
    sequence: int
    def __init__(self, results: _Optional[_Iterable[_Union[SearchResult, _Mapping]]] = ..., sequence: _Optional[int] = ...) -> None: ...

class SearchResult(_message.Message):
    __slots__ = ("edit", "cosine", "mention")
    EDIT_FIELD_NUMBER: _ClassVar[int]
    COSINE_FIELD_NUMBER: _ClassVar[int]
    MENTION_FIELD_NUMBER: _ClassVar[int]
    edit: _resources_pb2.Edit
    cosine: float
    mention: str
    def __init__(self, edit: _Optional[_Union[_resources_pb2.Edit, _Mapping]] = ..., cosine: _Optional[float] = ..., mention: _Optional[str] = ...) -> None: ...

class FindOverlapsRequest(_message.Message):
    __slots__ = ("parent", "subject", "everywhere")
    PARENT_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    EVERYWHERE_FIELD_NUMBER: _ClassVar[int]
    parent: str
    subject: str
    everywhere: bool
    def __init__(self, parent: _Optional[str] = ..., subject: _Optional[str] = ..., everywhere: bool = ...) -> None: ...

class FindOverlapsResponse(_message.Message):
    __slots__ = ("pairs", "examined", "total", "found", "sequence", "done")
    PAIRS_FIELD_NUMBER: _ClassVar[int]
    EXAMINED_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    FOUND_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    DONE_FIELD_NUMBER: _ClassVar[int]
    pairs: _containers.RepeatedCompositeFieldContainer[OverlapPair]
    examined: int
    total: int
    found: int
    sequence: int
    done: bool
    def __init__(self, pairs: _Optional[_Iterable[_Union[OverlapPair, _Mapping]]] = ..., examined: _Optional[int] = ..., total: _Optional[int] = ..., found: _Optional[int] = ..., sequence: _Optional[int] = ..., done: bool = ...) -> None: ...

class ImportEditsRequest(_message.Message):
    __slots__ = ("options", "record")
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    RECORD_FIELD_NUMBER: _ClassVar[int]
    options: ImportOptions
    record: ImportRecord
    def __init__(self, options: _Optional[_Union[ImportOptions, _Mapping]] = ..., record: _Optional[_Union[ImportRecord, _Mapping]] = ...) -> None: ...

class ImportOptions(_message.Message):
    __slots__ = ("parent", "on_conflict", "import_id", "validate_only")
    PARENT_FIELD_NUMBER: _ClassVar[int]
    ON_CONFLICT_FIELD_NUMBER: _ClassVar[int]
    IMPORT_ID_FIELD_NUMBER: _ClassVar[int]
    VALIDATE_ONLY_FIELD_NUMBER: _ClassVar[int]
    parent: str
    on_conflict: _resources_pb2.ConflictPolicy
    import_id: str
    validate_only: bool
    def __init__(self, parent: _Optional[str] = ..., on_conflict: _Optional[_Union[_resources_pb2.ConflictPolicy, str]] = ..., import_id: _Optional[str] = ..., validate_only: bool = ...) -> None: ...

class ImportRecord(_message.Message):
    __slots__ = ("row", "edit", "json")
    ROW_FIELD_NUMBER: _ClassVar[int]
    EDIT_FIELD_NUMBER: _ClassVar[int]
    JSON_FIELD_NUMBER: _ClassVar[int]
    row: int
    edit: _resources_pb2.Edit
    json: str
    def __init__(self, row: _Optional[int] = ..., edit: _Optional[_Union[_resources_pb2.Edit, _Mapping]] = ..., json: _Optional[str] = ...) -> None: ...

class ImportEditsResponse(_message.Message):
    __slots__ = ("received", "created", "superseded", "skipped", "already_imported", "refused", "errors", "durable_row", "sequence", "done")
    RECEIVED_FIELD_NUMBER: _ClassVar[int]
    CREATED_FIELD_NUMBER: _ClassVar[int]
    SUPERSEDED_FIELD_NUMBER: _ClassVar[int]
    SKIPPED_FIELD_NUMBER: _ClassVar[int]
    ALREADY_IMPORTED_FIELD_NUMBER: _ClassVar[int]
    REFUSED_FIELD_NUMBER: _ClassVar[int]
    ERRORS_FIELD_NUMBER: _ClassVar[int]
    DURABLE_ROW_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    DONE_FIELD_NUMBER: _ClassVar[int]
    received: int
    created: int
    superseded: int
    skipped: int
    already_imported: int
    refused: int
    errors: _containers.RepeatedCompositeFieldContainer[RecordError]
    durable_row: int
    sequence: int
    done: bool
    def __init__(self, received: _Optional[int] = ..., created: _Optional[int] = ..., superseded: _Optional[int] = ..., skipped: _Optional[int] = ..., already_imported: _Optional[int] = ..., refused: _Optional[int] = ..., errors: _Optional[_Iterable[_Union[RecordError, _Mapping]]] = ..., durable_row: _Optional[int] = ..., sequence: _Optional[int] = ..., done: bool = ...) -> None: ...

class RecordError(_message.Message):
    __slots__ = ("row", "status")
    ROW_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    row: int
    status: _status_pb2.Status
    def __init__(self, row: _Optional[int] = ..., status: _Optional[_Union[_status_pb2.Status, _Mapping]] = ...) -> None: ...

class ExportEditsRequest(_message.Message):
    __slots__ = ("parent", "filter", "history")
    PARENT_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    HISTORY_FIELD_NUMBER: _ClassVar[int]
    parent: str
    filter: EditFilter
    history: bool
    def __init__(self, parent: _Optional[str] = ..., filter: _Optional[_Union[EditFilter, _Mapping]] = ..., history: bool = ...) -> None: ...

class ExportEditsResponse(_message.Message):
    __slots__ = ("edits", "sequence")
    EDITS_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    edits: _containers.RepeatedCompositeFieldContainer[_resources_pb2.Edit]
    sequence: int
    def __init__(self, edits: _Optional[_Iterable[_Union[_resources_pb2.Edit, _Mapping]]] = ..., sequence: _Optional[int] = ...) -> None: ...

class WatchEditsRequest(_message.Message):
    __slots__ = ("parent", "after_sequence")
    PARENT_FIELD_NUMBER: _ClassVar[int]
    AFTER_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    parent: str
    after_sequence: int
    def __init__(self, parent: _Optional[str] = ..., after_sequence: _Optional[int] = ...) -> None: ...

class EditionActivation(_message.Message):
    __slots__ = ("namespace", "edition", "took", "left", "automatic")
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    EDITION_FIELD_NUMBER: _ClassVar[int]
    TOOK_FIELD_NUMBER: _ClassVar[int]
    LEFT_FIELD_NUMBER: _ClassVar[int]
    AUTOMATIC_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    edition: int
    took: _containers.RepeatedScalarFieldContainer[str]
    left: _containers.RepeatedScalarFieldContainer[str]
    automatic: bool
    def __init__(self, namespace: _Optional[str] = ..., edition: _Optional[int] = ..., took: _Optional[_Iterable[str]] = ..., left: _Optional[_Iterable[str]] = ..., automatic: bool = ...) -> None: ...

class WatchEditsResponse(_message.Message):
    __slots__ = ("sequence", "kind", "edit", "time", "reason", "checkpoint", "activation")
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    EDIT_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    CHECKPOINT_FIELD_NUMBER: _ClassVar[int]
    ACTIVATION_FIELD_NUMBER: _ClassVar[int]
    sequence: int
    kind: ChangeKind
    edit: _resources_pb2.Edit
    time: _timestamp_pb2.Timestamp
    reason: str
    checkpoint: bool
    activation: EditionActivation
    def __init__(self, sequence: _Optional[int] = ..., kind: _Optional[_Union[ChangeKind, str]] = ..., edit: _Optional[_Union[_resources_pb2.Edit, _Mapping]] = ..., time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., reason: _Optional[str] = ..., checkpoint: bool = ..., activation: _Optional[_Union[EditionActivation, _Mapping]] = ...) -> None: ...

class GetMemoryStatusRequest(_message.Message):
    __slots__ = ("parent",)
    PARENT_FIELD_NUMBER: _ClassVar[int]
    parent: str
    def __init__(self, parent: _Optional[str] = ...) -> None: ...

class MemoryStatus(_message.Message):
    __slots__ = ("sequence", "namespaces", "encoder", "classifier", "log_bytes", "read_only_reason", "model", "start_time", "version")
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    NAMESPACES_FIELD_NUMBER: _ClassVar[int]
    ENCODER_FIELD_NUMBER: _ClassVar[int]
    CLASSIFIER_FIELD_NUMBER: _ClassVar[int]
    LOG_BYTES_FIELD_NUMBER: _ClassVar[int]
    READ_ONLY_REASON_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    START_TIME_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    sequence: int
    namespaces: _containers.RepeatedCompositeFieldContainer[NamespaceStatus]
    encoder: str
    classifier: str
    log_bytes: int
    read_only_reason: str
    model: ModelStatus
    start_time: _timestamp_pb2.Timestamp
    version: str
    def __init__(self, sequence: _Optional[int] = ..., namespaces: _Optional[_Iterable[_Union[NamespaceStatus, _Mapping]]] = ..., encoder: _Optional[str] = ..., classifier: _Optional[str] = ..., log_bytes: _Optional[int] = ..., read_only_reason: _Optional[str] = ..., model: _Optional[_Union[ModelStatus, _Mapping]] = ..., start_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., version: _Optional[str] = ...) -> None: ...

class NamespaceStatus(_message.Message):
    __slots__ = ("name", "active", "superseded", "retired", "expired", "consolidated", "index_kind", "index_bytes", "edition", "answering_edition", "edition_problem")
    NAME_FIELD_NUMBER: _ClassVar[int]
    ACTIVE_FIELD_NUMBER: _ClassVar[int]
    SUPERSEDED_FIELD_NUMBER: _ClassVar[int]
    RETIRED_FIELD_NUMBER: _ClassVar[int]
    EXPIRED_FIELD_NUMBER: _ClassVar[int]
    CONSOLIDATED_FIELD_NUMBER: _ClassVar[int]
    INDEX_KIND_FIELD_NUMBER: _ClassVar[int]
    INDEX_BYTES_FIELD_NUMBER: _ClassVar[int]
    EDITION_FIELD_NUMBER: _ClassVar[int]
    ANSWERING_EDITION_FIELD_NUMBER: _ClassVar[int]
    EDITION_PROBLEM_FIELD_NUMBER: _ClassVar[int]
    name: str
    active: int
    superseded: int
    retired: int
    expired: int
    consolidated: int
    index_kind: str
    index_bytes: int
    edition: int
    answering_edition: int
    edition_problem: str
    def __init__(self, name: _Optional[str] = ..., active: _Optional[int] = ..., superseded: _Optional[int] = ..., retired: _Optional[int] = ..., expired: _Optional[int] = ..., consolidated: _Optional[int] = ..., index_kind: _Optional[str] = ..., index_bytes: _Optional[int] = ..., edition: _Optional[int] = ..., answering_edition: _Optional[int] = ..., edition_problem: _Optional[str] = ...) -> None: ...

class ModelStatus(_message.Message):
    __slots__ = ("model", "model_type", "parameters", "context_tokens", "dtype", "device", "chat", "fingerprint", "running", "waiting")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    MODEL_TYPE_FIELD_NUMBER: _ClassVar[int]
    PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    DTYPE_FIELD_NUMBER: _ClassVar[int]
    DEVICE_FIELD_NUMBER: _ClassVar[int]
    CHAT_FIELD_NUMBER: _ClassVar[int]
    FINGERPRINT_FIELD_NUMBER: _ClassVar[int]
    RUNNING_FIELD_NUMBER: _ClassVar[int]
    WAITING_FIELD_NUMBER: _ClassVar[int]
    model: str
    model_type: str
    parameters: int
    context_tokens: int
    dtype: str
    device: str
    chat: bool
    fingerprint: str
    running: int
    waiting: int
    def __init__(self, model: _Optional[str] = ..., model_type: _Optional[str] = ..., parameters: _Optional[int] = ..., context_tokens: _Optional[int] = ..., dtype: _Optional[str] = ..., device: _Optional[str] = ..., chat: bool = ..., fingerprint: _Optional[str] = ..., running: _Optional[int] = ..., waiting: _Optional[int] = ...) -> None: ...
