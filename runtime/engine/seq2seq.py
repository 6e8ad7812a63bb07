"""The engine of encoder-decoder models (T5, BART): one answer at a time, in the order asked.

It serves the counterfactual path, whose models are small, so it does not batch. The encoder reads
the prompt; what is generated or scored is the decoder's own text and begins afresh. Sampling, stop
strings, log-probabilities, deadlines and cancelling are those of the causal engine.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from transformers import AutoModelForSeq2SeqLM

from memory.errors import EngineFailure, InvalidInput, NotFound, Overloaded, Unavailable
from runtime.engine.admission import check_request, check_room, check_tokens
from runtime.engine.contract import (
    EmittedToken,
    EngineEvent,
    EngineHealth,
    EngineInfo,
    EngineRequest,
    FinishReason,
    Generation,
    ScoredContinuation,
    TokenLogprob,
)
from runtime.engine.load import LoadedModel, load_model
from runtime.engine.sampling import Sampler, choose, logprobs
from runtime.engine.scoring import read_scores
from runtime.engine.sequence import RunningGeneration
from runtime.engine.text import TextStream
from runtime.engine.tokens import TextCodec

JOIN_S = 30.0  # How long close() waits for the step in progress.
RETRY_S = 1.0


@dataclass
class _Scoring:
    """One call of score(), waiting for its turn."""

    prompt: tuple[int, ...]
    continuations: tuple[tuple[int, ...], ...]
    result: Future[list[ScoredContinuation]] = field(default_factory=Future)


class EncoderDecoder:
    """An encoder-decoder model's forward passes. Used by one thread at a time."""

    def __init__(self, model: Any) -> None:
        self._model = model
        settings, config = model.generation_config, model.config
        start = settings.decoder_start_token_id
        start = config.decoder_start_token_id if start is None else start
        forced = getattr(settings, "forced_bos_token_id", None)
        self.opening: tuple[int, ...] = (int(start),) if forced is None else (int(start), forced)

    def read(self, prompt: Sequence[int]) -> dict[str, Any]:
        """Returns what the encoder makes of a prompt, as the decoder takes it."""
        ids = torch.tensor([list(prompt)], device=self._model.device)
        mask = torch.ones_like(ids)
        outputs = self._model.get_encoder()(input_ids=ids, attention_mask=mask, return_dict=True)
        return {"encoder_outputs": outputs, "attention_mask": mask}

    def write(self, read: dict[str, Any], tokens: Sequence[int], past: Any) -> tuple[Tensor, Any]:
        """Appends tokens; returns logits (q, V) float32 after each of them, and the cache."""
        ids = torch.tensor([list(tokens)], device=self._model.device)
        output = self._model(
            **read, decoder_input_ids=ids, past_key_values=past, use_cache=True, return_dict=True
        )
        return output.logits[0].float(), output.past_key_values


class Seq2SeqEngine:
    """Implements runtime.engine.contract.Engine for encoder-decoder models; see there."""

    def __init__(self, loaded: LoadedModel, *, queue_max: int = 128) -> None:
        self._codec = TextCodec(loaded.tokenizer)
        self._eos_ids = loaded.eos_ids
        self._model = EncoderDecoder(loaded.model)
        self._queue_max = queue_max
        self._info = EngineInfo(
            model=loaded.name,
            model_type=loaded.model.config.model_type,
            fingerprint=loaded.fingerprint,
            context_tokens=loaded.context_tokens,
            vocab_size=loaded.model.get_input_embeddings().weight.shape[0],
            parameters=sum(p.numel() for p in loaded.model.parameters()),
            dtype=str(loaded.model.dtype).removeprefix("torch."),
            device=str(loaded.model.device),
            chat=self._codec.has_template,
            concurrent_max=1,
        )
        self._waiting: deque[RunningGeneration | _Scoring] = deque()
        self._changed = threading.Condition()
        self._closing = False
        self._aborting = False
        self._running: RunningGeneration | _Scoring | None = None
        self._last_step_s = time.monotonic()
        self._thread = threading.Thread(target=self._run, name="engine-seq2seq", daemon=True)
        self._thread.start()

    @classmethod
    def load(
        cls, name_or_path: str, *, device: str = "auto", dtype: str = "auto", queue_max: int = 128
    ) -> Seq2SeqEngine:
        """Loads a model by folder or hub name. Raises ModelLoadError."""
        loaded = load_model(
            name_or_path, device=device, dtype=dtype, architecture=AutoModelForSeq2SeqLM
        )
        return cls(loaded, queue_max=queue_max)

    @property
    def info(self) -> EngineInfo:
        """Returns what is served. Changes nothing."""
        return self._info

    def health(self) -> EngineHealth:
        """Returns counts and the age of the last step. Never waits for the model."""
        busy = self._running is not None
        return EngineHealth(
            alive=self._thread.is_alive(),
            running=int(busy),
            waiting=len(self._waiting),
            last_step_age_s=time.monotonic() - self._last_step_s if busy else 0.0,
        )

    def tokenize(self, text: str) -> list[int]:
        """Returns the ids that the encoder reads."""
        return self._codec.encode(text)

    def tokenize_continuation(self, prompt: str, continuation: str) -> tuple[list[int], list[int]]:
        """Returns the encoder's ids of the prompt and the decoder's of a text of its own.

        The two are never one text, so nothing straddles their border, and the blank that sets a
        continuation off from a prompt falls away.
        """
        written = self._codec.encode_plain(continuation.lstrip())
        return self._codec.encode(prompt), written

    def tokenize_chat(self, messages: Sequence[tuple[str, str]]) -> list[int]:
        """Returns the ids of (role, content) turns with the opening of the assistant's turn."""
        return self._codec.encode_chat(messages)

    def detokenize(self, token_ids: Sequence[int]) -> str:
        """Returns the text of ids, special tokens left out."""
        unknown = [token for token in token_ids if not 0 <= token < self._info.vocab_size]
        if unknown:
            raise InvalidInput(
                f"token id {unknown[0]} is unknown; expected 0 to {self._info.vocab_size - 1}"
            )
        return self._codec.decode(token_ids)

    def start(self, request: EngineRequest, deliver: Callable[[EngineEvent], None]) -> Generation:
        """Queues a generation; see the contract."""
        check_request(request, self._info)
        _check_edition(request.edition)
        generation = RunningGeneration(
            request,
            deliver,
            text=TextStream(self._codec.decode, self._codec.open_ids),
            eos_ids=self._eos_ids,
            wake=self._wake,
        )
        # As in transformers, the penalty is over what the decoder wrote, not what was read.
        generation.sampler = Sampler(request.sampling, self._model.opening, request.answer_tokens)
        self._submit(generation)
        return generation

    def score(
        self, prompt_tokens: Sequence[int], continuations: Sequence[Sequence[int]], edition: int = 0
    ) -> list[ScoredContinuation]:
        """Scores each text as the decoder's whole answer so far; see the contract."""
        _check_edition(edition)
        check_tokens(prompt_tokens, self._info.vocab_size, field="prompt")
        for place, tokens in enumerate(continuations):
            check_room(len(prompt_tokens), len(tokens), self._info.context_tokens)
            if tokens:
                check_tokens(tokens, self._info.vocab_size, field=f"continuations[{place}]")
        job = _Scoring(tuple(prompt_tokens), tuple(tuple(tokens) for tokens in continuations))
        self._submit(job)
        return job.result.result()

    def close(self, grace_s: float = 0.0) -> None:
        """Refuses new work, lets running work finish for `grace_s` seconds, cancels the rest."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
            self._changed.wait_for(self._is_idle, timeout=grace_s)
            self._aborting = True
            self._changed.notify_all()
        if threading.current_thread() is not self._thread:
            self._thread.join(JOIN_S)

    def _is_idle(self) -> bool:
        return self._running is None and not self._waiting

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def _submit(self, job: RunningGeneration | _Scoring) -> None:
        with self._changed:
            if self._closing:
                raise Unavailable("the engine is closing; ask another server", reason="DRAINING")
            if len(self._waiting) >= self._queue_max:
                raise Overloaded(
                    f"{len(self._waiting)} requests wait for the model already, the most it"
                    " queues; retry later",
                    retry_after_s=RETRY_S,
                )
            self._waiting.append(job)
            self._changed.notify_all()

    def _run(self) -> None:
        """Takes one job after another until closed. The thread's body."""
        with torch.inference_mode():
            while (job := self._next()) is not None:
                if isinstance(job, _Scoring):
                    self._score(job)
                else:
                    self._generate(job)
                with self._changed:
                    self._running = None
                    self._changed.notify_all()
        for left in self._waiting:
            if isinstance(left, _Scoring):
                left.result.set_exception(Unavailable("the engine was closed", reason="DRAINING"))
            else:
                left.finish(FinishReason.CANCELLED)
        self._waiting.clear()

    def _next(self) -> RunningGeneration | _Scoring | None:
        """Waits for a job; None when the thread must end."""
        with self._changed:
            while not self._aborting:
                self._end_overdue()
                if self._waiting:
                    self._running = self._waiting.popleft()
                    self._last_step_s = time.monotonic()
                    return self._running
                if self._closing:
                    break
                self._changed.wait()
            return None

    def _end_overdue(self) -> None:
        """Ends what waits and was cancelled or is past its deadline; the caller holds the lock."""
        for job in list(self._waiting):
            if isinstance(job, RunningGeneration):
                reason = job.overdue(time.monotonic())
                if reason is not None:
                    job.finish(reason)
                    self._waiting.remove(job)

    def _generate(self, generation: RunningGeneration) -> None:
        """Writes one answer; whatever fails is this request's."""
        try:
            generation.note_prefill()
            read = self._model.read(generation.request.prompt_tokens)
            fed, past = self._model.opening, None
            while not generation.ended:
                reason = generation.overdue(time.monotonic())
                if self._aborting or reason is not None:
                    generation.finish(reason or FinishReason.CANCELLED)
                    return
                logits, past = self._model.write(read, fed, past)
                self._emit(generation, logits[-1:])
                fed = tuple(generation.tokens[-1:])
                self._last_step_s = time.monotonic()
                with self._changed:
                    self._end_overdue()
        except Exception as error:  # noqa: BLE001  # Whatever it is, it is this request's.
            generation.fail(error)

    def _emit(self, generation: RunningGeneration, logits: Tensor) -> None:
        """Chooses a token by `logits` (1, V) and hands it over."""
        token = choose(logits, [generation.sampler])[0]
        if token is None:
            raise EngineFailure(
                f"the model gave request {generation.request.request_id!r} logits that are not"
                " finite numbers; check the weights and the dtype"
            )
        top = generation.request.logprobs_top
        if top is None:
            generation.accept(EmittedToken(token_id=token))
            return
        own, best = logprobs(logits, [token], top)[0]
        others = tuple(
            TokenLogprob(token_id=other, text=self._codec.decode([other]), logprob=value)
            for other, value in best
        )
        generation.accept(EmittedToken(token_id=token, logprob=own, top=others))

    def _score(self, job: _Scoring) -> None:
        """Scores one call's texts, one after another."""
        try:
            read, opening = self._model.read(job.prompt), self._model.opening
            scored = []
            for tokens in job.continuations:
                logits, _ = self._model.write(read, (*opening, *tokens[:-1]), None)
                scored.append(read_scores(logits[len(opening) - 1 :], tokens))
                self._last_step_s = time.monotonic()
            job.result.set_result(scored)
        except Exception as error:  # noqa: BLE001  # Whatever it is, it is this call's.
            failure = EngineFailure(f"scoring failed: {type(error).__name__}: {error}")
            failure.__cause__ = error
            job.result.set_exception(failure)


def _check_edition(edition: int) -> None:
    """Raises NotFound: these weights are never edited."""
    if edition != 0:
        raise NotFound(
            f"edition {edition} does not exist; known: 0",
            resource_type="edition",
            resource_name=str(edition),
        )
