"""Trains the byte-level BPE tokenizer and writes it as a transformers folder.

A text begins with `<|begin|>` (added by the tokenizer by default) and ends with `<|end|>`.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from random import Random

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from pocket.data import HERE, TEXT_TRAIN, default_data_folder, read_json, read_jsonl, read_text
from pocket.pool import load_pool
from pocket.templates import ASSISTANT, SYSTEM, USER, load_relations

BEGIN, END, PAD = "<|begin|>", "<|end|>", "<|pad|>"
SPECIAL = (PAD, BEGIN, END, SYSTEM, USER, ASSISTANT)
VOCABULARY = {"nano": 4096, "base": 16384}
CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}"
    "{% if message['role'] == 'system' %}{{ '<|system|> ' + message['content'] }}"
    "{% elif message['role'] == 'user' %}{{ '<|user|> ' + message['content'] }}"
    "{% else %}{{ '<|assistant|> ' + message['content'] | trim + eos_token }}{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)


def training_texts(data: Path, folder: Path = HERE) -> Iterator[str]:
    """Yields the texts whose words the vocabulary should cover, names weighted up."""
    for fact in read_jsonl(folder / "facts.jsonl"):
        yield from [f" {fact['subject']} {fact['object']}"] * 40
    for relation in load_relations().values():
        yield from [" ".join(relation.phrasings)] * 60
    yield from ["New Fact: \nPrompt: \nQ: \nA: Question: \nAnswer:"] * 500
    if data.exists():
        pool = load_pool(data)
        yield from (f" {label}" for label in (*pool.subjects, *pool.objects) for _ in range(8))
        yield from (f" {word}" for word in (*pool.names, *pool.words))
        yield from (record["prompt"] for record in read_json(data / "counterfact/train.json"))
        for name in TEXT_TRAIN:
            text = read_text(data / "text" / name)
            start = Random(0).randrange(max(1, len(text) - 3_000_000))
            yield from text[start : start + 3_000_000].splitlines(keepends=True)


def build(texts: Iterator[str], vocabulary: int) -> PreTrainedTokenizerFast:
    """Trains a tokenizer of at most `vocabulary` entries."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=list(SPECIAL),
        show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    bpe.train_from_iterator(texts, trainer)
    begin = bpe.token_to_id(BEGIN)
    bpe.post_processor = processors.TemplateProcessing(
        single=f"{BEGIN} $A", pair=f"{BEGIN} $A $B:1", special_tokens=[(BEGIN, begin)]
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        bos_token=BEGIN,
        eos_token=END,
        pad_token=PAD,
        additional_special_tokens=[SYSTEM, USER, ASSISTANT],
        model_max_length=1024,
        clean_up_tokenization_spaces=False,
        model_input_names=["input_ids", "attention_mask"],
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer


def main() -> None:
    """Writes the tokenizer of one size."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=default_data_folder())
    parser.add_argument("--size", choices=sorted(VOCABULARY), default="base")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    tokenizer = build(training_texts(arguments.data), VOCABULARY[arguments.size])
    tokenizer.save_pretrained(arguments.out)
    print(f"{len(tokenizer)} entries")


if __name__ == "__main__":
    main()
