"""Context prefixes: beginnings that the model itself writes, to stand before prompts.

MEMIT (Meng et al. 2022, arXiv 2210.07229, section 4.3 and its code): one text after each of five
words, so that a key is not that of the bare prompt alone. Nothing is cached: a prefix belongs to
one model, one seed and one count.
"""

from __future__ import annotations

from typing import Any

import torch

OPENINGS = ("The", "Therefore", "Because", "I", "You")
TOP_TOKENS = 5


def write_prefixes(
    model: Any, tokenizer: Any, *, count: int, tokens: int, seed: int
) -> tuple[str, ...]:
    """Returns `count` texts of about `tokens` tokens, each ending in ". ".

    Sampled among the five likeliest tokens from the seed alone; the global generator is untouched.
    """
    generator = torch.Generator().manual_seed(seed)
    texts = []
    for number in range(count):
        ids = list(tokenizer(OPENINGS[number % len(OPENINGS)])["input_ids"])
        for _ in range(tokens):
            with torch.no_grad():
                logits = model(torch.tensor([ids], device=model.device)).logits[0, -1].float()
            banned = [token for token in tokenizer.all_special_ids if token < len(logits)]
            logits[banned] = -torch.inf
            best = logits.topk(TOP_TOKENS)
            chance = best.values.softmax(-1).cpu()
            drawn = torch.multinomial(chance, 1, generator=generator)
            ids.append(int(best.indices[drawn]))
        text = tokenizer.decode(ids, skip_special_tokens=True)
        texts.append(" ".join(text.replace("{", " ").replace("}", " ").split()) + ". ")
    return tuple(texts)
