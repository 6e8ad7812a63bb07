"""What surrounds every call: its record, its errors, its one log line, and the drain.

Servicers raise ErrataErrors and `note()` what they learn; this interceptor turns the errors into
statuses, writes the canonical line, and refuses new calls while the server drains. It knows no
method's meaning. A cancelled handler re-raises.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import grpc
import structlog
from google.protobuf.message import DecodeError, Message
from google.rpc import status_pb2

from memory.errors import InvalidInput, Overloaded, Unavailable
from memory.record import Provenance
from runtime.question import Ending
from runtime.services.access import Access, Scope
from runtime.services.status import DETAILS_KEY, code_of, reason_of, rule_for, to_status

if TYPE_CHECKING:
    _Interceptor = grpc.aio.ServerInterceptor[Any, Any]
else:  # Generic in its stubs alone.
    _Interceptor = grpc.aio.ServerInterceptor

PACKAGES = ("/errata.v1.", "/google.longrunning.")
DEADLINE_S_MAX = 1e8  # gRPC tells an absent deadline as a very distant one.


@dataclass(slots=True)
class CallRecord:
    """What one call is and what is learnt about it, for the log line."""

    method: str
    request_id: str
    started_s: float
    deadline_s: float | None  # Of time.monotonic().
    may_read: bool = True  # Whether the caller may see edits besides the ones it names.
    facts: dict[str, Any] = field(default_factory=dict)


_current: ContextVar[CallRecord] = ContextVar("errata_call")


def current_call() -> CallRecord:
    """Returns the record of the call that is being handled."""
    return _current.get()


def note(**facts: Any) -> None:
    """Adds facts to the call's log line."""
    _current.get().facts.update(facts)


def note_provenance(provenance: Provenance, ending: Ending | None = None) -> None:
    """Adds where an answer came from and what it cost to the call's log line."""
    route = provenance.route
    best = route.hits[0] if route.hits else None
    if best is None and route.rejections:
        best = route.rejections[0].decision
    timings = ending.timings if ending else provenance.timings
    note(
        namespace=provenance.namespace,
        path=route.path,
        edits=[hit.candidate.edit.id for hit in route.hits],
        score=round(best.score, 4) if best else None,
        threshold=round(best.threshold, 4) if best else None,
        sequence=provenance.sequence,
        edition=provenance.edition,
        stages_ms={
            name.removesuffix("_ms"): round(value, 2)
            for name in timings.__dataclass_fields__
            if (value := getattr(timings, name))
        },
    )
    if ending is not None:
        note(prompt_tokens=ending.prompt_tokens, completion_tokens=ending.completion_tokens)


@dataclass(frozen=True, slots=True)
class Malformed:
    """Stands for a request whose bytes are no message of its type."""

    error: str


def forgiving(parse: Callable[[bytes], Any]) -> Callable[[bytes], Any]:
    """Parses, and returns Malformed where gRPC would answer INTERNAL."""

    def parse_or_mark(data: bytes) -> Any:
        try:
            return parse(data)
        except (DecodeError, ValueError, RecursionError) as error:
            return Malformed(str(error))

    return parse_or_mark


def _abandon(writing: asyncio.Future[Any]) -> None:
    """Ends a write nobody waits for; what it says of the broken stream is heard and dropped."""
    writing.cancel()
    writing.add_done_callback(lambda ended: ended.cancelled() or ended.exception())


def well_formed(request: Any) -> Any:
    """Returns the request, or raises InvalidInput when its bytes could not be read."""
    if isinstance(request, Malformed):
        raise InvalidInput(f"the request is no valid protobuf message ({request.error})")
    return request


async def _well_formed_stream(
    requests: AsyncIterator[Any], allowed: Callable[[], None]
) -> AsyncIterator[Any]:
    async for request in requests:
        allowed()
        yield well_formed(request)


class CallInterceptor(_Interceptor):
    """Wraps every method of ours; other services (health, reflection) pass untouched."""

    def __init__(
        self, *, calls_max: int, write_stalled_s: float, access: Access | None = None
    ) -> None:
        """Takes the limits; without `access` anybody may call everything."""
        self._access = access
        self._calls_max = calls_max
        self._write_stalled_s = write_stalled_s
        self._running = 0
        self._draining = False
        self._idle = asyncio.Event()
        self._idle.set()
        self._log = structlog.get_logger("errata.call")

    @property
    def running(self) -> int:
        """Calls in hand."""
        return self._running

    def drain(self) -> None:
        """Refuses new calls from now on; those in hand go on."""
        self._draining = True

    async def wait_idle(self, timeout_s: float) -> bool:
        """Waits until no call is in hand; whether that came within `timeout_s`."""
        try:
            await asyncio.wait_for(self._idle.wait(), timeout_s)
        except TimeoutError:
            return False
        return True

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """Returns the handler, wrapped when the method is ours."""
        handler = await continuation(handler_call_details)
        full_name = handler_call_details.method
        if handler is None or not full_name.startswith(PACKAGES):
            return handler
        codecs = {
            "request_deserializer": forgiving(handler.request_deserializer),
            "response_serializer": handler.response_serializer,
        }
        if handler.request_streaming:
            inner = handler.stream_stream
            return grpc.stream_stream_rpc_method_handler(self._stream(full_name, inner), **codecs)
        if handler.response_streaming:
            inner = handler.unary_stream
            return grpc.unary_stream_rpc_method_handler(self._stream(full_name, inner), **codecs)
        return grpc.unary_unary_rpc_method_handler(
            self._unary(full_name, handler.unary_unary), **codecs
        )

    def _unary(self, method: str, inner: Callable[[Any, Any], Awaitable[Any]]) -> Any:
        async def answer(request: Any, context: Any) -> Any:
            record = self._begin(method, request, context)
            try:
                self._admit(method, context)
                response = await inner(well_formed(request), context)
            except asyncio.CancelledError:
                self._end(record, "CANCELLED")
                raise
            except Exception as error:  # noqa: BLE001  # The edge: every failure becomes a status.
                await _abort(context, self._fail(record, error))
            else:
                self._end(record, "OK")
                return response

        return answer

    def _stream(self, method: str, inner: Callable[[Any, Any], AsyncIterator[Any]]) -> Any:
        async def answers(request: Any, context: Any) -> None:
            record = self._begin(method, request, context)
            try:
                self._admit(method, context)
                streaming = not isinstance(request, (Malformed, Message))
                allowed = self._guard(method, context)
                asked = _well_formed_stream(request, allowed) if streaming else well_formed(request)
                async with aclosing(inner(asked, context)) as responses:  # type: ignore[type-var]
                    async for response in responses:
                        allowed()
                        await self._write(context, response)
            except asyncio.CancelledError:
                self._end(record, "CANCELLED")
                raise
            except Exception as error:  # noqa: BLE001
                await _abort(context, self._fail(record, error))
            else:
                self._end(record, "OK")

        return answers

    async def _write(self, context: Any, message: Any) -> None:
        """Writes one message. Raises Overloaded when the reader takes nothing for too long."""
        writing = asyncio.ensure_future(context.write(message))
        try:
            done, _ = await asyncio.wait({writing}, timeout=self._write_stalled_s)
        except asyncio.CancelledError:
            _abandon(writing)
            raise
        if not done:
            _abandon(writing)
            raise Overloaded(
                f"the stream's reader took nothing for {self._write_stalled_s:.0f} s; read "
                "faster, or ask for less at once"
            )
        writing.result()

    def _begin(self, method: str, request: Any, context: Any) -> CallRecord:
        given = getattr(request, "request_id", "")
        left_s = context.time_remaining()
        now_s = time.monotonic()
        record = CallRecord(
            method=method.rpartition("/")[2],
            request_id=given if given and len(given) <= 128 else uuid.uuid4().hex,
            started_s=now_s,
            deadline_s=now_s + left_s if left_s is not None and left_s < DEADLINE_S_MAX else None,
        )
        _current.set(record)
        self._running += 1
        self._idle.clear()
        return record

    def _admit(self, method: str, context: Any) -> None:
        if self._access is not None:
            metadata = context.invocation_metadata()
            note(key=self._access.check(method, metadata))
            _current.get().may_read = self._access.allows(Scope.READ, metadata)
        if self._draining:
            raise Unavailable("the server is stopping; retry at another one", reason="DRAINING")
        if self._running > self._calls_max:
            raise Overloaded(f"{self._calls_max} calls are in hand; retry later")

    def _guard(self, method: str, context: Any) -> Callable[[], None]:
        """Returns what raises once the caller's key is good for the method no more.

        A stream may last for days; a key that is taken back ends it at its next message.
        """
        access = self._access
        if access is None:
            return lambda: None
        metadata = context.invocation_metadata()

        def allowed() -> None:
            access.check(method, metadata)

        return allowed

    def _fail(self, record: CallRecord, error: Exception) -> status_pb2.Status:
        """Logs a failure and returns its status; only faults of ours carry a trace in the log."""
        error_id = record.request_id
        status = to_status(error, error_id=error_id)
        ours = rule_for(error) is None or status.code == grpc.StatusCode.INTERNAL.value[0]
        record.facts["reason"] = reason_of(error)
        if ours:
            self._log.error("call failed", error_id=error_id, method=record.method, exc_info=error)
        else:
            if isinstance(error, InvalidInput):
                record.facts["field"] = error.field
            # The message may quote what the caller wrote.
            self._log.debug("refused", error_id=error_id, error=str(error)[:500])
        self._end(record, code_of(status).name)
        return status

    def _end(self, record: CallRecord, status: str) -> None:
        """Writes the call's one line; called exactly once for each call."""
        self._running -= 1
        if self._running == 0:
            self._idle.set()
        self._log.info(
            "call",
            request_id=record.request_id,
            method=record.method,
            status=status,
            latency_ms=round((time.monotonic() - record.started_s) * 1000, 2),
            **record.facts,
        )


async def _abort(context: Any, status: status_pb2.Status) -> None:
    """Ends the call with a status and its details; always raises."""
    await context.abort(
        code_of(status), status.message, ((DETAILS_KEY, status.SerializeToString()),)
    )
