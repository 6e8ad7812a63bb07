"""How a client connects: address, namespace, timeouts, retries, TLS. Shared by both clients."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from errata.requests import Unset
from errata.retry import RetryPolicy

DEFAULT_TARGET = "127.0.0.1:50051"
MESSAGE_BYTES_MAX = 16 * 1024 * 1024  # The largest answer a server sends.


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientOptions:
    """Settings of a client; each has a default that suits a server on this machine."""

    target: str = DEFAULT_TARGET
    namespace: str = "default"
    timeout_s: float | None = 60.0  # Of a call, all its attempts together; streams have none.
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    read_your_writes: bool = True  # Requests wait for what this client wrote before.
    tls: bool = False
    tls_ca: Path | None = None  # PEM of the certificates to trust; None: the system's.
    key: str = field(default="", repr=False)  # Sent with every call; "": none.
    channel_options: Sequence[tuple[str, str | int]] = ()

    def given(self, target: str, namespace: str, timeout_s: float | Unset | None) -> ClientOptions:
        """Returns the options with what a constructor was given put over them."""
        return replace(
            self,
            target=target or self.target,
            namespace=namespace or self.namespace,
            timeout_s=self.timeout_s if isinstance(timeout_s, Unset) else timeout_s,
        )

    def grpc_options(self) -> list[tuple[str, str | int]]:
        """Returns the channel's options; the caller's come last and win."""
        return [
            ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
            ("grpc.enable_retries", 0),  # Retries are ours: they know what is safe.
            ("grpc.keepalive_time_ms", 60_000),
            ("grpc.keepalive_timeout_ms", 20_000),
            ("grpc.initial_reconnect_backoff_ms", 200),
            ("grpc.max_reconnect_backoff_ms", 5_000),
            *self.channel_options,
        ]

    def metadata(self) -> tuple[tuple[str, str], ...]:
        """Returns what is sent with every call: the key, if there is one.

        Raises ValueError for one that no header can carry; gRPC would only say "invalid metadata".
        """
        if not (self.key.isascii() and self.key.isprintable()):
            raise ValueError(
                "the key has characters that no key has; expected what `errata key` printed, "
                "letters, digits, - and _"
            )
        return (("authorization", f"Bearer {self.key}"),) if self.key else ()

    def root_certificates(self) -> bytes | None:
        """Reads the certificates to trust; None for the system's. Raises OSError."""
        return self.tls_ca.read_bytes() if self.tls_ca else None
