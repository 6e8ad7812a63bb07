"""Puts a streamed answer together, message by message; shared by both clients."""

from __future__ import annotations

from errata import convert
from errata.answers import Answer, ChosenToken, Provenance
from errata.errors import Cancelled
from protos.errata.v1 import inference_pb2


class AnswerParts:
    """What has come of an answer so far."""

    def __init__(self) -> None:
        self.provenance: Provenance | None = None
        self._text: list[str] = []
        self._logprobs: list[ChosenToken] = []
        self._token_ids: list[int] = []
        self._finish: inference_pb2.Finish | None = None

    def take(self, message: inference_pb2.StreamGenerateResponse) -> str:
        """Takes one message and returns the text that it adds."""
        kind = message.WhichOneof("event")
        if kind == "provenance":
            self.provenance = convert.provenance(message.provenance)
        elif kind == "finish":
            self._finish = message.finish
        elif kind == "delta":
            self._text.append(message.delta.text)
            self._logprobs.extend(convert.chosen_token(t) for t in message.delta.logprobs)
            self._token_ids.extend(message.delta.token_ids)
            return message.delta.text
        return ""

    def require_provenance(self) -> Provenance:
        """Returns the provenance. Raises Cancelled when the stream ended without one."""
        if self.provenance is None:
            raise Cancelled("the stream was closed before it said where the answer comes from")
        return self.provenance

    def answer(self) -> Answer:
        """Returns the whole answer. Raises Cancelled when the stream was closed before its end."""
        if self._finish is None:
            raise Cancelled("the stream was closed before the answer was complete")
        return convert.finished_answer(
            text="".join(self._text),
            where=self.require_provenance(),
            finish=self._finish,
            logprobs=tuple(self._logprobs),
            token_ids=tuple(self._token_ids),
        )
