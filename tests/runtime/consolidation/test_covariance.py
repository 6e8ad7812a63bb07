"""Second moments equal a naive sum, are addressed by all they depend on, and resume."""

from __future__ import annotations

import dataclasses
import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from memory.errors import ConsolidationFailed, InvalidInput
from runtime.consolidation import covariance
from runtime.consolidation.corpus import Corpus, FactSentences, Joined, TextFile
from runtime.consolidation.covariance import MomentKey, MomentStore
from runtime.consolidation.trace import trace
from runtime.engine.load import LoadedModel
from runtime.sites import FAMILIES, sites_of
from tests.tiny_models import Tiny


def store(
    loaded: LoadedModel, corpus: Corpus, folder: Path | None = None, samples: int = 60
) -> MomentStore:
    return MomentStore(
        loaded.model,
        loaded.tokenizer,
        sites_of(loaded.model),
        fingerprint=loaded.fingerprint,
        corpus=corpus,
        samples=samples,
        seed=0,
        folder=folder,
    )


def nothing(_done: int, _total: int) -> None:
    pass


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_a_moment_equals_a_naive_sum(tiny: Tiny, corpus_file: Path, family: str) -> None:
    loaded = tiny(family)
    actual = store(loaded, TextFile(corpus_file), samples=7).moments([0, 1], nothing)
    texts = list(TextFile(corpus_file).texts(7, 0))
    assert 7 == len(texts)
    for layer in (0, 1):
        name = sites_of(loaded.model).mlp_out(layer)
        found: list[Tensor] = []
        for text in texts:
            ids = torch.tensor([loaded.tokenizer(text)["input_ids"]])
            with torch.no_grad(), trace(loaded.model, inputs=[name]) as seen:
                loaded.model(ids)
            found += [torch.outer(k, k) for k in seen.inputs[name].flatten(0, -2).double()]
        assert torch.allclose(torch.stack(found).mean(0), actual[layer], rtol=1e-4, atol=1e-5)


def test_a_second_store_reads_what_the_first_wrote(
    tiny: Tiny, corpus_file: Path, tmp_path: Path
) -> None:
    loaded, corpus = tiny("llama"), TextFile(corpus_file)
    first = store(loaded, corpus, tmp_path).moments([0, 1], nothing)
    calls = []
    second = store(loaded, corpus, tmp_path).moments([0, 1], lambda *_: calls.append(1))
    assert [] == calls
    assert all(torch.equal(first[layer], second[layer]) for layer in (0, 1))


class Killed(Exception):
    pass


@pytest.mark.parametrize("after", [1, 2, 3, 5])
def test_a_sum_resumes_where_it_was_saved(
    tiny: Tiny, corpus_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    monkeypatch.setattr(covariance, "BATCH_TEXTS", 10)
    monkeypatch.setattr(covariance, "SAVE_EVERY_BATCHES", 2)
    loaded, corpus = tiny("llama"), TextFile(corpus_file)
    whole = store(loaded, corpus).moments([0, 1], nothing)

    def die(done: int, total: int) -> None:
        if done == after * 10:
            raise Killed

    with pytest.raises(Killed):
        store(loaded, corpus, tmp_path).moments([0, 1], die)
    seen = []
    resumed = store(loaded, corpus, tmp_path).moments([0, 1], lambda done, _: seen.append(done))
    kept = after // 2 * 20  # What the last save holds.
    assert list(range(kept + 10, 61, 10)) == seen
    for layer in (0, 1):
        assert torch.allclose(whole[layer], resumed[layer], rtol=1e-12)


def test_a_layer_that_is_behind_catches_up(
    tiny: Tiny, corpus_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(covariance, "BATCH_TEXTS", 10)
    monkeypatch.setattr(covariance, "SAVE_EVERY_BATCHES", 1)
    loaded, corpus = tiny("llama"), TextFile(corpus_file)
    whole = store(loaded, corpus).moments([0, 1], nothing)

    def die(done: int, total: int) -> None:
        if done == 40:
            raise Killed

    with pytest.raises(Killed):
        store(loaded, corpus, tmp_path).moments([1], die)
    resumed = store(loaded, corpus, tmp_path).moments([0, 1], nothing)
    assert all(torch.allclose(whole[layer], resumed[layer], rtol=1e-12) for layer in (0, 1))


def test_a_torn_file_is_made_anew(
    tiny: Tiny, corpus_file: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    loaded, corpus = tiny("llama"), TextFile(corpus_file)
    whole = store(loaded, corpus, tmp_path).moments([0], nothing)
    (file,) = tmp_path.glob("*.safetensors")
    file.write_bytes(file.read_bytes()[:100])
    with caplog.at_level(logging.WARNING):
        again = store(loaded, corpus, tmp_path).moments([0], nothing)
    assert "does not read" in caplog.text
    assert torch.equal(whole[0], again[0])


def test_every_part_of_the_key_changes_the_address() -> None:
    key = MomentKey(weights="w", module="m", corpus="c", samples=5, seed=0)
    others: dict[str, Any] = {
        "weights": "x",
        "module": "n",
        "corpus": "d",
        "samples": 6,
        "seed": 1,
        "text_tokens_max": 9,
        "dtype": "float32",
    }
    assert {field.name for field in dataclasses.fields(key)} == set(others)
    names = {dataclasses.replace(key, **{name: value}).file_name for name, value in others.items()}
    assert len(others) == len(names - {key.file_name})


def test_an_empty_corpus_fails_clearly(tiny: Tiny, tmp_path: Path) -> None:
    (tmp_path / "empty.txt").write_text("\n\n", encoding="utf-8")
    with pytest.raises(ConsolidationFailed, match=r"0 texts .*expected a corpus with text"):
        store(tiny("llama"), TextFile(tmp_path / "empty.txt")).moments([0], nothing)


def test_a_corpus_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"gone\.txt cannot be read"):
        _ = TextFile(tmp_path / "gone.txt").digest


def test_texts_are_drawn_from_the_seed_and_in_order(corpus_file: Path) -> None:
    corpus = TextFile(corpus_file)
    some = list(corpus.texts(10, 3))
    assert some == list(corpus.texts(10, 3))
    assert some != list(corpus.texts(10, 4))
    numbers = [int(text.split()[-1]) for text in some]
    assert sorted(numbers) == numbers
    assert 60 == len(list(corpus.texts(1000, 3)))


def test_fact_sentences_and_joined_corpora(tmp_path: Path, corpus_file: Path) -> None:
    (tmp_path / "facts.jsonl").write_text(
        '{"subject": "Ann", "relation": "home", "object": "Rome"}\n'
        '{"subject": "Bob", "relation": "home", "object": "Oslo"}\n',
        encoding="utf-8",
    )
    (tmp_path / "relations.json").write_text(
        '{"home": {"cloze": ["{} lives in"], "question": ["Where is {}?"]}}', encoding="utf-8"
    )
    facts = FactSentences(tmp_path / "facts.jsonl", tmp_path / "relations.json")
    made = list(facts.texts(9, 0))
    assert 9 == len(made)
    assert set(made) <= {
        "Ann lives in Rome",
        "Where is Ann? Rome",
        "Bob lives in Oslo",
        "Where is Bob? Oslo",
    }
    joined = Joined((facts, TextFile(corpus_file)))
    mixed = list(joined.texts(8, 0))
    assert 8 == len(mixed)
    assert 4 == len([text for text in mixed if text.startswith(("Ann", "Bob", "Where"))])
    assert joined.digest != Joined((TextFile(corpus_file), facts)).digest
