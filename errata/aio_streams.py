"""Running answers and running watches of the asyncio client: async iterators that can be closed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from types import TracebackType
from typing import Any, Self

import grpc
from grpc.aio import EOF  # type: ignore[attr-defined]  # Not in its stubs.

from errata import convert
from errata.answers import Answer, Provenance
from errata.assembly import AnswerParts
from errata.errors import Cancelled
from errata.failures import to_client_error
from errata.results import Change


class AsyncAnswerStream:
    """Yields text as it comes; `provenance()` and `answer()` wait for theirs."""

    def __init__(self, call: Any, *, target: str) -> None:
        self._call = call
        self._target = target
        self._parts = AnswerParts()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    async def __aiter__(self) -> AsyncIterator[str]:
        while (text := await self._advance()) is not None:
            if text:
                yield text

    async def provenance(self) -> Provenance:
        """Waits for the first message: where the answer comes from. Raises ClientError."""
        while self._parts.provenance is None and await self._advance() is not None:
            pass
        return self._parts.require_provenance()

    async def answer(self) -> Answer:
        """Reads the rest of the stream and returns the whole answer. Raises ClientError."""
        while await self._advance() is not None:
            pass
        return self._parts.answer()

    def close(self) -> None:
        """Ends the generation; the server frees its slot. Harmless after the end."""
        self._call.cancel()

    async def _advance(self) -> str | None:
        """Takes one message and returns its text ("" for one without); None at the end."""
        if self._call.cancelled():
            raise Cancelled("the stream was closed before the answer was complete")
        try:
            message = await self._call.read()
        except grpc.aio.AioRpcError as error:
            raise to_client_error(error, target=self._target) from error
        if message is EOF:
            return None
        return self._parts.take(message)


class AsyncChangeStream:
    """Yields the changes of a watch until it is closed."""

    def __init__(self, call: Any, *, target: str, checkpoints: bool) -> None:
        self._call = call
        self._target = target
        self._checkpoints = checkpoints

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    async def __aiter__(self) -> AsyncIterator[Change]:
        while not self._call.cancelled():
            try:
                message = await self._call.read()
            except grpc.aio.AioRpcError as error:
                raise to_client_error(error, target=self._target) from error
            if message is EOF:
                return
            if self._checkpoints or not message.checkpoint:
                yield convert.change(message)

    def close(self) -> None:
        """Ends the watch."""
        self._call.cancel()
