"""InferenceService: reads the request, asks the query runner, writes the answer. No logic."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import structlog

from memory.errors import Unavailable
from memory.record import Provenance
from protos.errata.v1 import inference_pb2, inference_pb2_grpc
from runtime.engine.contract import FinishReason
from runtime.question import Ending, Question
from runtime.services.call import current_call, note_provenance
from runtime.services.checks import check_request_id
from runtime.services.parts import ServiceParts
from runtime.services.status import DeadlinePassed
from runtime.services.wire import provenance_to_pb
from runtime.services.wire_inference import (
    Asking,
    InferenceReader,
    answer_to_pb,
    delta_to_pb,
    ending_to_pb,
    explanation_to_pb,
    scored_to_pb,
)


class InferenceServicer(inference_pb2_grpc.InferenceServiceServicer):
    """Answers queries; method names and meanings are those of inference.proto."""

    def __init__(self, parts: ServiceParts) -> None:
        self._parts = parts
        self._reader = InferenceReader(
            parts.limits, context_tokens=parts.engine.info.context_tokens
        )
        self._log = structlog.get_logger("errata.query")

    async def Generate(  # noqa: N802  # The wire's name.
        self, request: inference_pb2.GenerateRequest, _context: Any
    ) -> inference_pb2.GenerateResponse:
        """Generates one answer."""
        answer = await self._parts.runner.generate(self._question(request))
        note_provenance(answer.provenance, answer.ending)
        _check_complete(answer.ending)
        return answer_to_pb(
            answer,
            self._parts.runner.engine_of(answer.provenance.route),
            logprobs=request.HasField("logprobs"),
            token_ids=request.return_token_ids,
        )

    async def StreamGenerate(  # noqa: N802
        self, request: inference_pb2.GenerateRequest, _context: Any
    ) -> AsyncIterator[inference_pb2.StreamGenerateResponse]:
        """Generates one answer as a stream: provenance, deltas, finish."""
        question = self._question(request)
        provenance: Provenance | None = None
        async with aclosing(self._parts.runner.stream(question)) as events:  # type: ignore[type-var]
            async for event in events:
                if isinstance(event, Provenance):
                    provenance = event
                    note_provenance(event)
                    message = inference_pb2.StreamGenerateResponse(
                        provenance=provenance_to_pb(event)
                    )
                elif isinstance(event, Ending):
                    assert provenance is not None
                    note_provenance(provenance, event)
                    _check_complete(event)
                    message = inference_pb2.StreamGenerateResponse(finish=ending_to_pb(event))
                else:
                    assert provenance is not None
                    message = delta_to_pb(
                        event,
                        self._parts.runner.engine_of(provenance.route),
                        logprobs=request.HasField("logprobs"),
                        token_ids=request.return_token_ids,
                    )
                yield message

    async def Score(  # noqa: N802
        self, request: inference_pb2.ScoreRequest, _context: Any
    ) -> inference_pb2.ScoreResponse:
        """Scores given continuations."""
        question, texts = self._question(request), self._reader.continuations(request)
        scored = await self._parts.runner.score(question, texts)
        note_provenance(scored.provenance)
        engine = self._parts.runner.engine_of(scored.provenance.route)
        return inference_pb2.ScoreResponse(
            scores=[
                scored_to_pb(text, item, engine)
                for text, item in zip(texts, scored.scores, strict=True)
            ],
            provenance=provenance_to_pb(scored.provenance),
        )

    async def ExplainRoute(  # noqa: N802
        self, request: inference_pb2.ExplainRouteRequest, _context: Any
    ) -> inference_pb2.ExplainRouteResponse:
        """Decides the route without generating."""
        explanation = await self._parts.runner.explain(self._question(request))
        note_provenance(explanation.provenance)
        return explanation_to_pb(explanation)

    def _question(self, request: Asking) -> Question:
        call = current_call()
        check_request_id(request.request_id, self._parts.limits.request_id_chars_max)
        question = self._reader.question(
            request, request_id=call.request_id, deadline_s=call.deadline_s
        )
        self._log.debug(
            "query",
            request_id=call.request_id,
            text=question.prompt if question.prompt is not None else question.messages[-1][1],
        )
        return question


def _check_complete(ending: Ending) -> None:
    """Raises when the engine ended the answer for another reason than the answer itself."""
    if ending.reason is FinishReason.DEADLINE:
        raise DeadlinePassed("the deadline passed before the answer was complete")
    if ending.reason is FinishReason.CANCELLED:
        # A caller who cancelled is not listening; one who listens is told that the engine closed.
        raise Unavailable("the server is stopping; retry at another one", reason="DRAINING")
