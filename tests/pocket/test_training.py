"""The training network is Llama, its head's loss is cross-entropy, and a run resumes exactly."""

import argparse
import time
from pathlib import Path

import pytest
import torch
import torch.nn.functional as functional
from transformers import PreTrainedTokenizerFast

from pocket.corpus import Corpus
from pocket.export import export, to_llama
from pocket.network import Network, Shape
from pocket.train import SHAPES, Run
from runtime.engine.transformers_engine import TransformersEngine

SHAPE = Shape(3000, 32, 2, 2, 48)


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SHAPES, "nano", SHAPE)


def test_network_computes_what_llama_computes(tokenizer: PreTrainedTokenizerFast) -> None:
    network = Network(SHAPE)
    tokens = torch.randint(0, SHAPE.vocabulary, (3, 17))
    with torch.inference_mode():
        ours = network.hidden(tokens) @ network.embedding.weight.T
        theirs = to_llama(network, tokenizer)(tokens).logits
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-4)


def test_llama_state_comes_back_unchanged() -> None:
    network, other = Network(SHAPE, seed=1), Network(SHAPE, seed=2)
    other.load_llama_state(network.llama_state())
    for left, right in zip(network.parameters(), other.parameters(), strict=True):
        assert torch.equal(left, right)


def test_head_loss_and_gradients_are_cross_entropy() -> None:
    network = Network(SHAPE)
    tokens = torch.randint(0, SHAPE.vocabulary, (40, 9))
    where = torch.arange(360).view(40, 9)[:, 1:].flatten()
    weights = torch.rand(len(where))
    torch.autograd.backward(network.loss(tokens, where, weights)[0])
    fused = [p.grad.clone() for p in network.parameters() if p.grad is not None]
    network.zero_grad()
    logits = network.hidden(tokens).flatten(0, 1)[where - 1] @ network.embedding.weight.T
    losses = functional.cross_entropy(logits, tokens.flatten()[where], reduction="none")
    torch.autograd.backward((losses * weights).sum())
    for left, parameter in zip(fused, network.parameters(), strict=True):
        torch.testing.assert_close(left, parameter.grad, atol=1e-4, rtol=1e-3)


def test_resumed_run_equals_an_unbroken_one(arguments: argparse.Namespace, corpus: Corpus) -> None:
    unbroken = Run(arguments, corpus)
    for _ in range(4):
        unbroken.train_step()
    broken = Run(arguments, corpus)
    for _ in range(2):
        broken.train_step()
    broken.save()
    resumed = Run(arguments, corpus)
    resumed.restore()
    for _ in range(2):
        resumed.train_step()
    assert unbroken.step == resumed.step
    for left, right in zip(
        unbroken.network.parameters(), resumed.network.parameters(), strict=True
    ):
        assert torch.equal(left, right)


def test_decay_now_starts_the_decay_at_once(arguments: argparse.Namespace, corpus: Corpus) -> None:
    arguments.steps = 100
    run = Run(arguments, corpus)
    run.step = 5
    (arguments.out / "decay_now").touch()
    run.obey()
    assert run.decay_from == 5
    run.step = 5 + run.decay_steps
    assert run.rate() == 0.0


def test_export_is_replaced_whole(tmp_path: Path, tokenizer: PreTrainedTokenizerFast) -> None:
    folder = tmp_path / "base"
    export(Network(SHAPE), tokenizer, folder)
    export(Network(SHAPE, seed=3), tokenizer, folder)
    assert [folder] == [path for path in tmp_path.iterdir() if path.is_dir()]
    assert (folder / "model.safetensors").exists()
    assert "chat_template.jinja" in {path.name for path in folder.iterdir()}


def test_an_export_tells_the_server_how_its_prompts_looked(
    tmp_path: Path, tokenizer: PreTrainedTokenizerFast
) -> None:
    told: list[str] = []
    for form in ("", "some notes"):
        export(Network(SHAPE), tokenizer, tmp_path / "model", prompt_form=form)
        engine = TransformersEngine.load(str(tmp_path / "model"), device="cpu")
        told.append(engine.info.prompt_form)
        engine.close()
    assert ["", "some notes"] == told


def test_decay_until_ends_the_run_by_the_clock(
    arguments: argparse.Namespace, corpus: Corpus
) -> None:
    arguments.steps = 1000
    run = Run(arguments, corpus)
    run.step = 200
    (arguments.out / "decay_until").write_text(str(time.time() + 100))
    run.obey()
    assert run.rate() == 1.0
    (arguments.out / "decay_until").write_text(str(time.time() + 50))
    run.obey()
    assert 0.4 < run.rate() < 0.6
    (arguments.out / "decay_until").write_text("0")
    run.obey()
    assert run.over()


def test_a_run_whose_decay_was_taken_back_goes_on_at_the_full_rate(
    arguments: argparse.Namespace, corpus: Corpus
) -> None:
    arguments.steps = 1000
    run = Run(arguments, corpus)
    run.step = 200
    until = arguments.out / "decay_until"
    until.write_text("0")
    run.obey()
    run.save()
    until.unlink()
    continued = Run(arguments, corpus)
    continued.restore()
    continued.obey()
    assert (1.0, False) == (continued.rate(), continued.over())
    until.write_text(str(time.time() + 60))
    continued.obey()
    assert continued.rate() == 1.0
