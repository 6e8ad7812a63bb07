"""The engine that runs a causal model of transformers in this process, batching continuously.

Why not the library's own continuous batching: docs/log.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from weakref import WeakValueDictionary

import torch
from torch import Tensor

from memory.errors import InvalidInput, NotFound
from memory.record import EDITION_BASE
from runtime.engine.admission import check_request, check_room, check_tokens
from runtime.engine.contract import (
    PROMPT_FORM,
    EngineEvent,
    EngineHealth,
    EngineInfo,
    EngineRequest,
    Generation,
    ScoredContinuation,
)
from runtime.engine.editions import parameter_of, with_parameters
from runtime.engine.load import LoadedModel, load_model
from runtime.engine.loop import EngineLoop, LoopLimits
from runtime.engine.model import FrozenModel
from runtime.engine.scoring import ScoreJob
from runtime.engine.sequence import RunningGeneration
from runtime.engine.text import TextStream
from runtime.engine.tokens import TextCodec

CONTINUATIONS_MAX = 4096  # Of one scoring call.


class TransformersEngine:
    """Implements runtime.engine.contract.Engine in process; see there for what methods promise."""

    def __init__(self, loaded: LoadedModel, limits: LoopLimits) -> None:
        self._codec = TextCodec(loaded.tokenizer)
        self._eos_ids = loaded.eos_ids
        self._model = loaded.model
        self._base = FrozenModel(loaded.model)
        # Whoever uses an edition holds it; when nobody does, its matrices are gone.
        self._editions: WeakValueDictionary[int, FrozenModel] = WeakValueDictionary()
        self._editions[EDITION_BASE] = self._base
        config = loaded.model.config
        self._info = EngineInfo(
            model=loaded.name,
            model_type=config.model_type,
            fingerprint=loaded.fingerprint,
            context_tokens=loaded.context_tokens,
            vocab_size=loaded.model.get_input_embeddings().weight.shape[0],
            parameters=sum(p.numel() for p in loaded.model.parameters()),
            dtype=str(loaded.model.dtype).removeprefix("torch."),
            device=str(loaded.model.device),
            chat=self._codec.has_template,
            concurrent_max=limits.concurrent_max,
            width=loaded.model.get_input_embeddings().weight.shape[1],
            prompt_form=str(getattr(config, PROMPT_FORM, "")),
        )
        self._loop = EngineLoop(
            limits=limits,
            fingerprint=loaded.fingerprint,
            token_text=lambda token: self._codec.decode([token]),
        )

    @classmethod
    def load(
        cls,
        name_or_path: str,
        *,
        device: str = "auto",
        dtype: str = "auto",
        threads: int | None = None,
        concurrent_max: int = 16,
        queue_max: int = 128,
        prefill_tokens_max: int = 256,
        kv_tokens_max: int = 65_536,
        prefix_tokens_max: int = 16_384,
    ) -> TransformersEngine:
        """Loads a model by folder or hub name and starts the engine's thread.

        `threads` sets torch's threads for the whole process (None leaves them): the model computes
        with that many, while other users of torch, such as the sentence encoder, keep to one of
        their own; more threads than idle cores make every step slower. Raises ModelLoadError.
        """
        if threads is not None:
            torch.set_num_threads(threads)
        limits = LoopLimits(
            concurrent_max=concurrent_max,
            queue_max=queue_max,
            prefill_tokens_max=prefill_tokens_max,
            kv_tokens_max=kv_tokens_max,
            prefix_tokens_max=prefix_tokens_max,
        )
        return cls(load_model(name_or_path, device=device, dtype=dtype), limits)

    @property
    def info(self) -> EngineInfo:
        """Returns what is served. Changes nothing."""
        return self._info

    def health(self) -> EngineHealth:
        """Returns what a health probe needs, at once, whatever the model does."""
        return self._loop.health()

    def weights_for(self, edition: int) -> FrozenModel:
        """Returns the weights of an edition. Raises NotFound."""
        try:
            return self._editions[edition]
        except KeyError:
            known = ", ".join(map(str, self.editions()))
            raise NotFound(
                f"edition {edition} does not exist; known: {known}",
                resource_type="edition",
                resource_name=str(edition),
            ) from None

    def parameter(self, name: str) -> Tensor:
        """Returns a parameter of edition 0; see EditionHost."""
        return parameter_of(self._model, name)

    def add_edition(self, edition: int, parameters: Mapping[str, Tensor]) -> FrozenModel:
        """Makes an edition known for as long as what is returned is held; see EditionHost."""
        if edition == EDITION_BASE:
            raise InvalidInput("edition 0 is the model as published", field="edition")
        made = FrozenModel(with_parameters(self._model, parameters))
        self._editions[edition] = made
        return made

    def editions(self) -> tuple[int, ...]:
        """Returns the editions that requests may name now."""
        return tuple(sorted(self._editions.keys()))

    def tokenize(self, text: str) -> list[int]:
        """Returns the ids of a bare prompt, special tokens as the model's tokenizer adds them."""
        return self._codec.encode(text)

    def tokenize_continuation(self, prompt: str, continuation: str) -> tuple[list[int], list[int]]:
        """Returns the ids of a prompt and of what follows it, as the joined text has them."""
        return self._codec.encode_continuation(prompt, continuation)

    def tokenize_chat(self, messages: Sequence[tuple[str, str]]) -> list[int]:
        """Returns the ids of (role, content) turns with the opening of the assistant's turn."""
        return self._codec.encode_chat(messages)

    def detokenize(self, token_ids: Sequence[int]) -> str:
        """Returns the text of ids, special tokens left out."""
        check_ids = [token for token in token_ids if not 0 <= token < self._info.vocab_size]
        if check_ids:
            raise InvalidInput(
                f"token id {check_ids[0]} is unknown; expected 0 to {self._info.vocab_size - 1}"
            )
        return self._codec.decode(token_ids)

    def start(self, request: EngineRequest, deliver: Callable[[EngineEvent], None]) -> Generation:
        """Queues a generation; see the contract."""
        check_request(request, self._info)
        weights = self.weights_for(request.edition)
        generation = RunningGeneration(
            request,
            deliver,
            text=TextStream(self._codec.decode, self._codec.open_ids),
            eos_ids=self._eos_ids,
            wake=self._loop.wake,
            weights=weights,
        )
        self._loop.submit(generation)
        return generation

    def score(
        self, prompt_tokens: Sequence[int], continuations: Sequence[Sequence[int]], edition: int = 0
    ) -> list[ScoredContinuation]:
        """Scores each continuation after the prompt; see the contract."""
        info = self._info
        weights = self.weights_for(edition)
        check_room(len(prompt_tokens), 0, info.context_tokens)
        check_tokens(prompt_tokens, info.vocab_size, field="prompt")
        if len(continuations) > CONTINUATIONS_MAX:
            raise InvalidInput(
                f"{len(continuations)} continuations were given; expected at most"
                f" {CONTINUATIONS_MAX}",
                field="continuations",
            )
        for place, tokens in enumerate(continuations):
            check_room(len(prompt_tokens), len(tokens), info.context_tokens)
            if tokens:
                check_tokens(tokens, info.vocab_size, field=f"continuations[{place}]")
        job = ScoreJob(prompt_tokens, continuations, model=weights, vocab_size=info.vocab_size)
        self._loop.submit_score(job)
        return job.result.result()

    def close(self, grace_s: float = 0.0) -> None:
        """Refuses new work, lets running work finish for `grace_s` seconds, cancels the rest."""
        self._loop.close(grace_s)
