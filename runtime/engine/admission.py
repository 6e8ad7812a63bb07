"""What an engine refuses before any work is done: sampling values, token ids, room in the context.

Pure and free of torch, so that every engine (and the fake of the tests) refuses alike. Checks are
cheap: none costs more than one pass over the prompt's ids.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from memory.errors import ContextTooLong, InvalidInput
from runtime.engine.contract import EngineInfo, EngineRequest, Sampling

TEMPERATURE_MAX = 100.0
REPETITION_PENALTY_MAX = 10.0
SEED_MAX = 2**63 - 1
STOP_COUNT_MAX = 16
STOP_CHARACTERS_MAX = 256
LOGPROBS_TOP_MAX = 20


def check_request(request: EngineRequest, info: EngineInfo) -> None:
    """Raises InvalidInput or ContextTooLong for a request that this engine cannot run."""
    check_sampling(request.sampling)
    check_tokens(request.prompt_tokens, info.vocab_size, field="prompt")
    check_room(len(request.prompt_tokens), request.sampling.max_tokens, info.context_tokens)
    top = request.logprobs_top
    if top is not None and not (_is_int(top) and 0 <= top <= LOGPROBS_TOP_MAX):
        raise InvalidInput(
            f"logprobs is {top!r}; expected 0 to {LOGPROBS_TOP_MAX} alternatives, or none",
            field="logprobs",
        )
    if not 0 <= request.prefix_tokens <= len(request.prompt_tokens):
        raise InvalidInput(
            f"prefix_tokens is {request.prefix_tokens}; expected 0 to the prompt's"
            f" {len(request.prompt_tokens)} tokens",
            field="prefix_tokens",
        )


def check_sampling(sampling: Sampling) -> None:
    """Raises InvalidInput naming the first field out of its range, or a contradiction."""
    if not _is_int(sampling.max_tokens) or sampling.max_tokens < 1:
        raise _refusal("max_tokens", sampling.max_tokens, "a whole number of at least 1")
    _check_range(
        "temperature", sampling.temperature, low=0.0, high=TEMPERATURE_MAX, expected="0 to 100"
    )
    _check_range("top_p", sampling.top_p, low=0.0, high=1.0, expected="above 0, at most 1")
    if sampling.top_p == 0.0:
        raise _refusal("top_p", sampling.top_p, "above 0, at most 1")
    if not _is_int(sampling.top_k) or not 0 <= sampling.top_k < 2**31:
        raise _refusal("top_k", sampling.top_k, "a whole number of at least 0 (0 turns it off)")
    _check_range("min_p", sampling.min_p, low=0.0, high=1.0, expected="0 to below 1")
    if sampling.min_p == 1.0:
        raise _refusal("min_p", sampling.min_p, "0 to below 1")
    penalty = sampling.repetition_penalty
    expected = f"above 0, at most {REPETITION_PENALTY_MAX:g} (1 turns it off)"
    _check_range(
        "repetition_penalty", penalty, low=0.0, high=REPETITION_PENALTY_MAX, expected=expected
    )
    if penalty < 1e-3:  # Division by it would overflow float32 logits.
        raise _refusal("repetition_penalty", penalty, expected)
    if sampling.seed is not None and not (
        _is_int(sampling.seed) and 0 <= sampling.seed <= SEED_MAX
    ):
        raise _refusal("seed", sampling.seed, f"a whole number from 0 to {SEED_MAX}")
    _check_stop(sampling.stop)
    _check_contradictions(sampling)


def check_tokens(tokens: Sequence[int], vocab_size: int, *, field: str) -> None:
    """Raises InvalidInput when there is no token, or one that the model does not know."""
    if not tokens:
        raise InvalidInput(f"{field} is empty; expected at least one token", field=field)
    for place, token in enumerate(tokens):
        if not _is_int(token) or not 0 <= token < vocab_size:
            raise InvalidInput(
                f"{field} token {place} is {token!r}; expected an id from 0 to {vocab_size - 1}",
                field=field,
            )


def check_room(prompt_tokens: int, new_tokens: int, context_tokens: int) -> None:
    """Raises ContextTooLong, with the numbers, when prompt and answer do not fit the context."""
    if prompt_tokens >= context_tokens:
        raise ContextTooLong(
            f"the prompt has {prompt_tokens} tokens; the model's context holds {context_tokens},"
            " the answer included; shorten the prompt",
            given=prompt_tokens,
            limit=context_tokens,
        )
    if prompt_tokens + new_tokens > context_tokens:
        raise ContextTooLong(
            f"the prompt has {prompt_tokens} tokens and max_tokens is {new_tokens}; the model's"
            f" context holds {context_tokens}; ask for at most {context_tokens - prompt_tokens}",
            given=prompt_tokens + new_tokens,
            limit=context_tokens,
            field="sampling.max_tokens",
        )


def _check_range(field: str, value: float, *, low: float, high: float, expected: str) -> None:
    """Raises InvalidInput unless `value` is a finite number in [low, high]."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _refusal(field, value, expected)
    if not math.isfinite(value) or not low <= value <= high:
        raise _refusal(field, value, expected)


def _check_stop(stop: tuple[str, ...]) -> None:
    """Raises InvalidInput for too many, empty or oversized stop strings."""
    if len(stop) > STOP_COUNT_MAX:
        raise InvalidInput(
            f"{len(stop)} stop strings were given; expected at most {STOP_COUNT_MAX}",
            field="sampling.stop",
        )
    for place, text in enumerate(stop):
        if not isinstance(text, str) or not 1 <= len(text) <= STOP_CHARACTERS_MAX:
            raise InvalidInput(
                f"stop string {place} has {len(text)} characters; expected 1 to"
                f" {STOP_CHARACTERS_MAX}",
                field=f"sampling.stop[{place}]",
            )


def _check_contradictions(sampling: Sampling) -> None:
    """Raises InvalidInput for values that only make sense when sampling, with temperature 0."""
    if sampling.temperature > 0:
        return
    asked = {
        "top_p": sampling.top_p != 1.0,
        "top_k": sampling.top_k > 1,  # The single best token is what greedy takes.
        "min_p": sampling.min_p != 0.0,
    }
    for field, given in asked.items():
        if given:
            raise InvalidInput(
                f"{field} is {getattr(sampling, field)} but temperature is 0, which always takes"
                f" the most probable token; raise temperature or leave {field} out",
                field=f"sampling.{field}",
            )


def _is_int(value: object) -> bool:
    """Whether `value` is a whole number (True and False are not)."""
    return isinstance(value, int) and not isinstance(value, bool)


def _refusal(field: str, value: object, expected: str) -> InvalidInput:
    """Returns the error for one sampling field."""
    return InvalidInput(f"{field} is {value!r}; expected {expected}", field=f"sampling.{field}")
