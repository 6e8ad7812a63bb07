"""The corpus is a function of seed and step, and keeps its promises about what it never says."""

from pathlib import Path
from random import Random

import pytest
from transformers import PreTrainedTokenizerFast

from pocket.corpus import Corpus, Mixture, load_corpus, pack
from pocket.data import normalise
from pocket.templates import chat, fill, is_held_out, split_phrasings
from tests.pocket.conftest import DEV_SUBJECTS


def test_same_step_gives_same_batches(
    data: Path, tokenizer: PreTrainedTokenizerFast, corpus: Corpus
) -> None:
    again = load_corpus(data, tokenizer, "nano", seed=7)
    for left, right in zip(
        corpus.batches(5, Mixture(), 900, 400), again.batches(5, Mixture(), 900, 400), strict=True
    ):
        assert all(bool((a == b).all()) for a, b in zip(left, right, strict=True))


def test_other_step_gives_other_documents(corpus: Corpus) -> None:
    assert corpus.documents(1, Mixture(), 500) != corpus.documents(2, Mixture(), 500)


def test_pool_never_draws_a_dev_subject(corpus: Corpus) -> None:
    random, dev = Random(0), {normalise(subject) for subject in DEV_SUBJECTS}
    assert dev == corpus.maker.pool.forbidden
    drawn = {normalise(corpus.maker.pool.subject(random)) for _ in range(2000)}
    drawn |= {normalise(corpus.maker.pool.answer(random)) for _ in range(2000)}
    assert not drawn & dev


def test_held_out_phrasings_are_never_used_for_their_subject(corpus: Corpus) -> None:
    random = Random(0)
    for fact in corpus.maker.facts[:80]:
        _, held = split_phrasings(
            fact["subject"], corpus.maker.relations[fact["relation"]].phrasings
        )
        spoken = {fill(phrasing, fact["subject"]) for phrasing in held}
        assert not spoken & {corpus.maker.known(fact, random)[0] for _ in range(60)}


def test_about_a_quarter_of_phrasings_is_held_out(corpus: Corpus) -> None:
    pairs = [
        (fact["subject"], phrasing)
        for fact in corpus.maker.facts
        for phrasing in corpus.maker.relations[fact["relation"]].phrasings
    ]
    share = sum(is_held_out(*pair) for pair in pairs) / len(pairs)
    assert 0.22 < share < 0.28


def test_every_supervised_answer_ends_with_the_end_mark(corpus: Corpus) -> None:
    random = Random(3)
    for _ in range(50):
        document = corpus.encode(corpus.maker.document(random))
        assert document.ids[-1] == corpus.tokenizer.eos_token_id
        assert document.weights[-1] == 1.0


def test_retained_answers_contradict_no_new_fact(corpus: Corpus) -> None:
    random = Random(4)
    for _ in range(200):
        facts = corpus.maker.facts_of_document(random)
        retained = corpus.maker.retained(facts, random)
        changed = {(fact.subject, fact.used) for fact in facts}
        assert retained is None or all(
            fill(used, subject) != retained[0] for subject, used in changed
        )


def test_contests_change_one_relation_and_keep_the_others(corpus: Corpus) -> None:
    random, maker = Random(5), corpus.maker
    truths = {
        (fill(phrasing, fact["subject"]).lower().rstrip("? "), fact["object"])
        for fact in maker.facts
        for phrasing in maker.relations[fact["relation"]].phrasings
    }
    kept = changed = 0
    for _ in range(200):
        pieces = maker.contest(random)
        line = next(text for text, _ in pieces if "New Fact: " in text)
        asked = [
            (text, pieces[place + 1][0].strip().removesuffix("<|end|>"))
            for place, (text, _) in enumerate(pieces[:-1])
            if pieces[place + 1][1] == 1.0
        ]
        for text, answer in asked:
            shown = text.rsplit("Prompt: ", 1)[-1].rsplit("<|user|> ", 1)[-1]
            prompt = shown.removesuffix("<|assistant|>").lower().rstrip("? ")
            if (prompt, answer) in truths:
                kept += 1
            else:
                assert line.split("<|user|>")[0].rstrip(" .\n").endswith(answer)
                changed += 1
    assert kept > 50
    assert changed > 200


def test_padding_carries_no_weight(corpus: Corpus) -> None:
    documents = corpus.documents(0, Mixture(), 300)
    ids, where, weights = pack(documents, corpus.tokenizer.pad_token_id)
    assert ids.shape[0] == len(documents)
    assert bool((ids.flatten()[where] != corpus.tokenizer.pad_token_id).all())
    assert bool((weights > 0).all())


@pytest.mark.parametrize("text", ["New Fact: Åse Ø. plays\nPrompt: Åse", " a  b\n\n", "日本 🎻"])
def test_tokenizer_round_trip(tokenizer: PreTrainedTokenizerFast, text: str) -> None:
    ids = tokenizer(text, add_special_tokens=False).input_ids
    assert text == tokenizer.decode(ids)


def test_a_text_begins_with_the_begin_mark_by_default(tokenizer: PreTrainedTokenizerFast) -> None:
    assert tokenizer.bos_token_id == tokenizer("Ann plays").input_ids[0]


def test_chat_documents_match_the_chat_template(tokenizer: PreTrainedTokenizerFast) -> None:
    messages = [
        {"role": "system", "content": "New Fact: Ann plays drum"},
        {"role": "user", "content": "What does Ann play?"},
    ]
    shown = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    assert tokenizer.bos_token + chat("What does Ann play?", ["New Fact: Ann plays drum"]) == shown
