"""The counterfactual trainer: a cut tokenizer that still reads, a start from the base, resuming."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest
import torch
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from pocket import counterfactual_train
from pocket.counterfactual_train import cut_tokenizer, lower_part, start
from pocket.export import export
from pocket.network import Network, Shape
from pocket.templates import ASSISTANT, SYSTEM, USER
from runtime.paths.notes import CLAIM_NOTES

SHAPE = Shape(3000, 32, 4, 2, 48)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory, tokenizer: PreTrainedTokenizerFast) -> Path:
    folder = tmp_path_factory.mktemp("base") / "base"
    shape = Shape(len(tokenizer), 32, 4, 2, 48)
    export(Network(shape, seed=3), tokenizer, folder)
    return folder


@pytest.fixture
def given(arguments: argparse.Namespace, base: Path) -> argparse.Namespace:
    arguments.base = base
    return arguments


def test_a_cut_tokenizer_spells_what_it_has_no_entry_for(
    tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    text = f"{SYSTEM} New Fact: naïve 東京 Darrieux{USER} who?{ASSISTANT}"
    cut_tokenizer(tokenizer, 500).save_pretrained(tmp_path)
    cut = AutoTokenizer.from_pretrained(tmp_path)
    ids = cut.backend_tokenizer.encode(text, add_special_tokens=False).ids
    assert 500 == len(cut)
    assert max(ids) < 500
    assert text == cut.decode(ids)
    for name in ("bos_token_id", "eos_token_id", "pad_token_id", "chat_template"):
        assert getattr(tokenizer, name) == getattr(cut, name)
    turns = [{"role": "user", "content": "hi"}]
    assert tokenizer.apply_chat_template(turns, tokenize=False) == cut.apply_chat_template(
        turns, tokenize=False
    )


def test_a_cut_that_keeps_everything_changes_nothing(tokenizer: PreTrainedTokenizerFast) -> None:
    text = "The mother tongue of Ann Lark is"
    whole = cut_tokenizer(tokenizer, len(tokenizer))
    assert tokenizer.encode(text) == whole.encode(text)


def test_the_model_begins_as_layers_of_the_base() -> None:
    whole = Network(SHAPE, seed=1)
    part = lower_part(whole, (0, 3), 500)
    assert (2, 500) == (part.shape.layers, part.shape.vocabulary)
    assert torch.equal(whole.embedding.weight[:500], part.embedding.weight)
    assert torch.equal(whole.blocks[3].qkv.weight, part.blocks[1].qkv.weight)
    assert torch.equal(whole.norm.weight, part.norm.weight)
    tokens = torch.randint(0, 500, (2, 9))
    every = lower_part(whole, (0, 1, 2, 3), 500)
    torch.testing.assert_close(whole.hidden(tokens), every.hidden(tokens))


def test_an_added_layer_changes_nothing_until_it_is_trained() -> None:
    whole = Network(SHAPE, seed=1)
    grown = lower_part(whole, (0, 1, 2, 3), SHAPE.vocabulary, added=1)
    assert 5 == len(grown.blocks)
    tokens = torch.randint(0, SHAPE.vocabulary, (2, 9))
    torch.testing.assert_close(whole.hidden(tokens), grown.hidden(tokens))


def test_a_run_of_the_added_layer_alone_leaves_the_others_as_they_were(
    given: argparse.Namespace,
) -> None:
    given.added, given.only_added, given.drills, given.steps = 1, True, 1.0, 5000
    run, _ = start(given)
    before = {name: tensor.clone() for name, tensor in run.network.state_dict().items()}
    run.train_step()
    run.train_step()
    changed = {
        name for name, tensor in run.network.state_dict().items() if not tensor.equal(before[name])
    }
    top = f"blocks.{len(run.network.blocks) - 1}."
    assert f"{top}out.weight" in changed
    assert all(name.startswith(top) for name in changed)


def test_a_resumed_run_equals_an_unbroken_one(
    given: argparse.Namespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(counterfactual_train, "LAYERS", (0, 3))
    given.resume = False
    unbroken, _ = start(given)
    for _ in range(3):
        unbroken.train_step()
    broken, _ = start(given)
    broken.train_step()
    broken.save()
    given.resume = True
    resumed, _ = start(given)
    assert 1 == resumed.step
    for _ in range(2):
        resumed.train_step()
    pairs = zip(unbroken.network.parameters(), resumed.network.parameters(), strict=True)
    assert all(torch.equal(left, right) for left, right in pairs)


def test_its_export_says_that_claims_come_with_a_note(given: argparse.Namespace) -> None:
    run, _ = start(given)
    assert CLAIM_NOTES == run.prompt_form


def test_a_step_follows_the_mixture_of_the_run(given: argparse.Namespace) -> None:
    run, corpus = start(given)
    run.step = 1000  # Past the first steps, which also repeat random tokens.
    assert 0 == run.obey().facts + run.obey().text
    documents = corpus.documents(1000, run.obey(), 400)
    assert all("New Fact: " in corpus.tokenizer.decode(document.ids) for document in documents)
