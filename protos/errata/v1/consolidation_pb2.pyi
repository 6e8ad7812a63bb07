import datetime

from google.longrunning import operations_pb2 as _operations_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from protos.errata.v1 import memory_pb2 as _memory_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class EditionState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    EDITION_STATE_UNSPECIFIED: _ClassVar[EditionState]
    EDITION_STATE_SOUND: _ClassVar[EditionState]
    EDITION_STATE_DAMAGED: _ClassVar[EditionState]
    EDITION_STATE_OTHER_WEIGHTS: _ClassVar[EditionState]
    EDITION_STATE_REFUSED: _ClassVar[EditionState]
EDITION_STATE_UNSPECIFIED: EditionState
EDITION_STATE_SOUND: EditionState
EDITION_STATE_DAMAGED: EditionState
EDITION_STATE_OTHER_WEIGHTS: EditionState
EDITION_STATE_REFUSED: EditionState

class ConsolidateRequest(_message.Message):
    __slots__ = ("parent", "filter", "editor", "settings", "validate_only", "activate", "request_id")
    class SettingsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    PARENT_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    EDITOR_FIELD_NUMBER: _ClassVar[int]
    SETTINGS_FIELD_NUMBER: _ClassVar[int]
    VALIDATE_ONLY_FIELD_NUMBER: _ClassVar[int]
    ACTIVATE_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    parent: str
    filter: _memory_pb2.EditFilter
    editor: str
    settings: _containers.ScalarMap[str, str]
    validate_only: bool
    activate: bool
    request_id: str
    def __init__(self, parent: _Optional[str] = ..., filter: _Optional[_Union[_memory_pb2.EditFilter, _Mapping]] = ..., editor: _Optional[str] = ..., settings: _Optional[_Mapping[str, str]] = ..., validate_only: bool = ..., activate: bool = ..., request_id: _Optional[str] = ...) -> None: ...

class ConsolidationMetadata(_message.Message):
    __slots__ = ("namespace", "stage", "done", "total", "edits", "editor", "create_time", "update_time", "restarts", "estimate", "validate_only", "metrics", "edits_left_out")
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    STAGE_FIELD_NUMBER: _ClassVar[int]
    DONE_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    EDITS_FIELD_NUMBER: _ClassVar[int]
    EDITOR_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    UPDATE_TIME_FIELD_NUMBER: _ClassVar[int]
    RESTARTS_FIELD_NUMBER: _ClassVar[int]
    ESTIMATE_FIELD_NUMBER: _ClassVar[int]
    VALIDATE_ONLY_FIELD_NUMBER: _ClassVar[int]
    METRICS_FIELD_NUMBER: _ClassVar[int]
    EDITS_LEFT_OUT_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    stage: str
    done: int
    total: int
    edits: int
    editor: str
    create_time: _timestamp_pb2.Timestamp
    update_time: _timestamp_pb2.Timestamp
    restarts: int
    estimate: Estimate
    validate_only: bool
    metrics: _containers.RepeatedCompositeFieldContainer[Metric]
    edits_left_out: int
    def __init__(self, namespace: _Optional[str] = ..., stage: _Optional[str] = ..., done: _Optional[int] = ..., total: _Optional[int] = ..., edits: _Optional[int] = ..., editor: _Optional[str] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., update_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., restarts: _Optional[int] = ..., estimate: _Optional[_Union[Estimate, _Mapping]] = ..., validate_only: bool = ..., metrics: _Optional[_Iterable[_Union[Metric, _Mapping]]] = ..., edits_left_out: _Optional[int] = ...) -> None: ...

class Estimate(_message.Message):
    __slots__ = ("edits", "memory_bytes", "memory_cap_bytes", "edition_bytes")
    EDITS_FIELD_NUMBER: _ClassVar[int]
    MEMORY_BYTES_FIELD_NUMBER: _ClassVar[int]
    MEMORY_CAP_BYTES_FIELD_NUMBER: _ClassVar[int]
    EDITION_BYTES_FIELD_NUMBER: _ClassVar[int]
    edits: int
    memory_bytes: int
    memory_cap_bytes: int
    edition_bytes: int
    def __init__(self, edits: _Optional[int] = ..., memory_bytes: _Optional[int] = ..., memory_cap_bytes: _Optional[int] = ..., edition_bytes: _Optional[int] = ...) -> None: ...

class ConsolidateResponse(_message.Message):
    __slots__ = ("edition", "activated", "sequence", "estimate", "reused")
    EDITION_FIELD_NUMBER: _ClassVar[int]
    ACTIVATED_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    ESTIMATE_FIELD_NUMBER: _ClassVar[int]
    REUSED_FIELD_NUMBER: _ClassVar[int]
    edition: Edition
    activated: bool
    sequence: int
    estimate: Estimate
    reused: bool
    def __init__(self, edition: _Optional[_Union[Edition, _Mapping]] = ..., activated: bool = ..., sequence: _Optional[int] = ..., estimate: _Optional[_Union[Estimate, _Mapping]] = ..., reused: bool = ...) -> None: ...

class Edition(_message.Message):
    __slots__ = ("name", "number", "active", "create_time", "editor", "settings_json", "edits", "edits_taken", "edits_left", "metrics", "matrices", "bytes", "sha256", "base_fingerprint", "unusable_reason", "state", "answers")
    NAME_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    ACTIVE_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    EDITOR_FIELD_NUMBER: _ClassVar[int]
    SETTINGS_JSON_FIELD_NUMBER: _ClassVar[int]
    EDITS_FIELD_NUMBER: _ClassVar[int]
    EDITS_TAKEN_FIELD_NUMBER: _ClassVar[int]
    EDITS_LEFT_FIELD_NUMBER: _ClassVar[int]
    METRICS_FIELD_NUMBER: _ClassVar[int]
    MATRICES_FIELD_NUMBER: _ClassVar[int]
    BYTES_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    BASE_FINGERPRINT_FIELD_NUMBER: _ClassVar[int]
    UNUSABLE_REASON_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    ANSWERS_FIELD_NUMBER: _ClassVar[int]
    name: str
    number: int
    active: bool
    create_time: _timestamp_pb2.Timestamp
    editor: str
    settings_json: str
    edits: _containers.RepeatedCompositeFieldContainer[HeldEdit]
    edits_taken: int
    edits_left: int
    metrics: _containers.RepeatedCompositeFieldContainer[Metric]
    matrices: _containers.RepeatedCompositeFieldContainer[MatrixInfo]
    bytes: int
    sha256: str
    base_fingerprint: str
    unusable_reason: str
    state: EditionState
    answers: bool
    def __init__(self, name: _Optional[str] = ..., number: _Optional[int] = ..., active: bool = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., editor: _Optional[str] = ..., settings_json: _Optional[str] = ..., edits: _Optional[_Iterable[_Union[HeldEdit, _Mapping]]] = ..., edits_taken: _Optional[int] = ..., edits_left: _Optional[int] = ..., metrics: _Optional[_Iterable[_Union[Metric, _Mapping]]] = ..., matrices: _Optional[_Iterable[_Union[MatrixInfo, _Mapping]]] = ..., bytes: _Optional[int] = ..., sha256: _Optional[str] = ..., base_fingerprint: _Optional[str] = ..., unusable_reason: _Optional[str] = ..., state: _Optional[_Union[EditionState, str]] = ..., answers: bool = ...) -> None: ...

class HeldEdit(_message.Message):
    __slots__ = ("edit", "revision", "statement", "took", "reason")
    EDIT_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    STATEMENT_FIELD_NUMBER: _ClassVar[int]
    TOOK_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    edit: str
    revision: int
    statement: str
    took: bool
    reason: str
    def __init__(self, edit: _Optional[str] = ..., revision: _Optional[int] = ..., statement: _Optional[str] = ..., took: bool = ..., reason: _Optional[str] = ...) -> None: ...

class Metric(_message.Message):
    __slots__ = ("name", "before", "after", "limit", "passed", "count")
    NAME_FIELD_NUMBER: _ClassVar[int]
    BEFORE_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    PASSED_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    name: str
    before: float
    after: float
    limit: str
    passed: bool
    count: int
    def __init__(self, name: _Optional[str] = ..., before: _Optional[float] = ..., after: _Optional[float] = ..., limit: _Optional[str] = ..., passed: bool = ..., count: _Optional[int] = ...) -> None: ...

class MatrixInfo(_message.Message):
    __slots__ = ("module", "rows", "columns", "rank")
    MODULE_FIELD_NUMBER: _ClassVar[int]
    ROWS_FIELD_NUMBER: _ClassVar[int]
    COLUMNS_FIELD_NUMBER: _ClassVar[int]
    RANK_FIELD_NUMBER: _ClassVar[int]
    module: str
    rows: int
    columns: int
    rank: int
    def __init__(self, module: _Optional[str] = ..., rows: _Optional[int] = ..., columns: _Optional[int] = ..., rank: _Optional[int] = ...) -> None: ...

class ListEditionsRequest(_message.Message):
    __slots__ = ("parent", "page_size", "page_token")
    PARENT_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    parent: str
    page_size: int
    page_token: str
    def __init__(self, parent: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListEditionsResponse(_message.Message):
    __slots__ = ("editions", "next_page_token")
    EDITIONS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    editions: _containers.RepeatedCompositeFieldContainer[Edition]
    next_page_token: str
    def __init__(self, editions: _Optional[_Iterable[_Union[Edition, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class GetEditionRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class ActivateEditionRequest(_message.Message):
    __slots__ = ("name", "reason", "request_id")
    NAME_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    name: str
    reason: str
    request_id: str
    def __init__(self, name: _Optional[str] = ..., reason: _Optional[str] = ..., request_id: _Optional[str] = ...) -> None: ...

class ActivateEditionResponse(_message.Message):
    __slots__ = ("edition", "sequence", "edits_changed")
    EDITION_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    EDITS_CHANGED_FIELD_NUMBER: _ClassVar[int]
    edition: Edition
    sequence: int
    edits_changed: int
    def __init__(self, edition: _Optional[_Union[Edition, _Mapping]] = ..., sequence: _Optional[int] = ..., edits_changed: _Optional[int] = ...) -> None: ...
