"""Prints a pocket model's figures: `python -m pocket.evaluate pocket/base --data DIR`.

Every known fact is asked in a trained and in a held-out phrasing; new facts about subjects that no
training document names are followed or left alone; perplexity is per token and bits per byte.
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path

import torch
from transformers import AutoTokenizer, LlamaForCausalLM, PreTrainedTokenizerFast

from pocket.corpus import Corpus, load_corpus
from pocket.data import (
    HELD_OUT_SHARE,
    TEXT_TRAIN,
    default_data_folder,
    dev_subjects,
    normalise,
    read_text,
)
from pocket.network import Network, Shape
from pocket.probes import (
    Probe,
    counterfact_probes,
    fact_probes,
    following_probes,
    score,
    text_loss,
    zsre_probes,
)

TEXT_CHARACTERS = 1_300_000


def load_network(folder: Path) -> Network:
    """Loads an exported folder into the training network, in float32."""
    model = LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32)
    config, state = model.config, model.state_dict()
    network = Network(
        Shape(
            config.vocab_size,
            config.hidden_size,
            config.num_hidden_layers,
            config.num_attention_heads,
            config.intermediate_size,
            config.max_position_embeddings,
        )
    )
    network.load_llama_state(state)
    return network.eval()


def perplexity(network: Network, tokenizer: PreTrainedTokenizerFast, text: str) -> dict[str, float]:
    """Returns perplexity per token and bits per byte of a text, read in chunks of 256 tokens."""
    pieces = text[:TEXT_CHARACTERS].splitlines(keepends=True)
    parts = tokenizer.backend_tokenizer.encode_batch(pieces, add_special_tokens=False)
    tokens = [token for part in parts for token in part.ids]
    loss, count = text_loss(network, tokens, int(tokenizer.bos_token_id))
    byte_count = len(text[:TEXT_CHARACTERS].encode())
    return {
        "perplexity": round(math.exp(loss / count), 2),
        "bits_per_byte": round(loss / math.log(2) / byte_count, 3),
        "tokens": count,
    }


def held_out_text(data: Path) -> str:
    """Returns the part of the training files that no run reads."""
    texts = (read_text(data / "text" / name) for name in TEXT_TRAIN)
    return "\n".join(text[int(len(text) * (1 - HELD_OUT_SHARE)) :][:60_000] for text in texts)


def all_probes(corpus: Corpus, data: Path) -> list[Probe]:
    """Returns every probe of the card."""
    known = {normalise(fact["subject"]) for fact in corpus.maker.facts}
    unseen = [s.title() for s in sorted(dev_subjects(data) - known) if len(s) < 40]
    facts = len(corpus.maker.facts)
    return (
        fact_probes(corpus, facts)
        + following_probes(corpus, unseen, 1000, seed=11)
        + counterfact_probes(data, 1919)
        + zsre_probes(data)
    )


def main() -> None:
    """Prints the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("--data", type=Path, default=default_data_folder())
    parser.add_argument("--size", choices=("nano", "base"), default="base", help="which facts")
    arguments = parser.parse_args()
    tokenizer = AutoTokenizer.from_pretrained(arguments.model)
    network = load_network(arguments.model)
    corpus = load_corpus(arguments.data, tokenizer, arguments.size)
    figures = {
        "parameters": sum(parameter.numel() for parameter in network.parameters()),
        "facts": len(corpus.maker.facts),
        "relations": len({fact["relation"] for fact in corpus.maker.facts}),
        "greedy_exact_percent": score(network, corpus, all_probes(corpus, arguments.data)),
        "wikitext2_test": perplexity(
            network, tokenizer, read_text(arguments.data / "text/wikitext2_test.txt")
        ),
        "held_out_text": perplexity(network, tokenizer, held_out_text(arguments.data)),
    }
    print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
