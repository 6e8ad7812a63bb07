"""Protobuf to questions and answers to protobuf; checks what a request may ask."""

from __future__ import annotations

import math
from collections.abc import Sequence

from memory.errors import InvalidInput
from memory.record import EditId, EditsPolicy, Namespace
from protos.errata.v1 import inference_pb2
from runtime.engine.admission import check_sampling
from runtime.engine.contract import (
    EmittedToken,
    Engine,
    FinishReason,
    Sampling,
    ScoredContinuation,
    TokenDelta,
)
from runtime.question import Answer, Ending, Explanation, Question, Routing
from runtime.services.limits import ServiceLimits
from runtime.services.names import parse_edit, parse_namespace
from runtime.services.wire import enum_from_pb, provenance_to_pb, timings_to_pb

ROLES = ("system", "user", "assistant")
LOGPROBS_TOP_MAX = 20
SEQUENCE_MAX = 2**63 - 1
SAMPLING_FIELDS = (
    "max_tokens",
    "temperature",
    "top_p",
    "top_k",
    "min_p",
    "repetition_penalty",
    "seed",
    "ignore_eos",
)
FINISH_TO_PB = {
    FinishReason.EOS: inference_pb2.FINISH_REASON_EOS,
    FinishReason.STOP: inference_pb2.FINISH_REASON_STOP,
    FinishReason.LENGTH: inference_pb2.FINISH_REASON_LENGTH,
}

Asking = (
    inference_pb2.GenerateRequest | inference_pb2.ScoreRequest | inference_pb2.ExplainRouteRequest
)


class InferenceReader:
    """Reads inference requests under the limits of a server and of its model's context."""

    def __init__(self, limits: ServiceLimits, *, context_tokens: int) -> None:
        self._limits = limits
        self._prompt_chars_max = max(1, context_tokens) * limits.prompt_chars_per_token_max
        self._context_tokens = context_tokens

    def question(self, request: Asking, *, request_id: str, deadline_s: float | None) -> Question:
        """Reads what is asked. Raises InvalidInput naming the field."""
        prompt, messages = self._input(request)
        sampling, logprobs_top = Sampling(max_tokens=1), None
        if isinstance(request, inference_pb2.GenerateRequest):
            sampling = read_sampling(request.sampling)
            logprobs_top = request.logprobs if request.HasField("logprobs") else None
            if logprobs_top is not None and not 0 <= logprobs_top <= LOGPROBS_TOP_MAX:
                raise InvalidInput(
                    f"logprobs is {logprobs_top}; expected 0 to {LOGPROBS_TOP_MAX}",
                    field="logprobs",
                )
        return Question(
            prompt=prompt,
            messages=messages,
            sampling=sampling,
            routing=self._routing(request.routing),
            request_id=request_id,
            logprobs_top=logprobs_top,
            deadline_s=deadline_s,
        )

    def continuations(self, request: inference_pb2.ScoreRequest) -> tuple[str, ...]:
        """Reads the texts to score. Raises InvalidInput."""
        texts, limits = tuple(request.continuations), self._limits
        if not 1 <= len(texts) <= limits.continuations_max:
            raise InvalidInput(
                f"continuations has {len(texts)} texts; give 1 to {limits.continuations_max}",
                field="continuations",
            )
        for place, text in enumerate(texts):
            if not 1 <= len(text) <= limits.continuation_chars_max:
                raise InvalidInput(
                    f"continuations[{place}] has {len(text)} characters; give 1 to "
                    f"{limits.continuation_chars_max}",
                    field=f"continuations[{place}]",
                )
        return texts

    def _input(self, request: Asking) -> tuple[str | None, tuple[tuple[str, str], ...]]:
        kind = request.WhichOneof("input")
        if kind == "prompt":
            self._check_length(request.prompt, "prompt")
            if not request.prompt.strip():
                raise InvalidInput(
                    "prompt is empty; give at least one visible character", field="prompt"
                )
            return request.prompt, ()
        if kind == "conversation":
            return None, self._messages(request.conversation)
        raise InvalidInput("neither prompt nor conversation is set; set one", field="prompt")

    def _messages(self, conversation: inference_pb2.Conversation) -> tuple[tuple[str, str], ...]:
        turns = tuple((turn.role, turn.content) for turn in conversation.messages)
        field = "conversation.messages"
        if not 1 <= len(turns) <= self._limits.messages_max:
            raise InvalidInput(
                f"{field} has {len(turns)} turns; give 1 to {self._limits.messages_max}",
                field=field,
            )
        for place, (role, _) in enumerate(turns):
            if role not in ROLES:
                raise InvalidInput(
                    f"{field}[{place}].role is {role[:40]!a}; expected one of {', '.join(ROLES)}",
                    field=f"{field}[{place}].role",
                )
        self._check_length("".join(content for _, content in turns), field)
        last = f"{field}[{len(turns) - 1}]"
        if turns[-1][0] != "user":
            raise InvalidInput(
                f"{last}.role is {turns[-1][0]}; the last turn must be the user's",
                field=f"{last}.role",
            )
        if not turns[-1][1].strip():
            raise InvalidInput(
                f"{last}.content is empty; give at least one visible character",
                field=f"{last}.content",
            )
        return turns

    def _check_length(self, text: str, field: str) -> None:
        """Refuses what can never fit the context before it is tokenized."""
        if len(text) > self._prompt_chars_max:
            raise InvalidInput(
                f"{field} has {len(text)} characters; the model's context of "
                f"{self._context_tokens} tokens holds at most {self._prompt_chars_max}",
                field=field,
            )

    def _routing(self, message: inference_pb2.Routing) -> Routing:
        namespace = parse_namespace(message.namespace, field="routing.namespace")
        policy = enum_from_pb(
            inference_pb2.EditsPolicy,
            message.policy,
            "EDITS_POLICY_",
            EditsPolicy,
            EditsPolicy.AUTO,
        )
        budget = message.error_budget if message.HasField("error_budget") else None
        if budget is not None and not (math.isfinite(budget) and 0 < budget < 1):
            raise InvalidInput(
                f"routing.error_budget is {budget}; expected above 0 and below 1",
                field="routing.error_budget",
            )
        if not 0 <= message.min_sequence <= SEQUENCE_MAX:
            raise InvalidInput(
                f"routing.min_sequence is {message.min_sequence}; expected 0 or more",
                field="routing.min_sequence",
            )
        if len(message.path) > self._limits.path_chars_max:
            raise InvalidInput(
                f"routing.path has {len(message.path)} characters; a path's name has at most "
                f"{self._limits.path_chars_max}",
                field="routing.path",
            )
        return Routing(
            namespace=namespace,
            policy=policy,
            edits=self._forced(message.edits, policy, namespace),
            path=message.path,
            min_sequence=message.min_sequence,
            error_budget=budget,
        )

    def _forced(
        self, names: Sequence[str], policy: EditsPolicy, namespace: Namespace
    ) -> tuple[EditId, ...]:
        field = "routing.edits"
        if policy is not EditsPolicy.FORCE:
            if names:
                raise InvalidInput(
                    f"{field} names edits but the policy is {policy.name}; use FORCE, or name none",
                    field=field,
                )
            return ()
        if not 1 <= len(names) <= self._limits.forced_edits_max:
            raise InvalidInput(
                f"{field} names {len(names)} edits; FORCE takes 1 to "
                f"{self._limits.forced_edits_max}",
                field=field,
            )
        parsed = [parse_edit(name, field=f"{field}[{n}]") for n, name in enumerate(names)]
        for place, (of, _) in enumerate(parsed):
            if of != namespace:
                raise InvalidInput(
                    f"{field}[{place}] is an edit of namespace {of}; the request's is {namespace}",
                    field=f"{field}[{place}]",
                )
        return tuple(dict.fromkeys(edit_id for _, edit_id in parsed))


def read_sampling(message: inference_pb2.Sampling) -> Sampling:
    """Reads how tokens are chosen. Raises InvalidInput for a bad or contradicting value."""
    given = {name: getattr(message, name) for name in SAMPLING_FIELDS if message.HasField(name)}
    sampling = Sampling(stop=tuple(message.stop), **given)
    check_sampling(sampling)
    return sampling


def answer_to_pb(
    answer: Answer, engine: Engine, *, logprobs: bool, token_ids: bool
) -> inference_pb2.GenerateResponse:
    """Returns a whole answer as it travels."""
    return inference_pb2.GenerateResponse(
        text=answer.text,
        provenance=provenance_to_pb(answer.provenance),
        finish=ending_to_pb(answer.ending),
        logprobs=[token_to_pb(token, engine) for token in answer.tokens] if logprobs else (),
        token_ids=[token.token_id for token in answer.tokens] if token_ids else (),
        prompt_token_ids=answer.prompt_token_ids if token_ids else (),
    )


def delta_to_pb(
    delta: TokenDelta, engine: Engine, *, logprobs: bool, token_ids: bool
) -> inference_pb2.StreamGenerateResponse:
    """Returns new text as it travels."""
    message = inference_pb2.TextDelta(
        text=delta.text,
        logprobs=[token_to_pb(token, engine) for token in delta.tokens] if logprobs else (),
        token_ids=[token.token_id for token in delta.tokens] if token_ids else (),
    )
    return inference_pb2.StreamGenerateResponse(delta=message)


def ending_to_pb(ending: Ending) -> inference_pb2.Finish:
    """Returns how an answer ended; the reason must be one of an answer that is complete."""
    return inference_pb2.Finish(
        reason=FINISH_TO_PB[ending.reason],
        stop_match=ending.stop_match,
        usage=inference_pb2.Usage(
            prompt_tokens=ending.prompt_tokens,
            completion_tokens=ending.completion_tokens,
            cached_tokens=ending.cached_tokens,
            edit_tokens=ending.edit_tokens,
            seed=ending.seed,
        ),
        timings=timings_to_pb(ending.timings),
    )


def token_to_pb(token: EmittedToken, engine: Engine) -> inference_pb2.ChosenToken:
    """Returns a chosen token with the most probable ones at its place."""
    chosen = inference_pb2.TokenLogprob(
        token_id=token.token_id,
        text=engine.detokenize([token.token_id]),
        logprob=token.logprob if token.logprob is not None else 0.0,
    )
    top = [
        inference_pb2.TokenLogprob(token_id=other.token_id, text=other.text, logprob=other.logprob)
        for other in token.top
    ]
    return inference_pb2.ChosenToken(chosen=chosen, top=top)


def scored_to_pb(text: str, scored: ScoredContinuation, engine: Engine) -> inference_pb2.ScoredText:
    """Returns one scored continuation."""
    tokens = [
        inference_pb2.TokenLogprob(
            token_id=token_id, text=engine.detokenize([token_id]), logprob=logprob
        )
        for token_id, logprob in zip(scored.token_ids, scored.logprobs, strict=True)
    ]
    return inference_pb2.ScoredText(
        text=text, logprob=math.fsum(scored.logprobs), tokens=tokens, greedy=all(scored.greedy)
    )


def explanation_to_pb(explanation: Explanation) -> inference_pb2.ExplainRouteResponse:
    """Returns a route without a generation."""
    return inference_pb2.ExplainRouteResponse(
        provenance=provenance_to_pb(explanation.provenance),
        decoded_prompt=explanation.decoded_prompt,
        prompt_tokens=explanation.prompt_tokens,
    )
