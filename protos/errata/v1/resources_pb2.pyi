import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class EditState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    EDIT_STATE_UNSPECIFIED: _ClassVar[EditState]
    EDIT_STATE_ACTIVE: _ClassVar[EditState]
    EDIT_STATE_SUPERSEDED: _ClassVar[EditState]
    EDIT_STATE_RETIRED: _ClassVar[EditState]
    EDIT_STATE_EXPIRED: _ClassVar[EditState]
    EDIT_STATE_CONSOLIDATED: _ClassVar[EditState]

class ConflictPolicy(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CONFLICT_POLICY_UNSPECIFIED: _ClassVar[ConflictPolicy]
    CONFLICT_POLICY_FAIL: _ClassVar[ConflictPolicy]
    CONFLICT_POLICY_SKIP: _ClassVar[ConflictPolicy]
    CONFLICT_POLICY_SUPERSEDE: _ClassVar[ConflictPolicy]

class RouteKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ROUTE_KIND_UNSPECIFIED: _ClassVar[RouteKind]
    ROUTE_KIND_BASE: _ClassVar[RouteKind]
    ROUTE_KIND_EDITED: _ClassVar[RouteKind]

class RejectReason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    REJECT_REASON_UNSPECIFIED: _ClassVar[RejectReason]
    REJECT_REASON_BELOW_THRESHOLD: _ClassVar[RejectReason]
    REJECT_REASON_NOT_FORCED: _ClassVar[RejectReason]
    REJECT_REASON_OUTRANKED: _ClassVar[RejectReason]
    REJECT_REASON_POLICY_OFF: _ClassVar[RejectReason]
    REJECT_REASON_CONSOLIDATED: _ClassVar[RejectReason]
    REJECT_REASON_CORRECTED: _ClassVar[RejectReason]

class BudgetSource(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    BUDGET_SOURCE_UNSPECIFIED: _ClassVar[BudgetSource]
    BUDGET_SOURCE_REQUEST: _ClassVar[BudgetSource]
    BUDGET_SOURCE_NAMESPACE: _ClassVar[BudgetSource]
    BUDGET_SOURCE_SERVER: _ClassVar[BudgetSource]
    BUDGET_SOURCE_CLASSIFIER: _ClassVar[BudgetSource]
EDIT_STATE_UNSPECIFIED: EditState
EDIT_STATE_ACTIVE: EditState
EDIT_STATE_SUPERSEDED: EditState
EDIT_STATE_RETIRED: EditState
EDIT_STATE_EXPIRED: EditState
EDIT_STATE_CONSOLIDATED: EditState
CONFLICT_POLICY_UNSPECIFIED: ConflictPolicy
CONFLICT_POLICY_FAIL: ConflictPolicy
CONFLICT_POLICY_SKIP: ConflictPolicy
CONFLICT_POLICY_SUPERSEDE: ConflictPolicy
ROUTE_KIND_UNSPECIFIED: RouteKind
ROUTE_KIND_BASE: RouteKind
ROUTE_KIND_EDITED: RouteKind
REJECT_REASON_UNSPECIFIED: RejectReason
REJECT_REASON_BELOW_THRESHOLD: RejectReason
REJECT_REASON_NOT_FORCED: RejectReason
REJECT_REASON_OUTRANKED: RejectReason
REJECT_REASON_POLICY_OFF: RejectReason
REJECT_REASON_CONSOLIDATED: RejectReason
REJECT_REASON_CORRECTED: RejectReason
BUDGET_SOURCE_UNSPECIFIED: BudgetSource
BUDGET_SOURCE_REQUEST: BudgetSource
BUDGET_SOURCE_NAMESPACE: BudgetSource
BUDGET_SOURCE_SERVER: BudgetSource
BUDGET_SOURCE_CLASSIFIER: BudgetSource

class Edit(_message.Message):
    __slots__ = ("name", "subject", "prompt", "target", "former", "aliases", "author", "source", "labels", "expire_time", "state", "revision", "sequence", "create_time", "update_time", "etag", "supersedes", "superseded_by", "edition")
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    NAME_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    PROMPT_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    FORMER_FIELD_NUMBER: _ClassVar[int]
    ALIASES_FIELD_NUMBER: _ClassVar[int]
    AUTHOR_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    EXPIRE_TIME_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    UPDATE_TIME_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    SUPERSEDES_FIELD_NUMBER: _ClassVar[int]
    SUPERSEDED_BY_FIELD_NUMBER: _ClassVar[int]
    EDITION_FIELD_NUMBER: _ClassVar[int]
    name: str
    subject: str
    prompt: str
    target: str
    former: str
    aliases: _containers.RepeatedScalarFieldContainer[str]
    author: str
    source: str
    labels: _containers.ScalarMap[str, str]
    expire_time: _timestamp_pb2.Timestamp
    state: EditState
    revision: int
    sequence: int
    create_time: _timestamp_pb2.Timestamp
    update_time: _timestamp_pb2.Timestamp
    etag: str
    supersedes: str
    superseded_by: str
    edition: int
    def __init__(self, name: _Optional[str] = ..., subject: _Optional[str] = ..., prompt: _Optional[str] = ..., target: _Optional[str] = ..., former: _Optional[str] = ..., aliases: _Optional[_Iterable[str]] = ..., author: _Optional[str] = ..., source: _Optional[str] = ..., labels: _Optional[_Mapping[str, str]] = ..., expire_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., state: _Optional[_Union[EditState, str]] = ..., revision: _Optional[int] = ..., sequence: _Optional[int] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., update_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., etag: _Optional[str] = ..., supersedes: _Optional[str] = ..., superseded_by: _Optional[str] = ..., edition: _Optional[int] = ...) -> None: ...

class ScoredEdit(_message.Message):
    __slots__ = ("edit", "revision", "score", "threshold", "cosine", "retrieval_rank", "mention", "statement", "reject_reason")
    EDIT_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    THRESHOLD_FIELD_NUMBER: _ClassVar[int]
    COSINE_FIELD_NUMBER: _ClassVar[int]
    RETRIEVAL_RANK_FIELD_NUMBER: _ClassVar[int]
    MENTION_FIELD_NUMBER: _ClassVar[int]
    STATEMENT_FIELD_NUMBER: _ClassVar[int]
    REJECT_REASON_FIELD_NUMBER: _ClassVar[int]
    edit: str
    revision: int
    score: float
    threshold: float
    cosine: float
    retrieval_rank: int
    mention: str
    statement: str
    reject_reason: RejectReason
    def __init__(self, edit: _Optional[str] = ..., revision: _Optional[int] = ..., score: _Optional[float] = ..., threshold: _Optional[float] = ..., cosine: _Optional[float] = ..., retrieval_rank: _Optional[int] = ..., mention: _Optional[str] = ..., statement: _Optional[str] = ..., reject_reason: _Optional[_Union[RejectReason, str]] = ...) -> None: ...

class StageTimings(_message.Message):
    __slots__ = ("queue_ms", "encode_ms", "retrieve_ms", "scope_ms", "prepare_ms", "prefill_ms", "decode_ms", "total_ms")
    QUEUE_MS_FIELD_NUMBER: _ClassVar[int]
    ENCODE_MS_FIELD_NUMBER: _ClassVar[int]
    RETRIEVE_MS_FIELD_NUMBER: _ClassVar[int]
    SCOPE_MS_FIELD_NUMBER: _ClassVar[int]
    PREPARE_MS_FIELD_NUMBER: _ClassVar[int]
    PREFILL_MS_FIELD_NUMBER: _ClassVar[int]
    DECODE_MS_FIELD_NUMBER: _ClassVar[int]
    TOTAL_MS_FIELD_NUMBER: _ClassVar[int]
    queue_ms: float
    encode_ms: float
    retrieve_ms: float
    scope_ms: float
    prepare_ms: float
    prefill_ms: float
    decode_ms: float
    total_ms: float
    def __init__(self, queue_ms: _Optional[float] = ..., encode_ms: _Optional[float] = ..., retrieve_ms: _Optional[float] = ..., scope_ms: _Optional[float] = ..., prepare_ms: _Optional[float] = ..., prefill_ms: _Optional[float] = ..., decode_ms: _Optional[float] = ..., total_ms: _Optional[float] = ...) -> None: ...

class Provenance(_message.Message):
    __slots__ = ("request_id", "namespace", "route", "path", "reason", "hits", "rejected", "sequence", "edition", "classifier", "calibrated", "timings", "query_read_as", "error_budget", "budget_source")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    ROUTE_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    HITS_FIELD_NUMBER: _ClassVar[int]
    REJECTED_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    EDITION_FIELD_NUMBER: _ClassVar[int]
    CLASSIFIER_FIELD_NUMBER: _ClassVar[int]
    CALIBRATED_FIELD_NUMBER: _ClassVar[int]
    TIMINGS_FIELD_NUMBER: _ClassVar[int]
    QUERY_READ_AS_FIELD_NUMBER: _ClassVar[int]
    ERROR_BUDGET_FIELD_NUMBER: _ClassVar[int]
    BUDGET_SOURCE_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    namespace: str
    route: RouteKind
    path: str
    reason: str
    hits: _containers.RepeatedCompositeFieldContainer[ScoredEdit]
    rejected: _containers.RepeatedCompositeFieldContainer[ScoredEdit]
    sequence: int
    edition: int
    classifier: str
    calibrated: bool
    timings: StageTimings
    query_read_as: str
    error_budget: float
    budget_source: BudgetSource
    def __init__(self, request_id: _Optional[str] = ..., namespace: _Optional[str] = ..., route: _Optional[_Union[RouteKind, str]] = ..., path: _Optional[str] = ..., reason: _Optional[str] = ..., hits: _Optional[_Iterable[_Union[ScoredEdit, _Mapping]]] = ..., rejected: _Optional[_Iterable[_Union[ScoredEdit, _Mapping]]] = ..., sequence: _Optional[int] = ..., edition: _Optional[int] = ..., classifier: _Optional[str] = ..., calibrated: bool = ..., timings: _Optional[_Union[StageTimings, _Mapping]] = ..., query_read_as: _Optional[str] = ..., error_budget: _Optional[float] = ..., budget_source: _Optional[_Union[BudgetSource, str]] = ...) -> None: ...
