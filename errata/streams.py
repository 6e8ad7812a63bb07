"""Running answers and running watches of the synchronous client: iterators that can be closed."""

from __future__ import annotations

from collections.abc import Iterator
from types import TracebackType
from typing import Any, Self

import grpc

from errata import convert
from errata.answers import Answer, Provenance
from errata.assembly import AnswerParts
from errata.failures import to_client_error
from errata.results import Change


class AnswerStream:
    """Yields text as it comes. `provenance` is there from the start, `answer` from the end on."""

    def __init__(self, call: Any, *, target: str) -> None:
        self._call = call
        self._target = target
        self._parts = AnswerParts()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __iter__(self) -> Iterator[str]:
        while (text := self._advance()) is not None:
            if text:
                yield text

    @property
    def provenance(self) -> Provenance:
        """Where the answer comes from; waits for the first message. Raises ClientError."""
        while self._parts.provenance is None and self._advance() is not None:
            pass
        return self._parts.require_provenance()

    @property
    def answer(self) -> Answer:
        """The whole answer; reads the rest of the stream. Raises ClientError."""
        while self._advance() is not None:
            pass
        return self._parts.answer()

    def close(self) -> None:
        """Ends the generation; the server frees its slot. Harmless after the end."""
        self._call.cancel()

    def _advance(self) -> str | None:
        """Takes one message and returns its text ("" for one without); None at the end."""
        try:
            message = next(self._call, None)
        except grpc.RpcError as error:
            raise to_client_error(error, target=self._target) from error
        return None if message is None else self._parts.take(message)


class ChangeStream:
    """Yields the changes of a watch until it is closed."""

    def __init__(self, call: Any, *, target: str, checkpoints: bool) -> None:
        self._call = call
        self._target = target
        self._checkpoints = checkpoints
        self._closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __iter__(self) -> Iterator[Change]:
        try:
            for message in self._call:
                if self._checkpoints or not message.checkpoint:
                    yield convert.change(message)
        except grpc.RpcError as error:
            if not self._closed:
                raise to_client_error(error, target=self._target) from error

    def close(self) -> None:
        """Ends the watch; an iteration that waits in another thread ends too."""
        self._closed = True
        self._call.cancel()
