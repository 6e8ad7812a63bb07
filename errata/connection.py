"""The synchronous client's connection: channel, stubs, and the one place that calls and retries."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self, TypeVar

import grpc
from google.longrunning import operations_pb2_grpc
from grpc_health.v1 import health_pb2_grpc

from errata import convert, requests
from errata.failures import to_client_error
from errata.options import ClientOptions
from errata.requests import UNSET, RoutingOptions, Unset
from errata.results import EditRef, Written
from errata.sequences import SequenceTracker
from protos.errata.v1 import consolidation_pb2_grpc, inference_pb2_grpc, memory_pb2_grpc

T = TypeVar("T")


class Connection:
    """A connection to one server; close it, or use it as a context manager."""

    def __init__(
        self,
        target: str = "",
        *,
        namespace: str = "",
        timeout_s: float | Unset | None = UNSET,
        options: ClientOptions | None = None,
    ) -> None:
        """Opens a channel; nothing is sent before the first call.

        What is left out comes from `options`, which also set retries, TLS and read-your-writes.
        """
        self.options = (options or ClientOptions()).given(target, namespace, timeout_s)
        self._channel = _open_channel(self.options)
        # The generated stubs carry no types.
        self._inference: Any = inference_pb2_grpc.InferenceServiceStub(self._channel)  # type: ignore[no-untyped-call]
        self._memory: Any = memory_pb2_grpc.MemoryServiceStub(self._channel)  # type: ignore[no-untyped-call]
        self._consolidation: Any = consolidation_pb2_grpc.ConsolidationServiceStub(self._channel)  # type: ignore[no-untyped-call]
        self._operations: Any = operations_pb2_grpc.OperationsStub(self._channel)
        self._health: Any = health_pb2_grpc.HealthStub(self._channel)
        self._sequences = SequenceTracker(enabled=self.options.read_your_writes)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes the channel; running calls end with Cancelled."""
        self._channel.close()

    def _routing(self, options: RoutingOptions | None) -> Any:
        return requests.routing(
            options or RoutingOptions(),
            namespace=self.options.namespace,
            min_sequence=self._sequences.seen,
        )

    def _edit_name(self, edit: EditRef) -> str:
        return requests.edit_name(edit, self.options.namespace)

    def _written(self, method: Callable[..., Any], request: Any) -> Written:
        result = convert.written(self._call(method, request))
        self._sequences.note(result.sequence)
        return result

    def _call(self, method: Callable[..., T], request: Any, timeout_s: float | None = None) -> T:
        """Calls until it succeeds, the error is final, or the time is up."""
        timeout_s = timeout_s if timeout_s is not None else self.options.timeout_s
        until = None if timeout_s is None else time.monotonic() + timeout_s
        attempt = 1
        while True:
            left_s = None if until is None else max(0.0, until - time.monotonic())
            try:
                return method(request, timeout=left_s, metadata=self.options.metadata())
            except grpc.RpcError as error:
                failure = to_client_error(error, target=self.options.target)
                left_s = None if until is None else until - time.monotonic()
                wait_s = self.options.retry.wait_s(failure, attempt=attempt, left_s=left_s)
                if wait_s is None:
                    raise failure from error
                time.sleep(wait_s)
                attempt += 1


def _open_channel(options: ClientOptions) -> grpc.Channel:
    if not options.tls:
        return grpc.insecure_channel(options.target, options=options.grpc_options())
    credentials = grpc.ssl_channel_credentials(root_certificates=options.root_certificates())
    return grpc.secure_channel(options.target, credentials, options=options.grpc_options())
