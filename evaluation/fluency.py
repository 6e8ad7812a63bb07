"""Fluency of long answers: the entropy of their n-grams, as ROME measures it.

Meng et al. 2022, arXiv 2202.05262, appendix, after Zhang et al. 2018: the weighted mean of the
entropies (base 2) of bigrams and trigrams, weights 2/3 and 4/3, of 100 tokens sampled with top-k 5.
Words are what stands between white space (ROME's code takes NLTK's tokens: punctuation apart).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from random import Random

from evaluation.asking import Task
from runtime.engine.contract import Sampling

TOKENS = 100
SAMPLING = Sampling(max_tokens=TOKENS, temperature=1.0, top_k=5, seed=0, ignore_eos=True)
WEIGHTS = ((2, 2 / 3), (3, 4 / 3))  # (n, weight)
KINDS = ("generation", "edit")  # The first kind that the data have is asked.


def ngram_entropy(text: str) -> float:
    """Returns the weighted mean entropy of the text's bigrams and trigrams, in bits."""
    words = text.split()
    parts = [weight * _entropy(words, n) for n, weight in WEIGHTS]
    return sum(parts) / len(parts)


def fluency_tasks(tasks: Sequence[Task], count: int) -> list[Task]:
    """Chooses at most `count` prompts to continue, the same ones for every method."""
    for kind in KINDS:
        of_kind = [task for task in tasks if task.probe.kind == kind]
        if of_kind:
            return Random(0).sample(of_kind, min(count, len(of_kind)))
    return []


def _entropy(words: Sequence[str], n: int) -> float:
    grams = Counter(tuple(words[at : at + n]) for at in range(len(words) - n + 1))
    total = sum(grams.values())
    return -sum(count / total * math.log2(count / total) for count in grams.values())
