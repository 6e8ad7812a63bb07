"""Several editions at once: each answers as its own checkpoint would; edition 0 stays untouched."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from memory.errors import InvalidInput, NotFound
from runtime.engine.contract import (
    EngineEvent,
    EngineRequest,
    Failed,
    Finished,
    Sampling,
    TokenDelta,
)
from runtime.engine.editions import parameter_of, with_parameters
from runtime.engine.transformers_engine import TransformersEngine
from runtime.sites import FAMILIES, sites_of
from tests.tiny_models import (
    FAMILIES as TINY,
)
from tests.tiny_models import (
    load_reference,
    near_tie,
    random_prompt,
    reference,
)

MAX_TOKENS = 12


class Receiver:
    """Collects the tokens of one generation."""

    def __init__(self) -> None:
        self.tokens: list[int] = []
        self.error: Exception | None = None
        self.ended = threading.Event()

    def __call__(self, event: EngineEvent) -> None:
        if isinstance(event, TokenDelta):
            self.tokens += [emitted.token_id for emitted in event.tokens]
        elif isinstance(event, Failed):
            self.error = event.error
        if isinstance(event, Failed | Finished):
            self.ended.set()

    def result(self) -> list[int]:
        assert self.ended.wait(60)
        assert self.error is None
        return self.tokens


def ask(prompt: tuple[int, ...], edition: int = 0, **more: Any) -> EngineRequest:
    sampling = Sampling(max_tokens=MAX_TOKENS, ignore_eos=True)
    return EngineRequest(
        request_id="r", prompt_tokens=prompt, sampling=sampling, edition=edition, **more
    )


def answer(engine: TransformersEngine, prompt: tuple[int, ...], edition: int = 0) -> list[int]:
    receiver = Receiver()
    engine.start(ask(prompt, edition), receiver)
    return receiver.result()


def expected(model: Any, prompt: tuple[int, ...]) -> Any:
    """What the model's own `generate` says, end of text or not, as the requests ask."""
    return reference(model, prompt, MAX_TOKENS, eos_token_id=-1)


def changed(model: Any, seed: int) -> dict[str, Tensor]:
    """A change of both MLP output projections, as parameters."""
    sites = sites_of(model)
    generator = torch.Generator().manual_seed(seed)
    names = [f"{sites.mlp_out(layer)}.weight" for layer in range(sites.layers)]
    made = {}
    for name in names:
        own = parameter_of(model, name)
        made[name] = own + 0.5 * torch.randn(own.shape, generator=generator)
    return made


def bits(model: Any) -> dict[str, bytes]:
    return {name: tensor.numpy().tobytes() for name, tensor in model.state_dict().items()}


@pytest.fixture
def engine(tiny_folder: Callable[[str], Path]) -> Iterator[TransformersEngine]:
    made = TransformersEngine.load(str(tiny_folder("llama")), device="cpu")
    yield made
    made.close()


@pytest.mark.parametrize("family", sorted(set(FAMILIES) & set(TINY)))
def test_an_edition_answers_as_a_checkpoint_with_its_matrices(
    tiny_folder: Callable[[str], Path], family: str
) -> None:
    base, edited = (load_reference(tiny_folder(family)) for _ in range(2))
    parameters = changed(base, seed=3)
    before = bits(base)
    other = with_parameters(base, parameters)
    with torch.no_grad():
        for name, tensor in parameters.items():
            edited.get_parameter(name).copy_(tensor)
    for seed in range(3):
        prompt = random_prompt(seed, 7 + seed)
        assert expected(edited, prompt).tokens == expected(other, prompt).tokens
        ids = torch.tensor([prompt])
        assert torch.equal(edited(ids).logits, other(ids).logits)
        assert not torch.equal(base(ids).logits, other(ids).logits)
    assert before == bits(base)
    assert bits(edited) == bits(other)


def test_only_the_touched_matrices_exist_twice(tiny_reference: Any) -> None:
    parameters = changed(tiny_reference, seed=1)
    other = with_parameters(tiny_reference, parameters)
    own = {name: tensor.data_ptr() for name, tensor in tiny_reference.named_parameters()}
    theirs = {name: tensor.data_ptr() for name, tensor in other.named_parameters()}
    differing = {name for name, place in own.items() if theirs[name] != place}
    assert differing == set(parameters)


def test_rows_of_several_editions_share_the_engine_and_never_mix(
    engine: TransformersEngine, tiny_reference: Any
) -> None:
    changes = {edition: changed(tiny_reference, seed=edition) for edition in (1, 2)}
    held = [engine.add_edition(edition, one) for edition, one in changes.items()]
    models = {0: tiny_reference}
    models |= {edition: with_parameters(tiny_reference, one) for edition, one in changes.items()}
    assert engine.editions() == (0, 1, 2)
    asked = [(n % 3, random_prompt(n, 4 + n % 5)) for n in range(18)]
    receivers = [Receiver() for _ in asked]
    for (edition, prompt), receiver in zip(asked, receivers, strict=True):
        engine.start(ask(prompt, edition), receiver)
    for (edition, prompt), receiver in zip(asked, receivers, strict=True):
        near_tie(expected(models[edition], prompt), receiver.result())
    assert len(held) == 2


def test_a_shared_prefix_is_kept_for_each_edition_apart(
    engine: TransformersEngine, tiny_reference: Any
) -> None:
    parameters = changed(tiny_reference, seed=1)
    held = engine.add_edition(1, parameters)
    prompt = random_prompt(5, 20)
    for edition in (0, 1, 0, 1):
        receiver = Receiver()
        engine.start(ask(prompt, edition, prefix_tokens=12), receiver)
        model = with_parameters(tiny_reference, parameters) if edition else tiny_reference
        near_tie(expected(model, prompt), receiver.result())
    assert held is not None


def test_scores_are_those_of_the_edition(engine: TransformersEngine, tiny_reference: Any) -> None:
    held = engine.add_edition(1, changed(tiny_reference, seed=1))
    prompt, tokens = random_prompt(1, 6), random_prompt(2, 3)
    own, theirs = (engine.score(prompt, [tokens], edition)[0] for edition in (0, 1))
    assert own.logprobs != theirs.logprobs
    model = with_parameters(tiny_reference, changed(tiny_reference, seed=1))
    logits = model(torch.tensor([[*prompt, *tokens]])).logits[0, len(prompt) - 1 : -1]
    exact = logits.log_softmax(-1).gather(1, torch.tensor(tokens)[:, None])[:, 0]
    assert theirs.logprobs == pytest.approx(exact.tolist(), abs=1e-4)
    assert held is not None


def test_running_answers_keep_their_edition_and_nobody_else_does(
    engine: TransformersEngine, tiny_reference: Any
) -> None:
    parameters = changed(tiny_reference, seed=1)
    held = engine.add_edition(1, parameters)
    prompt = random_prompt(1, 6)
    first, go_on = threading.Event(), threading.Event()
    receiver = Receiver()

    def deliver(event: EngineEvent) -> None:
        receiver(event)
        if not first.is_set():
            first.set()
            go_on.wait(60)

    engine.start(ask(prompt, 1), deliver)
    assert first.wait(60)
    del held  # The edition is left while the answer stands after its first token.
    assert engine.editions() == (0, 1)
    go_on.set()
    near_tie(expected(with_parameters(tiny_reference, parameters), prompt), receiver.result())
    answer(engine, prompt)  # A turn later the ended generation is forgotten.
    gc.collect()
    assert engine.editions() == (0,)
    with pytest.raises(NotFound, match="edition 1 does not exist; known: 0"):
        answer(engine, prompt, 1)


def test_editions_come_and_go_under_load_without_touching_an_answer(
    engine: TransformersEngine, tiny_reference: Any
) -> None:
    """Adding is done beside the step thread, so that every answer of edition 0 is as before."""
    prompts = [random_prompt(n, 5) for n in range(6)]
    wanted = [expected(tiny_reference, prompt) for prompt in prompts]
    receivers = []
    for turn in range(8):
        held = engine.add_edition(turn + 1, changed(tiny_reference, seed=turn))
        for prompt in prompts:
            receivers.append(Receiver())
            engine.start(ask(prompt), receivers[-1])
        engine.start(ask(prompts[0], turn + 1), Receiver())
        assert held is not None
    for place, receiver in enumerate(receivers):
        near_tie(wanted[place % len(prompts)], receiver.result())


@pytest.mark.parametrize(
    ("name", "shape", "said"),
    [
        ("model.layers.7.mlp.down_proj.weight", (32, 48), "no parameter"),
        ("model.layers.0.mlp.down_proj.weight", (48, 32), r"\(32, 48\) in the model"),
    ],
)
def test_a_change_for_another_model_is_refused(
    engine: TransformersEngine, name: str, shape: tuple[int, int], said: str
) -> None:
    with pytest.raises(InvalidInput, match=said):
        engine.add_edition(1, {name: torch.zeros(shape)})
    assert engine.editions() == (0,)


def test_edition_0_and_tied_weights_cannot_be_replaced(
    engine: TransformersEngine, tiny_folder: Callable[[str], Path]
) -> None:
    with pytest.raises(InvalidInput, match="edition 0"):
        engine.add_edition(0, {})
    tied = load_reference(tiny_folder("gpt2"))
    with pytest.raises(InvalidInput, match=r"lm_head.weight is tied to transformer.wte.weight"):
        with_parameters(tied, {"lm_head.weight": tied.lm_head.weight})
