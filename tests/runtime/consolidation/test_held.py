"""What must stay: rows about nobody edited, in the model's own words, and where they are judged."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import torch

from memory.record import EditId
from runtime.consolidation.contract import Fact
from runtime.consolidation.corpus import FactSentences
from runtime.consolidation.held import HeldRows, held_rows
from runtime.consolidation.measuring import Row, Tick
from runtime.consolidation.tokens import Codec
from runtime.engine.load import LoadedModel
from tests.editor_kit import bench_of
from tests.tiny_models import Tiny

NAMES = ("Ann Lee", "Bob Roe", "Cid Fay", "Dee Poe", "Eva Ray")
EDITED = tuple(
    Fact(
        edit_id=EditId(name),
        revision=1,
        subject=name,
        prompt=f"The mother tongue of {name} is",
        target="Danish",
    )
    for name in NAMES[:2]
)


@pytest.fixture
def corpus(tmp_path: Path) -> FactSentences:
    """Five people's mother tongues."""
    facts, relations = tmp_path / "facts.jsonl", tmp_path / "relations.json"
    lines = [json.dumps({"subject": n, "relation": "tongue", "object": "Finnish"}) for n in NAMES]
    facts.write_text("\n".join(lines) + "\n", "utf-8")
    forms = {"tongue": {"cloze": ["The mother tongue of {} is"], "question": ["{} speaks?"]}}
    relations.write_text(json.dumps(forms), "utf-8")
    return FactSentences(facts, relations)


def rows_of(loaded: LoadedModel, corpus: FactSentences, facts: tuple[Fact, ...]) -> HeldRows:
    codec = Codec(loaded.tokenizer)
    return held_rows(facts, loaded.model, codec, corpus, subjects=3, sentences=5, seed=1)


def test_nothing_that_is_held_names_an_edited_subject_in_the_edits_words(
    deep: Tiny, corpus: FactSentences
) -> None:
    loaded = deep("llama")
    held = rows_of(loaded, corpus, EDITED)
    said = [loaded.tokenizer.decode(one.tokens) for one in (*held.neighbours, *held.texts)]
    assert len(said) > 6
    assert not [text for text in said if "Ann Lee" in text or "Bob Roe" in text]
    assert len([text for text in said if "Cid Fay" in text]) > 0
    for one in held.same_subject:
        assert "mother tongue" not in loaded.tokenizer.decode(one.tokens)


def test_what_is_judged_after_a_prompt_is_the_models_own_answer(
    deep: Tiny, corpus: FactSentences
) -> None:
    loaded = deep("gpt2")
    held = rows_of(loaded, corpus, EDITED)
    assert held.neighbours
    for one in (*held.neighbours, *held.same_subject):
        with torch.no_grad():
            best = loaded.model(torch.tensor([one.tokens])).logits[0].argmax(-1)
        assert one.places[-1] == len(one.tokens) - 2
        assert [int(best[place]) for place in one.places] == [
            one.tokens[place + 1] for place in one.places
        ]


def test_a_sentence_that_the_model_answers_like_the_edits_own_is_free_to_change(
    deep: Tiny, corpus: FactSentences, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model that says the same to everything knows no other question."""
    loaded = deep("llama")
    some = rows_of(loaded, corpus, EDITED)
    assert some.same_subject
    from runtime.consolidation import held as module

    real = module._answers

    def alike(model: object, codec: Codec, prompts: list[str], tick: Tick) -> list[Row]:
        answered = real(model, codec, prompts, tick)
        return [
            dataclasses.replace(row, tokens=(*row.tokens[: -row.answer], 7), answer=1)
            for row in answered
        ]

    monkeypatch.setattr(module, "_answers", alike)
    assert rows_of(loaded, corpus, EDITED).same_subject == ()


def test_many_edits_have_fewer_rows_each(
    deep: Tiny, corpus: FactSentences, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = deep("llama")
    monkeypatch.setattr("runtime.consolidation.held.NEIGHBOURS", 2)
    monkeypatch.setattr("runtime.consolidation.held.SENTENCES", 2)
    held = rows_of(loaded, corpus, EDITED)
    assert (2, 2) == (len(held.neighbours), len(held.same_subject))


def test_building_them_can_be_stopped(deep: Tiny, corpus: FactSentences) -> None:
    class Cancelled(Exception):
        pass

    def stop(_: int) -> None:
        raise Cancelled

    loaded = deep("llama")
    codec = Codec(loaded.tokenizer)
    with pytest.raises(Cancelled):
        held_rows(EDITED, loaded.model, codec, corpus, subjects=1, sentences=1, seed=1, tick=stop)


def test_an_editor_keeps_no_row_about_another_edited_subject(
    deep: Tiny, corpus: FactSentences, corpus_file: Path
) -> None:
    bench = bench_of(deep("llama"), corpus_file, contrast_subjects=9)
    bench.corpus = corpus
    said = [bench.codec.tokenizer.decode(one.prompt) for one in bench.rows(EDITED).kept]
    assert [text for text in said if "Dee Poe" in text]
    assert not [text for text in said if "Ann Lee" in text or "Bob Roe" in text]
